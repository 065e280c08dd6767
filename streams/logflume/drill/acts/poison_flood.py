"""``poison-flood``: half of what comes is garbage, by HTTP and as plain Kafka messages."""

from __future__ import annotations

from logflume.drill.drill import Drill, real, small
from logflume.drill.scene import Scene

BAD_SHARE = 0.5


def play(scene: Scene) -> None:
    """Let others send, half of it garbage: a sender by HTTP, and a producer that knows only Kafka."""
    web, plain = scene.more[: len(scene.more) // 2], scene.more[len(scene.more) // 2 :]
    rate = scene.size.more_rows_a_second
    sending = [scene.send("garbage", web, rate / 2, bad_share=BAD_SHARE), scene.flood("flood", plain, rate)]
    scene.harmed(f"{2 * rate:,.0f} more records/s, every second one garbage, by HTTP and as plain messages")
    scene.hold(scene.size.harm_seconds)
    for each in sending:
        scene.stop(each)
    scene.repaired("the garbage ends")


DRILL = Drill(
    name="poison-flood",
    what="Half of what comes is garbage: good rows are at rest, and each bad one is a dead letter.",
    play=play,
    sizes={
        "small": small(rate_during=True, more_tenants=4, more_rows_a_second=300),
        "real": real(rate_during=True, more_tenants=10, more_rows_a_second=2000),
    },
)
