"""What a user is told about settings that are wrong."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection

from pydantic import ValidationError

from logflume.errors import Misconfigured
from logflume.settings.names import PREFIX, SETTINGS_VARIABLE, STACK_VARIABLE, TEST_PREFIX, variable


def refuse_unknown_variables(settings: Collection[str]) -> None:
    """A mistyped variable would otherwise be a silent default."""
    known = {variable(name) for name in settings} | {SETTINGS_VARIABLE, STACK_VARIABLE}
    for name in os.environ:
        if name.startswith(PREFIX) and name.upper() not in known and not name.startswith(TEST_PREFIX):
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f" Did you mean {near[0]}?" if near else " docs/settings.md lists them."
            raise Misconfigured(f"{name} is not a setting.{hint}")


def explain(error: ValidationError, settings: Collection[str]) -> str:
    """One line for each mistake; values are left out, one may be a secret."""
    lines = []
    for mistake in error.errors(include_input=False, include_url=False, include_context=False):
        if not mistake["loc"]:  # several settings that don't go together: they name themselves
            lines.append(mistake["msg"].removeprefix("Value error, "))
            continue
        name = str(mistake["loc"][0])
        if mistake["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, settings, n=1)
            lines.append(f"{name} is not a setting." + (f" Did you mean {near[0]}?" if near else ""))
        else:
            lines.append(f"{variable(name)} ({name}): {mistake['msg']}")
    return "\n".join(lines)
