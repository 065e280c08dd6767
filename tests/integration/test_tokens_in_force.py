"""Tokens made, replaced and taken away by the commands, as an edge that follows the real Kafka sees them."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import NewTopic

from logflume.cli.main import DONE, WRONG_USE, run
from logflume.clock import SystemClock
from logflume.config.follow import Follower
from logflume.kafka import client, topics
from logflume.kafka.quotas import Quotas
from logflume.settings import Settings
from tests.support.http_edge import http_edge
from tests.support.waiting import until

LINE = b'{"message":"m"}\n'
SECONDS = 5.0
"""Within which a change must be in force everywhere."""


@pytest.fixture
def place(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose config topic is there, and which the command has too."""
    name = topics.config_topic(settings)
    admin = client.admin(settings)
    admin.create_topics([NewTopic(name, 1, 1, config={"cleanup.policy": "compact"})])[name].result()
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    return settings


def token_in(printed: str) -> str:
    return next(line for line in printed.splitlines() if line.startswith("lf_"))


def test_a_token_works_and_stops_working_within_seconds_of_its_command(
    place: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, user = Path(place.tenants_dir), f"{place.topic_prefix}acme"
    file = f"name: acme\ndatasets: {{events: }}\nrates: {{bytes_per_second: 5000}}\nprincipal: {user}\n"
    (folder / "acme.yaml").write_text(file)
    assert run(["config", "apply", str(folder), "--yes"]) == DONE
    assert Quotas(place).producers()[user] == 5000.0
    with Follower(place, SystemClock()) as source, http_edge() as edge:
        edge.gateway.source = source

        def answers(token: str) -> int:
            return edge.post(LINE, token=token).status_code

        def command(*words: str) -> str:
            capsys.readouterr()
            assert run(["token", *words]) == DONE
            return capsys.readouterr().out  # what the follower logs stands there too

        first = token_in(command("create", "--tenant", "acme", "--id", "first"))
        until(lambda: answers(first) == 200, SECONDS, "the new token")
        second = token_in(command("rotate", "first", "--overlap", "1h", "--new-id", "second"))
        until(lambda: answers(second) == 200, SECONDS, "the one after it")
        assert answers(first) == 200
        command("expire", "first", "--in", "0s")
        until(lambda: answers(first) == 401, SECONDS, "the first one's end")
        assert answers(second) == 200
        # An operator's files change, and leave the API's tokens alone.
        (folder / "acme.yaml").write_text("name: acme\ndatasets: {events: , dns_logs: }\n")
        assert run(["config", "apply", str(folder), "--yes"]) == DONE
        assert user not in Quotas(place).producers()
        until(lambda: source.current().wants("acme", "dns_logs"), SECONDS, "the files' change")
        assert answers(second) == 200
        assert '"second"' in command("list", "--json")
        command("revoke", "second")
        until(lambda: answers(second) == 401, SECONDS, "the second one's end")
        assert run(["token", "revoke", "second"]) == WRONG_USE
