"""Drills, small, one after the other under one load on one stack of its own: short harm, one count at the end.

`make test` plays those that nothing else in it resembles; `make soak` plays all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from logflume.drill import page, told
from logflume.drill.catalogue import DRILLS
from logflume.drill.drill import Drill, small
from logflume.drill.own import OwnGround
from logflume.drill.play import SHORT
from logflume.drill.report import Report
from logflume.drill.run import STEADY, Cast, run, troubles
from logflume.drill.scene import Scene
from logflume.drill.tenant import DrillTenant
from tests.support.schedules import LONG

pytestmark = pytest.mark.timeout(900)

EVERY = (
    "poison-flood",
    "whale",
    "tenant-surge",
    "token-revoke",
    "half-config",
    "sink-stop",
    "worker-kill",
    "blank-config",
    "broker-restart",
    "rolling-restart",  # last: how soon the lag is back is told from the last repair
)
ELSEWHERE = {
    "whale": "tests/e2e/test_drill_given.py",
    "tenant-surge": "tests/integration/test_flood.py",
    "token-revoke": "tests/integration/test_tokens_in_force.py",
    "half-config": "tests/faults/test_config_follow.py",
    "broker-restart": "tests/faults/test_kafka_misbehaves.py",
    "sink-stop": "tests/faults/test_pressure.py",
    "worker-kill": "tests/faults/test_kills.py",
}
"""What is left to `make soak`, and where `make test` does the like."""
ORDER = tuple(name for name in EVERY if LONG or name not in ELSEWHERE)
SHORTER = {"sink-stop": 5.0, "broker-restart": 3.0, "token-revoke": 6.0}
RATE, TENANTS = 300.0, 4
RECOVER_SECONDS = 150.0


@dataclass
class Every:
    """Plays all drills on one scene, and waits between two until nothing of the one is left."""

    more: dict[str, tuple[DrillTenant, ...]]

    def __post_init__(self) -> None:
        self.windows: dict[str, tuple[float, float]] = {}

    def play(self, scene: Scene) -> None:
        for name in ORDER:
            drill = DRILLS[name]
            scene.more = self.more[name]
            scene.size = replace(drill.sizes["small"], harm_seconds=SHORTER.get(name, 2.0), tenants=TENANTS)
            began = scene.did(f"— {name}")
            drill.play(scene)
            self.windows[name] = (began, scene.now())
            scene.until(lambda: not troubles(scene.ground), RECOVER_SECONDS, f"all is well after {name}")


def came(report: Report, window: tuple[float, float]) -> float:
    """Rows a second of the steady load that came in a window."""
    first, last = int(window[0]) + 1, int(window[1])
    points = [value for at, value in report.charts[0].lines[f"{STEADY}: came"] if first <= at < last]
    return sum(points) / len(points) if points else 0.0


def test_every_drill_is_played() -> None:
    assert set(EVERY) == set(DRILLS)
    assert all(Path(test).exists() for test in ELSEWHERE.values())


def test_every_drill_loses_nothing_repeats_nothing_and_recovers_by_itself(tmp_path: Path, few_topics: Path) -> None:
    count = {name: DRILLS[name].sizes["small"].more_tenants for name in ORDER}
    size = replace(
        small(tenants=TENANTS, rows_a_second=RATE, recover_seconds=RECOVER_SECONDS), more_tenants=sum(count.values())
    )
    drill = Drill("every", "Drills in a row.", lambda _: None, {"small": size})
    cast = Cast.of(drill, size)
    left = list(cast.more)
    every = Every({name: tuple(left.pop(0) for _ in range(count[name])) for name in ORDER})
    settings = {**SHORT, **DRILLS["rolling-restart"].stack, "status_seconds": 2.0, "topics_dir": str(few_topics)}
    ground = OwnGround(tmp_path / "stack", print, **settings)
    ground.declare(cast.steady)
    ground.declare(each for name in ORDER if not DRILLS[name].late for each in every.more[name])
    with ground:
        playing = replace(drill, play=every.play)
        report = run(playing, ground, size, "small", cast, tmp_path / "senders", print, "make test")
    text, html = told.page([report]), page.html(report)
    print(text)
    wrong = [finding for finding in report.verdict.findings if not finding.ok]
    assert not wrong, "\n".join(map(str, wrong))
    assert report.ok
    assert "**passed**" in text or "passed" in html
    assert report.counts["acknowledged"] > 1000
    assert report.counts["broken"] > 100
    for name in ORDER:
        if DRILLS[name].sizes["small"].promise.rate_during:
            rate = came(report, every.windows[name])
            assert rate >= RATE / 2, f"{name}: {rate:.0f} rows/s"  # half: the machine is busy with other tests
    ended = 3 + ("worker-kill" in ORDER)  # twice by blank-config, once by rolling-restart
    for worker in ("edge-1", "sort-1", "sink-1"):
        assert report.counts[f"restarts of {worker}"] >= ended
    assert report.recovered is not None
    assert report.recovered - report.repaired <= DRILLS["rolling-restart"].sizes["small"].promise.recover_seconds
