"""``logflume drill``: harm on purpose, under load, and a verdict."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from logflume.cli.listing import AsJson, json_text, show
from logflume.drill import page, told
from logflume.drill.catalogue import DRILLS
from logflume.drill.drill import Drill, Scale
from logflume.drill.play import play, play_on_given
from logflume.errors import Misconfigured, Refused
from logflume.settings import GivenSettings, Settings

app = typer.Typer(help="Harm a pipeline on purpose, under load, and judge.", no_args_is_help=True)

_PIPE_WIDTH = 140  # characters: wide enough for every chart and table


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the drills, with how long their harm lasts and the time in which all must flow again."""
    rows = [
        {
            "name": drill.name,
            "what": drill.what,
            "seconds": drill.sizes["real"].harm_seconds,
            "recover_seconds": drill.sizes["real"].promise.recover_seconds,
        }
        for drill in DRILLS.values()
    ]
    show(rows, ["name", "what", "seconds", "recover_seconds"], as_json=as_json, empty="there are no drills")


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="A drill that `logflume drill list` names.")],
    scale: Annotated[
        str, typer.Option(help="`small`: seconds, short time-outs; `real`: minutes, every setting at its default.")
    ] = "small",
    seconds: Annotated[
        float | None, typer.Option(min=2, help="How long the harm lasts; else as the scale says.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report as an HTML page to this file.")] = None,
    i_mean_it: Annotated[
        bool, typer.Option("--i-mean-it", help="Yes, on the stack that LOGFLUME_KAFKA_BOOTSTRAP and _STORE_URL name.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a drill on a local stack of its own: load, harm, repair, recovery, verdict.

    On a given stack only what is load can be run, with tenants and an edge of its own, and after --i-mean-it.
    Exit code 0 when every promise was kept, 1 when one was not. Data and logs of a failed drill are left for a look.
    """
    drill, chosen = _drill(name), _scale(scale)
    given = _given(drill, meant=i_mean_it)
    if report is not None and not report.absolute().parent.is_dir():
        raise Misconfigured(f"--report: there is no folder {report.absolute().parent}")
    console = Console(stderr=as_json)
    if not console.is_terminal:
        console = Console(stderr=as_json, width=_PIPE_WIDTH)
    line = ["logflume", "drill", "run", name, "--scale", scale, *(["--seconds", f"{seconds:g}"] if seconds else [])]

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False)

    if given is None:
        found = play(drill, chosen, say, shlex.join(line), seconds=seconds)
    else:
        found = play_on_given(drill, chosen, say, shlex.join([*line, "--i-mean-it"]), given, seconds=seconds)
    if report is not None:
        report.write_text(page.html(found))
    if as_json:
        print(json_text(found.plain()))
    else:
        told.on(console, found)
    if not found.ok:
        raise typer.Exit(1)


def _drill(name: str) -> Drill:
    if name not in DRILLS:
        raise Misconfigured(f"There is no drill {name!r}; there are: {', '.join(DRILLS)}")
    return DRILLS[name]


def _scale(text: str) -> Scale:
    if text == "small":
        return "small"
    if text == "real":
        return "real"
    raise Misconfigured(f"--scale: {text!r} is neither small nor real")


def _given(drill: Drill, *, meant: bool) -> Settings | None:
    """The stack that the user's settings name; None: there is none, and the drill makes its own.

    A Kafka or store that was named is somebody's: a drill does not take it for its own by accident.
    """
    given = GivenSettings()
    named = [f"LOGFLUME_{name.upper()}" for name in ("kafka_bootstrap", "store_url") if getattr(given, name)]
    if not named:
        if meant:
            raise Misconfigured(
                "--i-mean-it is for a given stack: LOGFLUME_KAFKA_BOOTSTRAP and LOGFLUME_STORE_URL name it"
            )
        return None
    if not drill.given:
        raise Refused(
            f"{drill.name} stops or breaks things, and {' and '.join(named)} name a stack of others: unset them"
        )
    if not meant:
        raise Refused(
            f"{' and '.join(named)} name a stack that others use. {drill.name} would load it, with tenants of its own "
            "that it takes away again. If that is meant, say so: --i-mean-it. Unset them for a stack of its own."
        )
    return given
