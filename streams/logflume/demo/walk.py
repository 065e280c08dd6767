"""The walk through an attack, as questions in words, in SQL, and with their answers from the tenant's own tables.

A spike of likely attacks that nothing stopped, who sent them, what else that client did, whether it got anything; and
apart from it: why a request was refused, and one request by its id.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from logflume.demo.traffic import Traffic
from logflume.explore.find import find
from logflume.explore.query import Explorer
from logflume.model import Dataset


@dataclass(frozen=True, slots=True)
class Step:
    """A question and its answer. ``sql`` is what was asked, or the command for ``logflume find``."""

    question: str
    sql: str
    answer: pa.Table
    seconds: float
    finding: str
    """What the answer says, in words."""


def attack(explorer: Explorer, datasets: Mapping[str, Dataset], traffic: Traffic) -> Iterator[Step]:
    """Walk through the attack on ``traffic.attacked``; each question uses what the one before found."""
    tenant = traffic.attacked
    span = _between(traffic.start_ms, traffic.start_ms + traffic.shape.span_seconds * 1000)
    likely = f"WAFAttackScore < 20 AND SecurityAction = '' AND {span}"

    step = _asked(
        explorer,
        tenant,
        "Was there a spike of likely attacks that nothing stopped?",
        "SELECT date_bin(INTERVAL '2 minutes', EdgeStartTimestamp) AS minute, count(*) AS likely_attacks\n"
        f"FROM http_requests WHERE {likely}\nGROUP BY 1 ORDER BY likely_attacks DESC LIMIT 4",
    )
    peak: datetime = step.answer["minute"][0].as_py()
    yield _found(step, f"Yes, around {peak:%H:%M} UTC.")

    step = _asked(
        explorer,
        tenant,
        "Who sent them?",
        "SELECT ClientIP, ClientCountry, count(*) AS requests,\n"
        "  round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS percent\n"
        f"FROM http_requests WHERE {likely}\nGROUP BY 1, 2 ORDER BY requests DESC LIMIT 3",
    )
    suspect = step.answer["ClientIP"][0].as_py()
    yield _found(step, f"{step.answer['percent'][0].as_py():.0f} % came from one address, {suspect}.")

    its = f"ClientIP = '{suspect}' AND {span}"
    step = _asked(
        explorer,
        tenant,
        "What did that address ask for in all this time?",
        "SELECT split_part(ClientRequestURI, 'rid=', 1) AS uri, EdgeResponseStatus AS status, count(*) AS requests\n"
        f"FROM http_requests WHERE {its}\nGROUP BY 1, 2 ORDER BY requests DESC LIMIT 6",
    )
    yield _found(step, "Injections and path traversal, nothing else.")

    step = _asked(
        explorer,
        tenant,
        "Did it get anything out of the origin?",
        "SELECT EdgeStartTimestamp, ClientRequestURI, OriginResponseBytes\n"
        f"FROM http_requests WHERE {its} AND OriginResponseBytes > 0",
    )
    found = step.answer.num_rows
    yield _found(step, "No: not one request with OriginResponseBytes > 0." if not found else f"{found} times.")

    step = _asked(
        explorer,
        tenant,
        "Apart from that: a customer was refused with a 403. Which rule did that?",
        "SELECT r.RayID, r.ClientIP, f.Action, f.Description, f.Source\n"
        "FROM http_requests r JOIN firewall_events f ON r.RayID = f.RayID\n"
        f"WHERE r.EdgeResponseStatus = 403 AND f.Action = 'block' AND r.{span}\n"
        "ORDER BY r.EdgeStartTimestamp DESC LIMIT 1",
    )
    ray = step.answer["RayID"][0].as_py()
    yield _found(step, f"“{step.answer['Description'][0].as_py()}”.")

    started = time.perf_counter()
    both = list(find(explorer, datasets, tenant, ray))
    [request] = [f.rows for f in both if f.dataset == "http_requests"]
    shown = ["RayID", "EdgeStartTimestamp", "ClientIP", "ClientRequestMethod", "ClientRequestURI", "EdgeResponseStatus"]
    yield Step(
        "And that one request, by its Ray ID?",
        f"logflume find {ray} --tenant {tenant}",
        request.select(shown),
        time.perf_counter() - started,
        f"{sum(f.rows.num_rows for f in both)} records have it: the request and its firewall event.",
    )


def access_log(explorer: Explorer, tenant: str) -> Iterator[Step]:
    """What anyone asks of an access log of his own."""
    questions = {
        "What was asked for most?": "SELECT ClientRequestMethod AS method, ClientRequestPath AS path, count(*) AS "
        "requests\nFROM http_requests GROUP BY 1, 2 ORDER BY requests DESC LIMIT 5",
        "How were the requests answered?": "SELECT EdgeResponseStatus AS status, count(*) AS requests, "
        "sum(EdgeResponseBytes) AS bytes\nFROM http_requests GROUP BY 1 ORDER BY requests DESC LIMIT 8",
        "Who asked most?": "SELECT ClientIP, count(*) AS requests, count(DISTINCT ClientRequestPath) AS paths\n"
        "FROM http_requests GROUP BY 1 ORDER BY requests DESC LIMIT 5",
        "When was it busiest?": "SELECT date_trunc('hour', EdgeStartTimestamp) AS hour, count(*) AS requests\n"
        "FROM http_requests GROUP BY 1 ORDER BY requests DESC LIMIT 3",
    }
    for question, sql in questions.items():
        yield _asked(explorer, tenant, question, sql)


def _asked(explorer: Explorer, tenant: str, question: str, sql: str) -> Step:
    started = time.perf_counter()
    with explorer.query(tenant, sql) as result:
        answer = result.read_all()
    return Step(question, sql, answer, time.perf_counter() - started, "")


def _found(step: Step, finding: str) -> Step:
    return Step(step.question, step.sql, step.answer, step.seconds, finding)


def _between(first_ms: int, end_ms: int) -> str:
    first, end = (datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for ms in (first_ms, end_ms))
    return f"EdgeStartTimestamp BETWEEN TIMESTAMP '{first}' AND TIMESTAMP '{end}'"
