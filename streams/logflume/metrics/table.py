"""Tables at rest, and the object store that holds them."""

from __future__ import annotations

from logflume.metrics.metric import counter, histogram

TABLE_FILES = counter(
    "logflume_table_files_total",
    "files",
    ("dataset",),
    "Data files committed to tables.",
    "Many small files: raise sink_flush_age_seconds.",
)
TABLE_CONFLICTS = counter(
    "logflume_table_conflict_errors_total",
    "errors",
    ("dataset",),
    "Commits that were refused or in doubt, and compared with the table again.",
    "Some while partitions move are normal; always: two sink groups write the same tables.",
)
TABLE_SKIPPED = counter(
    "logflume_table_skipped_rows_total",
    "rows",
    ("dataset",),
    "Rows that a table held already, known by its txn, and that were not written again.",
    "Some after a crash are normal: this is the exactly-once rule at work.",
)
TABLE_COMMIT_SECONDS = histogram(
    "logflume_table_commit_seconds",
    (),
    "Time of one try to commit rows to a table's log, its files written before.",
    "Above a second: the object store is slow, see logflume_store_request_seconds; or many write one table.",
)
STORE_SECONDS = histogram(
    "logflume_store_request_seconds",
    ("operation",),
    "Time of one request to the object store: write, make (if absent), look, read, list or delete; retries counted in.",
    "Its rise is the store's, or the network's; flushes and merges wait for it.",
)
STORE_ERRORS = counter(
    "logflume_store_errors_total",
    "errors",
    ("operation",),
    "Requests to the object store that failed after all their retries.",
    "The worker's log says what the store answered: is it up, are keys and bucket right?",
)
