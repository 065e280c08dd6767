"""What sorters count."""

from __future__ import annotations

from logflume.metrics.metric import counter, gauge, histogram

SORT_MESSAGES = counter(
    "logflume_sort_messages_total",
    "messages",
    ("dataset",),
    "Messages of ingest topics, blocks and plain records, whose rows stand in sorted topics.",
    "Nearly as many as rows: producers send plain records; let them send blocks through edge.Client.",
)
SORT_ROWS = counter(
    "logflume_sort_rows_total",
    "rows",
    ("dataset",),
    "Rows that stand in sorted topics, every delivery report good.",
    "Stands still with a lag: see logflume_sort_commit_age_seconds and the worker's log.",
)
SORT_OVER_RATE = counter(
    "logflume_sort_over_rate_rows_total",
    "rows",
    ("dataset",),
    "Plain records of batches that went beyond their tenant's rate; they are sorted all the same.",
    "The log names the tenants once a minute: give such a tenant a principal, so that Kafka holds its producers back.",
)
SORT_BYTES = counter(
    "logflume_sort_bytes_total",
    "bytes",
    ("dataset",),
    "Bytes of sorted blocks produced, compressed.",
    "Compare with the rows: much more a row than before means small blocks.",
)
SORT_BLOCKS = counter(
    "logflume_sort_blocks_total",
    "blocks",
    ("dataset",),
    "Sorted blocks produced.",
    "Few rows a block: raise sort_unit_bytes, so that more messages are sorted together.",
)
SORT_DEADLETTERS = counter(
    "logflume_sort_deadletter_rows_total",
    "rows",
    ("dataset", "reason"),
    "Records (or whole unreadable messages) sent to the dead-letter topic.",
    "logflume deadletter list shows them with coordinates and reason.",
)
SORT_STOPPED = gauge(
    "logflume_sort_stopped_partitions",
    "partitions",
    (),
    "Assigned partitions that are not read, as the group's offset lies beyond the log's end.",
    "Kafka lost acknowledged messages, or offsets were set by hand: docs/sort.md says what to do.",
)
SORT_LOST = counter(
    "logflume_sort_lost_messages_total",
    "messages",
    ("topic",),
    "Messages that retention removed before they were read; a dead letter (reason retention) has the exact offsets.",
    "Anything above 0 is a loss: lengthen retention, add sort workers, and look at the lag's history.",
)
SORT_SECONDS = histogram(
    "logflume_sort_unit_seconds",
    ("step",),
    "Time for one unit of messages by step: decode, sort, produce.",
    "A slow produce is Kafka's; a slow decode or sort wants another worker.",
)
SORT_COMMIT_AGE = gauge(
    "logflume_sort_commit_age_seconds",
    "seconds",
    (),
    "Age of the oldest message that is read and not yet committed.",
    "Grows without end: the worker is stuck and /ready fails; its log says on what. Restart it: nothing is lost.",
)
SORT_REGISTRY_ERRORS = counter(
    "logflume_sort_registry_errors_total",
    "errors",
    ("dataset",),
    "Times that the schema registry could not be asked for a schema; the sorter waits and asks again.",
    "Counts up: nothing of the dataset is sorted until the registry answers. The log says what it answered.",
)
SORT_CONFIGURATION_WAIT = gauge(
    "logflume_sort_configuration_wait_seconds",
    "seconds",
    ("dataset",),
    "How long the dataset's rows have waited for the generation of the configuration that a marker before them names.",
    "Seconds: this worker can't follow the configuration; logflume_config_refused_generations_total tells why.",
)
SORT_FORGED_MARKERS = counter(
    "logflume_sort_forged_markers_total",
    "markers",
    ("dataset",),
    "Units of messages with a marker of routing that names a generation which nobody published; it is passed over.",
    "Only `config apply` writes the header logflume-routing: find out who else may write to the ingest topic.",
)
SORT_BUFFERED_BYTES = gauge(
    "logflume_sort_buffered_bytes",
    "bytes",
    (),
    "Memory held by messages in work.",
    "At sort_memory_bytes the worker pauses its partitions; add workers if it stays there.",
)
