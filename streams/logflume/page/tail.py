"""Records as they come."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from logflume.errors import LogflumeError
from logflume.page.here import Here
from logflume.page.view import OPERATORS

_SAMPLES: Final = ("", "0.1", "0.01")


async def tail(here: Here) -> Response:
    """A page whose script listens to the API's stream of a dataset, by the filter that the address has."""
    view = here.view()
    sample = here.asked("sample") if here.asked("sample") in _SAMPLES else ""
    mistake, parameters = "", {}
    try:
        asked: dict[str, Any] = {"dataset": view.dataset.name, **view.parameters(), "sample": sample}
        parameters = {name: value for name, value in asked.items() if value}
    except LogflumeError as error:
        mistake = str(error)
    return here.page(
        "tail.html",
        400 if mistake else 200,
        view=view,
        operators=OPERATORS,
        mistake=mistake,
        parameters=parameters,
        sample=sample,
    )
