"""Queries: asked, answered, and those who ask."""

from __future__ import annotations

from logflume.metrics.metric import counter, gauge, histogram

EXPLORE_REQUESTS = counter(
    "logflume_explore_requests_total",
    "requests",
    ("path", "status"),
    "Requests that the API has answered.",
    "Many 5xx: the log of `logflume serve` says why. Many 429: a tenant asks more than its turns allow.",
)
EXPLORE_SECONDS = histogram(
    "logflume_explore_request_seconds",
    ("path",),
    "Time until a request's answer began.",
    "Long: queries wait for a turn (explore_queries), the store is slow, or tables have many small files.",
)
EXPLORE_QUERIES = counter(
    "logflume_explore_queries_total",
    "queries",
    ("state",),
    "Queries that have ended: done, failed or cancelled.",
    "Many failed: `GET /api/v1/queries` of the tenant says why each did.",
)
EXPLORE_CONNECTIONS = gauge(
    "logflume_explore_connections",
    "connections",
    (),
    "Open connections of those who ask.",
    "Near serve_connections: new ones are answered 503.",
)
EXPLORE_AUDIT = counter(
    "logflume_explore_audit_rows_total",
    "rows",
    (),
    "Records of requests in tenants' audit_logs that are durable.",
    "Stands still while tenants who keep audit_logs ask: see the log for audit.lost.",
)
EXPLORE_AUDIT_LOST = counter(
    "logflume_explore_audit_lost_rows_total",
    "rows",
    (),
    "Records of requests that found no room while Kafka was away, or were not durable when the server ended.",
    "Each is in the log (audit.lost). Give serve_audit_spool_dir, or let serve_audit be required.",
)
EXPLORE_LIMITED = counter(
    "logflume_explore_limited_requests_total",
    "requests",
    ("by",),
    "Requests that were refused, 429, for their number: by token, tenant or address.",
    "token, tenant: a program asks in a loop, or raise serve_token_requests. address: somebody tries tokens.",
)
EXPLORE_TAIL_FOLLOWERS = gauge(
    "logflume_explore_tail_followers",
    "followers",
    (),
    "Who follows rows as they come.",
    "A tenant's are limited by explore_tail_followers.",
)
EXPLORE_TAIL_LOST = counter(
    "logflume_explore_tail_lost_rows_total",
    "rows",
    (),
    "Rows that followers did not get, and were told so: they take too slowly, want more than a follower may have, "
    "or have filters that are slower than the rows come.",
    "Many: their filters are wide, or have many conditions; `sample` takes a part.",
)
