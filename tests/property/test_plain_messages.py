"""However plain messages are fetched, and among whatever neighbours: the same rows, coordinates and letters."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from typing import Any

import fastavro
from hypothesis import given, settings
from hypothesis import strategies as st

from logflume import contract
from logflume.formats import avro_schema, to_records
from logflume.model import load
from logflume.sort.gather import Gatherer
from tests.support.ingest import chunk, message
from tests.support.schedules import examples

EVENTS = load(contract.find())["events"]
SCHEMA = avro_schema.parsed(avro_schema.of_dataset(EVENTS))
HEAD = avro_schema.MARKER + avro_schema.fingerprint(SCHEMA)

texts = st.text(st.characters(codec="utf-8"), max_size=6)
objects = st.dictionaries(
    st.sampled_from(["message", "level", "other"]), st.one_of(texts, st.integers(-9, 9)), max_size=3
)
bad_lines = st.sampled_from([b"{broken", b"[1]", b"7", b'{"a":NaN}', b"\xff{}", b'{"a":1}{"b":2}'])
Want = list[dict[str, Any] | None]
"""What the records of a message are; None: a bad one."""


@st.composite
def lines(draw: st.DrawFn) -> tuple[bytes, Want]:
    """Two lines or more, blank ones among them, which are not one JSON value."""
    found: Want = []
    parts: list[bytes] = []
    for kind in draw(st.lists(st.sampled_from(["object", "object", "bad", "blank"]), min_size=2, max_size=5)):
        if kind == "blank":
            parts.append(draw(st.sampled_from([b"", b" ", b"\r"])))
        elif kind == "bad":
            parts.append(draw(bad_lines))
            found.append(None)
        else:
            found.append(draw(objects))
            parts.append(json.dumps(found[-1]).encode() + draw(st.sampled_from([b"", b"\r", b" "])))
    return b"\n".join(parts), found


def avro(text: str) -> tuple[bytes, Want]:
    file = io.BytesIO()
    fastavro.schemaless_writer(file, SCHEMA, {"message": text})
    return HEAD + file.getvalue(), [{"message": text}]


messages = st.one_of(
    objects.map(lambda found: (json.dumps(found).encode(), [found])),
    objects.map(lambda found: (json.dumps(found, indent=1).encode() + b"\n", [found])),
    lines(),
    texts.map(avro),
    st.just((HEAD + b"\xff", [None])),
    st.just((b"", [])),
)


@settings(max_examples=examples(120))
@given(st.lists(messages, min_size=1, max_size=12), st.data())
def test_rows_are_what_each_line_says_however_messages_are_cut_into_chunks(
    sent: list[tuple[bytes, Want]], data: st.DataObject
) -> None:
    rows = {
        (offset, row): found
        for offset, (_, records) in enumerate(sent)
        for row, found in enumerate(records)
        if found is not None
    }
    bad = set()
    for offset, (_, records) in enumerate(sent):
        numbers = [row for row, found in enumerate(records) if found is None]
        bad |= {(offset, row if len(records) > 1 else None) for row in numbers} or (
            set() if records else {(offset, None)}
        )
    cuts = sorted(data.draw(st.sets(st.integers(1, max(len(sent) - 1, 1)), max_size=3)) | {0, len(sent)})
    gatherer = Gatherer(EVENTS)
    found: dict[tuple[int, int], Any] = {}
    letters = set()
    for first, last in pairwise(cuts):
        if first == last:
            continue
        unit = gatherer.gather([chunk([message(at, sent[at][0]) for at in range(first, min(last, len(sent)))])])
        places = list(zip(unit.offsets.tolist(), unit.rows.tolist(), strict=True))
        assert places == sorted(places)
        found |= dict(zip(places, to_records(unit.batch), strict=True))
        letters |= {(letter.offset, letter.row) for letter in unit.letters}
    assert found == rows
    assert letters == bad
