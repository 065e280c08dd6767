"""What a tenant is told of an error, and what is for the log alone."""

from __future__ import annotations

import structlog

from logflume.api import problem
from logflume.errors import Retryable


def test_where_records_are_kept_is_for_the_log_and_not_for_a_tenant() -> None:
    words = "s3://bucket/tables/acme/http_requests could not be read: 403 from http://store.internal:9000, account 4711"
    with structlog.testing.capture_logs() as logged:
        told = problem.of(Retryable(words))
    assert (told.status, told.kind, told.retry_seconds) == (503, "store-failed", 2)
    assert not {"bucket", "internal", "4711", "acme"} & set(told.detail.replace("/", " ").replace(":", " ").split())
    assert "ask again" in told.detail
    assert [each["error"] for each in logged] == [words]
