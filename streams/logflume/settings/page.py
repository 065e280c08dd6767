"""docs/settings.md, as the declarations give it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo

from logflume.settings.names import SETTINGS_VARIABLE, variable
from logflume.settings.settings import STAGES

PLACES = {
    "state_dir": "`~/.local/state/logflume`",
    "cache_dir": "`~/.cache/logflume`",
    "edge_id": "host name",
    "kafka_options": "`{}`",
}


def page() -> str:
    """Every setting with its variable, type, default and meaning, stage by stage."""
    lines = [
        "# Settings",
        "",
        "Generated from `streams/logflume/settings/` by `make docs`; a test keeps it current.",
        "",
        "A value comes from the first of: a variable, `logflume.toml` in the current folder (or the file that",
        f"`{SETTINGS_VARIABLE}` names; the setting's name in small letters), the stack that `logflume local up` runs.",
        "Sizes may be written as `64MB` or as a number of bytes. A `LOGFLUME_` variable that is not here is refused.",
    ]
    for stage in STAGES:
        about = inspect.cleandoc(stage.__doc__ or "").replace("``", "`")
        lines += ["", f"## {stage.model_config['title']}", "", about, ""]
        lines += ["| variable | type | default | meaning |", "|---|---|---|---|"]
        for name, field in stage.model_fields.items():
            row = (f"`{variable(name)}`", _type(field.annotation), _default(name, field), str(field.description))
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(get_args(annotation))
    if get_origin(annotation) is dict:
        return "JSON object"
    names: dict[Any, str] = {
        str: "text",
        int: "number",
        float: "number",
        ByteSize: "size",
        SecretStr: "secret",
        Path: "folder",
    }
    return names[annotation]


def _default(name: str, field: FieldInfo) -> str:
    if name in PLACES:
        return PLACES[name]
    value = field.default
    if isinstance(value, SecretStr) or value == "":
        return "–"
    return f"`{value.human_readable(decimal=True, separator='')}`" if isinstance(value, ByteSize) else f"`{value}`"
