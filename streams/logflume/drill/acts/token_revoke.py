"""``token-revoke``: a tenant's token is taken away while it is in use."""

from __future__ import annotations

from logflume.drill import book
from logflume.drill.drill import Drill, real, small
from logflume.drill.scene import Scene

STOPS_SECONDS = 5.0
_UNAUTHORIZED = 401


def play(scene: Scene) -> None:
    """Let some more tenants send, and revoke the tokens of half of them; their senders go on trying."""
    revoked, kept = scene.more[: len(scene.more) // 2], scene.more[len(scene.more) // 2 :]
    victims = scene.send("revoked", revoked, scene.size.more_rows_a_second / 2)
    scene.send("kept", kept, scene.size.more_rows_a_second / 2)
    scene.until(lambda: victims.acknowledged_at() > 0, 60, "those to be revoked send")
    scene.hold(scene.size.harm_seconds / 2)
    scene.ground.declare(revoked, tokens=False)
    scene.harmed(f"the tokens of {len(revoked)} tenants are taken out of their files")
    done = scene.ground.apply("tokens revoked")
    revoked_at = scene.started + scene.did(
        f"applied: exit code {done.code}{'; ' + done.told[-200:] if done.code else ''}"
    )

    def refused() -> bool:
        return book.last(victims.book, book.REFUSED) > victims.acknowledged_at()

    scene.comes(refused, 2 * STOPS_SECONDS)
    scene.hold(scene.size.harm_seconds / 2)
    answers = list(book.read(victims.book))
    last = max(entry.time for entry in answers if entry.outcome == book.ACKNOWLEDGED)
    late, statuses = max(0.0, last - revoked_at), sorted({entry.status for entry in answers if entry.time > last})
    in_time, right = late <= STOPS_SECONDS, statuses == [_UNAUTHORIZED]
    scene.found("a revoked token stops working", f"within {STOPS_SECONDS:.0f} s", f"after {late:.1f} s", ok=in_time)
    scene.found("what its sender is told then", f"{_UNAUTHORIZED}", ", ".join(map(str, statuses)), ok=right)
    scene.stop(victims)
    scene.repaired("the revoked senders give up")


DRILL = Drill(
    name="token-revoke",
    what="Tokens are revoked under load: they stop within 5 s, all others go on, and what was accepted is stored.",
    play=play,
    sizes={
        "small": small(harm_seconds=12.0, rate_during=True, more_tenants=4, more_rows_a_second=200),
        "real": real(harm_seconds=40.0, rate_during=True, more_tenants=20, more_rows_a_second=1000),
    },
    given=True,
)
