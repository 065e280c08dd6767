"""The care of tables: what was merged, expired and deleted."""

from __future__ import annotations

from logflume.metrics.metric import counter, gauge, gauges, histogram

CARE_TABLES = gauge(
    "logflume_care_tables",
    "tables",
    (),
    "Tables that this worker looks after.",
    "0 on all workers: they are no members of care_group, or no table is at rest.",
)
CARE_LATE = gauge(
    "logflume_care_late_seconds",
    "seconds",
    (),
    "How long the table waits that is due for a look longest, one that is looked at included.",
    "Grows: does one look never end (`/live`, the store)? Else add workers, or raise care_idle_seconds.",
)
CARE_CLOCK = gauge(
    "logflume_care_clock_seconds",
    "seconds",
    (),
    "This machine's time minus the store's, when they were last compared.",
    "More than 300 either way: nothing is removed until they agree; set the clock of this machine, or the store's.",
)
CARE_LOOKS = counter(
    "logflume_care_looks_total",
    "looks",
    ("result",),
    "Looks at a table: worked, idle or failed.",
    "Many failed: the worker's log and its `/ready` name the table and why.",
)
CARE_SECONDS = histogram(
    "logflume_care_look_seconds",
    (),
    "Time of one look at one table.",
    "Long: many small files came since the last one; a second worker halves the tables of each.",
)
CARE_FILES = counter(
    "logflume_care_files_total",
    "files",
    ("what",),
    "Data files that were merged, made by that, expired, vacuumed or deleted.",
    "merged stands still while sinks write small files: is a care worker running?",
)
CARE_ROWS = counter(
    "logflume_care_rows_total",
    "rows",
    ("what",),
    "Rows that were written again by merging, or that expired.",
    "merged many times what sinks write: raise care_fan_in.",
)
CARE_BYTES = counter(
    "logflume_care_bytes_total",
    "bytes",
    ("what",),
    "Bytes that merging has read and written.",
    "As logflume_care_rows_total.",
)
CARE_CONFLICTS = counter(
    "logflume_care_lost_commits_total",
    "commits",
    (),
    "Changes of tables that came second to somebody else's commit, and were decided again.",
    "Many: several carers look after the same tables, or sinks commit many times a second.",
)
CARE_SMALL_FILES = gauges(
    "logflume_care_small_files",
    "files",
    ("dataset",),
    "Data files smaller than half of care_file_bytes in the tables that this worker looks after, by its last look.",
    "Grows for hours: looks come too late (logflume_care_late_seconds) or fail; add workers. Queries slow down.",
)
