"""Statuses and pressure: what workers tell, what the watch measures, what edges do about it."""

from __future__ import annotations

from logflume.metrics.metric import counter, gauge

STATUS_MESSAGES = counter(
    "logflume_status_messages_total",
    "messages",
    (),
    "Records of this worker that Kafka took on the topic status.",
    "Stands still: see logflume_status_errors_total; nothing else waits for them.",
)
STATUS_ERRORS = counter(
    "logflume_status_errors_total",
    "errors",
    ("what",),
    "Status records that were dropped, could not be read or not be followed.",
    "`write`, `follow`: Kafka is away, or the topic is missing (`logflume topics apply`). `read`: who writes there?",
)
STATUS_WORKERS = gauge(
    "logflume_status_workers",
    "workers",
    ("kind", "state"),
    "Workers that a watch knows of; state is fresh or stale.",
    "Stale ones died without a word, or have lost Kafka: `logflume status` names them.",
)
PRESSURE_SHARE = gauge(
    "logflume_pressure_ratio",
    "ratio",
    ("stage",),
    "How near a stage is to its nearest limit; 1: reached, edges stop.",
    "`logflume status` and docs/pressure.md say which limit it is: add workers, or repair what holds them up.",
)
PRESSURE_LEVEL = gauge(
    "logflume_pressure_level_info",
    "info",
    ("level",),
    "1 at the level that this watch publishes, or that this edge follows: none, slow or stop.",
    "Alert on slow: senders wait. At stop they are refused; nothing that was accepted is lost.",
)
PRESSURE_LAG = gauge(
    "logflume_pressure_lag_seconds",
    "seconds",
    ("stage",),
    "Age of the oldest record that the stage has not committed, in all of its partitions.",
    "Grows: the stage is too slow, stopped, or a partition of it is; logflume_pressure_ratio leaves single ones out.",
)
PRESSURE_WAIT = counter(
    "logflume_pressure_wait_seconds_total",
    "seconds",
    (),
    "Time that senders spent waiting because of pressure.",
    "Its cause is behind this edge: see logflume_pressure_ratio of the watch.",
)
PRESSURE_REFUSED = counter(
    "logflume_pressure_refused_requests_total",
    "requests",
    (),
    "Requests and calls that were refused because of pressure, with the advice to come again.",
    "Its cause is behind this edge: see logflume_pressure_ratio of the watch.",
)
