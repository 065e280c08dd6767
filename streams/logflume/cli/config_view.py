"""How a plan of the configuration looks in a terminal: what becomes of each tenant, and the totals."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.text import Text

from logflume.cli.listing import printable
from logflume.config.difference import Action, Change, Field, Kind
from logflume.config.plan import Plan

DETAILED = 20
"""Tenants that are shown with everything; of more only what becomes of each, and of so many the first few."""

_FEW = 10
_PIPE_WIDTH = 100_000
_SIGNS = {Action.ADD: ("+", "green"), Action.CHANGE: ("~", "yellow"), Action.REMOVE: ("-", "red")}
_ORDER = (Action.REMOVE, Action.CHANGE, Action.ADD)
_TO = {Action.ADD: "to add", Action.CHANGE: "to change", Action.REMOVE: "to remove"}
_VERBS = {Action.ADD: "added", Action.CHANGE: "changed", Action.REMOVE: "removed"}


def show(plan: Plan, *, everything: bool = False) -> None:
    """Print a plan to stdout; ``everything``: also when thousands of tenants change."""
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)
    for line in lines(plan, everything=everything):
        console.print(line, soft_wrap=True)


def lines(plan: Plan, *, everything: bool = False) -> Iterator[Text]:
    """Return the plan's lines."""
    base = f"generation {plan.base}" if plan.base else "nothing: there is no generation yet"
    yield Text(f"Compared with {base}.")
    if plan.trouble:
        yield Text(f"Attention: {printable(plan.trouble)}. The next generation mends it.", "yellow")
    tenants = [list(group) for _, group in groupby(plan.difference.changes, key=lambda change: change.tenant)]
    if everything or len(tenants) <= DETAILED:
        for changes in tenants:
            yield from _detailed(plan, changes)
    else:
        yield from _folded(plan, tenants)
    for dataset, routed in plan.routing.items():
        for tenant, shards in routed.items():
            yield Text(f"  ~ new rows of {tenant} in {dataset} go over {shards} sorted partitions", "yellow")
    yield Text("")
    yield from _totals(plan)


def as_json(plan: Plan) -> dict[str, Any]:
    """Return the plan for programs."""
    totals = plan.difference.totals
    return {
        "base": plan.base,
        "needed": plan.needed,
        "trouble": plan.trouble or None,
        "refused": str(plan.refusal) if plan.refusal else None,
        "pairs": {
            "before": plan.pairs_before,
            "after": plan.pairs_after,
            "gone": plan.pairs_gone,
            "new": plan.pairs_new,
        },
        "totals": {kind: {action: totals[kind, action] for action in Action} for kind in Kind},
        "routing": plan.routing,
        "changes": [
            {
                "tenant": change.tenant,
                "kind": change.kind,
                "name": change.name,
                "action": change.action,
                "fields": {field.name: {"before": field.before, "after": field.after} for field in change.fields},
            }
            for change in plan.difference.changes
        ],
    }


def _detailed(plan: Plan, changes: Sequence[Change]) -> Iterator[Text]:
    """A tenant with each of its objects that changes."""
    whole = next((change for change in changes if change.kind is Kind.TENANT), None)
    action = whole.action if whole else Action.CHANGE
    yield _line(action, 2, f"tenant {changes[0].tenant}")
    if whole is not None:
        yield from _fields(whole, 6)
    for change in changes:
        if change.kind is Kind.TENANT:
            continue
        if change.action is Action.CHANGE:
            yield _line(change.action, 6, f"{change.kind} {change.name}")
            yield from _fields(change, 10)
            continue
        fields = change.fields if change.action is Action.ADD else ()
        values = ", ".join(f"{field.name} {field.after}" for field in fields)
        yield _line(change.action, 6, f"{change.kind} {change.name}" + (f": {values}" if values else ""))


def _fields(change: Change, indent: int) -> Iterator[Text]:
    if change.action is Action.REMOVE:
        return
    for field in change.fields:
        yield Text(" " * indent + printable(_became(field)))


def _became(field: Field) -> str:
    if field.before == field.after:
        return f"{field.name}: another"
    return f"{field.name}: {field.before or 'none'} → {field.after or 'none'}"


def _folded(plan: Plan, tenants: Iterable[Sequence[Change]]) -> Iterator[Text]:
    """A line a tenant, what goes first, and of each action the first few."""
    by_action: dict[Action, list[Sequence[Change]]] = {action: [] for action in _ORDER}
    for changes in tenants:
        whole = next((change for change in changes if change.kind is Kind.TENANT), None)
        by_action[whole.action if whole else Action.CHANGE].append(changes)
    for action, each in by_action.items():
        for changes in each[:_FEW]:
            yield _line(action, 2, f"tenant {changes[0].tenant}: {_counts(changes)}")
        if len(each) > _FEW:
            yield Text(f"    … and {len(each) - _FEW:,} more tenants {_VERBS[action]}", "dim")
    yield Text("  (--all shows every object)", "dim")


def _counts(changes: Sequence[Change]) -> str:
    """What becomes of a tenant's objects, such as ``2 datasets, 5 jobs added``."""
    parts = []
    for action in (Action.ADD, Action.CHANGE, Action.REMOVE):
        kinds = [
            _many(count, kind)
            for kind in (Kind.DATASET, Kind.JOB, Kind.TOKEN)
            if (count := sum(change.kind is kind and change.action is action for change in changes))
        ]
        if kinds:
            parts.append(f"{', '.join(kinds)} {_VERBS[action]}")
    return "; ".join(parts) or "its own fields"


def _totals(plan: Plan) -> Iterator[Text]:
    if not plan.needed:
        yield Text(f"Nothing to do: generation {plan.base} has all of it.")
        return
    totals = plan.difference.totals
    told = [
        f"{_TO[action]} {', '.join(counts)}"
        for action in Action
        if (counts := [_many(count, kind) for kind in Kind if (count := totals[kind, action])])
    ]
    yield Text(f"Plan: {'; '.join(told) or 'the same, written anew'}.", "bold")
    yield Text(
        f"Active pairs of tenant and dataset: {plan.pairs_before:,} → {plan.pairs_after:,} "
        f"({plan.pairs_new:,} new, {plan.pairs_gone:,} gone)."
    )


def _many(count: int, kind: Kind) -> str:
    return f"{count:,} {kind}{'' if count == 1 else 's'}"


def _line(action: Action, indent: int, text: str) -> Text:
    sign, colour = _SIGNS[action]
    return Text(f"{' ' * indent}{sign} {printable(text)}", colour)
