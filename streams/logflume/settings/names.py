"""What the environment variables and files are called that settings come from."""

from __future__ import annotations

PREFIX = "LOGFLUME_"
SETTINGS_VARIABLE = "LOGFLUME_SETTINGS"
STACK_VARIABLE = "LOGFLUME_STACK"  # marks the processes of a local stack
TEST_PREFIX = "LOGFLUME_TEST_"  # variables of the test suite, which no setting may take
STACK_FILE = "stack.toml"


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()
