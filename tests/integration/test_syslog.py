"""``logflume edge syslog`` as the process that a user runs, with a real Kafka behind it."""

from __future__ import annotations

import re
import socket
import subprocess
from collections import Counter
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from logflume import contract, model
from logflume.kafka import client, status, topics
from logflume.kafka.status import Level, Pressure
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.support.edge import rows
from tests.support.producer import Stored
from tests.support.waiting import until

DATASETS = model.load(contract.find())
LINES = 5_000


def test_what_logger_sends_stands_in_the_topic_once_after_a_sigterm(
    settings: Settings, worker: StartWorker, tmp_path: Path
) -> None:
    topics.apply(settings)
    (Path(settings.tenants_dir) / "acme.yaml").write_text("name: acme\ndatasets:\n  events:\n")
    listen = "tcp://127.0.0.1:0?tenant=acme,udp://127.0.0.1:0?tenant=acme"
    edge = worker("edge syslog", settings.model_copy(update={"edge_syslog_listen": listen}))
    edge.wait_ready()
    found = until(lambda: dict(re.findall(r"(tcp|udp)://127\.0\.0\.1:(\d+)", edge.output())), 10, "its addresses")
    lines = tmp_path / "lines"
    lines.write_text("".join(f"line {number}\n" for number in range(LINES)))
    logger = ["logger", "--server", "127.0.0.1", "-t", "checkout"]
    subprocess.run([*logger, "--tcp", "-P", found["tcp"], "--octet-count", "-f", str(lines)], check=True)
    subprocess.run([*logger, "--udp", "-P", found["udp"], "by datagram"], check=True)
    with socket.create_connection(("127.0.0.1", int(found["tcp"])), timeout=10) as last:
        last.sendall(b"<14>without an end")
        until(lambda: f'transport="tcp"}} {LINES}.0' in edge.get("/metrics")[1], 30, "all lines")
        until(lambda: 'transport="udp"} 1.0' in edge.get("/metrics")[1], 30, "the datagram")
        assert edge.stop() == 0
    stored = _events(settings)
    assert stored == Counter([*(f"line {number}" for number in range(LINES)), "by datagram", "without an end"])


def test_what_was_read_goes_in_at_a_sigterm_although_the_pipeline_asks_to_stop(
    settings: Settings, worker: StartWorker
) -> None:
    topics.apply(settings)
    (Path(settings.tenants_dir) / "acme.yaml").write_text("name: acme\ndatasets:\n  events:\n")
    short = {"status_seconds": 0.2, "edge_timeout_seconds": 5.0}
    listen = {"edge_syslog_listen": "tcp://127.0.0.1:0?tenant=acme"}
    edge = worker("edge syslog", settings.model_copy(update=short | listen))
    edge.wait_ready()
    [port] = until(lambda: re.findall(r"tcp://127\.0\.0\.1:(\d+)", edge.output()), 10, "its address")
    outbox = status.Outbox(settings, 60.0)
    stop = status.Codec(settings).pressure(Pressure(Level.STOP, period_seconds=60.0, by="a test"))

    def stopped() -> bool:
        outbox.put(status.PRESSURE_KEY, stop)
        outbox.settle(5)
        return 'logflume_pressure_level_info{level="stop"} 1.0' in edge.get("/metrics")[1]

    until(stopped, 30, "the edge hears of it", pause=0.2)
    with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as sender:
        sender.sendall(b"".join(b"<14>line %d\n" % number for number in range(100)))
        until(lambda: 'transport="tcp"} 100.0' in edge.get("/metrics")[1], 30, "all lines are read")
        assert edge.stop() == 0
    assert _events(settings) == Counter(f"line {number}" for number in range(100))


def _events(settings: Settings) -> Counter[str]:
    """The messages of acme's rows in the ingest topic."""
    topic = topics.ingest_topic(settings, "events")
    consumer = Consumer(client.consumer_config(settings, "look"))
    found: Counter[str] = Counter()
    for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
        where = TopicPartition(topic, partition, 0)
        _, high = consumer.get_watermark_offsets(where, timeout=30)
        consumer.assign([where])
        read = 0
        while read < high:
            messages = consumer.consume(high - read, 10)
            read += len(messages)
            log = [Stored(topic, each.key(), each.value(), each.headers() or []) for each in messages]  # type: ignore[arg-type]
            found.update(record["message"] for tenant, record in rows(log, DATASETS) if tenant == "acme")
    consumer.close()
    return found
