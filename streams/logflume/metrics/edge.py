"""What edges count: records on their way in, by every way in, and the spool."""

from __future__ import annotations

from logflume.metrics.metric import counter, gauge, histogram

EDGE_ROWS = counter(
    "logflume_edge_rows_total",
    "rows",
    ("dataset",),
    "Rows that Kafka has acknowledged on all in-sync replicas, or that are in the spool.",
    "Stands still while applications log: see logflume_edge_errors_total and whether Kafka answers.",
)
EDGE_BYTES = counter(
    "logflume_edge_bytes_total",
    "bytes",
    ("dataset",),
    "Bytes of the acknowledged rows, as they came in.",
    "Compare with the rows: a sudden change of bytes a row is a change in what an application logs.",
)
EDGE_BLOCKS = counter(
    "logflume_edge_blocks_total",
    "blocks",
    ("dataset",),
    "Blocks that Kafka has acknowledged, or that are in the spool.",
    "Few rows a block cost throughput: raise edge_linger_seconds or send through fewer clients.",
)
EDGE_BAD_ROWS = counter(
    "logflume_edge_bad_rows_total",
    "rows",
    ("dataset", "reason"),
    "Records that could not be read: told to the caller, and kept as dead letters.",
    "The reason names what is wrong with them; the caller has their numbers and bytes.",
)
EDGE_BUFFERED_BYTES = gauge(
    "logflume_edge_buffered_bytes",
    "bytes",
    (),
    "Bytes accepted and not yet acknowledged.",
    "Near edge_memory_bytes: Kafka is slower than the application; callers block, then get Unavailable.",
)
EDGE_ERRORS = counter(
    "logflume_edge_errors_total",
    "errors",
    ("reason",),
    "Sends that ended in an error that the caller was told.",
    "Unavailable: is Kafka up, are enough replicas in sync? Otherwise the error's text says what to do.",
)
EDGE_DROPPED_ROWS = counter(
    "logflume_edge_dropped_rows_total",
    "rows",
    ("dataset", "reason"),
    "Records dropped because no table and no job wants them: unwanted (not this dataset), unknown-tenant.",
    "The log names the tenants once a minute: add the dataset to the tenant's file, or let the sender send less.",
)
EDGE_OVER_RATE = counter(
    "logflume_edge_over_rate_rows_total",
    "rows",
    ("way",),
    "Records that had to wait, or were answered 429, as their tenant sent more than its rates; by udp they are lost.",
    "The log names the tenants once a minute: raise the tenant's rates, or let it send less.",
)
EDGE_SPOOL_BYTES = gauge(
    "logflume_edge_spool_bytes",
    "bytes",
    (),
    "What the spool takes on disk.",
    "Grows: Kafka is away or slower than what comes in; at edge_spool_bytes callers get Unavailable.",
)
EDGE_SPOOL_SHARE = gauge(
    "logflume_edge_spool_ratio",
    "ratio",
    (),
    "The spool's bytes as a part of edge_spool_bytes.",
    "Near 1: bring Kafka back, or raise edge_spool_bytes; nothing is dropped, but nothing more is taken.",
)
EDGE_SPOOL_AGE = gauge(
    "logflume_edge_spool_age_seconds",
    "seconds",
    (),
    "How long the oldest message in the spool has waited for Kafka.",
    "Grows while Kafka answers: the log says on which partition it waits.",
)
EDGE_SPOOL_MESSAGES = counter(
    "logflume_edge_spool_messages_total",
    "messages",
    (),
    "Messages that were kept on disk, as Kafka could not take them in time.",
    "Some at a start are normal; many all the time: Kafka is too slow for what this edge sends.",
)
EDGE_SPOOL_QUARANTINED = counter(
    "logflume_edge_spool_quarantined_messages_total",
    "messages",
    (),
    "Messages in the spool whose bytes the disk did not keep; what is left of them is in the folder quarantine.",
    "Above 0 is a loss: replace the disk; docs/spool.md says how to look into the bytes.",
)
EDGE_SPOOL_UNKNOWN = counter(
    "logflume_edge_spool_unknown_messages_total",
    "messages",
    ("topic",),
    "Messages sent again after a crash though they may be stored: retention had deleted where to look.",
    "Each may stand twice. Start a crashed edge sooner than the ingest topic's retention.",
)
EDGE_SPOOL_ERRORS = counter(
    "logflume_edge_spool_errors_total",
    "errors",
    ("reason",),
    "Times the spool took nothing (cap, disk-full, disk), or could not read a record (unreadable).",
    "cap: is Kafka there? disk-full: free some room. disk, unreadable: see to the disk; the log has its errors.",
)
EDGE_HTTP_REQUESTS = counter(
    "logflume_edge_http_requests_total",
    "requests",
    ("protocol", "status"),
    "Requests answered, by HTTP status; 499: the client went away before its answer.",
    "401, 403, 404: a sender's token or dataset. 408: slow senders. 429, 503: more comes than Kafka takes.",
)
EDGE_HTTP_SECONDS = histogram(
    "logflume_edge_http_seconds",
    ("protocol",),
    "From a request's head to its answer: sending, reading, and until Kafka has it.",
    "Less than edge_linger_seconds can't be for small requests; far more: slow senders, or Kafka.",
)
EDGE_HTTP_BYTES = counter(
    "logflume_edge_http_bytes_total",
    "bytes",
    ("protocol",),
    "Bytes of bodies as they were sent.",
    "Compare with logflume_edge_bytes_total: what compression saves.",
)
EDGE_HTTP_ROWS = counter(
    "logflume_edge_http_rows_total",
    "rows",
    ("protocol",),
    "Rows that requests were told to be durable.",
    "Few rows a request cost throughput: let senders batch.",
)
EDGE_HTTP_WORK_BYTES = gauge(
    "logflume_edge_http_work_bytes",
    "bytes",
    (),
    "Memory reserved for bodies in work.",
    "Near edge_http_work_bytes: requests are answered 503 or 429.",
)
EDGE_HTTP_CONNECTIONS = gauge(
    "logflume_edge_http_connections",
    "connections",
    (),
    "Open connections of senders.",
    "Near edge_http_connections: new ones are answered 503.",
)
EDGE_SYSLOG_MESSAGES = counter(
    "logflume_edge_syslog_messages_total",
    "messages",
    ("transport",),
    "Syslog messages that came in, by udp, tcp or tls.",
    "Stands still while senders log: see their errors, and logflume_edge_syslog_refused_connections_total.",
)
EDGE_SYSLOG_CUT_MESSAGES = counter(
    "logflume_edge_syslog_cut_messages_total",
    "messages",
    (),
    "Syslog messages of which only the beginning was kept: too long, or the connection ended within.",
    "Raise edge_syslog_message_bytes, if senders mean to send so much; attribute missing_bytes marks them.",
)
EDGE_SYSLOG_LOST_MESSAGES = counter(
    "logflume_edge_syslog_lost_messages_total",
    "messages",
    (),
    "Datagrams that the kernel dropped, as the socket's buffer was full; told with the next one that is read.",
    "Raise net.core.rmem_max and edge_syslog_socket_bytes, see whether Kafka takes all, or let senders use TCP.",
)
EDGE_SYSLOG_REFUSED_MESSAGES = counter(
    "logflume_edge_syslog_refused_messages_total",
    "messages",
    ("reason",),
    "Syslog messages not taken: no-token, token (nobody's), unwanted (no such dataset), stopped, unconfigured (yet).",
    "Compare the sender's token with the tenant's file; stopped: Kafka took nothing while this edge ended.",
)
EDGE_SYSLOG_REFUSED_CONNECTIONS = counter(
    "logflume_edge_syslog_refused_connections_total",
    "connections",
    ("reason",),
    "Syslog connections ended by us: full, gave-way, idle, handshake, certificate (names no tenant).",
    "full, gave-way: raise edge_syslog_connections. handshake, certificate: the log names the sender.",
)
EDGE_SYSLOG_CONNECTIONS = gauge(
    "logflume_edge_syslog_connections",
    "connections",
    (),
    "Open syslog connections.",
    "Near edge_syslog_connections: quiet ones must give way, or new ones are refused.",
)
EDGE_TAIL_FILES = gauge(
    "logflume_edge_tail_files",
    "files",
    (),
    "Files that are followed.",
    "Falls to 0: do the patterns still find the logs, and may this process read them?",
)
EDGE_TAIL_LAG_BYTES = gauge(
    "logflume_edge_tail_lag_bytes",
    "bytes",
    (),
    "Bytes of the followed files that are not in the spool.",
    "Grows: see logflume_edge_spool_ratio, and whether one core is enough for what is written.",
)
EDGE_TAIL_BYTES = counter(
    "logflume_edge_tail_bytes_total",
    "bytes",
    (),
    "Bytes of files that were read and are durable in the spool.",
    "Stands still with a lag: the worker's log says what it waits for.",
)
EDGE_TAIL_ERRORS = counter(
    "logflume_edge_tail_errors_total",
    "errors",
    ("reason",),
    "Files that could not be read (unreadable, torn) or were cut (cut), and times the spool was full (spool-full).",
    "unreadable: the worker's log names the file; is it the rights? cut: what was written just before may be lost.",
)
