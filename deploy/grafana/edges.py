"""Edges: what comes in by each way, what is refused, and what waits in spools."""

from deploy.grafana import limits
from deploy.grafana.board import Board, Row
from deploy.grafana.panel import ANY, series, stat
from deploy.grafana.promql import each, highest, quantile, rate, summed

BOARD = Board(
    "edges",
    "Edges",
    "What comes in by each way, what is handed back, and what waits for Kafka.",
    (
        Row(
            "Now",
            (
                stat("Rows a second", rate("logflume_edge_rows_total"), "http.md"),
                stat("Bytes a second", rate("logflume_edge_bytes_total"), "http.md"),
                stat("Fullest spool", highest("logflume_edge_spool_ratio"), "spool.md", limits.SPOOL),
                stat(
                    "Oldest in a spool",
                    highest("logflume_edge_spool_age_seconds"),
                    "spool.md#when-a-message-goes-to-the-spool",
                    limits.STUCK,
                ),
                stat(
                    "Lost to a disk",
                    summed("logflume_edge_spool_quarantined_messages_total"),
                    "spool.md#on-disk",
                    ANY,
                ),
                stat(
                    "Datagrams lost",
                    summed("logflume_edge_syslog_lost_messages_total"),
                    "syslog.md",
                    ANY,
                ),
            ),
        ),
        Row(
            "What comes in",
            (
                series("Rows taken", (rate("logflume_edge_rows_total", "dataset"), "{{dataset}}"), read="http.md"),
                series("Bytes taken", (rate("logflume_edge_bytes_total", "dataset"), "{{dataset}}"), read="http.md"),
                series(
                    "Rows a block",
                    (
                        rate("logflume_edge_rows_total", "dataset") / rate("logflume_edge_blocks_total", "dataset"),
                        "{{dataset}}",
                    ),
                    read="performance.md",
                    about="Few rows a block cost throughput (`logflume_edge_blocks_total`).",
                ),
                series(
                    "Handed back, or not wanted",
                    (rate("logflume_edge_bad_rows_total", "dataset", "reason"), "bad, {{dataset}}: {{reason}}"),
                    (rate("logflume_edge_dropped_rows_total", "dataset", "reason"), "dropped, {{dataset}}: {{reason}}"),
                    read="configuration.md#what-is-forwarded",
                ),
                series(
                    "Over their rates",
                    (rate("logflume_edge_over_rate_rows_total", "way"), "{{way}}"),
                    (rate("logflume_sort_over_rate_rows_total", "dataset"), "plain records, {{dataset}}"),
                    read="configuration.md#rates",
                ),
                series(
                    "Sends that failed",
                    (rate("logflume_edge_errors_total", "reason"), "{{reason}}"),
                    read="produce.md",
                ),
            ),
        ),
        Row(
            "Spool and memory",
            (
                series(
                    "How full spools are",
                    (each("logflume_edge_spool_ratio"), "{{instance}}"),
                    read="spool.md",
                    marks=limits.SPOOL,
                ),
                series(
                    "What spools take",
                    (each("logflume_edge_spool_bytes"), "{{instance}}"),
                    read="spool.md",
                ),
                series(
                    "Oldest message in a spool",
                    (each("logflume_edge_spool_age_seconds"), "{{instance}}"),
                    read="spool.md#when-a-message-goes-to-the-spool",
                    marks=limits.STUCK,
                ),
                series(
                    "Messages that went to disk",
                    (each("logflume_edge_spool_messages_total"), "{{instance}}"),
                    read="spool.md#when-a-message-goes-to-the-spool",
                ),
                series(
                    "Spools' troubles",
                    (rate("logflume_edge_spool_errors_total", "reason"), "{{reason}}"),
                    (rate("logflume_edge_spool_unknown_messages_total", "topic"), "sent again, unknown: {{topic}}"),
                    read="spool.md#after-a-crash",
                ),
                series(
                    "Accepted and not acknowledged",
                    (each("logflume_edge_buffered_bytes"), "{{instance}}"),
                    read="produce.md",
                ),
            ),
        ),
        Row(
            "HTTP",
            (
                series(
                    "Requests by answer",
                    (rate("logflume_edge_http_requests_total", "protocol", "status"), "{{protocol}} {{status}}"),
                    read="http.md#limits",
                    stacked=True,
                ),
                series(
                    "Time until the answer, 99 of 100",
                    (quantile(0.99, "logflume_edge_http_seconds", "protocol"), "{{protocol}}"),
                    read="http.md#how-fast",
                ),
                series(
                    "Bytes as they were sent",
                    (rate("logflume_edge_http_bytes_total", "protocol"), "{{protocol}}"),
                    read="http.md",
                ),
                series(
                    "Rows a request",
                    (
                        rate("logflume_edge_http_rows_total", "protocol")
                        / rate("logflume_edge_http_requests_total", "protocol"),
                        "{{protocol}}",
                    ),
                    read="http.md#how-fast",
                ),
                series(
                    "Connections",
                    (each("logflume_edge_http_connections"), "HTTP, {{instance}}"),
                    (each("logflume_edge_syslog_connections"), "syslog, {{instance}}"),
                    read="http.md#limits",
                ),
                series(
                    "Memory of bodies in work",
                    (each("logflume_edge_http_work_bytes"), "{{instance}}"),
                    read="http.md#limits",
                ),
            ),
        ),
        Row(
            "Syslog and files",
            (
                series(
                    "Syslog messages",
                    (rate("logflume_edge_syslog_messages_total", "transport"), "{{transport}}"),
                    read="syslog.md",
                ),
                series(
                    "Syslog messages lost, cut or refused",
                    (rate("logflume_edge_syslog_lost_messages_total"), "lost"),
                    (rate("logflume_edge_syslog_cut_messages_total"), "cut"),
                    (rate("logflume_edge_syslog_refused_messages_total", "reason"), "refused: {{reason}}"),
                    read="syslog.md#pressure-and-limits",
                ),
                series(
                    "Syslog connections ended",
                    (rate("logflume_edge_syslog_refused_connections_total", "reason"), "{{reason}}"),
                    read="syslog.md#pressure-and-limits",
                ),
                series(
                    "Files followed",
                    (each("logflume_edge_tail_files"), "{{instance}}"),
                    read="tail.md",
                ),
                series(
                    "Bytes of files that are not read",
                    (each("logflume_edge_tail_lag_bytes"), "{{instance}}"),
                    read="tail.md",
                ),
                series(
                    "Bytes of files read",
                    (each("logflume_edge_tail_bytes_total"), "{{instance}}"),
                    read="tail.md",
                ),
                series(
                    "Files that could not be read",
                    (rate("logflume_edge_tail_errors_total", "reason"), "{{reason}}"),
                    read="tail.md",
                    width=24,
                ),
            ),
        ),
    ),
)
