"""The page, asked without a network, as a browser would: it keeps cookies and says where its requests come from."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx

from logflume.api.app import Api
from logflume.clock import ManualClock
from logflume.explore.engine.engine import Engine
from logflume.page.app import front
from logflume.settings import Settings
from logflume.table.store import Store
from tests.support.api import ACME, Fixed
from tests.support.asking import forks
from tests.support.tables import DAY, NOON, SMALL

HERE = "http://logflume"


class Browser:
    """One browser of one person. ``source`` and ``clock`` are the server's."""

    def __init__(self, store: Store, runner: asyncio.Runner, **settings: Any) -> None:
        self.runner = runner
        self.source = Fixed()
        self.clock = ManualClock(now_ns=NOON + 3 * DAY)
        chosen = Settings(
            **{"serve_token_requests": 0, "serve_tenant_requests": 0, "serve_address_failures": 0} | settings
        )
        datasets = {"http_requests": SMALL}
        self.engine = Engine(chosen, store, datasets, forks=forks())
        runner.run(self.engine.start())
        api = Api(chosen, datasets, self.source, self.engine, self.clock)  # type: ignore[arg-type]
        self.application = front(api)
        self.cookies = httpx.Cookies()

    def close(self) -> None:
        """End what was started."""
        self.runner.run(self.engine.close())

    async def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Sec-Fetch-Site": "same-origin", "Origin": HERE} | more.pop("headers", {})
        transport = httpx.ASGITransport(self.application)
        async with httpx.AsyncClient(transport=transport, base_url=HERE, cookies=self.cookies) as client:
            answer = await client.request(method, path, headers=headers, **more)
            self.cookies = client.cookies
            return answer

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.runner.run(self.send("GET", path, **more))

    def post(self, path: str, form: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        return self.runner.run(self.send("POST", path, data=form or {}, **more))

    def sign_in(self, token: str = ACME) -> httpx.Response:
        return self.post("/sign-in", {"token": token})

    def html(self, path: str, status: int = 200) -> str:
        answer = self.get(path)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"].startswith("text/html")
        return answer.text


def texts(html: str) -> str:
    """What a reader sees, roughly: without tags, with one space between words."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)).strip()
