"""What a form sends."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request

from logflume.api.body import whole
from logflume.api.problem import Problem

_MOST_BYTES: Final = 500_000
_MOST_FIELDS: Final = 100


async def form(request: Request) -> dict[str, str]:
    """Return the fields of a form's body; the last of those of one name. ``Problem`` 400, 408 and 413."""
    body = await whole(request, _MOST_BYTES, "a form")
    try:
        told = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Problem(400, "not-read", f"a form has at most {_MOST_FIELDS} fields") from None
    return {name: values[-1] for name, values in told.items()}
