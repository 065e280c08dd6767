"""Lag of every group, as the watch sees it: in records, in seconds, and what is wrong with groups."""

from __future__ import annotations

from logflume.metrics.metric import counter, gauge, gauges

LAG_RECORDS = gauges(
    "logflume_lag_partition_records",
    "records",
    ("group", "topic", "partition"),
    "Records (blocks, where blocks are) that the group has not committed.",
    "A single partition grows: its worker is stopped there, or a tenant is too large for one; all grow: add workers.",
)
LAG_SECONDS = gauges(
    "logflume_lag_partition_seconds",
    "seconds",
    ("group", "topic", "partition"),
    "Now minus the broker's append time of the first record that the group has not committed; 0 when there is none.",
    "Alert where it grows for minutes; `logflume lag` shows the partitions, `logflume status` the workers.",
)
LAG_LOST = gauges(
    "logflume_lag_lost_records",
    "records",
    ("group", "topic"),
    "Records between the committed offset and the beginning of the log: retention deleted them unread.",
    "Above 0 is a loss: start the group's workers, raise the retention; dead letters have the exact offsets.",
)
LAG_END = gauges(
    "logflume_lag_end_records",
    "records",
    ("group", "topic"),
    "Where the topic's log ends, summed over partitions: its rate is what comes.",
    "Stands still while senders send: see the edges.",
)
LAG_DONE = gauges(
    "logflume_lag_done_records",
    "records",
    ("group", "topic"),
    "Up to where the group is done, summed over partitions: its rate is what it does.",
    "Its rate is below that of logflume_lag_end_records for long: add workers.",
)
LAG_CATCH_UP = gauges(
    "logflume_lag_catch_up_seconds",
    "seconds",
    ("group", "topic"),
    "Time until the group has caught up, if all stays as fast as in the last minute; +Inf: it never will.",
    "+Inf for minutes: the group is too slow or stopped; add workers, see logflume_lag_stalled_partitions.",
)
LAG_STALLED = gauges(
    "logflume_lag_stalled_partitions",
    "partitions",
    ("group", "topic"),
    "Partitions with lag whose committed offset has stood for stall_seconds (a sink's: and a job's max_age_seconds).",
    "Alert on any: the worker is dead, stopped there or stuck; the log line watch.commit-stalled names one.",
)
LAG_VANISHED = gauges(
    "logflume_lag_vanished_groups",
    "groups",
    ("group",),
    "1 for a group that had committed offsets and has none any more.",
    "Somebody deleted it, or it was idle for offsets.retention.minutes: docs/sort.md, docs/sink.md.",
)
LAG_UNREAD = gauges(
    "logflume_lag_unread_topics",
    "topics",
    ("topic",),
    "1 for a topic with records of which no group has committed anything for stall_seconds.",
    "Start the workers that read it; are sort_group and sink_group the same everywhere?",
)
LAG_BACKWARDS = counter(
    "logflume_lag_backward_offsets_total",
    "offsets",
    ("group", "topic"),
    "Committed offsets that were lower than before.",
    "Somebody set them by hand, or Kafka lost commits: what is read again is stored once all the same.",
)
LAG_LOOK = gauge(
    "logflume_lag_look_seconds",
    "seconds",
    (),
    "How long the watch's last look at Kafka took.",
    "Near watch_seconds: raise that, or lower watch_searches; docs/performance.md says what a look costs.",
)
