"""Targets opened: which are refused, whose credentials they use, and what goes with each request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from logflume.destinations import open_destination
from logflume.destinations.credentials import read_keys
from logflume.errors import Misconfigured, Retryable
from logflume.model.job import Target
from logflume.settings import Settings
from tests.support import places
from tests.support.careless_store import careless_store
from tests.support.s3_proxy import s3_proxy

STORE = "s3://logs/flume"


@pytest.mark.parametrize(
    ("store", "url", "endpoint"),
    [
        (STORE, "s3://logs/flume", ""),
        (STORE, "s3://logs/flume/tables/acme", ""),
        (STORE, "s3://logs", ""),
        (STORE, "s3://logs//flume/", "https://s3.eu-west-1.amazonaws.com"),
        ("s3://logs", "s3://logs/jobs", ""),
        ("file:///data/flume", "file:///data/flume/tables", ""),
        ("file:///data/flume", "file:///data", ""),
        ("file:///data/flume", "file:///data/other/../flume/x", ""),
    ],
)
def test_a_target_that_overlaps_the_tables_is_misconfigured(store: str, url: str, endpoint: str) -> None:
    with pytest.raises(Misconfigured, match=r"overlaps the tables' own store|has an empty part"):
        open_destination(Target(url, endpoint=endpoint), Settings(store_url=store))


@pytest.mark.parametrize(
    ("store", "url", "endpoint"),
    [
        (STORE, "s3://logs/flumes", ""),
        (STORE, "s3://logs/other", ""),
        (STORE, "s3://other/flume", ""),
        (STORE, "s3://logs/flume", "http://10.0.0.9:9000"),
        ("file:///data/flume", "file:///data/flumes", ""),
        ("", "s3://logs/flume", ""),
    ],
)
def test_a_target_beside_the_tables_is_opened(store: str, url: str, endpoint: str) -> None:
    assert open_destination(Target(url, endpoint=endpoint), Settings(store_url=store)).url == url


def test_a_folder_that_leads_into_the_tables_by_a_link_is_misconfigured(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "store")
    with pytest.raises(Misconfigured, match="overlaps"):
        open_destination(Target((tmp_path / "link").as_uri()), Settings(store_url=(tmp_path / "store").as_uri()))


def test_one_service_by_two_names_of_this_machine_is_one_service() -> None:
    settings = Settings(store_url=STORE, store_endpoint="http://localhost:8333")
    with pytest.raises(Misconfigured, match="overlaps"):
        open_destination(Target("s3://logs/flume/x", endpoint="http://127.0.0.1:8333"), settings)


@pytest.mark.parametrize(
    "url", ["", "x", "http://b/x", "s3:///x", "file://host/x", "file:x", "s3://b/../c", "s3://b/a//c", "s3://b/x?y=1"]
)
def test_a_url_that_is_none_is_misconfigured(url: str) -> None:
    with pytest.raises(Misconfigured, match="the destination"):
        open_destination(Target(url), Settings())


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(Misconfigured) as refused:
        open_destination(Target("s3://key:hush@bucket/x"), Settings())
    assert "hush" not in str(refused.value)


def test_a_target_is_opened_once_for_all_threads(tmp_path: Path) -> None:
    place = places.folder(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        assert len(set(map(id, pool.map(lambda _: place.open(), range(50))))) == 1


def test_new_credentials_in_the_files_are_taken_up(tmp_path: Path) -> None:
    place = places.bucket("s3://b", "http://127.0.0.1:9", ("key", "first"), tmp_path)
    before = place.open()
    assert place.open() is before
    (tmp_path / places.CREDENTIALS / "secret_key").write_text("second")
    assert place.open() is not before


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("absent", None, "access_key: can't be read"),
        ("empty", b" \n", "access_key: must hold one key"),
        ("two", b"a b", "access_key: must hold one key"),
        ("binary", b"\xff\xfe", "access_key: is not plain ASCII"),
        ("../etc", None, "the name of a folder"),
    ],
)
def test_credentials_that_cannot_be_read_are_misconfigured(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "access_key").write_bytes(content)
    with pytest.raises(Misconfigured, match=says):
        read_keys(str(tmp_path), name)


def test_credentials_without_a_folder_of_secrets_are_misconfigured() -> None:
    with pytest.raises(Misconfigured, match="LOGFLUME_SECRETS_DIR is not set"):
        open_destination(Target("s3://b", credentials="job"), Settings())


def test_keys_are_not_shown(tmp_path: Path) -> None:
    place = places.bucket("s3://b", "http://127.0.0.1:9", ("visible", "hush"), tmp_path)
    shown = repr(read_keys(str(tmp_path), places.CREDENTIALS)) + repr(place.open())
    assert "hush" not in shown
    assert "visible" not in shown


@pytest.mark.parametrize(
    ("encryption", "key", "headers"),
    [
        ("", "", []),
        ("AES256", "", [b"x-amz-server-side-encryption: AES256"]),
        (
            "aws:kms",
            "arn:of:key",
            [b"x-amz-server-side-encryption: aws:kms", b"x-amz-server-side-encryption-aws-kms-key-id: arn:of:key"],
        ),
    ],
)
def test_encryption_is_asked_for_with_what_makes_the_object(
    tmp_path: Path, encryption: str, key: str, headers: list[bytes]
) -> None:
    part = 5 << 20
    with careless_store() as store, s3_proxy(store) as proxy:
        place = places.bucket("s3://b/x", proxy.endpoint, ("k", "s"), tmp_path, destination_part_bytes=part)
        target = Target(**{**_fields(place.target), "encryption": encryption, "kms_key": key})
        destination = open_destination(target, place.settings)
        destination.write("small", b"x")
        destination.write("large", b"x" * (part + 1))
        asked = {exchange.operation: exchange.head for exchange in proxy.seen}
        for operation in ("PutObject", "CreateMultipartUpload"):
            given = re.findall(rb"(?im)^(x-amz-server-side-encryption[^\r]*)", asked[operation])
            assert sorted(line.lower() for line in given) == sorted(line.lower() for line in headers)
        assert asked["PutObject"].startswith(b"PUT /b/x/small ")
        assert b"encryption" not in asked["UploadPart"]


class _Sts(BaseHTTPRequestHandler):
    """Gives a role's credentials that are valid until ``expiry``; without one it refuses."""

    asked: list[str]
    expiry: str

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.asked.append(f"{self.headers['Authorization']} {body}")
        text = (
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ROLEKEY</AccessKeyId>"
            f"<SecretAccessKey>rolesecret</SecretAccessKey><SessionToken>token{len(self.asked)}</SessionToken>"
            f"<Expiration>{self.expiry}</Expiration></Credentials>"
            "<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>x</AssumedRoleId>"
            "</AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>"
        ).encode()
        if not self.expiry:
            text = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
        self.send_response(200 if self.expiry else 403)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def _sts(expiry: str) -> Iterator[tuple[str, list[str]]]:
    handler: Any = type("Sts", (_Sts,), {"asked": [], "expiry": expiry})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler.asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _with_role(place: places.Place) -> Target:
    return Target(**{**_fields(place.target), "role": "arn:aws:iam::1:role/writer"})


def _fields(target: Target) -> dict[str, Any]:
    return {name: getattr(target, name) for name in Target.__slots__}


def test_a_role_is_assumed_once_with_the_keys_and_signs_the_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with careless_store() as store, s3_proxy(store) as proxy, _sts("2099-01-01T00:00:00Z") as (address, asked):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", address)
        place = places.bucket("s3://b/x", proxy.endpoint, ("OWNKEY", "ownsecret"), tmp_path)
        destination = open_destination(_with_role(place), place.settings)
        destination.write("a", b"x")
        destination.write("b", b"x")
        assert len(asked) == 1
        assert "Credential=OWNKEY/" in asked[0]
        assert "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fwriter" in asked[0]
        for exchange in proxy.seen:
            assert b"Credential=ROLEKEY/" in exchange.head
            assert re.search(rb"(?i)x-amz-security-token: token1\r", exchange.head)


@pytest.mark.parametrize(
    ("expiry", "kind", "says"),
    [
        ("", Misconfigured, "AssumeRole was answered 403 AccessDenied"),
        ("2001-01-01T00:00:00Z", Retryable, "still expired"),
    ],
    ids=["refused", "expired"],
)
def test_a_role_that_is_not_given_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expiry: str, kind: type[Exception], says: str
) -> None:
    with careless_store() as store, _sts(expiry) as (address, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", address)
        place = places.bucket("s3://b/x", store, ("OWNKEY", "ownsecret"), tmp_path)
        with pytest.raises(kind, match=says):
            open_destination(_with_role(place), place.settings).write("a", b"x")


def test_no_credentials_at_all_are_misconfigured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Misconfigured, match="Unable to locate credentials"):
        open_destination(Target("s3://b", endpoint="http://127.0.0.1:9"), Settings()).write("a", b"x")


def test_an_endpoint_that_is_no_url_is_misconfigured(tmp_path: Path) -> None:
    place = places.bucket("s3://b", "not a url", ("k", "s"), tmp_path)
    with pytest.raises(Misconfigured, match="Invalid endpoint: not a url"):
        place.open().write("a", b"x")
