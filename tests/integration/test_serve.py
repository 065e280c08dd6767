"""``logflume serve`` as a process: it follows the configuration on the real Kafka, and tells its status."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cloudflare
import httpx
import pytest
from confluent_kafka.admin import NewTopic

from logflume import contract, model
from logflume.cli.main import DONE, run
from logflume.clock import SystemClock
from logflume.kafka import client, status, topics
from logflume.settings import Settings
from logflume.table.store import Store
from tests.conftest import SettingsFor, SharedKafka, StartWorker
from tests.support.edge import rows
from tests.support.tables import NOON, append
from tests.support.topic import ingested
from tests.support.waiting import until

SECONDS = 5.0
"""Within which a change must be in force everywhere."""


@pytest.fixture
def followed(
    kafka: SharedKafka, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    settings = settings_for(kafka, tenants_dir="", serve_port=0, status_seconds=0.2, worker_id="here")
    admin = client.admin(settings)
    audited = topics.ingest_topic(settings, "audit_logs")
    admin.create_topics([NewTopic(audited, 1, 1)])[audited].result(30)
    for name in (topics.config_topic(settings), f"{settings.topic_prefix}status"):
        admin.create_topics([NewTopic(name, 1, 1, config={"cleanup.policy": "compact"})])[name].result(30)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    return settings


def test_cloudflares_client_asks_by_base_url_and_the_command_by_logflume_url(
    followed: Settings,
    worker: StartWorker,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "acme.yaml").write_text("name: acme\ndatasets: {http_requests: }\n")
    append(Store.from_settings(followed), ["one", "two"])
    assert run(["config", "apply", str(tmp_path / "given"), "--yes"]) == DONE
    capsys.readouterr()
    assert run(["token", "create", "--tenant", "acme", "--scope", "query"]) == DONE
    token = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("lf_"))
    served = worker("serve", followed)
    served.wait_ready()
    url = until(lambda: re.search(r"explore\.started.*(http://127\.0\.0\.1:\d+)", served.output()), 60, "its address")[
        1
    ]
    with cloudflare.Cloudflare(api_token=token, base_url=f"{url}/client/v4") as client:
        explorer = client.logs.log_explorer
        sql = b"SELECT rayid FROM http_requests ORDER BY rayid"
        assert list(explorer.query.sql(sql, account_id="acme")) == [{"rayid": "one"}, {"rayid": "two"}]
        [summary] = explorer.datasets.list(account_id="acme")
        dataset = explorer.datasets.get(summary.dataset_id, account_id="acme")
        assert dataset is not None
        assert "RayID" in [field.name for field in dataset.fields]
        assert "http_requests" in [each.dataset for each in explorer.datasets.available.list(zone_id="acme")]
        found = client.logs.rayid.get("two", zone_id="acme", fields="RayID,EdgeStartTimestamp")
        assert found == f'{{"RayID":"two","EdgeStartTimestamp":{NOON + 1000}}}\n'
        within = {"start": "2025-11-25T12:00:00Z", "end": "2025-11-25T12:01:00Z"}
        lines = client.logs.received.get(zone_id="acme", fields="RayID", **within)
        assert sorted(str(lines).splitlines()) == ['{"RayID":"one"}', '{"RayID":"two"}']
        assert client.logs.received.get(zone_id="acme", count=1, fields="RayID", **within) in str(lines)
        assert "RayID" in (client.logs.received.fields.get(zone_id="acme").model_extra or {})
        with pytest.raises(cloudflare.NotFoundError) as refused:
            client.logs.rayid.get("two", zone_id="globex")
        assert refused.value.errors[0].code == 7003
    monkeypatch.setenv("LOGFLUME_STORE_URL", "file:///nowhere")  # the command reads no tables then
    monkeypatch.setenv("LOGFLUME_URL", url)
    monkeypatch.setenv("LOGFLUME_TOKEN", token)
    capsys.readouterr()
    assert run(["query", "SELECT count(*) AS n FROM http_requests", "--json"]) == DONE
    assert run(["find", "two", "--json"]) == DONE
    count, record = capsys.readouterr().out.split("\n", 1)
    assert count == '{"n":2}'
    assert json.loads(record)[0]["record"]["RayID"] == "two"


def test_it_follows_the_configuration_tells_its_status_and_answers_whom_a_token_lets(
    followed: Settings, worker: StartWorker, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "acme.yaml").write_text("name: acme\ndatasets: {http_requests: , audit_logs: }\n")
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
    with httpx.Client(base_url=url, timeout=30) as browser:
        assert browser.post("/sign-in", data={"token": token}, headers={"Origin": url}).status_code == 303
        assert "http_requests" in browser.get("/").text
        assert run(["token", "revoke", "analyst"]) == DONE
        until(lambda: ask(token).status_code == 401, SECONDS, "the token's end")
        until(lambda: browser.get("/").status_code == 303, SECONDS, "the end of its session")
    assert served.stop() == 0
    assert told() == []
    records = [record for _, record in rows(ingested(followed, "audit_logs"), model.load(contract.find()))]
    assert {record["ActorID"] for record in records} == {"analyst"}  # of 401 and 503 nobody knows who it was
    assert dict(records[-1]["Metadata"])["sql"] == "SELECT count(*) AS n FROM http_requests"
    assert [record["ActionResult"] for record in records] == [True] * len(records)
    assert len(records) >= 2
