"""Java for brokers that live for seconds.

They are not compiled for their old age, and find Kafka's classes as a first broker left them, loaded and checked: a
start takes 1.7 s of CPU instead of 3.2.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from logflume.errors import Retryable
from logflume.local import kafka
from logflume.local.kafka import Broker
from logflume.local.process import Process
from logflume.settings import cache_home

OPTIONS = "JDK_JAVA_OPTIONS"
ENDED_BY_TERM = 128 + signal.SIGTERM


def classes() -> Path:
    """Where Kafka's classes are kept for the Java on the path; another Java or Kafka has another file."""
    java = Path(shutil.which("java") or "java").resolve()
    built = java.stat().st_mtime_ns if java.exists() else 0
    return cache_home() / "java" / f"kafka-{kafka.VERSION}-{java.parent.parent.name}-{built}.jsa"


def options() -> str:
    """What every Java of a run is given. A file that is not there, or of other classes, changes nothing."""
    return f'-XX:TieredStopAtLevel=1 "-XX:SharedArchiveFile={classes()}" -Xlog:cds=off -Xlog:cds+dynamic=off'


def learn(broker: Broker, start: Callable[..., Process]) -> None:
    """Let a broker that nobody uses start, by ``start``, and end, and keep its classes; once a Java."""
    kept = classes()
    if kept.exists():
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    made = kept.with_suffix(f".{os.getpid()}")  # with a part of it Java would crash: it takes its name when it is whole
    broker.prepare()
    java, *arguments = broker.command()
    environment = {name: value for name, value in os.environ.items() if name != OPTIONS}
    process = start([java, f"-XX:ArchiveClassesAtExit={made}", *arguments], broker.log, environment)
    try:
        broker.wait_ready(process)
        process.signal(signal.SIGTERM)
        if process.wait(120) == ENDED_BY_TERM and made.exists():
            made.replace(kept)
    except Retryable:
        pass  # it is only for speed
    finally:
        process.kill()
        made.unlink(missing_ok=True)
