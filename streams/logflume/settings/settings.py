"""The settings of one process, put together from those of the stages, and where their values come from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from logflume.errors import Misconfigured
from logflume.settings import security
from logflume.settings.alerting import Alerting
from logflume.settings.api import Api
from logflume.settings.care import Care
from logflume.settings.command import Command
from logflume.settings.config import Config
from logflume.settings.destinations import Destinations
from logflume.settings.edge import Edge
from logflume.settings.edge_http import EdgeHttp
from logflume.settings.edge_syslog import EdgeSyslog
from logflume.settings.edge_tail import EdgeTail
from logflume.settings.explore import Explore
from logflume.settings.kafka import Kafka
from logflume.settings.machine import Machine
from logflume.settings.mistakes import explain, refuse_unknown_variables
from logflume.settings.names import PREFIX, STACK_FILE, variable
from logflume.settings.places import absolute, state_home
from logflume.settings.pressure import Pressure
from logflume.settings.reading import read_toml, settings_file
from logflume.settings.sink import Sink
from logflume.settings.sort import Sort
from logflume.settings.stage import Stage
from logflume.settings.store import Store
from logflume.settings.testing import Testing
from logflume.settings.worker import Worker


class Settings(
    Kafka,
    Config,
    Store,
    Destinations,
    Machine,
    Worker,
    Pressure,
    Alerting,
    Edge,
    EdgeHttp,
    EdgeTail,
    EdgeSyslog,
    Sort,
    Sink,
    Care,
    Explore,
    Api,
    Command,
    Testing,
    BaseSettings,
):
    """The settings of one process. Unchangeable; ``model_copy(update=…)`` makes a variant.

    Sizes may be written as ``64MB`` or as a number of bytes. Building one raises Misconfigured for a value that does
    not fit, for an unknown name in a file, and for a ``LOGFLUME_`` variable that no setting has.
    """

    model_config = SettingsConfigDict(
        title="Settings", env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=True, defer_build=False
    )

    def __init__(self, **values: Any) -> None:
        refuse_unknown_variables(Settings.model_fields)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise Misconfigured(explain(error, Settings.model_fields)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then variables, then the settings file, then the running local stack."""
        file = settings_file()
        init = cast("InitSettingsSource", init_settings).init_kwargs
        state_dir = (
            init.get("state_dir") or os.environ.get(PREFIX + "STATE_DIR") or file.get("state_dir") or state_home()
        )
        stack = cls._stack(absolute(Path(str(state_dir))))
        return (
            init_settings,
            env_settings,
            InitSettingsSource(settings_cls, file),
            InitSettingsSource(settings_cls, stack),
        )

    @classmethod
    def _stack(cls, state_dir: Path) -> dict[str, Any]:
        """What the local stack says that runs in ``state_dir``."""
        return read_toml(state_dir / STACK_FILE)

    def require(self, name: str) -> str:
        """The value of a setting that has no default; Misconfigured, naming its variable, when it is empty."""
        value = getattr(self, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        if not text:
            raise Misconfigured(
                f"{variable(name)} is not set ({type(self).model_fields[name].description}) "
                f"Set it, or start a local stack with `logflume local up`."
            )
        return text

    def environment(self) -> dict[str, str]:
        """The variables that give another process exactly these settings, secrets included."""
        found: dict[str, str] = {}
        for name, value in self.model_dump(mode="json").items():
            secret = getattr(self, name)
            if name in security.FIELDS and not value:
                continue  # unset: a blank one is a mistake
            if isinstance(secret, SecretStr):
                found[variable(name)] = secret.get_secret_value()
            elif isinstance(value, dict):
                found[variable(name)] = json.dumps(value)
            else:
                found[variable(name)] = str(value)
        return found


class GivenSettings(Settings):
    """The settings as the user gave them, without what a running local stack says of itself."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)

    @classmethod
    def _stack(cls, state_dir: Path) -> dict[str, Any]:
        return {}


STAGES = tuple(base for base in Settings.__bases__ if issubclass(base, Stage))
