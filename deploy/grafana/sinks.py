"""Sinks and tables: what is stored, how fast flushes and the store are, and how tables are kept."""

from deploy.grafana import limits
from deploy.grafana.board import Board, Row
from deploy.grafana.panel import ANY, Marks, series, stat
from deploy.grafana.promql import each, highest, observed, quantile, rate, summed

BOARD = Board(
    "sinks",
    "Sinks and tables",
    "What is stored, how fast the store is, and how tables are kept.",
    (
        Row(
            "Now",
            (
                stat("Rows a second", rate("logflume_sink_rows_total"), "sink.md#the-way-of-a-row"),
                stat("Bytes written a second", rate("logflume_sink_bytes_total"), "sink.md#the-way-of-a-row"),
                stat(
                    "Paused partitions",
                    highest("logflume_sink_paused_ratio"),
                    "sink.md#memory",
                    Marks(orange=0.5, red=1),
                    about="Of the sink that has most of them paused.",
                ),
                stat(
                    "Oldest not committed",
                    highest("logflume_sink_commit_age_seconds"),
                    "sink.md#when-something-fails",
                    limits.STUCK,
                ),
                stat(
                    "Stopped partitions",
                    summed("logflume_sink_stopped_partitions"),
                    "sink.md#stopped-partitions",
                    ANY,
                ),
                stat("Parked", summed("logflume_sink_parked_pairs"), "parking.md#what-to-look-at", ANY),
            ),
        ),
        Row(
            "Sinks",
            (
                series("Rows stored", (rate("logflume_sink_rows_total", "dataset"), "{{dataset}}"), read="sink.md"),
                series("Bytes written", (rate("logflume_sink_bytes_total", "dataset"), "{{dataset}}"), read="sink.md"),
                series(
                    "Flushes by cause",
                    (rate("logflume_sink_flush_commits_total", "cause"), "{{cause}}"),
                    read="sink.md#the-way-of-a-row",
                    stacked=True,
                ),
                series(
                    "Memory of rows not flushed",
                    (each("logflume_sink_buffered_bytes"), "{{instance}}"),
                    read="sink.md#memory",
                ),
                series(
                    "Bytes that a restart reads again",
                    (each("logflume_sink_behind_bytes"), "{{instance}}"),
                    read="sink.md#how-it-starts-and-ends",
                ),
                series(
                    "Oldest block not committed",
                    (each("logflume_sink_commit_age_seconds"), "{{instance}}"),
                    read="sink.md#when-something-fails",
                    marks=limits.STUCK,
                ),
                series(
                    "Failures",
                    (rate("logflume_sink_errors_total", "kind"), "{{kind}}"),
                    (rate("logflume_store_errors_total", "operation"), "store: {{operation}}"),
                    read="sink.md#when-something-fails",
                ),
                series(
                    "Read again and dropped",
                    (rate("logflume_sink_repeat_rows_total", "dataset"), "read again, {{dataset}}"),
                    (rate("logflume_table_skipped_rows_total", "dataset"), "in the table already, {{dataset}}"),
                    read="tables.md#exactly-once",
                ),
                series(
                    "Paused and stopped",
                    (each("logflume_sink_paused_ratio"), "paused, {{instance}}"),
                    (summed("logflume_sink_stopped_partitions", "reason"), "partitions stopped: {{reason}}"),
                    read="sink.md#stopped-partitions",
                    unit="none",
                ),
            ),
        ),
        Row(
            "Until a row can be found",
            (
                series(
                    "From arrival, 99 of 100 rows",
                    (quantile(0.99, "logflume_sink_searchable_seconds", "dataset"), "{{dataset}}"),
                    read="watch.md#freshness",
                    marks=limits.FRESH,
                ),
                series(
                    "Flush, commit, Kafka's transaction: 99 of 100",
                    (quantile(0.99, "logflume_sink_flush_seconds"), "flush"),
                    (quantile(0.99, "logflume_table_commit_seconds"), "table's commit"),
                    (quantile(0.99, "logflume_sink_transaction_seconds"), "Kafka's transaction"),
                    read="sink.md#the-way-of-a-row",
                    marks=Marks(orange=1),
                ),
                series(
                    "Requests to the store, 99 of 100",
                    (quantile(0.99, "logflume_store_request_seconds", "operation"), "{{operation}}"),
                    read="sink.md#when-something-fails",
                    marks=Marks(orange=1),
                ),
                series(
                    "Requests to the store",
                    (observed("logflume_store_request_seconds", "operation"), "{{operation}}"),
                    read="sink.md#the-way-of-a-row",
                ),
                series(
                    "Commits by tables, and those looked at again",
                    (observed("logflume_table_commit_seconds"), "tries"),
                    (rate("logflume_table_conflict_errors_total", "dataset"), "refused or in doubt, {{dataset}}"),
                    read="tables.md#exactly-once",
                ),
                series(
                    "Files committed",
                    (rate("logflume_table_files_total", "dataset"), "{{dataset}}"),
                    read="tables.md#files",
                ),
            ),
        ),
        Row(
            "Files of jobs",
            (
                series("Rows", (rate("logflume_job_rows_total", "dataset"), "{{dataset}}"), read="jobs.md"),
                series("Objects", (rate("logflume_job_objects_total", "dataset"), "{{dataset}}"), read="jobs.md"),
                series(
                    "Bytes an object",
                    (
                        rate("logflume_job_bytes_total", "dataset") / rate("logflume_job_objects_total", "dataset"),
                        "{{dataset}}",
                    ),
                    read="jobs.md",
                    unit="bytes",
                ),
            ),
        ),
        Row(
            "Care of tables",
            (
                series(
                    "Small files",
                    (summed("logflume_care_small_files", "dataset"), "{{dataset}}"),
                    read="care.md#what-a-look-does",
                ),
                series(
                    "Looks at tables",
                    (rate("logflume_care_looks_total", "result"), "{{result}}"),
                    read="care.md#what-a-look-does",
                ),
                series(
                    "Time of a look, 99 of 100",
                    (quantile(0.99, "logflume_care_look_seconds"), "99 of 100"),
                    read="care.md#what-it-costs-and-gives",
                ),
                series(
                    "Files merged, expired, removed",
                    (rate("logflume_care_files_total", "what"), "{{what}}"),
                    read="care.md#what-a-look-does",
                ),
                series(
                    "Rows merged, expired",
                    (rate("logflume_care_rows_total", "what"), "{{what}}"),
                    read="care.md#what-a-look-does",
                ),
                series(
                    "Bytes read and written by merging",
                    (rate("logflume_care_bytes_total", "what"), "{{what}}"),
                    read="care.md#what-it-costs-and-gives",
                ),
                series(
                    "Tables by worker",
                    (each("logflume_care_tables"), "{{instance}}"),
                    (rate("logflume_care_lost_commits_total"), "commits that came second, a second"),
                    read="care.md#beside-sinks-and-queries",
                ),
                series(
                    "The table that waits longest for a look",
                    (each("logflume_care_late_seconds"), "{{instance}}"),
                    read="care.md#what-a-look-does",
                    marks=limits.CARE,
                ),
                series(
                    "A carer's clock ahead of the store's",
                    (each("logflume_care_clock_seconds"), "{{instance}}"),
                    read="care.md#whose-clock",
                    marks=limits.CLOCK,
                    signed=True,
                ),
            ),
        ),
    ),
)
