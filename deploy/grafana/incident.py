"""Incident: the configuration, caps, pressure and guards, link by link of the incident that this project began with."""

from deploy.grafana import limits
from deploy.grafana.board import Board, Row
from deploy.grafana.panel import ANY, Marks, series, stat, table
from deploy.grafana.promql import each, highest, kinds, lowest, rate, summed

BOARD = Board(
    "incident",
    "Incident",
    "Configuration, caps, pressure and guards: what would have to break, link by link, before records are lost.",
    (
        Row(
            "Configuration",
            (
                stat("Pairs wanted", highest("logflume_config_active_pairs"), "configuration.md#guards"),
                stat("Generation", highest("logflume_worker_config_generation"), "configuration.md"),
                stat(
                    "Refused",
                    summed("logflume_config_refused_generations_total"),
                    "configuration.md#guards",
                    ANY,
                ),
                stat(
                    "Configurations in force",
                    kinds("logflume_worker_config_hash_info", "hash"),
                    "configuration.md#how-workers-follow",
                    Marks(orange=2),
                    about="1, but for some seconds after each `config apply`.",
                ),
                stat(
                    "Longest unsure of it",
                    highest("logflume_config_age_seconds"),
                    "configuration.md#how-workers-follow",
                    limits.CONFIGURATION,
                ),
                stat(
                    "Last good one not kept",
                    summed("logflume_config_last_good_errors_total"),
                    "configuration.md#where-it-is",
                    ANY,
                ),
                series(
                    "Pairs wanted, by worker",
                    (highest("logflume_config_active_pairs", "instance"), "{{instance}}"),
                    read="configuration.md#guards",
                ),
                series(
                    "Generation by worker",
                    (highest("logflume_worker_config_generation", "kind", "worker"), "{{kind}} {{worker}}"),
                    read="configuration.md#how-workers-follow",
                ),
                series(
                    "How long unsure of it",
                    (highest("logflume_config_age_seconds", "instance"), "{{instance}}"),
                    read="configuration.md#how-workers-follow",
                    marks=limits.CONFIGURATION,
                ),
                series(
                    "Refused by reason",
                    (summed("logflume_config_refused_generations_total", "reason"), "{{reason}}"),
                    (summed("logflume_config_last_good_errors_total", "doing"), "last good one: {{doing}}"),
                    read="incident.md#what-an-operator-sees",
                ),
                series(
                    "Generation by process",
                    (highest("logflume_config_generation", "instance"), "{{instance}}"),
                    read="configuration.md#how-workers-follow",
                    about="By its own `/metrics`; *Generation by worker* tells what workers say on the topic `status`.",
                ),
                series(
                    "Rows that wait for a configuration",
                    (summed("logflume_sink_waiting_partitions"), "sinks' partitions that wait"),
                    (rate("logflume_sink_configuration_errors_total"), "not got in time, a second"),
                    (highest("logflume_sort_configuration_wait_seconds", "dataset"), "sorters, seconds: {{dataset}}"),
                    (rate("logflume_sort_forged_markers_total", "dataset"), "forged markers, a second: {{dataset}}"),
                    read="sink.md#a-new-configuration",
                    unit="none",
                ),
                table(
                    "Configuration by worker",
                    (highest("logflume_worker_config_hash_info", "kind", "worker", "hash"), "in force"),
                    read="configuration.md#how-workers-follow",
                    width=16,
                ),
                series(
                    "Age of the configuration, by worker",
                    (highest("logflume_worker_config_age_seconds", "kind", "worker"), "{{kind}} {{worker}}"),
                    read="configuration.md#how-workers-follow",
                ),
                series(
                    "Hashes by process",
                    (summed("logflume_config_hash_info", "hash"), "{{hash}}"),
                    read="configuration.md#how-workers-follow",
                    stacked=True,
                    width=24,
                ),
            ),
        ),
        Row(
            "Caps and parking",
            (
                series(
                    "Parked",
                    (summed("logflume_sink_parked_pairs", "reason"), "{{reason}}"),
                    read="parking.md#what-to-look-at",
                    stacked=True,
                ),
                series(
                    "New pairs that a cap parked",
                    (rate("logflume_sink_new_parked_pairs_total", "dataset"), "{{dataset}}"),
                    read="parking.md#when",
                ),
                series(
                    "Parked, by worker",
                    (highest("logflume_worker_parked_pairs", "kind", "worker"), "{{kind}} {{worker}}"),
                    read="parking.md#what-to-look-at",
                ),
                series(
                    "Time left until retention takes what is parked",
                    (lowest("logflume_sink_parked_left_seconds", "dataset"), "{{dataset}}"),
                    (lowest("logflume_worker_parked_left_seconds", "worker"), "by its word: {{worker}}"),
                    read="parking.md#before-rows-are-lost",
                    marks=limits.LEFT,
                ),
                series(
                    "Oldest rows parked",
                    (each("logflume_sink_parked_age_seconds"), "{{instance}}"),
                    read="parking.md#before-rows-are-lost",
                ),
                series(
                    "Behind, and caught up",
                    (summed("logflume_sink_parked_behind_messages"), "messages behind"),
                    (rate("logflume_sink_caught_up_messages_total"), "read by catch-up scans, a second"),
                    read="parking.md#what-happens-then",
                ),
            ),
        ),
        Row(
            "Pressure",
            (
                series(
                    "Pressure by stage",
                    (highest("logflume_pressure_ratio", "stage"), "{{stage}}"),
                    read="pressure.md#what-is-measured",
                    marks=limits.PRESSURE,
                ),
                series(
                    "Level",
                    (summed("logflume_pressure_level_info", "level"), "{{level}}"),
                    read="pressure.md#the-levels",
                    stacked=True,
                    about="How many watches and edges are at each level.",
                ),
                series(
                    "How late each stage is",
                    (highest("logflume_pressure_lag_seconds", "stage"), "{{stage}}"),
                    read="pressure.md#what-is-measured",
                    marks=limits.LATE,
                ),
                series(
                    "Senders made to wait",
                    (each("logflume_pressure_wait_seconds_total"), "{{instance}}"),
                    read="pressure.md#the-levels",
                    unit="none",
                    width=12,
                    about="Senders that wait at a time: seconds of waiting in a second.",
                ),
                series(
                    "Requests refused",
                    (each("logflume_pressure_refused_requests_total"), "{{instance}}"),
                    read="pressure.md#the-levels",
                    width=12,
                ),
                series(
                    "Not wanted",
                    (rate("logflume_edge_dropped_rows_total", "dataset", "reason"), "edge, {{dataset}}: {{reason}}"),
                    (rate("logflume_sink_unwanted_rows_total", "dataset"), "sink, {{dataset}}: dead letters"),
                    read="configuration.md#what-is-forwarded",
                    width=12,
                    about="A configuration that went blank would show here: guards refuse it.",
                ),
                series(
                    "Dead letters by dataset",
                    (rate("logflume_edge_bad_rows_total", "dataset", "reason"), "edge, {{dataset}}: {{reason}}"),
                    (rate("logflume_sort_deadletter_rows_total", "dataset", "reason"), "sort, {{dataset}}: {{reason}}"),
                    (rate("logflume_sink_unwanted_rows_total", "dataset"), "sink, {{dataset}}: unwanted"),
                    read="deadletters.md#a-flood",
                    width=12,
                ),
            ),
        ),
        Row(
            "Workers",
            (
                series(
                    "Silent since",
                    (highest("logflume_worker_status_age_seconds", "kind", "worker"), "{{kind}} {{worker}}"),
                    read="pressure.md#what-workers-tell",
                    marks=limits.SILENT,
                ),
                series(
                    "Fresh and stale",
                    (summed("logflume_status_workers", "kind", "state"), "{{kind}} {{state}}"),
                    read="pressure.md#what-workers-tell",
                    stacked=True,
                ),
                series(
                    "What they say",
                    (rate("logflume_status_messages_total", "instance"), "{{instance}}"),
                    (rate("logflume_status_errors_total", "what"), "failed: {{what}}"),
                    read="pressure.md#what-workers-tell",
                ),
            ),
        ),
        Row(
            "Lost",
            (
                stat(
                    "Before sorters",
                    summed("logflume_sort_lost_messages_total"),
                    "deadletters.md",
                    ANY,
                    width=4,
                ),
                stat("Before sinks", summed("logflume_sink_lost_messages_total"), "deadletters.md", ANY),
                stat(
                    "While parked",
                    summed("logflume_sink_parked_lost_messages_total"),
                    "parking.md#before-rows-are-lost",
                    ANY,
                ),
                stat("Unread by a group", summed("logflume_lag_lost_records"), "watch.md", ANY),
                stat(
                    "By the disk of a spool",
                    summed("logflume_edge_spool_quarantined_messages_total"),
                    "spool.md#on-disk",
                    ANY,
                ),
                stat(
                    "By a full socket",
                    summed("logflume_edge_syslog_lost_messages_total"),
                    "syslog.md#pressure-and-limits",
                    ANY,
                ),
            ),
        ),
    ),
)
