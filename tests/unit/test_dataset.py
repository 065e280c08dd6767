"""A dataset's file: what it may say, and how a mistake in it is told."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from logflume.errors import Misconfigured
from logflume.model import Field, FieldType, load
from logflume.model.dataset import read

GOOD = """\
name: builds
description: One run of a build.
time_field: StartedAt
id_field: BuildID
retention_days: 90
fields:
  BuildID: string
  StartedAt: timestamp
  Status: {type: string, dictionary: true, description: how it ended}
  Steps: array[string]
  Labels: map
"""


def write(folder: Path, text: str, name: str = "builds.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_dataset_is_added_by_adding_a_file(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    write(tmp_path / "datasets", GOOD)
    (tmp_path / "datasets" / ".builds.yaml.swp").write_text("not ours")
    (tmp_path / "datasets" / "README.md").write_text("not ours")
    datasets = load(tmp_path)
    assert list(datasets) == ["builds"]
    builds = datasets["builds"]
    assert (builds.time_field, builds.id_field, builds.retention_days) == ("StartedAt", "BuildID", 90)
    assert builds.field("Status") == Field("Status", FieldType.STRING, True, "how it ended")
    assert builds.schema == pa.schema(
        [
            ("BuildID", pa.string()),
            ("StartedAt", pa.timestamp("ns", "UTC")),
            ("Status", pa.string()),
            ("Steps", pa.list_(pa.string())),
            ("Labels", pa.map_(pa.string(), pa.string())),
        ]
    )


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("name: builds", "name: Builds", ":1: name: 'Builds' must be lower case"),
        ("name: builds", "name: other", ":1: name: 'other' is not the file's name 'builds'"),
        ("description: One run of a build.\n", "", ":1: description: is missing"),
        ("time_field: StartedAt", "time_field: BuildID", ":3: time_field: BuildID is string, and must be timestamp"),
        ("time_field: StartedAt", "time_field: Startedat", ":3: time_field: there is no field Startedat"),
        ("id_field: BuildID", "id_field: Steps", ":4: id_field: Steps is array[string], and must be string"),
        ("retention_days: 90", "retention_days: 0", ":5: retention_days: 0 is not within 1 and 3650"),
        ("retention_days: 90", "retention_days: 90 d", ":5: retention_days: a whole number is wanted, not '90 d'"),
        ("retention_days: 90", "retention: 90", ":5: retention: is not known; did you mean retention_days?"),
        (
            "BuildID: string",
            "BuildID: text",
            ":7: fields.BuildID: 'text' is no type; the types are: string, int, float, bool, timestamp, map, "
            "array[string], array[int]",
        ),
        ("type: string, dict", "type: str, dict", ":9: fields.Status.type: 'str' is no type"),
        ("dictionary: true", "dictionary: often", ":9: fields.Status.dictionary: true or false is wanted"),
        ("type: string, dict", "type: int, dict", ":9: fields.Status.dictionary: only a string field has one"),
        ("dictionary: true", "bloom: true", ":9: fields.Status.bloom: is not known"),
        ("Steps: array", "_extra: array", ":10: fields._extra: names that start with _ are Logflume's own"),
        ("Steps: array", "'bad name': array", ":10: fields.bad name: a field's name is"),
        ("Steps: array", "buildid: array", ":10: fields.buildid: differs from BuildID only by case"),
        ("Steps: array", "BuildID: array", ":10: fields.BuildID: stands twice, first on line 7"),
        ("Steps: array", "StartedAt_ns: array", ":10: fields.StartedAt_ns: is where the nanoseconds of StartedAt go"),
        ("Labels: map", "Labels:", ":11: fields.Labels: text is wanted, not nothing"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_field(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(Misconfigured) as error:
        read(path)
    assert f"{path}{told}" in str(error.value)


def test_a_dataset_without_fields_is_a_mistake(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD[: GOOD.index("fields:")] + "fields: {}\n")
    with pytest.raises(Misconfigured, match=r"builds\.yaml:6: fields: a dataset needs fields"):
        read(path)


def test_two_files_of_one_dataset_are_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    write(tmp_path / "datasets", GOOD)
    write(tmp_path / "datasets", GOOD, "builds.yml")
    with pytest.raises(Misconfigured, match="another file declares the dataset builds too"):
        load(tmp_path)


def test_a_contract_without_datasets_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no such folder"):
        load(tmp_path)
    (tmp_path / "datasets").mkdir()
    with pytest.raises(Misconfigured, match="no dataset is declared"):
        load(tmp_path)


def test_an_unknown_dataset_is_told_with_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    write(tmp_path / "datasets", GOOD)
    with pytest.raises(Misconfigured, match="no dataset 'build'; the contract has: builds"):
        load(tmp_path).named("build")
