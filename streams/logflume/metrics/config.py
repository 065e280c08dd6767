"""The configuration in force, and what was refused."""

from __future__ import annotations

from logflume.metrics.metric import counter, gauge

CONFIG_PAIRS = gauge(
    "logflume_config_active_pairs",
    "pairs",
    (),
    "Tenant and dataset pairs of the configuration in force.",
    "A sudden change that nobody made is an incident: compare the tenants' files with what they were.",
)
CONFIG_GENERATION = gauge(
    "logflume_config_generation",
    "generation",
    (),
    "Generation of the configuration in force here; 0: none yet, or a worker that follows none (watch).",
    "Differs between workers for longer than 5 s: one of them does not follow; `logflume status` says why.",
)
CONFIG_HASH = gauge(
    "logflume_config_hash_info",
    "info",
    ("hash",),
    "1 at the hash of the configuration in force here.",
    "Two hashes of one generation among workers: one was given another; `logflume config show` has the right one.",
)
CONFIG_AGE = gauge(
    "logflume_config_age_seconds",
    "seconds",
    (),
    "How long ago the configuration in force was last known to be the newest one.",
    "Alert above 60: Kafka does not answer, or logflume_config_refused_generations_total says what is wrong.",
)
CONFIG_REFUSED = counter(
    "logflume_config_refused_generations_total",
    "generations",
    ("reason",),
    "Configurations that were offered and did not come in force; the last good one did its work on.",
    "Alert on any: the log line config.refused says what is wrong; `logflume config apply` makes a good one.",
)
CONFIG_DISK_ERRORS = counter(
    "logflume_config_last_good_errors_total",
    "errors",
    ("doing",),
    "Times that the last good configuration could not be read from this host's disk, or not be written there.",
    "A start without Kafka would have no configuration from this host: look at config_dir's disk and rights.",
)
