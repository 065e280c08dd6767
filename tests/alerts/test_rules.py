"""Each alert by Prometheus's own tool: it fires on the series that its cause makes, and not on those of a good day."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from logflume.watch.alerts import alert
from logflume.watch.alerts.catalogue import ALERTS, SERIES

SINK = 'group="logflume-sink", topic="sorted.http"'
AT = 'instance="one:1"'
LATE, ALL = "logflume_sink_searchable_seconds_bucket", "logflume_sink_searchable_seconds_count"


@dataclass(frozen=True)
class Case:
    """Series (in promtool's notation: a sample a minute) by which an alert fires at minute ``at``, and its labels."""

    fires: Mapping[str, str]
    labels: Mapping[str, str]
    quiet: Mapping[str, str] = field(default_factory=dict)
    at: int = 120


def lag(group: str = SINK, partition: int = 0) -> str:
    return f'logflume_lag_partition_seconds{{{group}, partition="{partition}"}}'


def of(labels: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in (each.split("=") for each in labels.split(", "))}


INSTANCE = of(AT)
GROUP = of(SINK)
HTTP = {"dataset": "http"}
WATCH = 'logflume_status_workers{kind="sink", state="fresh"}'
CASES: Mapping[str, Case] = {
    "RowsLost": Case(
        {'logflume_sink_lost_messages_total{instance="one:1", dataset="http"}': "_x100 5x20"},
        HTTP,
        {'logflume_sink_lost_messages_total{instance="one:1", dataset="http"}': "5x120"},
    ),
    "LagGrows": Case({lag(): "0x60 0+60x60", lag(partition=1): "0x120"}, GROUP, {lag(): "0x60 3600-60x60"}),
    "NeverCatchesUp": Case(
        {f"logflume_lag_catch_up_seconds{{{SINK}}}": "0x60" + 60 * " Inf", lag(): "0x60 0+60x60"},
        GROUP,
        {f"logflume_lag_catch_up_seconds{{{SINK}}}": "900x120", lag(): "900x120"},
    ),
    "CommitStalled": Case(
        {f"logflume_lag_stalled_partitions{{{SINK}}}": "0x110 2x10"},
        GROUP,
        {f"logflume_lag_stalled_partitions{{{SINK}}}": "0x119 1x1"},
    ),
    "PartitionStopped": Case(
        {f'logflume_sink_stopped_partitions{{{AT}, reason="beyond"}}': "0x110 1x10"},
        INSTANCE,
        {f"logflume_sort_stopped_partitions{{{AT}}}": "0x120"},
    ),
    "GroupVanished": Case({'logflume_lag_vanished_groups{group="mine"}': "_x110 1x10"}, {"group": "mine"}),
    "TopicUnread": Case({'logflume_lag_unread_topics{topic="ingest.http"}': "_x110 1x10"}, {"topic": "ingest.http"}),
    "OffsetsWentBack": Case(
        {f"logflume_lag_backward_offsets_total{{{SINK}}}": "_x110 1x10"},
        GROUP,
        {f"logflume_lag_backward_offsets_total{{{SINK}}}": "1x120"},
    ),
    "SearchableLate": Case(
        {
            f'{LATE}{{{AT}, dataset="http", le="60.0"}}': "0x60 0+90x60",
            f'{ALL}{{{AT}, dataset="http"}}': "0x60 0+100x60",
        },
        HTTP,
        {f'{LATE}{{{AT}, dataset="http", le="60.0"}}': "0+99x120", f'{ALL}{{{AT}, dataset="http"}}': "0+100x120"},
    ),
    "DeadLetterFlood": Case(
        {
            f'logflume_sort_deadletter_rows_total{{{AT}, dataset="http", reason="not-json"}}': "0x60 0+10x60",
            f'logflume_sort_rows_total{{{AT}, dataset="http"}}': "0+100x120",
        },
        HTTP,
        {
            f'logflume_sort_deadletter_rows_total{{{AT}, dataset="http", reason="not-json"}}': "0x115 50x5",
            f'logflume_sort_rows_total{{{AT}, dataset="http"}}': "0+100x120",
        },
    ),
    "StoreFails": Case(
        {
            f'logflume_store_errors_total{{{AT}, operation="put"}}': "0x100 0+5x20",
            f'logflume_store_request_seconds_count{{{AT}, operation="put"}}': "0+20x100 2000+5x20",
        },
        INSTANCE,
        {
            f'logflume_store_errors_total{{{AT}, operation="put"}}': "0x100 0+5x20",
            f'logflume_store_request_seconds_count{{{AT}, operation="put"}}': "0+20x120",
        },
    ),
    "Parked": Case(
        {f'logflume_sink_parked_pairs{{{AT}, reason="failing"}}': "0x100 3x20"},
        {**INSTANCE, "reason": "failing"},
        {f'logflume_sink_parked_pairs{{{AT}, reason="new"}}': "3x120"},
    ),
    "ParkedRunsOut": Case(
        {'logflume_worker_parked_left_seconds{kind="sink", worker="sink-1"}': "90000-600x120"},
        {"worker": "sink-1"},
        {'logflume_worker_parked_left_seconds{kind="sink", worker="sink-1"}': "_x10 200000x110"},
    ),
    "SurgeOfTables": Case(
        {f'logflume_sink_parked_pairs{{{AT}, reason="new"}}': "0x100 3x20"},
        {},
        {f'logflume_sink_parked_pairs{{{AT}, reason="new"}}': "0x110 3x2 0x8"},
    ),
    "ConfigurationRefused": Case(
        {f'logflume_config_refused_generations_total{{{AT}, reason="blank"}}': "_x110 1x10"},
        {**INSTANCE, "reason": "blank"},
        {f'logflume_config_refused_generations_total{{{AT}, reason="blank"}}': "0x10 1x110"},
    ),
    "GenerationStale": Case(
        {
            'logflume_worker_config_generation{kind="sort", worker="a"}': "4x100 5x20",
            'logflume_worker_config_generation{kind="sink", worker="b"}': "4x120",
        },
        {"kind": "sink", "worker": "b"},
        {
            'logflume_worker_config_generation{kind="sort", worker="a"}': "4x119 5x1",
            'logflume_worker_config_generation{kind="sink", worker="b"}': "4x120",
        },
    ),
    "LastGoodNotKept": Case(
        {f'logflume_config_last_good_errors_total{{{AT}, doing="writing"}}': "_x110 1x10"},
        INSTANCE,
        {f'logflume_config_last_good_errors_total{{{AT}, doing="writing"}}': "1x120"},
    ),
    "WorkerSilent": Case(
        {'logflume_status_workers{kind="sort", state="stale"}': "0x110 1x10"},
        {"kind": "sort"},
        {'logflume_status_workers{kind="sort", state="fresh"}': "3x120"},
    ),
    "WatchAbsent": Case({WATCH: "1x100 _x20"}, {}, {WATCH: "1x120"}),
    "Pressure": Case(
        {
            'logflume_pressure_level_info{level="slow"}': "0x100 1x20",
            'logflume_pressure_level_info{level="none"}': "0x120",
        },
        {"level": "slow"},
        {'logflume_pressure_level_info{level="slow"}': "0x120", 'logflume_pressure_level_info{level="none"}': "1x120"},
    ),
    "SpoolFills": Case(
        {f"logflume_edge_spool_ratio{{{AT}}}": "0x100 0.2+0.02x20"},
        INSTANCE,
        {f"logflume_edge_spool_ratio{{{AT}}}": "0x100 0.6-0.005x20"},
    ),
    "SpoolDamaged": Case(
        {f"logflume_edge_spool_quarantined_messages_total{{{AT}}}": "0x110 2x10"},
        INSTANCE,
        {f"logflume_edge_spool_quarantined_messages_total{{{AT}}}": "2x120"},
    ),
    "SendersRefused": Case(
        {
            f'logflume_edge_http_requests_total{{{AT}, protocol="own", status="503"}}': "0x100 0+5x20",
            f'logflume_edge_http_requests_total{{{AT}, protocol="own", status="200"}}': "0+100x120",
        },
        INSTANCE,
        {
            f'logflume_edge_http_requests_total{{{AT}, protocol="own", status="401"}}': "0+50x120",
            f'logflume_edge_http_requests_total{{{AT}, protocol="own", status="200"}}': "0+100x120",
        },
    ),
    "ExplorerFails": Case(
        {
            f'logflume_explore_requests_total{{{AT}, path="/query", status="503"}}': "0x100 0+10x20",
            f'logflume_explore_requests_total{{{AT}, path="/query", status="200"}}': "0+10x120",
        },
        INSTANCE,
        {
            f'logflume_explore_requests_total{{{AT}, path="/query", status="429"}}': "0+10x120",
            f'logflume_explore_requests_total{{{AT}, path="/query", status="200"}}': "0+10x120",
        },
    ),
    "AuditLost": Case(
        {f"logflume_explore_audit_lost_rows_total{{{AT}}}": "0x110 3x10"},
        INSTANCE,
        {f"logflume_explore_audit_lost_rows_total{{{AT}}}": "3x120"},
    ),
    "CareLate": Case(
        {f"logflume_care_late_seconds{{{AT}}}": "0x80 15000x40"}, {}, {f"logflume_care_late_seconds{{{AT}}}": "600x120"}
    ),
    "ClockDiffers": Case(
        {f"logflume_care_clock_seconds{{{AT}}}": "0x100 -300x20"},
        INSTANCE,
        {f"logflume_care_clock_seconds{{{AT}}}": "-3x120"},
    ),
}
GOOD = {WATCH: "1x120"}
"""What stands on every day, unless a case has it: a watch."""


@pytest.mark.parametrize("each", ALERTS, ids=lambda each: each.name)
def test_an_alert_fires_by_its_cause_and_not_on_a_good_day(each: alert.Alert, tmp_path: Path) -> None:
    case = CASES[each.name]
    fires = {**({} if each.name == "WatchAbsent" else GOOD), **case.fires}
    told = {"severity": str(each.severity), **case.labels}
    _hold(
        tmp_path,
        alert.rules(SERIES, ALERTS),
        _test(each, {**GOOD, **case.quiet}, case.at, []),
        _test(each, fires, case.at, [told]),
        _test(each, fires, 5, []),
    )


def test_with_short_windows_a_row_is_late_after_ten_seconds(tmp_path: Path) -> None:
    """There is no bucket of 1.2 s; and a good day has rows that take as long."""
    late = named("SearchableLate")
    rows = {f'{ALL}{{{AT}, dataset="http"}}': "0+100x120"}

    def within(bound: str, share: int) -> dict[str, str]:
        return rows | {f'{LATE}{{{AT}, dataset="http", le="{bound}"}}': f"0+{share}x120"}

    _hold(
        tmp_path,
        alert.rules(SERIES, ALERTS, windows=0.02),
        _test(late, within("10.0", 94), 120, [{"severity": "page", **HTTP}], unit="s"),
        _test(late, within("10.0", 99), 120, [], unit="s"),
    )


def test_a_spool_that_is_full_and_stays_so_is_told_all_along(tmp_path: Path) -> None:
    fills = named("SpoolFills")
    full = {f"logflume_edge_spool_ratio{{{AT}}}": "0.9x120"}
    told = {"severity": str(fills.severity), **INSTANCE}
    _hold(tmp_path, alert.rules(SERIES, ALERTS), _test(fills, full, 120, [told]))


@pytest.mark.parametrize(
    "series",
    [
        {
            'logflume_edge_bad_rows_total{job="edges", dataset="http", reason="not-json"}': "0+10x120",
            'logflume_edge_rows_total{job="edges", dataset="http"}': "0+100x120",
            'logflume_sort_rows_total{job="sorters", dataset="http"}': "0+100x120",
        },
        {'logflume_edge_bad_rows_total{job="edges", dataset="http", reason="not-json"}': "0+10x120"},
        {'logflume_sort_deadletter_rows_total{job="edges", dataset="http", reason="not-json"}': "0+10x120"},
    ],
    ids=["at edges", "all that comes to edges", "all that comes to sorters"],
)
def test_a_flood_is_told_wherever_it_comes_in_and_if_nothing_can_be_read(
    series: Mapping[str, str], tmp_path: Path
) -> None:
    flood = named("DeadLetterFlood")
    told = {"severity": str(flood.severity), "job": "edges", **HTTP}
    _hold(tmp_path, alert.rules(SERIES, ALERTS), _test(flood, series, 120, [told]))


def test_al1_what_two_watches_tell_counts_once(tmp_path: Path) -> None:
    tests = []
    for name, metric, labels in (
        ("CommitStalled", "logflume_lag_stalled_partitions", SINK),
        ("WorkerSilent", "logflume_status_workers", 'kind="sort", state="stale"'),
    ):
        twice = {f'{metric}{{{labels}, instance="{watch}:1"}}': "3x20" for watch in ("one", "two")}
        expected = [{"labels": "{" + labels.replace(', state="stale"', "") + "}", "value": 3}]
        tests.append(_asked(alert.told(named(name).expression), twice, "20m", expected))
    records = 'logflume_lag_partition_records{%s, partition="0", instance="%s:1"}'
    twice = {records % (SINK, watch): "7x20" for watch in ("one", "two")}
    summed = "group_topic:logflume_lag_records:sum"
    tests.append(_asked(summed, twice, "20m", [{"labels": f"{summed}{{{SINK}}}", "value": 7}]))
    _hold(tmp_path, alert.rules(SERIES, ALERTS), *tests)


def test_al2_two_installations_have_generations_of_their_own(tmp_path: Path) -> None:
    stale = named("GenerationStale")
    apart = {
        'logflume_worker_config_generation{job="here", kind="sort", worker="a"}': "4x120",
        'logflume_worker_config_generation{job="there", kind="sort", worker="b"}': "90x120",
    }
    older = {'logflume_worker_config_generation{job="there", kind="sink", worker="c"}': "89x120"}
    told = {"severity": str(stale.severity), "job": "there", "kind": "sink", "worker": "c"}
    tests = (_test(stale, apart, 120, []), _test(stale, apart | older, 120, [told]))
    _hold(tmp_path, alert.rules(SERIES, ALERTS), *tests)


def named(name: str) -> alert.Alert:
    [found] = [each for each in ALERTS if each.name == name]
    return found


def test_every_alert_has_a_case() -> None:
    assert set(CASES) == {each.name for each in ALERTS}


def _hold(folder: Path, rules: str, *tests: object) -> None:
    """Have promtool run tests of rules, in a folder that it may use."""
    (folder / "rules.yml").write_text(rules)
    # Left to itself promtool takes any order: alerts see what the series are, or what they were a minute ago.
    order = [group["name"] for group in yaml.safe_load(rules)["groups"]]
    tried = {"rule_files": ["rules.yml"], "group_eval_order": order, "tests": list(tests)}
    (folder / "tests.yml").write_text(yaml.safe_dump(tried))
    done = subprocess.run(
        ["promtool", "test", "rules", "tests.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _test(
    each: alert.Alert, series: Mapping[str, str], at: int, expected: Sequence[Mapping[str, str]], unit: str = "m"
) -> object:
    """One test of promtool's, with a sample each ``unit``. Of an alert only that it is there counts, not its words."""
    name = f"Logflume{each.name}"
    names = ", ".join(expected[0]) if expected else ""
    counted = f'count by ({names}) (ALERTS{{alertname="{name}", alertstate="firing"}})'
    samples = [
        {"labels": "{" + ", ".join(f'{label}="{value}"' for label, value in told.items()) + "}", "value": 1}
        for told in expected
    ]
    return _asked(counted, series, f"{at}{unit}", samples, f"1{unit}")


def _asked(
    expression: str, series: Mapping[str, str], at: str, expected: Sequence[Mapping[str, object]], interval: str = "1m"
) -> object:
    return {
        "interval": interval,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": expression, "eval_time": at, "exp_samples": expected}],
    }
