"""The API, asked without a network: its queries run in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx
import orjson

from logflume import contract, model
from logflume.api.app import Api
from logflume.api.audit import DATASET as AUDIT
from logflume.api.audit import Audit
from logflume.clock import ManualClock, SystemClock
from logflume.errors import Unconfigured
from logflume.explore.engine.engine import Engine
from logflume.model import Configuration, Tenant, TenantDataset, Token
from logflume.model.token import Scope, digest, text_of
from logflume.settings import Settings
from logflume.table.store import Store
from tests.support.asking import forks
from tests.support.lookup import FakeLookup
from tests.support.producer import FakeProducer
from tests.support.tables import DAY, NOON, SMALL

ACME = text_of("acme", bytes(32))
GLOBEX = text_of("globex", bytes([1]) * 32)
SENDER = text_of("sender", bytes([2]) * 32)
ENDED = text_of("ended", bytes([3]) * 32)
CONTRACT = model.load(contract.find())
QUERY = frozenset({Scope.QUERY})


class Fixed:
    """Two tenants, until ``now`` is something else."""

    def __init__(self) -> None:
        wanted = {"http_requests": TenantDataset("http_requests", 7)}
        acme = (
            Token("acme", digest(ACME), scopes=QUERY),
            Token("sender", digest(SENDER)),
            Token("ended", digest(ENDED), scopes=QUERY, expires_ns=NOON),
        )
        self.now: Configuration | None = Configuration(
            1,
            "hash",
            {
                "acme": Tenant("acme", wanted, tokens=acme),
                "globex": Tenant("globex", wanted, tokens=(Token("globex", digest(GLOBEX), scopes=QUERY),)),
            },
        )

    def current(self) -> Configuration:
        if self.now is None:
            raise Unconfigured("none yet")
        return self.now


class Client:
    """Requests to an API, each answered whole."""

    def __init__(
        self, store: Store, runner: asyncio.Runner, *, producer: FakeProducer | None = None, **settings: Any
    ) -> None:
        """With a ``producer`` requests are recorded there."""
        self.source = Fixed()
        self.runner = runner
        self.store = store
        given = {"serve_token_requests": 0, "serve_tenant_requests": 0, "explore_recent_seconds": 0}
        chosen = Settings(**given | settings)
        datasets = {"http_requests": SMALL} | ({} if producer is None else {AUDIT: CONTRACT[AUDIT]})
        self.audit: Audit | None = None
        if producer is not None:  # first: with settings that don't do, nothing was started
            fakes: Any = {"make_producer": producer, "make_lookup": lambda _: FakeLookup(producer)}
            self.audit = Audit.opened(chosen, CONTRACT, self.source, SystemClock(), **fakes)  # type: ignore[arg-type]
        self.engine = Engine(chosen, store, datasets, forks=forks())
        runner.run(self.engine.start())
        self.clock = clock = ManualClock(now_ns=NOON + 3 * DAY)
        self.made = Api(chosen, datasets, self.source, self.engine, clock, self.audit)  # type: ignore[arg-type]
        self.renew()

    def renew(self) -> None:
        """Take up what was changed in ``made``."""
        self.api = self.made.application()

    def close(self) -> None:
        """End what was started."""
        self.runner.run(self.engine.close())
        if self.audit is not None:
            self.audit.close()

    async def send(self, method: str, path: str, token: str = ACME, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} | more.pop("headers", {})
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(self.api), base_url="http://logflume/api/v1"
        ) as client:
            return await client.request(method, path, headers=headers, **more)

    def __call__(self, method: str, path: str, token: str = ACME, **more: Any) -> httpx.Response:
        return self.runner.run(self.send(method, path, token, **more))

    def leave_at_once(self, sql: str, token: str = ACME) -> None:
        """Ask as a client does that has gone when its answer begins."""

        async def leave() -> None:
            said = iter([{"type": "http.request", "body": orjson.dumps({"sql": sql}), "more_body": False}])

            async def receive() -> Any:
                for message in said:
                    return message
                return await asyncio.get_running_loop().create_future()

            async def send(message: Any) -> None:
                raise OSError("gone")

            headers = [(b"authorization", f"Bearer {token}".encode()), (b"content-type", b"application/json")]
            scope = {"type": "http", "method": "POST", "path": "/api/v1/query", "query_string": b"", "headers": headers}
            with contextlib.suppress(Exception):
                await self.api({**scope, "asgi": {"spec_version": "2.4"}, "root_path": ""}, receive, send)

        self.runner.run(leave())

    def ask(self, sql: str, token: str = ACME, **asked: Any) -> Any:
        answer = self("POST", "/query", token, json={"sql": sql, **asked})
        assert answer.status_code == 200, answer.text
        return answer.json()


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == answer.status_code
    return answer.status_code, told["type"].removeprefix("urn:logflume:")
