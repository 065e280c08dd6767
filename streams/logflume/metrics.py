"""Every metric that Logflume's workers export, declared once: what it counts, and what to do when it is off.

Names are ``logflume_<stage>_<what>_<unit>``, counters end in ``_total``. docs/metrics.md is generated from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

STAGES = ("edge", "sort", "sink", "job", "table", "config", "status", "pressure")
UNITS = (
    "rows",
    "bytes",
    "seconds",
    "blocks",
    "messages",
    "requests",
    "connections",
    "commits",
    "files",
    "objects",
    "errors",
    "partitions",
    "pairs",
    "generation",
    "generations",
    "workers",
    "markers",
    "ratio",
    "info",
)


class Kind(StrEnum):
    """What a metric does over time."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's declaration. ``remedy`` says what to look at, or do, when it is not as it should be."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    meaning: str
    remedy: str


REGISTRY = CollectorRegistry()
"""Holds Logflume's metrics and the process's own; the application that embeds ``edge.Client`` keeps its default one."""

DECLARED: list[Metric] = []

ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


def _counter(name: str, unit: str, labels: tuple[str, ...], meaning: str, remedy: str) -> Counter:
    DECLARED.append(Metric(name, Kind.COUNTER, unit, labels, meaning, remedy))
    return Counter(name, meaning, labels, registry=REGISTRY)


def _gauge(name: str, unit: str, labels: tuple[str, ...], meaning: str, remedy: str) -> Gauge:
    DECLARED.append(Metric(name, Kind.GAUGE, unit, labels, meaning, remedy))
    return Gauge(name, meaning, labels, registry=REGISTRY)


def _histogram(name: str, labels: tuple[str, ...], meaning: str, remedy: str) -> Histogram:
    DECLARED.append(Metric(name, Kind.HISTOGRAM, "seconds", labels, meaning, remedy))
    return Histogram(name, meaning, labels, registry=REGISTRY, buckets=_SECONDS)


# --- edge -------------------------------------------------------------------------------------------------------------

EDGE_ROWS = _counter(
    "logflume_edge_rows_total",
    "rows",
    ("dataset",),
    "Rows that Kafka has acknowledged on all in-sync replicas, or that are in the spool.",
    "Stands still while applications log: see logflume_edge_errors_total and whether Kafka answers.",
)
EDGE_BYTES = _counter(
    "logflume_edge_bytes_total",
    "bytes",
    ("dataset",),
    "Bytes of the acknowledged rows, as they came in.",
    "Compare with the rows: a sudden change of bytes a row is a change in what an application logs.",
)
EDGE_BLOCKS = _counter(
    "logflume_edge_blocks_total",
    "blocks",
    ("dataset",),
    "Blocks that Kafka has acknowledged, or that are in the spool.",
    "Few rows a block cost throughput: raise edge_linger_seconds or send through fewer clients.",
)
EDGE_BAD_ROWS = _counter(
    "logflume_edge_bad_rows_total",
    "rows",
    ("dataset", "reason"),
    "Records that could not be read and were handed back to the caller.",
    "The reason names what is wrong with them; the caller has their numbers and bytes.",
)
EDGE_BUFFERED_BYTES = _gauge(
    "logflume_edge_buffered_bytes",
    "bytes",
    (),
    "Bytes accepted and not yet acknowledged.",
    "Near edge_memory_bytes: Kafka is slower than the application; callers block, then get Unavailable.",
)
EDGE_ERRORS = _counter(
    "logflume_edge_errors_total",
    "errors",
    ("reason",),
    "Sends that ended in an error that the caller was told.",
    "Unavailable: is Kafka up, are enough replicas in sync? Otherwise the error's text says what to do.",
)

EDGE_DROPPED_ROWS = _counter(
    "logflume_edge_dropped_rows_total",
    "rows",
    ("dataset", "reason"),
    "Records dropped because no table and no job wants them: unwanted (not this dataset), unknown-tenant.",
    "The log names the tenants once a minute: add the dataset to the tenant's file, or let the sender send less.",
)
EDGE_OVER_RATE = _counter(
    "logflume_edge_over_rate_rows_total",
    "rows",
    ("way",),
    "Records that had to wait, or were answered 429, as their tenant sent more than its rates; by udp they are lost.",
    "The log names the tenants once a minute: raise the tenant's rates, or let it send less.",
)

EDGE_SPOOL_BYTES = _gauge(
    "logflume_edge_spool_bytes",
    "bytes",
    (),
    "What the spool takes on disk.",
    "Grows: Kafka is away or slower than what comes in; at edge_spool_bytes callers get Unavailable.",
)
EDGE_SPOOL_SHARE = _gauge(
    "logflume_edge_spool_ratio",
    "ratio",
    (),
    "The spool's bytes as a part of edge_spool_bytes.",
    "Near 1: bring Kafka back, or raise edge_spool_bytes; nothing is dropped, but nothing more is taken.",
)
EDGE_SPOOL_AGE = _gauge(
    "logflume_edge_spool_age_seconds",
    "seconds",
    (),
    "How long the oldest message in the spool has waited for Kafka.",
    "Grows while Kafka answers: the log says on which partition it waits.",
)
EDGE_SPOOL_MESSAGES = _counter(
    "logflume_edge_spool_messages_total",
    "messages",
    (),
    "Messages that were kept on disk, as Kafka could not take them in time.",
    "Some at a start are normal; many all the time: Kafka is too slow for what this edge sends.",
)
EDGE_SPOOL_QUARANTINED = _counter(
    "logflume_edge_spool_quarantined_messages_total",
    "messages",
    (),
    "Messages in the spool whose bytes the disk did not keep; what is left of them is in the folder quarantine.",
    "Above 0 is a loss: replace the disk; docs/spool.md says how to look into the bytes.",
)
EDGE_SPOOL_UNKNOWN = _counter(
    "logflume_edge_spool_unknown_messages_total",
    "messages",
    ("topic",),
    "Messages sent again after a crash though they may be stored: retention had deleted where to look.",
    "Each may stand twice. Start a crashed edge sooner than the ingest topic's retention.",
)
EDGE_SPOOL_ERRORS = _counter(
    "logflume_edge_spool_errors_total",
    "errors",
    ("reason",),
    "Times the spool took nothing (cap, disk-full, disk), or could not read a record (unreadable).",
    "cap: is Kafka there? disk-full: free some room. disk, unreadable: see to the disk; the log has its errors.",
)
EDGE_HTTP_REQUESTS = _counter(
    "logflume_edge_http_requests_total",
    "requests",
    ("protocol", "status"),
    "Requests answered, by HTTP status; 499: the client went away before its answer.",
    "401, 403, 404: a sender's token or dataset. 408: slow senders. 429, 503: more comes than Kafka takes.",
)
EDGE_HTTP_SECONDS = _histogram(
    "logflume_edge_http_seconds",
    ("protocol",),
    "From a request's head to its answer: sending, reading, and until Kafka has it.",
    "Less than edge_linger_seconds can't be for small requests; far more: slow senders, or Kafka.",
)
EDGE_HTTP_BYTES = _counter(
    "logflume_edge_http_bytes_total",
    "bytes",
    ("protocol",),
    "Bytes of bodies as they were sent.",
    "Compare with logflume_edge_bytes_total: what compression saves.",
)
EDGE_HTTP_ROWS = _counter(
    "logflume_edge_http_rows_total",
    "rows",
    ("protocol",),
    "Rows that requests were told to be durable.",
    "Few rows a request cost throughput: let senders batch.",
)
EDGE_HTTP_WORK_BYTES = _gauge(
    "logflume_edge_http_work_bytes",
    "bytes",
    (),
    "Memory reserved for bodies in work.",
    "Near edge_http_work_bytes: requests are answered 503 or 429.",
)
EDGE_HTTP_CONNECTIONS = _gauge(
    "logflume_edge_http_connections",
    "connections",
    (),
    "Open connections of senders.",
    "Near edge_http_connections: new ones are answered 503.",
)

EDGE_SYSLOG_MESSAGES = _counter(
    "logflume_edge_syslog_messages_total",
    "messages",
    ("transport",),
    "Syslog messages that came in, by udp, tcp or tls.",
    "Stands still while senders log: see their errors, and logflume_edge_syslog_refused_connections_total.",
)
EDGE_SYSLOG_CUT_MESSAGES = _counter(
    "logflume_edge_syslog_cut_messages_total",
    "messages",
    (),
    "Syslog messages of which only the beginning was kept: too long, or the connection ended within.",
    "Raise edge_syslog_message_bytes, if senders mean to send so much; attribute missing_bytes marks them.",
)
EDGE_SYSLOG_LOST_MESSAGES = _counter(
    "logflume_edge_syslog_lost_messages_total",
    "messages",
    (),
    "Datagrams that the kernel dropped, as the socket's buffer was full; told with the next one that is read.",
    "Raise net.core.rmem_max and edge_syslog_socket_bytes, see whether Kafka takes all, or let senders use TCP.",
)
EDGE_SYSLOG_REFUSED_MESSAGES = _counter(
    "logflume_edge_syslog_refused_messages_total",
    "messages",
    ("reason",),
    "Syslog messages not taken: no-token, token (nobody's), unwanted (no such dataset), stopped, unconfigured (yet).",
    "Compare the sender's token with the tenant's file; stopped: Kafka took nothing while this edge ended.",
)
EDGE_SYSLOG_REFUSED_CONNECTIONS = _counter(
    "logflume_edge_syslog_refused_connections_total",
    "connections",
    ("reason",),
    "Syslog connections ended by us: full, gave-way, idle, handshake, certificate (names no tenant).",
    "full, gave-way: raise edge_syslog_connections. handshake, certificate: the log names the sender.",
)
EDGE_SYSLOG_CONNECTIONS = _gauge(
    "logflume_edge_syslog_connections",
    "connections",
    (),
    "Open syslog connections.",
    "Near edge_syslog_connections: quiet ones must give way, or new ones are refused.",
)

EDGE_TAIL_FILES = _gauge(
    "logflume_edge_tail_files",
    "files",
    (),
    "Files that are followed.",
    "Falls to 0: do the patterns still find the logs, and may this process read them?",
)
EDGE_TAIL_LAG_BYTES = _gauge(
    "logflume_edge_tail_lag_bytes",
    "bytes",
    (),
    "Bytes of the followed files that are not in the spool.",
    "Grows: see logflume_edge_spool_ratio, and whether one core is enough for what is written.",
)
EDGE_TAIL_BYTES = _counter(
    "logflume_edge_tail_bytes_total",
    "bytes",
    (),
    "Bytes of files that were read and are durable in the spool.",
    "Stands still with a lag: the worker's log says what it waits for.",
)
EDGE_TAIL_ERRORS = _counter(
    "logflume_edge_tail_errors_total",
    "errors",
    ("reason",),
    "Files that could not be read (unreadable, torn) or were cut (cut), and times the spool was full (spool-full).",
    "unreadable: the worker's log names the file; is it the rights? cut: what was written just before may be lost.",
)

# --- sort -------------------------------------------------------------------------------------------------------------

SORT_MESSAGES = _counter(
    "logflume_sort_messages_total",
    "messages",
    ("dataset",),
    "Messages of ingest topics, blocks and plain records, whose rows stand in sorted topics.",
    "Nearly as many as rows: producers send plain records; let them send blocks through edge.Client.",
)
SORT_ROWS = _counter(
    "logflume_sort_rows_total",
    "rows",
    ("dataset",),
    "Rows that stand in sorted topics, every delivery report good.",
    "Stands still with a lag: see logflume_sort_commit_age_seconds and the worker's log.",
)
SORT_OVER_RATE = _counter(
    "logflume_sort_over_rate_rows_total",
    "rows",
    ("dataset",),
    "Plain records of batches that went beyond their tenant's rate; they are sorted all the same.",
    "The log names the tenants once a minute: give such a tenant a principal, so that Kafka holds its producers back.",
)
SORT_BYTES = _counter(
    "logflume_sort_bytes_total",
    "bytes",
    ("dataset",),
    "Bytes of sorted blocks produced, compressed.",
    "Compare with the rows: much more a row than before means small blocks.",
)
SORT_BLOCKS = _counter(
    "logflume_sort_blocks_total",
    "blocks",
    ("dataset",),
    "Sorted blocks produced.",
    "Few rows a block: raise sort_unit_bytes, so that more messages are sorted together.",
)
SORT_DEADLETTERS = _counter(
    "logflume_sort_deadletter_rows_total",
    "rows",
    ("dataset", "reason"),
    "Records (or whole unreadable messages) sent to the dead-letter topic.",
    "logflume deadletter list shows them with coordinates and reason.",
)
SORT_STOPPED = _gauge(
    "logflume_sort_stopped_partitions",
    "partitions",
    (),
    "Assigned partitions that are not read, as the group's offset lies beyond the log's end.",
    "Kafka lost acknowledged messages, or offsets were set by hand: docs/sort.md says what to do.",
)
SORT_LOST = _counter(
    "logflume_sort_lost_messages_total",
    "messages",
    ("topic",),
    "Messages that retention removed before they were read; a dead letter (reason retention) has the exact offsets.",
    "Anything above 0 is a loss: lengthen retention, add sort workers, and look at the lag's history.",
)
SORT_SECONDS = _histogram(
    "logflume_sort_unit_seconds",
    ("step",),
    "Time for one unit of messages by step: decode, sort, produce.",
    "A slow produce is Kafka's; a slow decode or sort wants another worker.",
)
SORT_COMMIT_AGE = _gauge(
    "logflume_sort_commit_age_seconds",
    "seconds",
    (),
    "Age of the oldest message that is read and not yet committed.",
    "Grows without end: the worker is stuck and /ready fails; its log says on what. Restart it: nothing is lost.",
)
SORT_REGISTRY_ERRORS = _counter(
    "logflume_sort_registry_errors_total",
    "errors",
    ("dataset",),
    "Times that the schema registry could not be asked for a schema; the sorter waits and asks again.",
    "Counts up: nothing of the dataset is sorted until the registry answers. The log says what it answered.",
)
SORT_CONFIGURATION_WAIT = _gauge(
    "logflume_sort_configuration_wait_seconds",
    "seconds",
    ("dataset",),
    "How long the dataset's rows have waited for the generation of the configuration that a marker before them names.",
    "Seconds: the worker can't follow the configuration; its log (or logflume_config_refused_total) tells why.",
)
SORT_FORGED_MARKERS = _counter(
    "logflume_sort_forged_markers_total",
    "markers",
    ("dataset",),
    "Units of messages with a marker of routing that names a generation which nobody published; it is passed over.",
    "Only `config apply` writes the header logflume-routing: find out who else may write to the ingest topic.",
)
SORT_BUFFERED_BYTES = _gauge(
    "logflume_sort_buffered_bytes",
    "bytes",
    (),
    "Memory held by messages in work.",
    "At sort_memory_bytes the worker pauses its partitions; add workers if it stays there.",
)

# --- sink -------------------------------------------------------------------------------------------------------------

SINK_ROWS = _counter(
    "logflume_sink_rows_total",
    "rows",
    ("dataset",),
    "Rows committed to tables.",
    "Stands still with a lag: see logflume_sink_errors_total and the worker's log.",
)
SINK_REPEATS = _counter(
    "logflume_sink_repeat_rows_total",
    "rows",
    ("dataset",),
    "Rows read again and dropped, as a sorter or a sink had done them before.",
    "Some after a restart or a rebalance are normal; many all the time: workers are dying, see their logs.",
)
SINK_UNWANTED = _counter(
    "logflume_sink_unwanted_rows_total",
    "rows",
    ("dataset",),
    "Rows of tenants or datasets that the configuration in force does not name: they go to the dead letters.",
    "If they should be kept, add the dataset to the tenant's file and restart the sinks.",
)
SINK_BYTES = _counter(
    "logflume_sink_bytes_total",
    "bytes",
    ("dataset",),
    "Bytes of data files written to the store.",
    "Much more a row than before: small flushes; see logflume_sink_flush_commits_total.",
)
SINK_FLUSHES = _counter(
    "logflume_sink_flush_commits_total",
    "commits",
    ("dataset", "cause"),
    "Flushes of a tenant's rows to its table; cause is age, rows, bytes, memory, behind or drain.",
    "Mostly memory: raise sink_memory_bytes or add sinks. Mostly age: small tenants, as it should be.",
)
SINK_FLUSH_SECONDS = _histogram(
    "logflume_sink_flush_seconds",
    (),
    "Time of one flush: files written and the table's commit.",
    "Seconds: the object store is slow, or the table's log is long and wants a checkpoint.",
)
SINK_TRANSACTION_SECONDS = _histogram(
    "logflume_sink_transaction_seconds",
    (),
    "Time of one Kafka transaction with positions and offsets.",
    "Above a tenth of a second: Kafka's transaction coordinator is slow.",
)
SINK_BUFFERED_BYTES = _gauge(
    "logflume_sink_buffered_bytes",
    "bytes",
    (),
    "Memory held by rows that are not yet flushed, overhead counted.",
    "At sink_memory_bytes the worker pauses its partitions; add workers if it stays there.",
)
SINK_PAUSED = _gauge(
    "logflume_sink_paused_ratio",
    "ratio",
    (),
    "Part of the assigned partitions that is paused.",
    "1 for long: flushes do not keep up; see logflume_sink_flush_seconds.",
)
SINK_BEHIND_BYTES = _gauge(
    "logflume_sink_behind_bytes",
    "bytes",
    (),
    "Bytes read past the committed position: what a restart reads again.",
    "At sink_behind_bytes whoever holds the commit back is flushed; often there: raise it or lower the flush age.",
)
SINK_COMMIT_AGE = _gauge(
    "logflume_sink_commit_age_seconds",
    "seconds",
    (),
    "Age of the oldest block that is read and not yet committed.",
    "Up to the longest max_age_seconds of a job it is rows that wait for their object. "
    "Grows without end: a flush is stuck and /ready fails; the log names the table or job.",
)
SINK_STOPPED = _gauge(
    "logflume_sink_stopped_partitions",
    "partitions",
    ("reason",),
    "Assigned partitions that are not read on, as that could lose, repeat or mix up rows.",
    "The worker's log and /ready say why and what to do: docs/sink.md lists the reasons.",
)
SINK_WAITING = _gauge(
    "logflume_sink_waiting_partitions",
    "partitions",
    (),
    "Partitions whose next block was taken by an edge with a newer configuration than this worker has.",
    "For more than some seconds: the worker does not get the newer configuration; see its log.",
)
SINK_OVERTAKEN = _counter(
    "logflume_sink_configuration_errors_total",
    "errors",
    (),
    "Configurations that edges had and this worker did not get in time, so that it judged rows by its own.",
    "Rows that it did not know are dead letters (reason unwanted): replay them when it has the newer one.",
)
SINK_LOST = _counter(
    "logflume_sink_lost_messages_total",
    "messages",
    ("dataset",),
    "Sorted messages that retention deleted before they were read.",
    "A dead letter (reason retention) has the exact offsets. Raise the sorted topic's retention, or add sinks.",
)
SINK_PARKED = _gauge(
    "logflume_sink_parked_pairs",
    "pairs",
    ("reason",),
    "Tables and jobs that wait at a cursor in the log: failing, or new ones for which a cap has no room.",
    "docs/parking.md. failing: /ready names destinations and reasons. new: sink_active_pairs, sink_new_pairs_a_minute.",
)
SINK_PARKED_LOST = _counter(
    "logflume_sink_parked_lost_messages_total",
    "messages",
    ("dataset",),
    "Sorted messages that retention deleted before a parked table or job had its rows of them, counted for each.",
    "Dead letters (reason retention) have tenant, job and exact offsets. Mend the destination, raise the retention.",
)
SINK_PARKED_BEHIND = _gauge(
    "logflume_sink_parked_behind_messages",
    "messages",
    (),
    "Sorted messages between the lowest parked cursor of each partition and its reader, summed.",
    "They must be caught up before retention deletes them; what it deletes is recorded as lost.",
)
SINK_PARKED_AGE = _gauge(
    "logflume_sink_parked_age_seconds",
    "seconds",
    (),
    "Age in Kafka of the oldest rows that a parked table or job waits for.",
    "Alert at half of the sorted topic's retention: what that deletes first is recorded as lost.",
)
SINK_NEW_PARKED = _counter(
    "logflume_sink_new_parked_pairs_total",
    "pairs",
    ("dataset",),
    "New tables and jobs that were parked before their first row, as a cap had no room.",
    "A surge of new tenants. Is it meant? See sink_new_pairs_a_minute and sink_active_pairs.",
)
SINK_CAUGHT_UP = _counter(
    "logflume_sink_caught_up_messages_total",
    "messages",
    ("dataset",),
    "Sorted messages that catch-up scans read.",
    "Grows while parked pairs catch up; each scan reads its partition once for all of them.",
)
SINK_ERRORS = _counter(
    "logflume_sink_errors_total",
    "errors",
    ("kind",),
    "Flushes or transactions that failed, by the error's kind.",
    "Retryable passes by itself when Kafka or the store is back; Refused waits for somebody: /ready says for what.",
)

# --- table ------------------------------------------------------------------------------------------------------------

JOB_ROWS = _counter(
    "logflume_job_rows_total",
    "rows",
    ("dataset",),
    "Rows written to objects of file jobs.",
    "Its rate follows that of the tenants' rows; none for longer than the jobs' max_age_seconds: see /ready.",
)
JOB_BYTES = _counter(
    "logflume_job_bytes_total",
    "bytes",
    ("dataset",),
    "Bytes of objects of file jobs, as they lie there.",
    "Divided by logflume_job_objects_total: small objects mean small max_age_seconds or many partitions.",
)
JOB_OBJECTS = _counter(
    "logflume_job_objects_total",
    "objects",
    ("dataset",),
    "Objects of file jobs written; one that a dead owner had written already is not counted again.",
    "Many small ones cost requests: raise the jobs' max_age_seconds.",
)
TABLE_FILES = _counter(
    "logflume_table_files_total",
    "files",
    ("dataset",),
    "Data files committed to tables.",
    "Many small files: raise sink_flush_age_seconds.",
)
TABLE_CONFLICTS = _counter(
    "logflume_table_conflict_errors_total",
    "errors",
    ("dataset",),
    "Commits that were refused or in doubt, and compared with the table again.",
    "Some while partitions move are normal; always: two sink groups write the same tables.",
)
TABLE_SKIPPED = _counter(
    "logflume_table_skipped_rows_total",
    "rows",
    ("dataset",),
    "Rows that a table held already, known by its txn, and that were not written again.",
    "Some after a crash are normal: this is the exactly-once rule at work.",
)

# --- status and pressure ----------------------------------------------------------------------------------------------

STATUS_MESSAGES = _counter(
    "logflume_status_messages_total",
    "messages",
    (),
    "Records of this worker that Kafka took on the topic status.",
    "Stands still: see logflume_status_errors_total; nothing else waits for them.",
)
STATUS_ERRORS = _counter(
    "logflume_status_errors_total",
    "errors",
    ("what",),
    "Status records that were dropped, could not be read or not be followed.",
    "`write`, `follow`: Kafka is away, or the topic is missing (`logflume topics apply`). `read`: who writes there?",
)
STATUS_WORKERS = _gauge(
    "logflume_status_workers",
    "workers",
    ("kind", "state"),
    "Workers that a watch knows of; state is fresh or stale.",
    "Stale ones died without a word, or have lost Kafka: `logflume status` names them.",
)
PRESSURE_SHARE = _gauge(
    "logflume_pressure_ratio",
    "ratio",
    ("stage",),
    "How near a stage is to its nearest limit; 1: reached, edges stop.",
    "`logflume status` and docs/pressure.md say which limit it is: add workers, or repair what holds them up.",
)
PRESSURE_LEVEL = _gauge(
    "logflume_pressure_level_info",
    "info",
    ("level",),
    "1 at the level that this watch publishes, or that this edge follows: none, slow or stop.",
    "Alert on slow: senders wait. At stop they are refused; nothing that was accepted is lost.",
)
PRESSURE_LAG = _gauge(
    "logflume_pressure_lag_seconds",
    "seconds",
    ("stage",),
    "Age of the oldest record that the stage has not committed, in all of its partitions.",
    "Grows: the stage is too slow, stopped, or a partition of it is; logflume_pressure_ratio leaves single ones out.",
)
PRESSURE_WAIT = _counter(
    "logflume_pressure_wait_seconds_total",
    "seconds",
    (),
    "Time that senders spent waiting because of pressure.",
    "Its cause is behind this edge: see logflume_pressure_ratio of the watch.",
)
PRESSURE_REFUSED = _counter(
    "logflume_pressure_refused_requests_total",
    "requests",
    (),
    "Requests and calls that were refused because of pressure, with the advice to come again.",
    "Its cause is behind this edge: see logflume_pressure_ratio of the watch.",
)

# --- config -----------------------------------------------------------------------------------------------------------

CONFIG_PAIRS = _gauge(
    "logflume_config_active_pairs",
    "pairs",
    (),
    "Tenant and dataset pairs of the configuration in force.",
    "A sudden change that nobody made is an incident: compare the tenants' files with what they were.",
)


def total(metric: Counter | Gauge) -> float:
    """Return the sum of a metric's values over its labels, for who tells it elsewhere."""
    samples = (sample for family in metric.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if not sample.name.endswith("_created"))


CONFIG_GENERATION = _gauge(
    "logflume_config_generation",
    "generation",
    (),
    "Generation of the configuration in force here; 0: none yet.",
    "Differs between workers for longer than 5 s: one of them does not follow; `logflume status` says why.",
)
CONFIG_AGE = _gauge(
    "logflume_config_age_seconds",
    "seconds",
    (),
    "How long ago the configuration in force was last known to be the newest one.",
    "Alert above 60: Kafka does not answer, or logflume_config_refused_generations_total says what is wrong.",
)
CONFIG_REFUSED = _counter(
    "logflume_config_refused_generations_total",
    "generations",
    ("reason",),
    "Configurations that were offered and did not come in force; the last good one did its work on.",
    "Alert on any: the log line config.refused says what is wrong; `logflume config apply` makes a good one.",
)
CONFIG_DISK_ERRORS = _counter(
    "logflume_config_last_good_errors_total",
    "errors",
    ("doing",),
    "Times that the last good configuration could not be read from this host's disk, or not be written there.",
    "A start without Kafka would have no configuration from this host: look at config_dir's disk and rights.",
)


def page() -> str:
    """Return docs/metrics.md as the declarations give it."""
    lines = [
        "# Metrics",
        "",
        "Generated from `streams/logflume/metrics.py` by `make docs`; a test keeps it current.",
        "",
        "Every worker serves these on `/metrics` at `LOGFLUME_HTTP_PORT`, beside `process_*` and `python_*`.",
        "Those of another stage than the worker's stand at zero.",
    ]
    for stage in STAGES:
        lines += ["", f"## {stage}", "", "| metric | kind, unit | labels | meaning | when it is off |"]
        lines.append("|---|---|---|---|---|")
        for metric in DECLARED:
            if metric.name.split("_")[1] == stage:
                labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
                kind = f"{metric.kind}, {metric.unit}"
                lines.append(f"| `{metric.name}` | {kind} | {labels} | {metric.meaning} | {metric.remedy} |")
    return "\n".join(lines) + "\n"
