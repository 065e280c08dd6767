"""What a mutation is: a rule, taken out of a file, and the test that must notice.

``old`` occurs exactly once in its file (tests/unit/test_mutations.py); ``new`` is what stands there instead.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One rule, taken out. ``test`` is a pytest node id."""

    rule: str
    file: str
    old: str
    new: str
    test: str

    @property
    def name(self) -> str:
        """The rule in one word."""
        return self.rule.split(":")[0]


def code(path: str) -> str:
    """The path of a file of the package."""
    return f"streams/logflume/{path}"
