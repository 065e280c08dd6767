"""The contract folder ``topics/``: where it is, and its YAML read so that every mistake names file, line and field.

A checkout, a wheel and a folder given by a setting all hold the same files: ``topics.yaml``, ``datasets/*.yaml`` and
``schemas/*.avsc``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import fastavro
import orjson
import yaml

from logflume.errors import Misconfigured

_PACKAGE = Path(__file__).parent
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml reads ten thousand tenants ten times as fast
_TEXT = "tag:yaml.org,2002:str"  # most scalars are: they need no constructor
_T = TypeVar("_T", str, bool, int)
_KINDS: dict[type, str] = {str: "text", bool: "true or false", int: "a whole number"}


def find(topics_dir: str = "") -> Path:
    """Return the contract folder: the one given, else the checkout's ``topics/``, else the one inside the package."""
    if topics_dir:
        folder = Path(topics_dir).expanduser()
        if not (folder / "topics.yaml").is_file():
            raise Misconfigured(f"topics_dir: {folder} has no topics.yaml; name a folder like the repository's topics/")
        return folder
    for folder in (_PACKAGE.parents[1] / "topics", _PACKAGE / "_contract"):
        if (folder / "topics.yaml").is_file():
            return folder
    raise Misconfigured("this installation lacks the contract's files; set LOGFLUME_TOPICS_DIR to a topics/ folder")


def avro_schema(name: str, folder: Path) -> dict[str, Any]:
    """Return ``schemas/<name>.avsc`` of the contract folder, parsed by fastavro."""
    path = folder / "schemas" / f"{name}.avsc"
    try:
        parsed = fastavro.parse_schema(orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        raise Misconfigured(f"{path}: no such schema in the contract") from None
    except (orjson.JSONDecodeError, fastavro.schema.SchemaParseException, fastavro.schema.UnknownType) as error:
        raise Misconfigured(f"{path}: not an Avro schema: {error}") from error
    if not isinstance(parsed, dict):
        raise Misconfigured(f"{path}: an Avro record is wanted")
    return parsed


def yaml_files(folder: Path) -> list[Path]:
    """Return the folder's ``*.yaml`` and ``*.yml`` files by name; hidden files are none of ours.

    A link that leads nowhere is one of them: who reads it hears of it, and does not take it for a file that is gone.
    """
    found = (path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"} and not path.name.startswith("."))
    return sorted(path for path in found if path.is_file() or not path.exists())


def read_yaml(path: Path) -> Section:
    """Read a YAML file that holds one mapping. Raise ``Misconfigured`` for anything else, duplicate keys included."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise Misconfigured(f"{path}:{line}: not YAML: {error.problem or error.context}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Misconfigured(f"{path}: cannot be read as YAML: {error}") from error
    if node is None:
        raise Misconfigured(f"{path}:1: the file is empty")
    if not isinstance(node, yaml.MappingNode):
        raise Misconfigured(f"{path}:{node.start_mark.line + 1}: a mapping (name: value) is wanted")
    return Section(path, "", node)


class Section:
    """A YAML mapping that remembers where each of its keys stands.

    Its methods return checked values and raise ``Misconfigured`` as ``file:line: field: what is wrong``.
    """

    def __init__(self, path: Path, name: str, node: yaml.MappingNode) -> None:
        self.path = path
        self.name = name
        self.line: int = node.start_mark.line + 1
        self._values: dict[str, yaml.Node] = {}
        self._lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            self._add(key_node, value_node)

    def _add(self, key_node: yaml.Node, value_node: yaml.Node) -> None:
        line = key_node.start_mark.line + 1
        key = _construct(key_node)
        if not isinstance(key, str):
            raise Misconfigured(f"{self.path}:{line}: the key {key_node.value!r} is not text; put it in quotes")
        if key in self._lines:
            raise Misconfigured(
                f"{self.path}:{line}: {self._full(key)}: stands twice, first on line {self._lines[key]}"
            )
        self._values[key] = value_node
        self._lines[key] = line

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def at(self, key: str) -> int:
        """Return the line of a key; of the mapping when it lacks that."""
        return self._lines.get(key, self.line)

    def mistake(self, key: str, message: str) -> Misconfigured:
        """Return (not raise) the error that tells ``message`` about ``key`` with its file and line."""
        return Misconfigured(f"{self.path}:{self.at(key)}: {self._full(key)}: {message}")

    def only(self, allowed: Iterable[str]) -> None:
        """Raise when keys are not among ``allowed``, and name each; a near miss is named too."""
        names = list(allowed)
        unknown = [key for key in self if key not in names]
        if unknown:
            raise Misconfigured("\n".join(str(self._unknown(key, names)) for key in unknown))

    def _unknown(self, key: str, names: list[str]) -> Misconfigured:
        near = difflib.get_close_matches(key, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(names)}"
        return self.mistake(key, f"is not known; {hint}")

    def text(self, key: str, default: str | None = None) -> str:
        """Return the text under ``key``; raise when it is missing and there is no ``default``, or not text."""
        return self._scalar(key, str, default)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """Return true or false."""
        return self._scalar(key, bool, default)

    def integer(self, key: str, default: int | None = None, *, least: int, most: int) -> int:
        """Return a whole number from ``least`` to ``most``, both included."""
        number = self._scalar(key, int, default)
        if not least <= number <= most:
            raise self.mistake(key, f"{number} is not within {least} and {most}")
        return number

    def written(self, key: str) -> str:
        """Return the scalar under ``key`` as it is written, whatever type YAML would give it."""
        node = self._node(key)
        if not isinstance(node, yaml.ScalarNode):
            raise self.mistake(key, "one value is wanted, not a list or a mapping")
        return str(node.value)

    def value(self, key: str) -> str | int | float | bool | None:
        """Return the scalar under ``key``, of whatever type YAML gives it."""
        node = self._node(key)
        value = _construct(node) if isinstance(node, yaml.ScalarNode) else node
        if value is None or isinstance(value, str | int | float | bool):
            return value
        raise self.mistake(key, "one value is wanted, not a list, a mapping or a date")

    def texts(self, key: str) -> list[str]:
        """Return the list of texts under ``key``."""
        node = self._node(key)
        values = [_construct(item) for item in node.value] if isinstance(node, yaml.SequenceNode) else [None]
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) < len(values):
            raise self.mistake(key, "a list of texts is wanted, such as [a, b]")
        return texts

    def section(self, key: str) -> Section:
        """Return the mapping under ``key``."""
        node = self._node(key)
        if not isinstance(node, yaml.MappingNode):
            raise self.mistake(key, "a mapping (name: value) is wanted")
        return Section(self.path, self._full(key), node)

    def sections(self, key: str) -> list[Section]:
        """Return the list of mappings under ``key``."""
        node = self._node(key)
        items = node.value if isinstance(node, yaml.SequenceNode) else [None]
        if not all(isinstance(item, yaml.MappingNode) for item in items):
            raise self.mistake(key, "a list of mappings is wanted, such as [{id: a}, {id: b}]")
        return [Section(self.path, f"{self._full(key)}[{at}]", item) for at, item in enumerate(items)]

    def is_section(self, key: str) -> bool:
        """Whether a mapping stands under ``key``."""
        return isinstance(self._values.get(key), yaml.MappingNode)

    def _scalar(self, key: str, kind: type[_T], default: _T | None) -> _T:
        if key not in self and default is not None:
            return default
        value = self.value(key)
        if type(value) is not kind:  # not isinstance: true is no number
            quotes = "; put it in quotes" if kind is str and value is not None else ""
            raise self.mistake(
                key, f"{_KINDS[kind]} is wanted, not {'nothing' if value is None else repr(value)}{quotes}"
            )
        return value

    def _node(self, key: str) -> yaml.Node:
        if key not in self:
            raise self.mistake(key, "is missing")
        return self._values[key]

    def _full(self, key: str) -> str:
        return ".".join(part for part in (self.name, key) if part)


def _construct(node: yaml.Node) -> Any:
    """Return a scalar as YAML types it; a node that is no scalar comes back as it is."""
    if not isinstance(node, yaml.ScalarNode):
        return node
    if node.tag == _TEXT:
        return node.value
    try:
        return yaml.constructor.SafeConstructor().construct_object(node)
    except (ValueError, LookupError, AttributeError, yaml.YAMLError):  # what PyYAML makes of a tag that does not fit
        return node.value
