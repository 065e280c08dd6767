"""Lag: by stage, topic, partition and tenant; when it will be over; and what holds the sorters up."""

from deploy.grafana import limits
from deploy.grafana.board import Board, Row
from deploy.grafana.panel import ANY, Marks, series, stat, table
from deploy.grafana.promql import each, highest, most, observed, quantile, rate, slope, summed, where

_CATCH_UP = where(
    highest("logflume_lag_catch_up_seconds", "group", "topic"),
    highest("logflume_lag_partition_seconds", "group", "topic"),
    60,
    "group",
    "topic",
)

BOARD = Board(
    "lag",
    "Lag",
    "What is late, by stage, topic, partition and tenant, and when it will have caught up.",
    (
        Row(
            "Now",
            (
                stat(
                    "Latest partition",
                    highest("logflume_lag_partition_seconds"),
                    "watch.md#lag-in-seconds",
                    limits.LATE,
                ),
                stat("Records that wait", summed("logflume_lag_partition_records"), "watch.md"),
                stat(
                    "Partitions that stand",
                    summed("logflume_lag_stalled_partitions"),
                    "watch.md#what-is-said-of-groups",
                    ANY,
                ),
                stat(
                    "Groups that vanished",
                    summed("logflume_lag_vanished_groups"),
                    "watch.md#what-is-said-of-groups",
                    ANY,
                ),
                stat(
                    "Topics that nobody reads",
                    summed("logflume_lag_unread_topics"),
                    "watch.md#what-is-said-of-groups",
                    ANY,
                ),
                stat("Records lost unread", summed("logflume_lag_lost_records"), "watch.md", ANY),
            ),
        ),
        Row(
            "By stage, topic and partition",
            (
                series(
                    "How late each stage is",
                    (highest("logflume_pressure_lag_seconds", "stage"), "{{stage}}"),
                    read="pressure.md#what-is-measured",
                    marks=limits.LATE,
                ),
                series(
                    "How late each group is",
                    (highest("logflume_lag_partition_seconds", "group", "topic"), "{{group}} {{topic}}"),
                    read="watch.md#lag-in-seconds",
                    marks=limits.LATE,
                ),
                series(
                    "Records that wait",
                    (summed("logflume_lag_partition_records", "group", "topic"), "{{group}} {{topic}}"),
                    read="watch.md",
                ),
                series(
                    "What comes, and what is done",
                    (slope("logflume_lag_end_records", "group", "topic"), "comes: {{group}} {{topic}}"),
                    (slope("logflume_lag_done_records", "group", "topic"), "done: {{group}} {{topic}}"),
                    read="watch.md#time-to-catch-up",
                ),
                series(
                    "Time to catch up",
                    (_CATCH_UP, "{{group}} {{topic}}"),
                    read="watch.md#time-to-catch-up",
                    marks=Marks(orange=3600, red=6 * 3600),
                    about="Of what is more than a minute late. A line that ends without reaching 0: it never will.",
                ),
                series(
                    "The ten latest partitions",
                    (
                        most(10, highest("logflume_lag_partition_seconds", "group", "topic", "partition")),
                        "{{group}} {{topic}}/{{partition}}",
                    ),
                    read="watch.md#lag-in-seconds",
                    marks=limits.LATE,
                ),
                table(
                    "The twenty partitions with most records",
                    (
                        most(20, summed("logflume_lag_partition_records", "group", "topic", "partition")),
                        "records",
                    ),
                    read="watch.md",
                    width=16,
                ),
                series(
                    "Offsets that went back",
                    (rate("logflume_lag_backward_offsets_total", "group", "topic"), "{{group}} {{topic}}"),
                    read="watch.md#what-is-said-of-groups",
                ),
            ),
        ),
        Row(
            "By tenant",
            (
                table(
                    "Tenants",
                    (highest("logflume_tenant_lag_seconds", "tenant", "dataset"), "waits for"),
                    (summed("logflume_tenant_waiting_rows", "tenant", "dataset"), "rows that wait"),
                    (summed("logflume_tenant_stored_rows", "tenant", "dataset"), "rows stored in a minute"),
                    (summed("logflume_tenant_stored_bytes", "tenant", "dataset"), "bytes stored in a minute"),
                    (highest("logflume_tenant_freshness_seconds", "tenant", "dataset"), "until found"),
                    read="watch.md#tenants",
                ),
                series(
                    "How long tenants wait",
                    (most(10, highest("logflume_tenant_lag_seconds", "tenant", "dataset")), "{{tenant}} {{dataset}}"),
                    read="watch.md#tenants",
                    marks=limits.FRESH,
                    width=12,
                ),
                series(
                    "How long tenants' rows take until they can be found",
                    (
                        most(10, highest("logflume_tenant_freshness_seconds", "tenant", "dataset")),
                        "{{tenant}} {{dataset}}",
                    ),
                    read="watch.md#freshness",
                    marks=limits.FRESH,
                    width=12,
                ),
            ),
        ),
        Row(
            "Sorters",
            (
                series(
                    "Rows sorted",
                    (rate("logflume_sort_rows_total", "dataset"), "{{dataset}}"),
                    read="sort.md",
                ),
                series(
                    "Messages read, blocks written",
                    (rate("logflume_sort_messages_total"), "messages read"),
                    (rate("logflume_sort_blocks_total"), "blocks written"),
                    read="sort.md",
                    unit="/s",
                ),
                series("Bytes written", (rate("logflume_sort_bytes_total", "dataset"), "{{dataset}}"), read="sort.md"),
                series(
                    "Time for a unit, 99 of 100",
                    (quantile(0.99, "logflume_sort_unit_seconds", "step"), "{{step}}"),
                    read="sort.md#what-it-does-with-a-message",
                ),
                series(
                    "Units by step",
                    (observed("logflume_sort_unit_seconds", "step"), "{{step}}"),
                    read="sort.md#what-it-does-with-a-message",
                ),
                series(
                    "Oldest message that is not committed",
                    (each("logflume_sort_commit_age_seconds"), "{{instance}}"),
                    read="sort.md",
                    marks=limits.STUCK,
                ),
                series(
                    "Memory of messages in work",
                    (each("logflume_sort_buffered_bytes"), "{{instance}}"),
                    read="sort.md",
                ),
                series(
                    "Held up by a registry or a configuration",
                    (rate("logflume_sort_registry_errors_total", "dataset"), "registry errors: {{dataset}}"),
                    (highest("logflume_sort_configuration_wait_seconds", "dataset"), "seconds waited: {{dataset}}"),
                    read="sort.md#routing",
                    unit="none",
                ),
                series(
                    "How long a look of the watch takes",
                    (each("logflume_lag_look_seconds"), "{{instance}}"),
                    read="watch.md",
                    marks=limits.LOOK,
                ),
            ),
        ),
    ),
)
