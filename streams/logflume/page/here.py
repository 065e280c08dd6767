"""One request of somebody who is signed in: who, what there is for him, and what is asked on his behalf."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from logflume.api.problem import Problem
from logflume.model.dataset import Dataset
from logflume.page.asking import Asking
from logflume.page.html import render
from logflume.page.view import View

NO_STORE = {"Cache-Control": "no-store"}


@dataclass
class Here:
    """See above. ``asking`` is None, and ``tenant`` empty, as long as nobody is signed in."""

    request: Request
    asking: Asking | None
    tenant: str
    known: Mapping[str, Dataset]
    now: datetime
    theme: str
    datasets: list[str] = field(default_factory=list)

    @property
    def ask(self) -> Asking:
        """What asks the API for him."""
        assert self.asking is not None
        return self.asking

    @property
    def address(self) -> str:
        """Where he is, to come back to."""
        url = self.request.url
        return url.path + (f"?{url.query}" if url.query else "") if self.request.method == "GET" else "/"

    def asked(self, name: str) -> str:
        """Return a parameter of the address; empty when it is not there."""
        return self.request.query_params.get(name, "")

    def dataset(self) -> Dataset:
        """Return the dataset that the path names; ``Problem`` 404 for one that the tenant does not keep."""
        name = self.request.path_params["dataset"]
        if name not in self.datasets:
            there = f"there are {', '.join(self.datasets)}" if self.datasets else "there is none"
            raise Problem(404, "not-found", f"{self.tenant} keeps no dataset {name!r:.80}; {there}")
        return self.known[name]

    def view(self) -> View:
        """Return the view of a dataset that the address is."""
        return View.read(self.dataset(), self.request.query_params, self.now)

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page, whole."""
        return HTMLResponse(self.html(template, **values), status, NO_STORE)

    def html(self, template: str, **values: Any) -> str:
        """Return what a template makes of this request and the values."""
        return render(template, here=self, **values)


Endpoint = Callable[[Here], Awaitable[Response]]
