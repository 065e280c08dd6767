"""Secrets by reference: only what is meant for it is read, only for operators' files, and nothing repeats one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from logflume import contract
from logflume.config.directory import DirectorySource
from logflume.config.tenants import Codec
from logflume.destinations.credentials import Keys, keys_of
from logflume.errors import Misconfigured, Refused
from logflume.model import FileFormat, Job, Owner, Target, Tenant, load, secret
from logflume.settings import Settings

DATASETS = load(contract.find())
HUSH = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYhush"
BOTH = {"access_key": "env:SECRET_A", "secret_key": "env:SECRET_B"}


def target(**fields: str) -> Target:
    return Target("s3://bucket/x", **(BOTH | fields))


def read(folder: Path, options: str) -> Job:
    text = (
        f"name: acme\ndatasets: {{events: }}\njobs:\n  copy:\n    dataset: events\n    destination: s3://b/p\n{options}"
    )
    (folder / "acme.yaml").write_text(text)
    return DirectorySource(folder, DATASETS).current().tenants["acme"].jobs["copy"]


def test_a_file_says_where_secrets_are_found(tmp_path: Path) -> None:
    job = read(
        tmp_path, "    access_key: env:SECRET_A\n    secret_key: file:/run/secrets/b\n    session_token: env:C\n"
    )
    assert secret.references(job.target) == {
        "access_key": "env:SECRET_A",
        "secret_key": "file:/run/secrets/b",
        "session_token": "env:C",
    }


@pytest.mark.parametrize(
    "value",
    [
        HUSH,
        f"'env: {HUSH}'",
        f"'env:{HUSH}'",
        f"ENV:{HUSH}",
        f"'file:{HUSH}'",
        f"'file:/run/../{HUSH}'",
        f'"file:/run/\\t{HUSH}"',
        f"[{HUSH}]",
        f"{{x: {HUSH}}}",
        f"https://{HUSH}",
        "12345",
        "''",
    ],
)
def test_a_secret_itself_is_refused_with_file_and_line_and_is_not_repeated(tmp_path: Path, value: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        read(tmp_path, f"    access_key: env:SECRET_A\n    secret_key: {value}\n")
    assert "acme.yaml:8: jobs.copy.secret_key" in str(refused.value)
    assert HUSH not in str(refused.value)
    assert "12345" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("    access_key: env:A\n", "jobs.copy.access_key: needs secret_key beside it"),
        ("    session_token: env:A\n", "jobs.copy.session_token: needs access_key beside it"),
        ("    access_key: env:A\n    secret_key: env:B\n    credentials: mine\n", "give one or the other"),
    ],
)
def test_half_a_key_is_told(tmp_path: Path, options: str, told: str) -> None:
    with pytest.raises(Misconfigured, match=told):
        read(tmp_path, options)


def test_a_password_in_a_destination_is_not_repeated(tmp_path: Path) -> None:
    text = (
        f"name: acme\ndatasets: {{events: }}\njobs:\n  c: {{dataset: events, destination: 'https://me:{HUSH}@h/x'}}\n"
    )
    (tmp_path / "acme.yaml").write_text(text.replace("/K7MDENG/", "-"))
    with pytest.raises(Misconfigured) as refused:
        DirectorySource(tmp_path, DATASETS)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("fields", [BOTH, {"credentials": "mine"}])
def test_an_object_of_the_api_refers_to_no_secret_for_publisher_and_worker_alike(fields: dict[str, Any]) -> None:
    job = Job("copy", "events", Target("s3://b/p", **fields), FileFormat.CSV, owner=Owner.API)
    with pytest.raises(ValueError, match="only operators' files"):
        secret.check(job)
    secret.check(replace(job, owner=Owner.FILE))
    codec = Codec()
    with pytest.raises(Refused, match="only operators' files"):
        codec.encode(Tenant("acme", {}, {"copy": job}))
    # A publisher with a bug: the worker looks again.
    forged = codec.encode(Tenant("acme", {}, {"copy": replace(job, owner=Owner.FILE)}))
    record: Any = codec._encoding.decode(forged)
    record["jobs"][0]["owner"] = "api"
    with pytest.raises(Refused, match="only operators' files"):
        codec.decode(codec._encoding.encode(record))


def test_a_worker_refuses_a_generation_with_a_secret_in_it_and_does_not_repeat_it() -> None:
    codec = Codec()
    job = Job("copy", "events", target(), FileFormat.CSV)
    record: Any = codec._encoding.decode(codec.encode(Tenant("acme", {}, {"copy": job})))
    record["jobs"][0]["target"]["secret_key"] = HUSH
    with pytest.raises(Refused) as refused:
        codec.decode(codec._encoding.encode(record))
    assert HUSH not in str(refused.value)


def test_references_are_read_when_they_are_used_and_new_secrets_are_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(secrets_dir=str(tmp_path))
    (tmp_path / "b").write_text("one\n")
    monkeypatch.setenv("SECRET_A", "id")
    asked = target(secret_key=f"file:{tmp_path}/b", session_token="env:SECRET_A")
    assert keys_of(asked, settings) == Keys("id", "one", "id")
    (tmp_path / "b").write_text("two\n")
    assert keys_of(asked, settings) == Keys("id", "two", "id")
    assert keys_of(Target("s3://b/p"), settings) is None


@pytest.mark.parametrize("name", ["LOGFLUME_STORE_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "PATH", "XSECRET_A"])
def test_no_variable_is_read_but_those_meant_for_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    monkeypatch.setenv("SECRET_A", "id")
    monkeypatch.setenv(name, HUSH)
    with pytest.raises(Misconfigured, match=f"env:{name}: only variables may be read that begin with SECRET_") as told:
        keys_of(target(secret_key=f"env:{name}"), settings)
    assert HUSH not in str(told.value)


def test_the_prefix_is_a_setting_that_can_not_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE_A", "id")
    asked = target(access_key="env:MINE_A", secret_key="env:MINE_A")
    assert keys_of(asked, Settings(secret_env_prefix="MINE_")) == Keys("id", "id")
    for prefix in ("", "_", "mine_", "MINE"):
        with pytest.raises(Misconfigured, match="SECRET_ENV_PREFIX"):
            Settings(secret_env_prefix=prefix)


def test_no_file_is_read_but_those_below_the_secrets_folder_wherever_links_lead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_A", "id")
    allowed = tmp_path / "secrets"
    allowed.mkdir()
    (tmp_path / "other").write_text(HUSH)
    (allowed / "link").symlink_to(tmp_path / "other")
    (allowed / "..data").mkdir()
    (allowed / "..data" / "k").write_text("mounted")
    (allowed / "k").symlink_to(allowed / "..data" / "k")  # as Kubernetes mounts them
    settings = Settings(secrets_dir=str(allowed))
    for path in (tmp_path / "other", allowed / "link", Path("/proc/self/environ"), tmp_path / "secrets-too"):
        with pytest.raises(Misconfigured, match="only files below") as told:
            keys_of(target(secret_key=f"file:{path}"), settings)
        assert HUSH not in str(told.value)
    found = keys_of(target(secret_key=f"file:{allowed}/k"), settings)
    assert found == Keys("id", "mounted")
    with pytest.raises(Misconfigured, match="LOGFLUME_SECRETS_DIR is not set"):
        keys_of(target(secret_key=f"file:{allowed}/k"), Settings())


def test_what_is_there_and_no_key_is_told_and_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_A", "id")
    settings = Settings(secrets_dir=str(tmp_path))
    monkeypatch.delenv("SECRET_B", raising=False)
    with pytest.raises(Misconfigured, match="env:SECRET_B: this process has no such variable"):
        keys_of(target(), settings)
    monkeypatch.setenv("SECRET_B", f"two words {HUSH}")
    with pytest.raises(Misconfigured, match="env:SECRET_B: must hold one key") as told:
        keys_of(target(), settings)
    assert HUSH not in str(told.value)
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "absent", "."):
        with pytest.raises(Misconfigured, match="can't be read"):
            keys_of(target(secret_key=f"file:{tmp_path}/{name}"), settings)


def test_keys_are_not_shown() -> None:
    assert HUSH not in repr(Keys(HUSH, HUSH, HUSH))
