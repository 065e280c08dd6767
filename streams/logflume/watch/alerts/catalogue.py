"""All alerts, and the series that they and the dashboards share. ``logflume alerts`` lists them.

AL1 What several watches tell of the same counts once.
AL2 Two installations that one Prometheus scrapes by jobs of their own are not mixed up. The stages of one may have jobs
    of their own, too: no expression takes a share of one stage's series by another's.
"""

from __future__ import annotations

from typing import Final

from logflume.watch.alerts.alert import Alert, Record, Severity


def _counted(metric: str, window: str) -> str:
    """What a counter has counted within the window. A series that is new has begun at no 0 that Prometheus saw."""
    return f"((increase({metric}[{window}]) > 0) or ({metric} unless {metric} offset {window}))"


def _unreadable(window: str) -> str:
    """The part of what comes for a dataset that can't be read, by edges or by sorters, whichever is more.

    Where nothing at all can be read there may be no series of rows that were.
    """
    shares = []
    for stage, bad, good in (
        ("edge", "logflume_edge_bad_rows_total", "logflume_edge_rows_total"),
        ("sort", "logflume_sort_deadletter_rows_total", "logflume_sort_rows_total"),
    ):
        bad, good = (f"sum by (job, dataset) (rate({name}[{window}]))" for name in (bad, good))
        shares.append(f'label_replace({bad} / ({bad} + {good} > 0) or {bad} > bool 0, "stage", "{stage}", "job", ".*")')
    return f"max by (job, dataset) ({' or '.join(shares)})"


SERIES: Final = (
    Record("group_topic:logflume_lag_seconds:max", "max by (job, group, topic) (logflume_lag_partition_seconds)"),
    Record(
        "group_topic:logflume_lag_records:sum",
        "sum by (job, group, topic) (max by (job, group, topic, partition) (logflume_lag_partition_records))",
    ),
    Record("dataset:logflume_edge_rows:rate5m", "sum by (job, dataset) (rate(logflume_edge_rows_total[5m]))"),
    Record("dataset:logflume_sort_rows:rate5m", "sum by (job, dataset) (rate(logflume_sort_rows_total[5m]))"),
    Record("dataset:logflume_sink_rows:rate5m", "sum by (job, dataset) (rate(logflume_sink_rows_total[5m]))"),
    Record(
        "dataset:logflume_searchable_late:ratio5m",
        '1 - sum by (job, dataset) (rate(logflume_sink_searchable_seconds_bucket{le="{le 60}"}[5m]))'
        " / sum by (job, dataset) (rate(logflume_sink_searchable_seconds_count[5m]) > 0)",
    ),
    Record(
        "dataset:logflume_searchable_late:ratio1h",
        '1 - sum by (job, dataset) (rate(logflume_sink_searchable_seconds_bucket{le="{le 60}"}[1h]))'
        " / sum by (job, dataset) (rate(logflume_sink_searchable_seconds_count[1h]) > 0)",
    ),
    Record("dataset:logflume_deadletter_rows:ratio5m", _unreadable("5m")),
    Record("dataset:logflume_deadletter_rows:ratio1h", _unreadable("1h")),
)

ALERTS: Final = (
    # --- is everything delivered --------------------------------------------------------------------------------------
    Alert(
        "RowsLost",
        Severity.PAGE,
        f"sum by (job, dataset) ({_counted('logflume_sink_lost_messages_total', '1h')}) > 0"
        f" or sum by (job, dataset) ({_counted('logflume_sink_parked_lost_messages_total', '1h')}) > 0"
        f" or sum by (job, dataset) (label_replace({_counted('logflume_sort_lost_messages_total', '1h')},"
        ' "dataset", "$1", "topic", "(.*)")) > 0',
        0,
        "Retention deleted messages of {{ $labels.dataset }} before they were read",
        "retention passes a sink that is stopped",
    ),
    Alert(
        "LagGrows",
        Severity.PAGE,
        "group_topic:logflume_lag_seconds:max > {600} and deriv(group_topic:logflume_lag_seconds:max[10m]) > 0",
        300,
        "{{ $labels.group }} is {{ $value | humanizeDuration }} behind on {{ $labels.topic }}, and falls back further",
        "a sorter that hangs (SIGSTOP)",
    ),
    Alert(
        "NeverCatchesUp",
        Severity.TICKET,
        "max by (job, group, topic) (logflume_lag_catch_up_seconds) == +Inf"
        " and on (job, group, topic) group_topic:logflume_lag_seconds:max > {120}",
        900,
        "{{ $labels.group }} does less on {{ $labels.topic }} than comes",
        "a sorter that hangs (SIGSTOP)",
    ),
    Alert(
        "CommitStalled",
        Severity.PAGE,
        "max by (job, group, topic) (logflume_lag_stalled_partitions) > 0",
        120,
        "{{ $value }} partitions of {{ $labels.topic }} have lag, and {{ $labels.group }} commits nothing there",
        "a sorter that hangs (SIGSTOP)",
    ),
    Alert(
        "PartitionStopped",
        Severity.PAGE,
        "sum by (job, instance) (logflume_sort_stopped_partitions) > 0"
        " or sum by (job, instance) (logflume_sink_stopped_partitions) > 0",
        60,
        "{{ $labels.instance }} does not read {{ $value }} of its partitions, as that could lose or repeat rows",
        "a group's offset set beyond the log's end",
    ),
    Alert(
        "GroupVanished",
        Severity.PAGE,
        "max by (job, group) (logflume_lag_vanished_groups) > 0",
        60,
        "The group {{ $labels.group }} has no offsets any more",
        "a group deleted by hand while its workers are stopped",
    ),
    Alert(
        "TopicUnread",
        Severity.TICKET,
        "max by (job, topic) (logflume_lag_unread_topics) > 0",
        300,
        "{{ $labels.topic }} has records, and nobody has ever committed anything there",
        "a group deleted by hand while its workers are stopped",
    ),
    Alert(
        "OffsetsWentBack",
        Severity.TICKET,
        f"sum by (job, group, topic) ({_counted('logflume_lag_backward_offsets_total', '15m')}) > 0",
        0,
        "Committed offsets of {{ $labels.group }} on {{ $labels.topic }} are lower than before",
        "offsets set back by hand",
    ),
    Alert(
        "SearchableLate",
        Severity.PAGE,
        "dataset:logflume_searchable_late:ratio5m > 0.05 and dataset:logflume_searchable_late:ratio1h > 0.05",
        120,
        "{{ $value | humanizePercentage }} of the rows of {{ $labels.dataset }} are searchable later than in {le 60} s",
        "sinks that hang (drill sink-stop)",
    ),
    # --- what is in the way -------------------------------------------------------------------------------------------
    Alert(
        "DeadLetterFlood",
        Severity.TICKET,
        "dataset:logflume_deadletter_rows:ratio5m > 0.01 and dataset:logflume_deadletter_rows:ratio1h > 0.01",
        120,
        "{{ $value | humanizePercentage }} of what comes for {{ $labels.dataset }} can't be read",
        "a flood of what can not be read (drill poison-flood)",
    ),
    Alert(
        "StoreFails",
        Severity.PAGE,
        "sum by (job, instance) (rate(logflume_store_errors_total[10m]))"
        " / sum by (job, instance) (rate(logflume_store_request_seconds_count[10m]) > 0) > 0.5",
        120,
        "{{ $value | humanizePercentage }} of the requests of {{ $labels.instance }} to the object store fail",
        "the object store stopped",
    ),
    Alert(
        "Parked",
        Severity.TICKET,
        'sum by (job, instance, reason) (logflume_sink_parked_pairs{reason="failing"}) > 0',
        600,
        "{{ $value }} tables or jobs of {{ $labels.instance }} can't be written, and wait in Kafka",
        "a job's folder that is gone",
    ),
    Alert(
        "ParkedRunsOut",
        Severity.PAGE,
        "min by (job, worker) (logflume_worker_parked_left_seconds) < {86400}",
        60,
        "In {{ $value | humanizeDuration }} retention deletes what a parked table of {{ $labels.worker }} waits for",
        "a job's folder that is gone, with a short retention",
    ),
    Alert(
        "SurgeOfTables",
        Severity.TICKET,
        'sum by (job) (logflume_sink_parked_pairs{reason="new"}) > 0',
        900,
        "{{ $value }} new tables or jobs wait for a cap on sinks",
        "many new tenants at once (drill tenant-surge)",
    ),
    # --- configuration ------------------------------------------------------------------------------------------------
    Alert(
        "ConfigurationRefused",
        Severity.PAGE,
        f"sum by (job, instance, reason) ({_counted('logflume_config_refused_generations_total', '15m')}) > 0",
        0,
        "{{ $labels.instance }} refused a configuration ({{ $labels.reason }}); the last good one is in force",
        "a blank configuration (drill blank-config)",
    ),
    Alert(
        "GenerationStale",
        Severity.PAGE,
        "max by (job, kind, worker) (logflume_worker_config_generation)"
        " < on (job) group_left () max by (job) (logflume_worker_config_generation)",
        120,
        "{{ $labels.worker }} works by generation {{ $value }} of the configuration, others by a newer one",
        "a worker that hangs (SIGSTOP) while a generation is published",
    ),
    Alert(
        "LastGoodNotKept",
        Severity.TICKET,
        f"sum by (job, instance) ({_counted('logflume_config_last_good_errors_total', '1h')}) > 0",
        0,
        "{{ $labels.instance }} can't keep the last good configuration on its disk",
        "a file where the folder of the configuration should be",
    ),
    # --- workers ------------------------------------------------------------------------------------------------------
    Alert(
        "WorkerSilent",
        Severity.PAGE,
        'max by (job, kind) (logflume_status_workers{state="stale"}) > 0',
        60,
        "{{ $value }} workers ({{ $labels.kind }}) have said nothing for a while",
        "a sorter that hangs (SIGSTOP)",
    ),
    Alert(
        "WatchAbsent",
        Severity.PAGE,
        "absent(logflume_status_workers) == 1",
        120,
        "No watch tells of lag, groups and workers: none is scraped, or Kafka does not answer it",
        "a watch that hangs (SIGSTOP)",
    ),
    Alert(
        "Pressure",
        Severity.PAGE,
        'max by (job, level) (logflume_pressure_level_info{level!="none"}) > 0',
        300,
        "The pipeline publishes {{ $labels.level }}: senders wait, or are refused",
        "an object store that hangs",
    ),
    # --- edges --------------------------------------------------------------------------------------------------------
    Alert(
        "SpoolFills",
        Severity.PAGE,
        # A full one, at which edges refuse, grows no more.
        "logflume_edge_spool_ratio > 0.8"
        " or logflume_edge_spool_ratio > 0.5 and predict_linear(logflume_edge_spool_ratio[15m], {3600}) > 1",
        60,
        "The spool of {{ $labels.instance }} is at {{ $value | humanizePercentage }}, and soon full, if not already",
        "a broker that hangs (SIGSTOP)",
    ),
    Alert(
        "SpoolDamaged",
        Severity.PAGE,
        f"sum by (job, instance) ({_counted('logflume_edge_spool_quarantined_messages_total', '1h')}) > 0",
        0,
        "The disk of {{ $labels.instance }} did not keep {{ $value }} messages of its spool",
        "bits of a spool that turn over",
    ),
    Alert(
        "SendersRefused",
        Severity.PAGE,
        'sum by (job, instance) (rate(logflume_edge_http_requests_total{status=~"5.."}[5m]))'
        " / sum by (job, instance) (rate(logflume_edge_http_requests_total[5m]) > 0) > 0.01",
        120,
        "{{ $labels.instance }} answers {{ $value | humanizePercentage }} of its requests with 5xx",
        "a broker that hangs (SIGSTOP)",
    ),
    # --- searching, and tables at rest --------------------------------------------------------------------------------
    Alert(
        "ExplorerFails",
        Severity.TICKET,
        'sum by (job, instance) (rate(logflume_explore_requests_total{status=~"5.."}[5m]))'
        " / sum by (job, instance) (rate(logflume_explore_requests_total[5m]) > 0) > 0.05",
        300,
        "{{ $labels.instance }} answers {{ $value | humanizePercentage }} of its questions with 5xx",
        "an object store that fails",
    ),
    Alert(
        "AuditLost",
        Severity.TICKET,
        f"sum by (job, instance) ({_counted('logflume_explore_audit_lost_rows_total', '1h')}) > 0",
        0,
        "{{ $value }} records of who asked what were lost by {{ $labels.instance }}",
        "a broker that hangs (SIGSTOP)",
    ),
    Alert(
        "CareLate",
        Severity.TICKET,
        "max by (job) (logflume_care_late_seconds) > {14400}",
        900,
        "A table has waited {{ $value | humanizeDuration }} for its care: retention and deletions are late",
        "an object store that hangs",
    ),
    Alert(
        "ClockDiffers",
        Severity.TICKET,
        "abs(logflume_care_clock_seconds) > 120",
        300,
        "The clock of {{ $labels.instance }} and the object store's differ by {{ $value | humanizeDuration }}",
        "an object store whose clock differs",
    ),
)
