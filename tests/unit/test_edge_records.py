"""Records from Python to JSON: everything as it was, or a typed error."""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logflume.block import reasons
from logflume.edge.records import encode
from logflume.errors import Poison

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text("abc", max_size=3), values, max_size=5))
def test_any_json_record_is_one_line_that_says_the_same(record: dict[str, Any]) -> None:
    line = encode(record)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == record


def test_an_integer_past_64_bits_keeps_every_digit() -> None:
    assert json.loads(encode({"n": 2**200, "at": datetime(2026, 1, 1, tzinfo=UTC)})) == {
        "n": 2**200,
        "at": "2026-01-01T00:00:00+00:00",
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")], {"a": [float("nan")]}, (float("nan"),)])
def test_what_json_cannot_say_is_refused_rather_than_turned_to_null(value: Any) -> None:
    with pytest.raises(Poison) as caught:
        encode({"ok": None, "v": value})
    assert caught.value.reason == reasons.NOT_FINITE


def _endless() -> dict[str, Any]:
    record: dict[str, Any] = {}
    record["self"] = record
    return record


@pytest.mark.parametrize("record", [{"v": object()}, {"v": b"bytes"}, {"v": "\ud800"}, {"\ud800": 1}, _endless()])
def test_what_cannot_be_json_is_poison_and_nothing_else(record: dict[str, Any]) -> None:
    with pytest.raises(Poison) as caught:
        encode(record)
    assert caught.value.reason == reasons.NOT_JSON


@pytest.mark.parametrize("record", [[1], "text", 7, None])
def test_only_a_mapping_is_a_record(record: Any) -> None:
    with pytest.raises(Poison) as caught:
        encode(record)
    assert caught.value.reason == reasons.NOT_OBJECT


def test_other_mappings_are_taken() -> None:
    assert encode(MappingProxyType({"a": 1})) == encode(OrderedDict(a=1)) == b'{"a":1}\n'
