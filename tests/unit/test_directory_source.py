"""The configuration from a directory: whole, or a typed refusal; never blank."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from logflume import contract, metrics
from logflume.config import Source
from logflume.config.directory import DirectorySource
from logflume.errors import Misconfigured, Refused
from logflume.model import Job, Outlet, Target, check_tenant_name, load
from logflume.model.job import MAX_AGE_SECONDS, MAX_BYTES

DATASETS = load(contract.find())


def source(folder: Path, **files: str) -> Source:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return DirectorySource(folder, DATASETS)


def test_a_tenant_gets_what_its_file_says_and_nothing_else(tmp_path: Path) -> None:
    found = source(
        tmp_path,
        acme="name: acme\ndatasets:\n  events: {retention_days: 7, shards: 4}\n  audit_logs:\n",
        idle="name: idle\ndatasets: {}\n",
    ).current()
    assert found.generation == 1
    assert metrics.REGISTRY.get_sample_value("logflume_config_active_pairs") == 2
    assert set(found.tenants) == {"acme", "idle"}
    assert found.tenants["acme"].datasets["events"].retention_days == 7
    assert [found.tenants["acme"].datasets[each].shards for each in ("events", "audit_logs")] == [4, 1]
    assert found.tenants["acme"].datasets["audit_logs"].retention_days == DATASETS["audit_logs"].retention_days
    assert found.wants("acme", "events")
    assert not found.wants("acme", "http_requests")
    assert not found.wants("idle", "events")
    assert not found.wants("nobody", "events")


JOB = "name: acme\ndatasets: {events: }\njobs:\n  copy:\n    dataset: events\n    destination: s3://bucket/a\n"


def test_a_tenants_jobs_are_what_its_file_says(tmp_path: Path) -> None:
    options = "    endpoint: http://127.0.0.1:1\n    credentials: mine\n    fields: [time, _extra]\n    max_rows: 7\n"
    plain = "  plain: {dataset: events, destination: file:///tmp/x, format: parquet}\n"
    found = source(tmp_path, acme=JOB + options + plain).current()
    copy, other = found.tenants["acme"].jobs.values()
    assert (copy.key, copy.dataset, copy.format, copy.fields) == ("copy", "events", "ndjson.gz", ("time", "_extra"))
    assert copy.target == Target("s3://bucket/a", "http://127.0.0.1:1", credentials="mine")
    assert copy.limits == (7, MAX_BYTES, MAX_AGE_SECONDS)
    assert (other.target, other.format, other.fields) == (Target("file:///tmp/x"), "parquet", ())
    assert found.outlets("acme", "events") == (Outlet("acme"), Outlet("acme", "copy"), Outlet("acme", "plain"))
    assert [outlet.job for outlet in found.outlets("acme", "events")] == [None, copy, other]
    assert found.outlets("acme", "http_requests") == ()


def test_a_job_is_made_again_from_its_definition_as_an_intent_keeps_it(tmp_path: Path) -> None:
    job = (
        source(tmp_path, acme=JOB + "    fields: [time]\n    encryption: AES256\n")
        .current()
        .tenants["acme"]
        .jobs["copy"]
    )
    again = Job.defined("copy", json.loads(json.dumps(job.definition())))
    assert again == job
    with pytest.raises(Refused, match="job copy"):
        Job.defined("copy", {"dataset": "events"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("jobs:\n", "jobs: a mapping"),
        ("jobs: {Copy: {}}\n", "jobs.Copy: a job's key"),
        (
            "jobs: {copy: {dataset: event, destination: s3://b}}\n",
            "copy.dataset: the tenant has no dataset",
        ),
        ("jobs: {copy: {dataset: events}}\n", "jobs.copy.destination: is missing"),
        ("jobs: {copy: {dataset: events, destination: s3://b, bucket: c}}\n", "jobs.copy.bucket: is not known"),
        ("jobs: {copy: {dataset: events, destination: s3://b, format: xml}}\n", "'xml' is no format"),
        ("jobs: {copy: {dataset: events, destination: s3://b, fields: time}}\n", "fields: a list of texts"),
        ("jobs: {copy: {dataset: events, destination: s3://b, fields: [tim]}}\n", "events has no field 'tim'"),
        ("jobs: {copy: {dataset: events, destination: s3://b, fields: [time, time]}}\n", "time stands twice"),
        ("jobs: {copy: {dataset: events, destination: s3://b, fields: []}}\n", "name at least one field"),
        ("jobs: {copy: {dataset: events, destination: s3://b, max_rows: 0}}\n", "max_rows: 0 is not within"),
        ("jobs: {copy: {dataset: events, destination: s3://b, kms_key: k}}\n", "goes with encryption: aws:kms"),
        ("jobs: {copy: {dataset: events, destination: s3://b, encryption: rot13}}\n", "'rot13' is not one of"),
        ("jobs: {copy: {dataset: events, destination: s3://b, credentials: ../x}}\n", "the name of a folder"),
        ("jobs: {copy: {dataset: events, destination: 's3://a:b@c'}}\n", "no key, port or query"),
        ("jobs: {copy: {dataset: events, destination: s3://}}\n", "neither s3://bucket"),
        ("jobs: {copy: {dataset: events, destination: ftp://b}}\n", "neither s3://bucket"),
        ("jobs: {copy: {dataset: events, destination: 'file://tmp/x'}}\n", "three slashes"),
        ("jobs: {copy: {dataset: events, destination: 'file:///x', region: eu}}\n", "region: is for s3:// only"),
    ],
)
def test_a_mistake_in_a_job_is_told_with_file_line_and_field(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(Misconfigured) as error:
        source(tmp_path, acme="name: acme\ndatasets: {events: }\n" + text)
    assert "acme.yaml:3: " in str(error.value)
    assert told in str(error.value)


def test_a_generation_cannot_be_changed(tmp_path: Path) -> None:
    found = source(tmp_path, acme="name: acme\ndatasets: {events: }\n").current()
    with pytest.raises(TypeError):
        found.tenants["other"] = found.tenants["acme"]  # type: ignore[index]
    with pytest.raises(TypeError):
        del found.tenants["acme"].datasets["events"]  # type: ignore[attr-defined]


def test_files_changed_after_the_start_are_not_seen(tmp_path: Path) -> None:
    made = source(tmp_path, acme="name: acme\ndatasets: {events: }\n")
    (tmp_path / "acme.yaml").unlink()
    assert made.current().wants("acme", "events")


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"acme": "name: acme\ndatasets: {}\n"},
        {"acme": "name: acme\ndatasets: {}\n", "other": "name: other\ndatasets: {}\n"},
    ],
)
def test_a_blank_configuration_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(Refused, match="blank"):
        source(tmp_path, **files)


def test_a_missing_directory_is_a_mistake_and_not_a_blank_configuration(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="none is no directory"):
        DirectorySource(tmp_path / "none", DATASETS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: other\ndatasets: {events: }\n", "acme.yaml:1: name: 'other' is not the file's name 'acme'"),
        ("name: ../x\ndatasets: {events: }\n", "acme.yaml:1: name: '../x' is no tenant's name"),
        ("name: acme\n", "acme.yaml:1: datasets: is missing"),
        ("name: acme\ndatasets:\n", "acme.yaml:2: datasets: a mapping"),
        ("name: acme\ndatasets:\n  event: \n", "acme.yaml:3: datasets.event: there is no such dataset"),
        ("name: acme\ndatasets:\n  events: 30\n", "acme.yaml:3: datasets.events: nothing"),
        ("name: acme\ndatasets:\n  events: {shards: 65}\n", "acme.yaml:3: datasets.events.shards: 65"),
        ("name: acme\ndatasets:\n  events: {days: 3}\n", "acme.yaml:3: datasets.events.days: is not known"),
        (
            "name: acme\ndatasets:\n  events:\n    retention_days: -1\n",
            "acme.yaml:4: datasets.events.retention_days: -1",
        ),
        ("name: acme\ndatasets:\n  events: \n  events: \n", "acme.yaml:4: datasets.events: stands twice"),
        ("name: acme\njob: 3\n", "acme.yaml:2: job: is not known; did you mean jobs?"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_field(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(Misconfigured) as error:
        source(tmp_path, acme=text, good="name: good\ndatasets: {events: }\n")
    assert told in str(error.value)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "-x", "a/b", "a b", "ä", "a\n", "x" * 129])
def test_a_name_that_is_no_safe_path_segment_is_no_tenants(name: str) -> None:
    with pytest.raises(Misconfigured, match="no tenant's name"):
        check_tenant_name(name)


@pytest.mark.parametrize("name", ["a", "0", "ACME-1", "a.b_c-d", "x" * 128])
def test_other_names_are_taken_as_they_are(name: str) -> None:
    assert check_tenant_name(name) == name


def test_equal_configurations_have_equal_hashes_and_others_have_not(tmp_path: Path) -> None:
    def hash_of(name: str, **files: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        return source(folder, **files).current().hash

    one = hash_of("one", a="name: a\ndatasets: {events: , dns_logs: }\n", b="name: b\ndatasets: {events: }\n")
    same = hash_of("same", b="datasets: {events: }\nname: b\n", a="name: a\ndatasets: {dns_logs: , events: }\n")
    days = hash_of(
        "days", a="name: a\ndatasets: {events: , dns_logs: }\n", b="name: b\ndatasets: {events: {retention_days: 9}}\n"
    )
    fewer = hash_of("fewer", a="name: a\ndatasets: {events: , dns_logs: }\n")
    job = hash_of("job", acme=JOB)
    larger = hash_of("larger", acme=JOB + "    max_rows: 7\n")
    assert one == same
    assert len({one, days, fewer, job, larger}) == 5
