"""Datasets: the fields of one kind of log, declared in a file of the contract, and their Arrow types."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa

from logflume import contract
from logflume.errors import Misconfigured

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")  # part of topic names, paths and SQL; lower case as SQL folds it
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
_MOST_RETENTION_DAYS = 3650


class FieldType(StrEnum):
    """The types a field may have, spelled as in a dataset's file."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    TIMESTAMP = "timestamp"
    MAP = "map"
    STRINGS = "array[string]"
    INTS = "array[int]"


_ARROW = {
    FieldType.STRING: pa.string(),
    FieldType.INT: pa.int64(),
    FieldType.FLOAT: pa.float64(),
    FieldType.BOOL: pa.bool_(),
    FieldType.TIMESTAMP: pa.timestamp("ns", tz="UTC"),
    FieldType.MAP: pa.map_(pa.string(), pa.string()),
    FieldType.STRINGS: pa.list_(pa.string()),
    FieldType.INTS: pa.list_(pa.int64()),
}


def arrow_type(type: FieldType) -> pa.DataType:
    """Return the Arrow type of a field's column in a block; tables hold timestamps in microseconds."""
    return _ARROW[type]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a dataset. ``dictionary``: Parquet's dictionary pays for it, as its values are few."""

    name: str
    type: FieldType
    dictionary: bool = False
    description: str = ""


@dataclass(frozen=True)
class Dataset:
    """One kind of log: its fields in contract order, which of them is the time, and which (if any) the id."""

    name: str
    fields: tuple[Field, ...]
    time_field: str
    id_field: str | None = None
    retention_days: int = 30
    description: str = ""

    def __hash__(self) -> int:
        return hash(self.name)  # caches are asked by datasets all the time: 67 fields take 100 µs

    def field(self, name: str) -> Field:
        """Return the field of that name; ``KeyError`` when there is none."""
        return self._by_name[name]

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the dataset's fields alone, all nullable, in contract order."""
        return pa.schema([pa.field(field.name, arrow_type(field.type)) for field in self.fields])

    @cached_property
    def _by_name(self) -> Mapping[str, Field]:
        return MappingProxyType({field.name: field for field in self.fields})


class Datasets(Mapping[str, Dataset]):
    """All datasets of a contract by name; immutable."""

    def __init__(self, datasets: Mapping[str, Dataset]) -> None:
        self._datasets = dict(sorted(datasets.items()))

    def __getitem__(self, name: str) -> Dataset:
        return self._datasets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._datasets)

    def __len__(self) -> int:
        return len(self._datasets)

    def named(self, name: str) -> Dataset:
        """Return the dataset of that name, or raise ``Misconfigured`` that says which there are."""
        if name not in self._datasets:
            raise Misconfigured(f"there is no dataset {name!r}; the contract has: {', '.join(self)}")
        return self._datasets[name]


def load(folder: Path) -> Datasets:
    """Read ``datasets/*.yaml`` of a contract folder (see ``contract.find``). Raises ``Misconfigured``."""
    home = folder / "datasets"
    if not home.is_dir():
        raise Misconfigured(f"{home}: no such folder; the contract's datasets are one file each in it")
    datasets: dict[str, Dataset] = {}
    for path in contract.yaml_files(home):
        dataset = read(path)
        if dataset.name in datasets:
            raise Misconfigured(f"{path}:1: name: another file declares the dataset {dataset.name} too")
        datasets[dataset.name] = dataset
    if not datasets:
        raise Misconfigured(f"{home}: no dataset is declared; add a file as docs/datasets.md says")
    return Datasets(datasets)


def read(path: Path) -> Dataset:
    """Read one dataset's file."""
    root = contract.read_yaml(path)
    root.only(("name", "description", "time_field", "id_field", "retention_days", "fields"))
    name = root.text("name")
    if not _NAME.fullmatch(name):
        raise root.mistake("name", f"{name!r} must be lower case letters, digits and _, a letter first, 64 at most")
    if name != path.stem:
        raise root.mistake("name", f"{name!r} is not the file's name {path.stem!r}")
    fields = _read_fields(root.section("fields"))
    return Dataset(
        name=name,
        fields=tuple(fields.values()),
        time_field=_naming(root, "time_field", fields, FieldType.TIMESTAMP),
        id_field=_naming(root, "id_field", fields, FieldType.STRING) if "id_field" in root else None,
        retention_days=root.integer("retention_days", 30, least=1, most=_MOST_RETENTION_DAYS),
        description=root.text("description"),
    )


def _read_fields(section: contract.Section) -> dict[str, Field]:
    fields: dict[str, Field] = {}
    folded: dict[str, str] = {}
    for name in section:
        if name.startswith("_"):
            raise section.mistake(name, "names that start with _ are Logflume's own (_received, _extra, …)")
        if not _FIELD.fullmatch(name):
            raise section.mistake(name, "a field's name is letters, digits and _, a letter first, 128 at most")
        if name.lower() in folded:  # Delta and SQL fold case: the two would be one column there
            raise section.mistake(name, f"differs from {folded[name.lower()]} only by case")
        folded[name.lower()] = name
        fields[name] = _read_field(section, name)
    for name in fields:
        base = fields.get(name.removesuffix("_ns"))
        if name.endswith("_ns") and base and base.type is FieldType.TIMESTAMP:
            raise section.mistake(name, f"is where the nanoseconds of {base.name} go in _extra; take another name")
    if not fields:
        raise section.mistake("", "a dataset needs fields")
    return fields


def _read_field(section: contract.Section, name: str) -> Field:
    if not section.is_section(name):
        return Field(name, _type(section, name))
    options = section.section(name)
    options.only(("type", "dictionary", "description"))
    kind = _type(options, "type")
    dictionary = options.flag("dictionary", False)
    if dictionary and kind is not FieldType.STRING:
        raise options.mistake("dictionary", f"only a string field has one, and {name} is {kind}")
    return Field(name, kind, dictionary, options.text("description", ""))


def _type(section: contract.Section, key: str) -> FieldType:
    text = section.text(key)
    try:
        return FieldType(text)
    except ValueError:
        raise section.mistake(key, f"{text!r} is no type; the types are: {', '.join(FieldType)}") from None


def _naming(root: contract.Section, key: str, fields: Mapping[str, Field], wanted: FieldType) -> str:
    """Return the name of a field that ``key`` gives, which must be of type ``wanted``."""
    name = root.text(key)
    if name not in fields:
        raise root.mistake(key, f"there is no field {name}")
    if fields[name].type is not wanted:
        raise root.mistake(key, f"{name} is {fields[name].type}, and must be {wanted}")
    return name
