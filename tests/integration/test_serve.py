"""``logflume serve`` as a process: it follows the configuration on the real Kafka, and tells its status."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from confluent_kafka.admin import NewTopic

from logflume.cli.main import DONE, run
from logflume.clock import SystemClock
from logflume.kafka import client, status, topics
from logflume.settings import Settings
from logflume.table.store import Store
from tests.conftest import SettingsFor, SharedKafka, StartWorker
from tests.support.tables import append
from tests.support.waiting import until

SECONDS = 5.0
"""Within which a change must be in force everywhere."""


@pytest.fixture
def followed(
    kafka: SharedKafka, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    settings = settings_for(kafka, tenants_dir="", serve_port=0, status_seconds=0.2, worker_id="here")
    admin = client.admin(settings)
    for name in (topics.config_topic(settings), f"{settings.topic_prefix}status"):
        admin.create_topics([NewTopic(name, 1, 1, config={"cleanup.policy": "compact"})])[name].result(30)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    return settings


def test_it_follows_the_configuration_tells_its_status_and_answers_whom_a_token_lets(
    followed: Settings, worker: StartWorker, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "acme.yaml").write_text("name: acme\ndatasets: {http_requests: }\n")
    append(Store.from_settings(followed), ["one", "two"])
    served = worker("serve", followed)
    url = until(lambda: re.search(r"explore\.started.*(http://127\.0\.0\.1:\d+)", served.output()), 60, "its address")[
        1
    ]

    def ask(token: str) -> httpx.Response:
        sql = {"sql": "SELECT count(*) AS n FROM http_requests"}
        return httpx.post(f"{url}/api/v1/query", json=sql, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    assert ask("lf_x_" + "A" * 43).status_code == 503  # it can't tell whose token it is: nobody's it does not say
    assert "no configuration yet" in served.get("/ready")[1]
    assert run(["config", "apply", str(folder), "--yes"]) == DONE
    served.wait_ready()
    capsys.readouterr()
    assert run(["token", "create", "--tenant", "acme", "--scope", "query", "--id", "analyst"]) == DONE
    token = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("lf_"))
    until(lambda: ask(token).status_code == 200, SECONDS, "the new token")
    assert ask(token).json()["rows"] == [{"n": 2}]

    def told() -> list[tuple[str, str, int]]:
        seen = status.read(followed, SystemClock()).workers()
        return [(s.status.worker.kind, s.status.worker.id, s.status.condition.in_force.generation) for s in seen]

    until(lambda: told() == [("explore", "here", 2)], SECONDS, "its word on the generation")
    assert run(["token", "revoke", "analyst"]) == DONE
    until(lambda: ask(token).status_code == 401, SECONDS, "the token's end")
    assert served.stop() == 0
    assert told() == []
