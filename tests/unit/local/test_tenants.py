"""What the local stack puts in force when it comes up."""

from __future__ import annotations

from pathlib import Path

import pytest

from logflume import contract
from logflume.errors import Refused
from logflume.local import tenants
from logflume.model import load
from logflume.settings import Settings
from tests.support import config_topic


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    config_topic.installed(monkeypatch)
    return Settings(kafka_bootstrap="127.0.0.1:1", store_url=f"file://{tmp_path}/store", state_dir=str(tmp_path))


def test_the_first_time_the_samples_are_put_in_force_and_after_that_what_operators_applied_stays(
    settings: Settings,
) -> None:
    folder = tenants.folder_of(settings.state_dir)
    tenants.write_samples(folder, "")
    first = tenants.apply(settings, folder, always=False)
    assert first is not None
    assert (first.generation, first.pairs) == (1, 2 * len(load(contract.find())))
    (folder / "mine.yaml").write_text("name: mine\ndatasets: {events: }\n")
    tenants.write_samples(folder, "")
    assert len(list(folder.iterdir())) == 3
    assert tenants.apply(settings, folder, always=False) is None
    second = tenants.apply(settings, folder, always=True)
    assert second is not None
    assert second.tenants == 3
    assert tenants.apply(settings, folder, always=True) is None


def test_many_more_tenants_are_meant_only_when_it_is_said_and_fewer_never(settings: Settings) -> None:
    folder = tenants.folder_of(settings.state_dir)
    tenants.write_samples(folder, "")
    tenants.apply(settings, folder, always=True)
    for number in range(20):
        (folder / f"t{number}.yaml").write_text(f"name: t{number}\ndatasets: {{events: }}\n")
    with pytest.raises(Refused, match=r"adds 20 .*; see `logflume config plan"):
        tenants.apply(settings, folder, always=True)
    grown = tenants.apply(settings, folder, always=True, growing=True)
    assert grown is not None
    assert grown.accepted[0].growth_of == 20
    for path in folder.glob("[ag]*.yaml"):
        path.unlink()
    with pytest.raises(Refused, match="takes away 10"):
        tenants.apply(settings, folder, always=True, growing=True)
