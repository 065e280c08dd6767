"""What sinks count, and the jobs whose objects they write."""

from __future__ import annotations

from logflume.metrics.metric import counter, gauge, histogram, row_histogram

SINK_ROWS = counter(
    "logflume_sink_rows_total",
    "rows",
    ("dataset",),
    "Rows committed to tables.",
    "Stands still with a lag: see logflume_sink_errors_total and the worker's log.",
)
SINK_REPEATS = counter(
    "logflume_sink_repeat_rows_total",
    "rows",
    ("dataset",),
    "Rows read again and dropped, as a sorter or a sink had done them before.",
    "Some after a restart or a rebalance are normal; many all the time: workers are dying, see their logs.",
)
SINK_UNWANTED = counter(
    "logflume_sink_unwanted_rows_total",
    "rows",
    ("dataset",),
    "Rows of tenants or datasets that the configuration in force does not name: they go to the dead letters.",
    "Should they be kept? Put the dataset into the tenant's file, `logflume config apply`, then `deadletter replay`.",
)
SINK_BYTES = counter(
    "logflume_sink_bytes_total",
    "bytes",
    ("dataset",),
    "Bytes of data files written to the store.",
    "Much more a row than before: small flushes; see logflume_sink_flush_commits_total.",
)
SINK_FLUSHES = counter(
    "logflume_sink_flush_commits_total",
    "commits",
    ("dataset", "cause"),
    "Flushes of a tenant's rows to its table; cause is age, rows, bytes, memory, behind or drain.",
    "Mostly memory: raise sink_memory_bytes or add sinks. Mostly age: small tenants, as it should be.",
)
SINK_FLUSH_SECONDS = histogram(
    "logflume_sink_flush_seconds",
    (),
    "Time of one flush: files written and the table's commit.",
    "Seconds: the object store is slow, or the table's log is long and wants a checkpoint.",
)
SINK_TRANSACTION_SECONDS = histogram(
    "logflume_sink_transaction_seconds",
    (),
    "Time of one Kafka transaction with positions and offsets.",
    "Above a tenth of a second: Kafka's transaction coordinator is slow.",
)
SINK_BUFFERED_BYTES = gauge(
    "logflume_sink_buffered_bytes",
    "bytes",
    (),
    "Memory held by rows that are not yet flushed, overhead counted.",
    "At sink_memory_bytes the worker pauses its partitions; add workers if it stays there.",
)
SINK_PAUSED = gauge(
    "logflume_sink_paused_ratio",
    "ratio",
    (),
    "Part of the assigned partitions that is paused.",
    "1 for long: flushes do not keep up; see logflume_sink_flush_seconds.",
)
SINK_BEHIND_BYTES = gauge(
    "logflume_sink_behind_bytes",
    "bytes",
    (),
    "Bytes read past the committed position: what a restart reads again.",
    "At sink_behind_bytes whoever holds the commit back is flushed; often there: raise it or lower the flush age.",
)
SINK_COMMIT_AGE = gauge(
    "logflume_sink_commit_age_seconds",
    "seconds",
    (),
    "Age of the oldest block that is read and not yet committed.",
    "Up to the longest max_age_seconds of a job it is rows that wait for their object. "
    "Grows without end: a flush is stuck and /ready fails; the log names the table or job.",
)
SINK_STOPPED = gauge(
    "logflume_sink_stopped_partitions",
    "partitions",
    ("reason",),
    "Assigned partitions that are not read on, as that could lose, repeat or mix up rows.",
    "The worker's log and /ready say why and what to do: docs/sink.md lists the reasons.",
)
SINK_WAITING = gauge(
    "logflume_sink_waiting_partitions",
    "partitions",
    (),
    "Partitions whose next block was taken by an edge with a newer configuration than this worker has.",
    "For more than some seconds: the worker does not get the newer configuration; see its log.",
)
SINK_OVERTAKEN = counter(
    "logflume_sink_configuration_errors_total",
    "errors",
    (),
    "Configurations that edges had and this worker did not get in time, so that it judged rows by its own.",
    "Rows that it did not know are dead letters (reason unwanted): replay them when it has the newer one.",
)
SINK_LOST = counter(
    "logflume_sink_lost_messages_total",
    "messages",
    ("dataset",),
    "Sorted messages that retention deleted before they were read.",
    "A dead letter (reason retention) has the exact offsets. Raise the sorted topic's retention, or add sinks.",
)
SINK_PARKED = gauge(
    "logflume_sink_parked_pairs",
    "pairs",
    ("reason",),
    "Tables and jobs that wait at a cursor in the log: failing, or new ones for which a cap has no room.",
    "docs/parking.md. failing: /ready names destinations and reasons. new: sink_active_pairs, sink_new_pairs_a_minute.",
)
SINK_PARKED_LOST = counter(
    "logflume_sink_parked_lost_messages_total",
    "messages",
    ("dataset",),
    "Sorted messages that retention deleted before a parked table or job had its rows of them, counted for each.",
    "Dead letters (reason retention) have tenant, job and exact offsets. Mend the destination, raise the retention.",
)
SINK_PARKED_BEHIND = gauge(
    "logflume_sink_parked_behind_messages",
    "messages",
    (),
    "Sorted messages between the lowest parked cursor of each partition and its reader, summed.",
    "They must be caught up before retention deletes them; what it deletes is recorded as lost.",
)
SINK_PARKED_AGE = gauge(
    "logflume_sink_parked_age_seconds",
    "seconds",
    (),
    "Age in Kafka of the oldest rows that a parked table or job waits for.",
    "Alert at half of the sorted topic's retention: what that deletes first is recorded as lost.",
)
SINK_PARKED_LEFT = gauge(
    "logflume_sink_parked_left_seconds",
    "seconds",
    ("dataset",),
    "Time until retention.ms of the sorted topic may delete rows that a parked table or job waits for, the least over "
    "partitions; absent while nobody is parked. What retention.bytes deletes earlier it does not foretell.",
    "Alert at a quarter of the retention. Mend the destination, or raise the topic's retention.ms: docs/parking.md.",
)
SINK_NEW_PARKED = counter(
    "logflume_sink_new_parked_pairs_total",
    "pairs",
    ("dataset",),
    "New tables and jobs that were parked before their first row, as a cap had no room.",
    "A surge of new tenants. Is it meant? See sink_new_pairs_a_minute and sink_active_pairs.",
)
SINK_CAUGHT_UP = counter(
    "logflume_sink_caught_up_messages_total",
    "messages",
    ("dataset",),
    "Sorted messages that catch-up scans read.",
    "Grows while parked pairs catch up; each scan reads its partition once for all of them.",
)
SINK_ERRORS = counter(
    "logflume_sink_errors_total",
    "errors",
    ("kind",),
    "Flushes or transactions that failed, by the error's kind.",
    "Retryable passes by itself when Kafka or the store is back; Refused waits for somebody: /ready says for what.",
)
JOB_ROWS = counter(
    "logflume_job_rows_total",
    "rows",
    ("dataset",),
    "Rows written to objects of file jobs.",
    "Its rate follows that of the tenants' rows; none for longer than the jobs' max_age_seconds: see /ready.",
)
JOB_BYTES = counter(
    "logflume_job_bytes_total",
    "bytes",
    ("dataset",),
    "Bytes of objects of file jobs, as they lie there.",
    "Divided by logflume_job_objects_total: small objects mean small max_age_seconds or many partitions.",
)
JOB_OBJECTS = counter(
    "logflume_job_objects_total",
    "objects",
    ("dataset",),
    "Objects of file jobs written; one that a dead owner had written already is not counted again.",
    "Many small ones cost requests: raise the jobs' max_age_seconds.",
)
SINK_SEARCHABLE = row_histogram(
    "logflume_sink_searchable_seconds",
    ("dataset",),
    (0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 60, 120, 300, 900, 3600, 21600, 86400),
    "From a row's arrival at its edge until it can be found: at its table's commit, each row counted. By two clocks.",
    "Its 0.99 quantile is the freshness of all: beyond sink_flush_age_seconds and some, see lag and pressure by stage.",
)
