"""Bodies that drip or never end, at the explorer's API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from logflume.api import body
from logflume.api.problem import Problem


def request(parts: list[bytes], *, ends: bool) -> Request:
    """One whose body comes in ``parts``; without an end it then stays silent."""
    coming = iter(parts)

    async def receive() -> dict[str, Any]:
        part = next(coming, None)
        if part is None and not ends:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


def read(parts: list[bytes], *, ends: bool = True, most: int = 10) -> bytes:
    return asyncio.run(body.whole(request(parts, ends=ends), most, "a form"))


def test_a_body_comes_whole() -> None:
    assert read([b"12345", b"67890"]) == b"1234567890"
    assert read([]) == b""


def test_one_that_is_too_large_is_refused_before_its_end() -> None:
    with pytest.raises(Problem, match="a form has at most 10 bytes") as refused:
        read([b"12345678901"], ends=False)
    assert refused.value.status == 413


def test_one_that_does_not_come_to_its_end_is_answered_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "SECONDS", 0.05)
    with pytest.raises(Problem, match="must be whole within") as late:
        read([b"12"], ends=False)
    assert late.value.status == 408
