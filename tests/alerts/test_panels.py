"""What a user's Grafana gets: every panel's expressions, asked of a real Prometheus over a running stack."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Iterator

import pytest

from deploy.grafana.board import WHENCE
from tests.support.dashboards import Asked, asked
from tests.support.people import people
from tests.support.services import Run
from tests.support.waiting import until
from tests.support.watched import Watched, watching

pytestmark = pytest.mark.timeout(600)
INTERVAL = "30s"
QUIET = {
    "logflume_config_last_good_errors_total": "every disk keeps the last good configuration",
    "logflume_config_refused_generations_total": "no configuration is refused",
    "logflume_edge_dropped_rows_total": "every dataset that is sent is wanted",
    "logflume_edge_errors_total": "Kafka takes what is sent",
    "logflume_edge_over_rate_rows_total": "tenants have no rates",
    "logflume_edge_spool_errors_total": "no spool is full, no disk fails",
    "logflume_edge_spool_unknown_messages_total": "no edge crashed",
    "logflume_edge_syslog_messages_total": "nobody sends syslog",
    "logflume_edge_syslog_refused_connections_total": "nobody sends syslog",
    "logflume_edge_syslog_refused_messages_total": "nobody sends syslog",
    "logflume_edge_tail_errors_total": "no files are followed",
    "logflume_explore_limited_requests_total": "nobody asks too often",
    "logflume_job_objects_total": "no tenant has file jobs",
    "logflume_job_bytes_total": "no tenant has file jobs",
    "logflume_job_rows_total": "no tenant has file jobs",
    "logflume_lag_backward_offsets_total": "no offset goes back",
    "logflume_lag_catch_up_seconds": "nobody is more than a minute late",
    "logflume_sink_caught_up_messages_total": "nobody is parked",
    "logflume_sink_errors_total": "every flush works",
    "logflume_sink_new_parked_pairs_total": "no cap has no room",
    "logflume_sink_parked_left_seconds": "nobody is parked",
    "logflume_sink_stopped_partitions": "no partition is stopped",
    "logflume_sink_unwanted_rows_total": "every dataset that is sent is wanted",
    "logflume_sort_forged_markers_total": "nobody forges markers",
    "logflume_sort_over_rate_rows_total": "tenants have no rates",
    "logflume_sort_registry_errors_total": "no registry is asked",
    "logflume_status_errors_total": "Kafka takes what workers tell",
    "logflume_store_errors_total": "the store works",
    "logflume_table_conflict_errors_total": "one sink alone writes each table",
    "logflume_worker_parked_left_seconds": "nobody is parked",
}
"""Metrics that have no series while all is well, and why."""


@pytest.fixture(scope="module")
def watched(run: Run) -> Iterator[Watched]:
    settings = {"status_seconds": 1.0, "watch_seconds": 1.0, "local_edges": 1, "care_idle_seconds": 1.0}
    with watching(run.folder / f"panels-{secrets.token_hex(3)}", **settings) as made:
        yield made


def test_every_panel_is_told_something_or_stands_in_the_list(watched: Watched) -> None:
    left = [each for each in asked() if not set(_names(each)) & set(QUIET)]

    def all_told() -> bool:
        left[:] = [each for each in left if not _told(watched, each.told(INTERVAL))]
        return not left

    with people(watched):
        try:
            until(all_told, 180, pause=2)
        except AssertionError as error:
            raise AssertionError("\n".join(f"{each}: {each.told(INTERVAL)}" for each in left)) from error
    for name, query in WHENCE.items():
        [(series, label)] = re.findall(r"label_values\((.*), (\w+)\)", query)
        values = _told(watched, f"count by ({label}) ({re.sub(r'[$][a-z]+', '.*', series)})")
        assert values, name


def test_what_is_quiet_stands_on_a_dashboard() -> None:
    shown = {name for each in asked() for name in _names(each)}
    assert set(QUIET) <= shown


def _names(each: Asked) -> list[str]:
    return re.findall(r"logflume_\w+", each.text)


def _told(watched: Watched, expression: str) -> list[float]:
    values = (float(each["value"][1]) for each in watched.ask(expression))
    return [value for value in values if not math.isnan(value)]
