"""Explorer: who asks how much, how long answers take, and what is refused."""

from deploy.grafana.board import Board, Row
from deploy.grafana.panel import ANY, Marks, series, stat
from deploy.grafana.promql import each, quantile, rate, summed

BOARD = Board(
    "explorer",
    "Explorer",
    "Questions to the API and the page: how many, how long they take, and what is refused.",
    (
        Row(
            "Now",
            (
                stat("Requests a second", rate("logflume_explore_requests_total"), "api.md"),
                stat(
                    "Half of all begin within",
                    quantile(0.5, "logflume_explore_request_seconds"),
                    "explore.md#fast-questions",
                    none="none asked",
                ),
                stat(
                    "99 of 100 begin within",
                    quantile(0.99, "logflume_explore_request_seconds"),
                    "explore.md#fast-questions",
                    Marks(orange=5, red=30),
                    none="none asked",
                ),
                stat(
                    "Server errors a second",
                    rate("logflume_explore_requests_total", status="=~5.."),
                    "api.md#problems",
                    Marks(orange=0.01, red=1),
                ),
                stat("Followers", summed("logflume_explore_tail_followers"), "api.md#tail"),
                stat(
                    "Audit records lost",
                    summed("logflume_explore_audit_lost_rows_total"),
                    "api.md#what-is-recorded",
                    ANY,
                ),
            ),
        ),
        Row(
            "Requests",
            (
                series(
                    "By path",
                    (rate("logflume_explore_requests_total", "path"), "{{path}}"),
                    read="api.md",
                    stacked=True,
                    width=12,
                ),
                series(
                    "By answer",
                    (rate("logflume_explore_requests_total", "status"), "{{status}}"),
                    read="api.md#problems",
                    stacked=True,
                    width=12,
                ),
                series(
                    "Time until an answer begins, 99 of 100",
                    (quantile(0.99, "logflume_explore_request_seconds", "path"), "{{path}}"),
                    read="explore.md#fast-questions",
                    width=12,
                ),
                series(
                    "Refused for their number",
                    (rate("logflume_explore_limited_requests_total", "by"), "by {{by}}"),
                    read="api.md#how-often",
                    width=12,
                ),
                series(
                    "Queries by their end",
                    (rate("logflume_explore_queries_total", "state"), "{{state}}"),
                    read="explore.md#limits-and-what-is-said-of-them",
                    stacked=True,
                ),
                series(
                    "Connections",
                    (each("logflume_explore_connections"), "{{instance}}"),
                    read="api.md#settings",
                ),
                series(
                    "Followers, and rows that they did not get",
                    (summed("logflume_explore_tail_followers"), "followers"),
                    (rate("logflume_explore_tail_lost_rows_total"), "rows not given, a second"),
                    read="api.md#tail",
                ),
                series(
                    "Records of requests",
                    (rate("logflume_explore_audit_rows_total"), "durable"),
                    (rate("logflume_explore_audit_lost_rows_total"), "lost"),
                    read="api.md#what-is-recorded",
                    width=24,
                ),
            ),
        ),
    ),
)
