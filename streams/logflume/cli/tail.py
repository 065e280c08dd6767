"""``logflume tail``: a tenant's rows as they are sorted, until Ctrl-C."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import orjson
import typer

from logflume import contract
from logflume.api.tail import records
from logflume.cli.asking import Tenant
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
    tenant: Tenant = "",
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
    settings = Settings()
    asked = _Asked(tenant, dataset, _filter(where), q, sample)
    for told in _remote(settings, asked) if settings.url else _local(settings, asked):
        if isinstance(told, Lost):
            missed = "some rows" if told.rows is None else f"{told.rows:,} rows"
            print(f"{missed} missed: {printable(told.why)}", file=sys.stderr)
        else:
            print(json_text(told, indent=False) if as_json else line(told), flush=True)


def line(record: Mapping[str, Any]) -> str:
    """Spell a record for people: when it came, and the fields that it has. Nothing in it steers the terminal."""
    shown = [f"{name}={_value(value)}" for name, value in record.items() if name not in _OWN]
    at = record["_received"]
    came = datetime.fromisoformat(at) if isinstance(at, str) else at
    return printable(" ".join([came.strftime("%H:%M:%S.%f")[:-3], *shown]))


def _value(value: Any) -> str:
    """A text stands as it is where it is one word, everything else as JSON."""
    bare = isinstance(value, str) and value and not any(c.isspace() or c == '"' for c in value)
    return str(value) if bare else json_text(value, indent=False)


def _filter(text: str) -> Any:
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError as error:
        raise Misconfigured(f"--where is no JSON: {error}") from None


@dataclass(frozen=True, slots=True)
class _Asked:
    tenant: str
    dataset: str
    where: Any
    text: str
    share: float


def _local(settings: Settings, asked: _Asked) -> Iterator[dict[str, Any] | Lost]:
    """Yield what comes, read from Kafka itself."""
    if not asked.tenant:
        raise Misconfigured("--tenant is wanted: whose rows are followed (or LOGFLUME_URL: a server, and a token's)")
    settings.require("kafka_bootstrap")
    contracted = datasets.load(contract.find(settings.topics_dir))
    if asked.dataset not in contracted:
        raise Refused(f"there is no dataset {asked.dataset!r}; there are: {', '.join(sorted(contracted))}")
    match = Match(asked.where, asked.text, contracted[asked.dataset])
    there = threading.Event()
    wants = Wants(match, asked.share, sys.maxsize, int(settings.explore_tail_bytes))
    follower = Follower(asked.tenant, asked.dataset, wants, there.set)
    with opened_source(settings, contracted) as source, Hub(settings, source, contracted) as hub:
        hub.follow(follower)
        _say(asked.dataset, asked.tenant)
        while not follower.ended:
            there.wait(_LOOK_SECONDS)
            there.clear()
            while (found := follower.take()) is not None:
                if isinstance(found, Lost):
                    yield found
                else:
                    yield from records(found)
        raise Retryable(follower.ended)


def _remote(settings: Settings, asked: _Asked) -> Iterator[dict[str, Any] | Lost]:
    """Yield what the server tells that ``LOGFLUME_URL`` names."""
    from logflume.cli import remote  # half of what the command imports

    parameters = {"dataset": asked.dataset, "q": asked.text, "sample": str(asked.share)}
    parameters |= {"where": orjson.dumps(asked.where).decode()} if asked.where else {}
    with remote.opened(settings) as server:
        if asked.tenant and asked.tenant != server.tenant:
            raise Misconfigured(f"LOGFLUME_TOKEN is one of the tenant {server.tenant!r}, not of {asked.tenant!r}")
        with server.stream("GET", "/tail", params=parameters) as response, server.heard():
            _say(asked.dataset, server.tenant)
            for name, data in _events(response.iter_lines()):
                if name == "end":
                    raise Retryable(str(data["detail"]))
                yield Lost(data["rows"], str(data["detail"])) if name == "lost" else data
        raise Retryable(f"{server.url} has ended the answer")


def _events(lines: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Yield name and data of each Server-Sent Event; those without data are comments."""
    told: dict[str, str] = {}
    for each in lines:
        if each:
            name, _, value = each.partition(":")
            told[name] = value.removeprefix(" ")
            continue
        if "data" in told:
            yield told.get("event", "message"), orjson.loads(told["data"])
        told = {}


def _say(dataset: str, tenant: str) -> None:
    print(f"Following {printable(dataset)} of {printable(tenant)}; Ctrl-C ends it.", file=sys.stderr, flush=True)
