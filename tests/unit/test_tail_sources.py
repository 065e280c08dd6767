"""What to follow, as a user says it: every mistake is told with file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from logflume.edge.tail.place import Place
from logflume.edge.tail.source import read
from logflume.errors import Misconfigured
from tests.support.tail import DATASETS


def _file(folder: Path, text: str) -> Path:
    path = folder / "sources.yaml"
    path.write_text(text)
    return path


def test_a_file_names_many_sources(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        "sources:\n"
        "  - {patterns: [/var/log/*.log], tenant: acme, multiline: '\\d+', exclude: ['*debug*']}\n"
        "  - {patterns: [/pods/*.log], format: cri, namespaces: {shop: globex}}\n",
    )
    first, second = read(path, DATASETS, 1000)
    assert (first.tenant, first.dataset, first.format, first.exclude) == ("acme", "events", "text", ("*debug*",))
    assert second.tenant_of("/var/log/pods/shop_web_u/c/0.log") == "globex"
    assert second.tenant_of("/var/log/pods/other_web_u/c/0.log") == ""


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("{patterns: [], tenant: acme}", "patterns"),
        ("{patterns: [a], tenant: acme, format: xml}", "format"),
        ("{patterns: [a], tenant: 'no tenant/'}", "tenant"),
        ("{patterns: [a]}", "tenant"),
        ("{patterns: [a], tenant: acme, dataset: nothing}", "dataset"),
        ("{patterns: [a], tenant: acme, dataset: dns_logs, format: combined}", "dataset"),
        ("{patterns: [a], tenant: acme, multiline: '('}", "multiline"),
        ("{patterns: [a], tenant: acme, format: json, multiline: x}", "multiline"),
        ("{patterns: [a], tenat: acme}", "tenat"),
        ("{patterns: a, tenant: acme}", "patterns"),
    ],
)
def test_a_mistake_names_file_line_and_field(tmp_path: Path, line: str, field: str) -> None:
    path = _file(tmp_path, f"sources:\n  - {{patterns: [x], tenant: acme}}\n  - {line}\n")
    with pytest.raises(Misconfigured, match=rf"sources\.yaml:3: .*{field}"):
        read(path, DATASETS, 1000)


def test_nothing_to_follow_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="nothing to follow"):
        read(_file(tmp_path, "sources: []\n"), DATASETS, 1000)


def test_a_mark_gives_its_place_back_and_any_other_bytes_none() -> None:
    place = Place(7, "id", "/a", "/b", 1, 2, 300, "h", 256, "t", 5, 6)
    assert Place.from_mark(place.mark, place.to_mark()) == place
    for value in (b"", b"[]", b"{}", b"\xff", place.to_mark().replace(b"300", b'"x"')):
        assert Place.from_mark(place.mark, value) is None
    assert Place.from_mark("tail/x", place.to_mark()) is None
