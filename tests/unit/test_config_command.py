"""``logflume config``: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from logflume.cli.main import DONE, FAILED, REFUSED, WRONG_USE, run
from tests.support import config_topic
from tests.support.config_topic import Topic

ACME = "name: acme\ndatasets: {events: }\njobs: {copy: {dataset: events, destination: s3://b}}\n"


@pytest.fixture
def topic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Topic:
    monkeypatch.setenv("LOGFLUME_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("LOGFLUME_STORE_URL", f"file://{tmp_path}/store")
    return config_topic.installed(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tenants"
    folder.mkdir()
    (folder / "acme.yaml").write_text(ACME)
    for number in range(4):
        (folder / f"t{number}.yaml").write_text(f"name: t{number}\ndatasets: {{events: }}\n")
    return folder


def test_a_plan_changes_nothing_and_an_apply_without_a_terminal_wants_to_be_told_yes(
    topic: Topic, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["config", "plan", str(folder)]) == DONE
    assert "Plan: to add 5 tenants, 5 datasets, 1 job." in capsys.readouterr().out
    assert run(["config", "apply", str(folder)]) == WRONG_USE
    assert "--yes" in capsys.readouterr().err
    assert not topic.values
    assert run(["config", "apply", str(folder), "--yes"]) == DONE
    assert "Generation 1 is in force: 5 tenants, 5 pairs, 1 jobs" in capsys.readouterr().out
    assert run(["config", "apply", str(folder), "--yes"]) == DONE
    assert "Nothing to do" in capsys.readouterr().out


def test_an_operator_at_a_terminal_is_asked_and_may_say_no(
    topic: Topic, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda _: False)
    assert run(["config", "apply", str(folder)]) == FAILED
    assert "Nothing was changed" in capsys.readouterr().out
    assert not topic.values
    monkeypatch.setattr("typer.confirm", lambda _: True)
    assert run(["config", "apply", str(folder)]) == DONE
    assert topic.values


@pytest.mark.usefixtures("topic")
def test_a_guard_that_refuses_says_which_number_to_name_and_ends_with_3(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["config", "apply", str(folder), "--yes"]) == DONE
    for number in range(2):
        (folder / f"t{number}.yaml").unlink()
    assert run(["config", "plan", str(folder)]) == DONE
    assert "will refuse it: generation 2 takes away 2 of the 5" in capsys.readouterr().out
    for named in ([], ["--accept-removal-of", "1"]):
        assert run(["config", "apply", str(folder), "--yes", *named]) == REFUSED
        assert "--accept-removal-of 2" in capsys.readouterr().err
    assert run(["config", "apply", str(folder), "--yes", "--accept-removal-of", "2", "--who", "ann"]) == DONE
    for number in range(9):
        (folder / f"n{number}.yaml").write_text(f"name: n{number}\ndatasets: {{events: }}\n")
    assert run(["config", "apply", str(folder), "--yes"]) == REFUSED
    assert "--accept-growth-of 9" in capsys.readouterr().err
    capsys.readouterr()
    assert run(["config", "history", "--json"]) == DONE
    [second, first] = json.loads(capsys.readouterr().out)
    assert (second["accepted"], second["who"], second["published"], first["accepted"]) == (
        "removal of 2",
        "ann",
        True,
        None,
    )


@pytest.mark.usefixtures("topic")
def test_what_is_in_force_is_published_again_for_workers_that_refuse_it_when_their_number_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["config", "apply", str(folder), "--yes"]) == DONE
    assert run(["config", "apply", str(folder), "--yes", "--accept-removal-of", "7"]) == DONE
    assert "once more, for workers that refuse it" in capsys.readouterr().out
    assert run(["config", "history", "--json"]) == DONE
    newest, _ = json.loads(capsys.readouterr().out)
    assert (newest["generation"], newest["accepted"]) == (2, "removal of 7")


@pytest.mark.usefixtures("topic")
def test_a_folder_that_is_missing_or_blank_or_mistaken_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(["config", "apply", str(tmp_path / "nowhere"), "--yes"]) == WRONG_USE
    assert run(["config", "apply", str(empty), "--yes"]) == REFUSED
    (empty / "acme.yaml").write_text(ACME + "what: 1\nwhere: 2\n")
    capsys.readouterr()
    assert run(["config", "plan", str(empty)]) == WRONG_USE
    told = capsys.readouterr().err
    assert "acme.yaml:4: what:" in told
    assert "acme.yaml:5: where:" in told


@pytest.mark.usefixtures("topic")
def test_programs_get_json_of_everything(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "plan", str(folder), "--json"]) == DONE
    found = json.loads(capsys.readouterr().out)
    assert (found["base"], found["needed"], found["refused"], found["pairs"]["new"]) == (0, True, None, 5)
    assert found["totals"]["job"] == {"add": 1, "change": 0, "remove": 0}
    assert run(["config", "apply", str(folder), "--yes", "--json"]) == DONE
    assert json.loads(capsys.readouterr().out)["generation"] == 1
    assert run(["config", "show", "--json", "--tenant", "acme"]) == DONE
    [acme] = json.loads(capsys.readouterr().out)["tenants"]
    assert [(each["kind"], each["name"], each["id"]) for each in acme["objects"]] == [
        ("tenant", "acme", None),
        ("dataset", "events", None),
        ("job", "copy", 1),
    ]
    assert run(["config", "rollback", "1", "--yes", "--json"]) == DONE
    assert json.loads(capsys.readouterr().out) == {"generation": 1, "applied": False}
    assert run(["config", "show", "7"]) == WRONG_USE
    assert run(["config", "show", "--tenant", "nobody"]) == WRONG_USE


@pytest.mark.usefixtures("topic")
def test_before_the_first_generation_there_is_nothing_to_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show"]) == WRONG_USE
    assert run(["config", "history"]) == DONE
    assert "nothing was ever applied" in capsys.readouterr().out


def test_w5_a_token_that_was_revoked_before_its_tenant_went_does_not_come_back_with_it(
    topic: Topic, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "t0.yaml"
    plain = file.read_text()
    file.write_text(f"{plain}tokens:\n  - {{id: t0, sha256: '{'0' * 64}'}}\n")
    assert run(["config", "apply", str(folder), "--yes"]) == DONE
    file.write_text(plain)  # revoked
    assert run(["config", "apply", str(folder), "--yes"]) == DONE
    file.unlink()
    assert run(["config", "apply", str(folder), "--yes"]) == DONE
    assert run(["config", "rollback", "1", "--yes"]) == DONE
    capsys.readouterr()
    assert run(["config", "show", "--json", "--tenant", "t0"]) == DONE
    [back] = json.loads(capsys.readouterr().out)["tenants"]
    assert [each["kind"] for each in back["objects"]] == ["tenant", "dataset"]
