"""The rights of all stages as docs/security.md lists them."""

from __future__ import annotations

from collections.abc import Iterator

from logflume.kafka.rights.acl import Acl
from logflume.kafka.rights.table import STAGES
from logflume.settings import Settings

BEGIN = "<!-- rights: generated from streams/logflume/kafka/rights/table.py by `make docs`; a test keeps it current -->"
END = "<!-- rights: end -->"


def filled(text: str) -> str:
    """Return a page with the rights between its two marks; ``ValueError`` when it has not both."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return before + "\n".join((BEGIN, *_lines(), END)) + after


def _lines() -> Iterator[str]:
    plain = Settings.model_construct()
    for stage, rights in STAGES.items():
        yield from ("", f"**{stage}**", "", "| right | on | for | needed |", "|---|---|---|---|")
        for right in rights:
            acl = Acl.of(right, plain)
            name = f"{acl.kind} `{acl.name}{'*' if acl.prefixed else ''}`"
            yield f"| {acl.operation} | {name} | {acl.why} | {acl.condition or 'always'} |"
    yield ""
