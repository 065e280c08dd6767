"""What the watch shows: workers by what they tell, the pressure, and what edges do about it."""

from __future__ import annotations

from logflume.metrics.metric import counter, gauge, gauges

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
STATUS_WORKERS = gauges(
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
WORKER_AGE = gauges(
    "logflume_worker_status_age_seconds",
    "seconds",
    ("kind", "worker"),
    "How long ago the worker said anything.",
    "Above some periods of status_seconds: it is stopped, dead, or has lost Kafka; it is stale then.",
)
WORKER_GENERATION = gauges(
    "logflume_worker_config_generation",
    "generation",
    ("kind", "worker"),
    "Generation of the configuration that the worker has in force, by its last word; 0: none yet.",
    "Less than that of others for more than some seconds: `logflume status` says why it does not follow.",
)
WORKER_HASH = gauges(
    "logflume_worker_config_hash_info",
    "info",
    ("kind", "worker", "hash"),
    "1 at the hash of the configuration that the worker has in force.",
    "Two hashes of one generation: one worker was given another; `logflume config show` has the right one.",
)
WORKER_CONFIG_AGE = gauges(
    "logflume_worker_config_age_seconds",
    "seconds",
    ("kind", "worker"),
    "How long ago the configuration was made that the worker has in force, by its last word.",
    "Older than the last `logflume config apply`: `logflume status` says why the worker does not follow.",
)
WORKER_DEADLETTERS = counter(
    "logflume_worker_deadletter_rows_total",
    "rows",
    ("kind", "reason"),
    "Rows (of reason retention: messages) of which edges, sorters and sinks tell that they are dead letters, since the "
    "watch began.",
    "`logflume deadletter list --reason …` shows them; docs/deadletters.md says what each reason means.",
)
WORKER_PARKED = gauges(
    "logflume_worker_parked_pairs",
    "pairs",
    ("kind", "worker"),
    "Tables and jobs that wait at a cursor in the log, by the sink that has them.",
    "`logflume status` names the destinations that fail; docs/parking.md.",
)
WORKER_PARKED_LEFT = gauges(
    "logflume_worker_parked_left_seconds",
    "seconds",
    ("kind", "worker"),
    "Time until retention may overtake a parked table or job of this sink; absent while nobody is parked.",
    "Alert at a quarter of the retention. Mend the destination, or raise the topic's retention.ms.",
)
