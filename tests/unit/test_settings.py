"""Settings: where values come from, and what is told about mistakes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from logflume.errors import Misconfigured
from logflume.local.record import write_toml
from logflume.settings import STACK_FILE, GivenSettings, Settings, page, variable
from tests.support import pages


def test_the_pages_generated_from_code_are_current() -> None:
    for path, text in pages.generated().items():
        assert path.read_text() == text, f"{path} is not current: make docs"


def test_every_setting_stands_on_the_page_once() -> None:
    rows = [line.split("`")[1] for line in page().splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(variable(name) for name in Settings.model_fields)


def test_a_stages_setting_is_checked_and_can_not_be_changed() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.sink_flush_rows = 1
    with pytest.raises(Misconfigured, match="LOGFLUME_EDGE_BLOCK_ROWS"):
        Settings(edge_block_rows=0)


def test_an_argument_beats_a_variable_beats_the_file_beats_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGFLUME_STATE_DIR", str(tmp_path))
    (tmp_path / STACK_FILE).write_text('sink_group = "stack"')
    assert Settings().sink_group == "stack"
    assert GivenSettings().sink_group == "logflume-sink"
    file = tmp_path / "mine.toml"
    file.write_text('sink_group = "file"')
    monkeypatch.setenv("LOGFLUME_SETTINGS", str(file))
    assert Settings().sink_group == "file"
    monkeypatch.setenv("LOGFLUME_SINK_GROUP", "variable")
    assert Settings().sink_group == "variable"
    assert Settings(sink_group="argument").sink_group == "argument"


def test_the_settings_file_may_say_where_the_stack_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOGFLUME_STATE_DIR")
    monkeypatch.delenv("LOGFLUME_SETTINGS")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logflume.toml").write_text(f'state_dir = "{tmp_path}"')
    (tmp_path / STACK_FILE).write_text('kafka_bootstrap = "here:1"')
    assert Settings().kafka_bootstrap == "here:1"


def test_a_mistyped_variable_is_refused_with_the_name_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGFLUME_SINK_GRUOP", "x")
    with pytest.raises(Misconfigured, match=r"LOGFLUME_SINK_GRUOP is not a setting\. Did you mean LOGFLUME_SINK_GROUP"):
        Settings()


def test_a_mistyped_name_in_the_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("sink_flush_row = 3")
    monkeypatch.setenv("LOGFLUME_SETTINGS", str(file))
    with pytest.raises(Misconfigured, match=r"sink_flush_row is not a setting\. Did you mean sink_flush_rows"):
        Settings()


def test_a_named_file_that_does_not_exist_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGFLUME_SETTINGS", str(tmp_path / "none.toml"))
    with pytest.raises(Misconfigured, match=r"none\.toml, which does not exist"):
        Settings()


def test_a_wrong_value_is_told_by_its_variable_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGFLUME_SINK_FLUSH_ROWS", "hunter2")
    with pytest.raises(Misconfigured, match="LOGFLUME_SINK_FLUSH_ROWS") as told:
        Settings()
    assert "hunter2" not in str(told.value)


def test_what_is_required_and_missing_is_named() -> None:
    with pytest.raises(Misconfigured, match="LOGFLUME_KAFKA_BOOTSTRAP is not set"):
        Settings().require("kafka_bootstrap")
    assert Settings(kafka_bootstrap="a:1").require("kafka_bootstrap") == "a:1"
    assert Settings(store_secret_key="key").require("store_secret_key") == "key"


def test_sizes_are_read_with_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGFLUME_SINK_MEMORY_BYTES", "64MB")
    assert Settings().sink_memory_bytes == 64_000_000


def test_the_environment_gives_another_process_equal_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(
        kafka_bootstrap="a:1",
        kafka_security_protocol="SSL",
        kafka_options={"client.id": "mine", "quote": 'a "b" %'},
        store_secret_key="the key",
        sink_flush_age_seconds=0.25,
        tenants_dir=str(tmp_path),
    )
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_a_secret_is_not_printed() -> None:
    assert "the key" not in repr(Settings(store_secret_key="the key"))


def test_the_stack_file_gives_equal_addresses_and_is_for_the_user_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        kafka_bootstrap="a:1",
        kafka_security_protocol="SSL",
        kafka_tls_ca=str(tmp_path / "ca.pem"),
        kafka_options={'odd "name"': "väl\\ue"},
        store_url="s3://b/ü",
        store_secret_key="k",
        state_dir=tmp_path,
    )
    write_toml(tmp_path, settings)
    monkeypatch.setenv("LOGFLUME_STATE_DIR", str(tmp_path))
    assert Settings() == settings
    assert stat.S_IMODE((tmp_path / STACK_FILE).stat().st_mode) == 0o600


def test_a_relative_folder_does_not_depend_on_where_a_worker_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings(tenants_dir="mine").tenants_dir == str(tmp_path / "mine")
