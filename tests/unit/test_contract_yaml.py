"""YAML of the contract: every mistake is told with its file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from logflume import contract
from logflume.errors import Misconfigured


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "some.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def read(tmp_path: Path, text: str) -> contract.Section:
    return contract.read_yaml(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "some.yaml:1: the file is empty"),
        ("# nothing\n", "some.yaml:1: the file is empty"),
        ("- a\n", "some.yaml:1: a mapping"),
        ("a: 1\nb: 2\na: 3\n", "some.yaml:3: a: stands twice, first on line 1"),
        ("a: {x: 1}\n3: 2\n", "some.yaml:2: the key '3' is not text"),
        ("[a]: 2\n", "some.yaml:1: the key"),
        ("a: [1\nb: 2\n", "some.yaml:2: not YAML"),
        ("a: 1\n---\nb: 2\n", "some.yaml:2: not YAML"),
        ("a: *nowhere\n", "some.yaml:1: not YAML"),
    ],
)
def test_a_file_that_is_no_mapping_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(Misconfigured) as error:
        read(tmp_path, text)
    assert told in str(error.value)


@pytest.mark.parametrize("raw", [b"a: \xff\xfe\n", b"a: \x00\n"])
def test_a_file_of_other_bytes_than_text_is_told_with_its_name(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "some.yaml"
    path.write_bytes(raw)
    with pytest.raises(Misconfigured, match=r"some\.yaml"):
        contract.read_yaml(path)


def test_a_missing_file_is_told_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"none\.yaml"):
        contract.read_yaml(tmp_path / "none.yaml")


def test_a_duplicate_deep_inside_is_told_with_its_whole_name(tmp_path: Path) -> None:
    root = read(tmp_path, "a:\n  b:\n    c: 1\n    c: 2\n")
    with pytest.raises(Misconfigured, match=r"some\.yaml:4: a\.b\.c: stands twice, first on line 3"):
        root.section("a").section("b")


def test_an_unknown_key_is_told_with_the_nearest_known_one(tmp_path: Path) -> None:
    root = read(tmp_path, "name: x\nretention_day: 3\n")
    with pytest.raises(
        Misconfigured, match=r"some\.yaml:2: retention_day: is not known; did you mean retention_days\?"
    ):
        root.only(("name", "retention_days"))


def test_a_value_of_another_type_is_told_and_never_converted(tmp_path: Path) -> None:
    root = read(tmp_path, "yes_: yes\nnumber: 12\ntext: x\nnothing:\ndate: 2024-01-01\nlist: [1]\n")
    for ask, told in [
        (lambda: root.text("yes_"), ":1: yes_: text is wanted, not True; put it in quotes"),
        (lambda: root.text("number"), ":2: number: text is wanted, not 12; put it in quotes"),
        (lambda: root.integer("yes_", least=0, most=9), ":1: yes_: a whole number is wanted, not True"),
        (lambda: root.integer("number", least=0, most=9), ":2: number: 12 is not within 0 and 9"),
        (lambda: root.flag("text"), ":3: text: true or false is wanted, not 'x'"),
        (lambda: root.text("nothing"), ":4: nothing: text is wanted, not nothing"),
        (lambda: root.text("date"), ":5: date: one value is wanted"),
        (lambda: root.text("list"), ":6: list: one value is wanted"),
        (lambda: root.section("text"), ":3: text: a mapping"),
        (lambda: root.text("absent"), ":1: absent: is missing"),
    ]:
        with pytest.raises(Misconfigured) as error:
            ask()
        assert f"some.yaml{told}" in str(error.value)


def test_a_tag_that_would_build_a_python_object_stays_text(tmp_path: Path) -> None:
    root = read(tmp_path, "a: !!python/name:os.system x\n")
    assert root.value("a") == "x"


@pytest.mark.parametrize("value", ["!!int ''", "!!float ''", "!!bool maybe", "!!timestamp abc"])
def test_a_value_that_does_not_fit_its_tag_stays_text(tmp_path: Path, value: str) -> None:
    root = read(tmp_path, f"a: {value}\n")
    with pytest.raises(Misconfigured, match=r"some.yaml:1: a: a whole number is wanted"):
        root.integer("a", least=0, most=9)


def test_a_link_that_leads_nowhere_is_told_and_not_taken_for_no_file(tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nothing")
    [path] = contract.yaml_files(tmp_path)
    with pytest.raises(Misconfigured, match=r"gone.yaml: cannot be read"):
        contract.read_yaml(path)


def test_the_checkouts_folder_is_found_and_a_given_one_wins(tmp_path: Path) -> None:
    assert contract.find() == Path(__file__).parents[2] / "topics"
    (tmp_path / "topics.yaml").write_text("")
    assert contract.find(str(tmp_path)) == tmp_path


def test_a_given_folder_without_topics_is_refused_and_not_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"topics_dir: .* has no topics\.yaml"):
        contract.find(str(tmp_path))


def test_a_schema_that_is_missing_or_broken_is_told_with_its_file(tmp_path: Path) -> None:
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    (schemas / "broken.avsc").write_text("{")
    (schemas / "untyped.avsc").write_text('{"type": "nonsense"}')
    (schemas / "plain.avsc").write_text('"string"')
    for name in ("absent", "broken", "untyped", "plain"):
        with pytest.raises(Misconfigured, match=rf"{name}\.avsc"):
            contract.avro_schema(name, tmp_path)
