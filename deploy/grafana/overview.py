"""Overview: is everything delivered, how fresh is it, and what is in the way."""

from deploy.grafana import limits
from deploy.grafana.board import Board, Row
from deploy.grafana.panel import ANY, series, stat, table
from deploy.grafana.promql import highest, lowest, most, quantile, rate, summed, together

LOST = (
    "logflume_sort_lost_messages_total",
    "logflume_sink_lost_messages_total",
    "logflume_sink_parked_lost_messages_total",
    "logflume_edge_spool_quarantined_messages_total",
    "logflume_edge_syslog_lost_messages_total",
)
STOPPED = ("logflume_sort_stopped_partitions", "logflume_sink_stopped_partitions")

BOARD = Board(
    "overview",
    "Overview",
    "Is everything delivered, how fresh is it, and what is in the way?",
    (
        Row(
            "Is everything delivered?",
            (
                stat(
                    "Lost",
                    together(LOST),
                    "incident.md#what-breaks-each-link",
                    ANY,
                    about="Since workers began, by retention, a disk or a full socket. Must be 0. *Incident* has each.",
                ),
                stat(
                    "Latest partition",
                    highest("logflume_lag_partition_seconds"),
                    "watch.md#lag-in-seconds",
                    limits.LATE,
                ),
                stat(
                    "99 of 100 found within",
                    quantile(0.99, "logflume_sink_searchable_seconds"),
                    "watch.md#freshness",
                    limits.FRESH,
                    none="no rows",
                ),
                stat("Pressure", highest("logflume_pressure_ratio"), "pressure.md#what-is-measured", limits.PRESSURE),
                stat("Stopped partitions", together(STOPPED), "sink.md#stopped-partitions", ANY),
                stat("Parked", summed("logflume_sink_parked_pairs"), "parking.md#what-to-look-at", ANY),
                stat(
                    "Silent workers",
                    summed("logflume_status_workers", state="stale"),
                    "pressure.md#what-workers-tell",
                    ANY,
                ),
                stat(
                    "Generations apart",
                    highest("logflume_worker_config_generation") - lowest("logflume_worker_config_generation"),
                    "configuration.md#how-workers-follow",
                    ANY,
                    about="Between the worker with the newest configuration and the one with the oldest.",
                ),
                stat(
                    "Configurations refused",
                    summed("logflume_config_refused_generations_total"),
                    "configuration.md#guards",
                    ANY,
                ),
                stat(
                    "Dead letters",
                    together(
                        (
                            "logflume_edge_bad_rows_total",
                            "logflume_sort_deadletter_rows_total",
                            "logflume_sink_unwanted_rows_total",
                        )
                    ),
                    "deadletters.md",
                    about="Since workers began. Set aside with their bytes; nothing of them is lost.",
                ),
                stat("Rows a second", rate("logflume_sink_rows_total"), "sink.md#the-way-of-a-row"),
                stat("Pairs wanted", highest("logflume_config_active_pairs"), "configuration.md#guards"),
            ),
        ),
        Row(
            "How much, and how fresh",
            (
                series(
                    "Rows a second by stage",
                    (rate("logflume_edge_rows_total"), "edge"),
                    (rate("logflume_sort_rows_total"), "sort"),
                    (rate("logflume_sink_rows_total"), "sink"),
                    read="watch.md",
                    about="Three lines on each other: all that comes is sorted and stored. Records that producers "
                    "send to Kafka themselves pass no edge.",
                ),
                series(
                    "Until a row can be found",
                    (quantile(0.5, "logflume_sink_searchable_seconds"), "half of them"),
                    (quantile(0.99, "logflume_sink_searchable_seconds"), "99 of 100"),
                    read="watch.md#freshness",
                    marks=limits.FRESH,
                ),
                series(
                    "How late each group is",
                    (highest("logflume_lag_partition_seconds", "group", "topic"), "{{group}} {{topic}}"),
                    read="watch.md#lag-in-seconds",
                    marks=limits.LATE,
                ),
            ),
        ),
        Row(
            "What is in the way",
            (
                series(
                    "Pressure by stage",
                    (highest("logflume_pressure_ratio", "stage"), "{{stage}}"),
                    read="pressure.md#what-is-measured",
                    marks=limits.PRESSURE,
                ),
                series(
                    "Failures",
                    (rate("logflume_edge_errors_total", "reason"), "edge: {{reason}}"),
                    (rate("logflume_sink_errors_total", "kind"), "sink: {{kind}}"),
                    (rate("logflume_store_errors_total", "operation"), "store: {{operation}}"),
                    read="sink.md#when-something-fails",
                ),
                series(
                    "Dead letters by reason",
                    (most(10, rate("logflume_worker_deadletter_rows_total", "kind", "reason")), "{{kind}}: {{reason}}"),
                    read="deadletters.md#a-flood",
                    about="Of edges, sorters and sinks, the ten that are most. The page Incident has them by dataset.",
                ),
                table(
                    "Tenants that wait longest",
                    (most(10, highest("logflume_tenant_lag_seconds", "tenant", "dataset")), "waits for"),
                    read="watch.md#tenants",
                    width=12,
                ),
                series(
                    "Workers by kind",
                    (summed("logflume_status_workers", "kind", "state"), "{{kind}} {{state}}"),
                    read="pressure.md#what-workers-tell",
                    stacked=True,
                    width=12,
                ),
            ),
        ),
    ),
)
