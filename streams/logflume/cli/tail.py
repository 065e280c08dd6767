"""``logflume tail``: a tenant's rows as they are sorted, until Ctrl-C."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import orjson
import typer

from logflume import contract
from logflume.api.tail import records
from logflume.cli.listing import json_text, printable
from logflume.cli.waiting import opened_source
from logflume.errors import Misconfigured, Refused, Retryable
from logflume.explore.match import Match
from logflume.explore.tail.follower import Follower, Lost, Wants
from logflume.explore.tail.hub import Hub
from logflume.model import dataset as datasets
from logflume.settings import Settings

_LOOK_SECONDS = 0.5
_OWN = ("_received", "_src_topic", "_src_partition", "_src_offset", "_src_row")


def command(
    dataset: Annotated[str, typer.Argument(help="Which dataset's rows.")],
    tenant: Annotated[str, typer.Option(help="Whose rows.")],
    where: Annotated[
        str, typer.Option(help='A filter, as JSON: {"key": "level", "operator": "eq", "value": "ERROR"}.')
    ] = "",
    q: Annotated[str, typer.Option("--q", help="Text that a field must have in it, in whatever case.")] = "",
    sample: Annotated[float, typer.Option(help="The share of the rows that is shown, 1 for all.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a row.")] = False,
) -> None:
    """Follow a tenant's rows as they come, from now on; what is missed is counted on stderr."""
    if not 0 < sample <= 1:
        raise Misconfigured("--sample is above 0, and at most 1")
    for record in _followed(Settings(), tenant, dataset, _filter(where), q, sample):
        print(json_text(record, indent=False) if as_json else line(record), flush=True)


def line(record: Mapping[str, Any]) -> str:
    """Spell a record for people: when it came, and the fields that it has. Nothing in it steers the terminal."""
    shown = [f"{name}={_value(value)}" for name, value in record.items() if name not in _OWN]
    return printable(" ".join([record["_received"].strftime("%H:%M:%S.%f")[:-3], *shown]))


def _value(value: Any) -> str:
    """A text stands as it is where it is one word, everything else as JSON."""
    bare = isinstance(value, str) and value and not any(c.isspace() or c == '"' for c in value)
    return str(value) if bare else json_text(value, indent=False)


def _filter(text: str) -> Any:
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError as error:
        raise Misconfigured(f"--where is no JSON: {error}") from None


def _followed(
    settings: Settings, tenant: str, name: str, where: Any, text: str, share: float
) -> Iterator[dict[str, Any]]:
    """Yield records as they come, read from Kafka itself."""
    settings.require("kafka_bootstrap")
    contracted = datasets.load(contract.find(settings.topics_dir))
    if name not in contracted:
        raise Refused(f"there is no dataset {name!r}; there are: {', '.join(sorted(contracted))}")
    wants = Wants(Match(where, text, contracted[name]), share, sys.maxsize, int(settings.explore_tail_bytes))
    there = threading.Event()
    follower = Follower(tenant, name, wants, there.set)
    with opened_source(settings, contracted) as source, Hub(settings, source, contracted) as hub:
        hub.follow(follower)
        print(f"Following {name} of {tenant}; Ctrl-C ends it.", file=sys.stderr)
        while not follower.ended:
            there.wait(_LOOK_SECONDS)
            there.clear()
            while (found := follower.take()) is not None:
                if isinstance(found, Lost):
                    missed = "some rows" if found.rows is None else f"{found.rows:,} rows"
                    print(f"{missed} missed: {found.why}", file=sys.stderr)
                else:
                    yield from records(found)
        raise Retryable(follower.ended)
