"""What to follow, and whose it is: from options or from a YAML file, each mistake with file, line and field."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from logflume import contract
from logflume.contract import Section
from logflume.edge.tail.reading import FORMATS, Reading, reading
from logflume.errors import Misconfigured
from logflume.formats import combined, cri
from logflume.formats.text import Multiline
from logflume.model import Datasets, check_tenant_name

PACKED: Final = (".gz", ".bz2", ".xz", ".zst", ".zip")
"""Never read as text. A ``.gz`` is read for the rest of a file that was followed, and for nothing else."""

_FIELDS: Final = ("patterns", "exclude", "tenant", "namespaces", "dataset", "format", "multiline")


@dataclass(frozen=True, slots=True)
class Source:
    """Files of one kind. Its ``id`` says the same for as long as its options do."""

    patterns: tuple[str, ...]
    tenant: str
    dataset: str
    format: str
    reading: Reading = field(repr=False)
    exclude: tuple[str, ...] = ()
    namespaces: Mapping[str, str] = field(default_factory=dict)
    """Kubernetes' namespaces and the tenants whose they are; any other is ``tenant``'s."""

    @property
    def id(self) -> str:
        """What a place remembers its source by."""
        return hashlib.blake2b(repr((self.patterns, self.dataset, self.format)).encode(), digest_size=8).hexdigest()

    def paths(self) -> Iterator[str]:
        """Give the paths that the patterns find now, in the order of the patterns, then of names."""
        for pattern in self.patterns:
            for path in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - patterns begin at the root
                if not path.endswith(PACKED) and not self._excluded(path):
                    yield path

    def tenant_of(self, path: str) -> str:
        """Return whose the records of ``path`` are; "" when nobody is named for them."""
        if not self.namespaces:
            return self.tenant
        return self.namespaces.get(cri.origin(path).get("namespace", ""), self.tenant)

    def _excluded(self, path: str) -> bool:
        name = path.rpartition("/")[2]
        return any(fnmatch.fnmatchcase(path, rule) or fnmatch.fnmatchcase(name, rule) for rule in self.exclude)


@dataclass(frozen=True, slots=True)
class Options:
    """A source as its user describes it."""

    patterns: Sequence[str]
    tenant: str = ""
    dataset: str = "events"
    format: str = "text"
    multiline: str = ""
    """A regular expression for a record's first line; "": stack traces are recognised."""
    exclude: Sequence[str] = ()
    namespaces: Mapping[str, str] = field(default_factory=dict)


def source(options: Options, datasets: Datasets, record_bytes: int) -> Source:
    """Check ``options`` and return the source; ``Misconfigured`` begins with the name of the field that is wrong."""
    if not options.patterns or not all(options.patterns):
        raise Misconfigured("patterns: at least one is wanted, such as /var/log/app/*.log")
    if options.format not in FORMATS:
        raise Misconfigured(f"format: {options.format!r} is none; there are {', '.join(FORMATS)}")
    if options.multiline and options.format != "text":
        raise Misconfigured(f"multiline: is for the format text, not {options.format}")
    if not options.tenant and not options.namespaces:
        raise Misconfigured("tenant: say whose the records are")
    for name in (*((options.tenant,) if options.tenant else ()), *options.namespaces.values()):
        try:
            check_tenant_name(name)
        except Misconfigured as error:
            raise Misconfigured(f"tenant: {error}") from None
    try:
        dataset = datasets.named(options.dataset)
        if options.format == "combined":
            combined.parse(b"", dataset)
    except Misconfigured as error:
        raise Misconfigured(f"dataset: {error}") from None
    try:
        rule = Multiline(options.multiline)
    except Misconfigured as error:
        raise Misconfigured(f"multiline: {error}") from None
    absolute = tuple(str(Path(pattern).expanduser().absolute()) for pattern in options.patterns)
    return Source(
        absolute,
        options.tenant,
        options.dataset,
        options.format,
        reading(options.format, dataset, rule, record_bytes),
        tuple(options.exclude),
        dict(options.namespaces),
    )


def read(path: Path, datasets: Datasets, record_bytes: int) -> tuple[Source, ...]:
    """Read the sources of a YAML file: ``sources:``, a list of mappings."""
    root = contract.read_yaml(path)
    root.only(["sources"])
    found = []
    for section in root.sections("sources"):
        section.only(_FIELDS)
        try:
            found.append(source(_options(section), datasets, record_bytes))
        except Misconfigured as error:
            name, colon, what = str(error).partition(": ")
            if colon and name in _FIELDS:
                raise section.mistake(name, what) from None
            raise
    if not found:
        raise root.mistake("sources", "nothing to follow")
    return tuple(found)


def _options(section: Section) -> Options:
    namespaces: dict[str, str] = {}
    if "namespaces" in section:
        mapping = section.section("namespaces")
        namespaces = {name: mapping.text(name) for name in mapping}
    return Options(
        patterns=section.texts("patterns"),
        tenant=section.text("tenant", ""),
        dataset=section.text("dataset", "events"),
        format=section.text("format", "text"),
        multiline=section.text("multiline", ""),
        exclude=section.texts("exclude") if "exclude" in section else (),
        namespaces=namespaces,
    )
