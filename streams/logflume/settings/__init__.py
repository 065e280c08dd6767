"""Every setting of Logflume, declared once, stage by stage: its name, its default, and what it is for.

A value comes from the first of: an argument, a variable ``LOGFLUME_<NAME>``, the file ``logflume.toml`` (here, or where
``LOGFLUME_SETTINGS`` points), the stack that ``logflume local up`` runs. docs/settings.md is generated from here.
"""

from logflume.settings.names import PREFIX, SETTINGS_VARIABLE, STACK_FILE, STACK_VARIABLE, TEST_PREFIX, variable
from logflume.settings.page import page
from logflume.settings.places import cache_home, state_home
from logflume.settings.settings import GivenSettings, Settings

__all__ = [
    "PREFIX",
    "SETTINGS_VARIABLE",
    "STACK_FILE",
    "STACK_VARIABLE",
    "TEST_PREFIX",
    "GivenSettings",
    "Settings",
    "cache_home",
    "page",
    "state_home",
    "variable",
]
