"""What every answer of the published API is wrapped in: ``result``, ``success``, ``errors``, ``messages``."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
from starlette.responses import Response

from logflume.api import forms
from logflume.api.forms import Form
from logflume.api.problem import Problem
from logflume.explore.plain import distinct

_CODES: Final = {"no-token": 10000, "wrong-scope": 9109, "not-found": 7003}
"""Those that Cloudflare names; the code of any other mistake is its HTTP status."""


def succeeded(result: Any) -> Response:
    """Return an answer that is there whole."""
    return forms.response({"result": result, "success": True, "errors": [], "messages": []})


def bare(result: Any) -> Response:
    """Return an answer that the published API does not wrap."""
    return forms.response(result)


def failed(problem: Problem) -> Response:
    """Return a problem as the published API tells one, with the headers that it has anyway."""
    told = problem.response()
    code = problem.status if problem.status == 405 else _CODES.get(problem.kind, problem.status)
    error = {"code": code, "message": problem.detail}
    body = forms.text({"result": None, "success": False, "errors": [error], "messages": []})
    headers = {
        name: told.headers[name] for name in ("retry-after", "www-authenticate", "allow") if name in told.headers
    }
    return Response(body, problem.status, headers, media_type=forms.JSON.media)


class _Rows:
    """The rows of a query as ``result``, written as they come; a cut is told behind them."""

    def begin(self, schema: pa.Schema) -> bytes:
        self._names = distinct(schema.names)
        self._comma = b""
        return b'{"result":['

    def rows(self, batch: pa.RecordBatch) -> bytes:
        lines = b",\n".join(forms.text(record) for record in forms.records(batch, self._names))
        comma, self._comma = self._comma, b",\n"
        return comma + lines

    def end(self, about: dict[str, Any]) -> bytes:
        cut = f"there are more rows than the {about['limit']} that are told: write a LIMIT, or ask for less"
        messages = [cut] if about["limited"] else []
        return b'],"success":true,"errors":[],"messages":' + forms.text(messages) + b"}"


ROWS: Final = Form(forms.JSON.media, _Rows)
