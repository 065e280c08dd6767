"""The configuration from a directory: one ``<tenant>.yaml`` a tenant, read once at the start as generation 1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from logflume import contract, metrics
from logflume.config import jobs, limits, tenants, tokens
from logflume.config.assembly import Assembly
from logflume.config.mistakes import Mistakes
from logflume.config.state import Origin, State
from logflume.errors import Misconfigured, Refused
from logflume.model.dataset import Dataset
from logflume.model.rates import NO_RATES
from logflume.model.route import MOST_SHARDS
from logflume.model.tenant import Configuration, Tenant, TenantDataset, check_tenant_name

_MOST_RETENTION_DAYS = 3650


class DirectorySource:
    """Reads ``tenants/*.yaml`` when it is made, whole or not at all; later changes of the files are not seen.

    Raises ``Misconfigured`` (file, line, field) for a mistake, ``Refused`` for a directory that would blank everything.
    """

    def __init__(self, path: Path, datasets: Mapping[str, Dataset]) -> None:
        found = read_all(path, datasets)
        metrics.CONFIG_PAIRS.set(sum(len(tenant.datasets) for tenant in found.values()))
        codec = tenants.Codec()
        messages = Assembly(codec)
        for tenant in found.values():
            messages.put(tenant.name, codec.encode(tenant))
        self._current = Configuration(1, messages.hash, MappingProxyType(found))

    def current(self) -> Configuration:
        """Return the one generation that this source has."""
        return self._current

    def state(self) -> State:
        """Say which it is."""
        return State(self._current.generation, self._current.hash, origin=Origin.FILES)


def read_all(folder: Path, datasets: Mapping[str, Dataset]) -> dict[str, Tenant]:
    """Return the tenants of a folder's files, by name.

    Raises ``Misconfigured`` with every mistake that is found (of one dataset, job or token the first), or ``Refused``
    when nobody wants anything.
    """
    if not folder.is_dir():
        raise Misconfigured(f"the tenants' files: {folder} is no directory")
    found: dict[str, Tenant] = {}
    owners: dict[str, str] = {}
    principals: dict[str, str] = {}
    mistakes = Mistakes()
    for path in contract.yaml_files(folder):
        with mistakes.gathered():
            tenant = _read(path, datasets, mistakes)
            if tenant.name in found:
                raise Misconfigured(f"{path}:1: name: another file declares the tenant {tenant.name} too")
            tokens.check_distinct(owners, tenant.name, tenant.tokens, path)
            limits.check_principal(principals, tenant.name, tenant.principal, path)
            found[tenant.name] = tenant
    mistakes.raise_any()
    if not any(tenant.datasets for tenant in found.values()):
        # A blank configuration once dropped everybody's logs: it is a mistake until someone proves the contrary.
        raise Refused(f"{folder}: no tenant wants any dataset, and a blank configuration is refused; add <tenant>.yaml")
    return found


def place(folder: Path, tenant: str, kind: str = "", name: str = "") -> str:
    """Return ``file:line`` of a tenant's dataset, job or token (``kind`` is the section's name) as its file has it."""
    path = folder / f"{tenant}.yml"
    path = path if path.is_file() else folder / f"{tenant}.yaml"
    try:
        section = contract.read_yaml(path)
        if kind == "tokens":
            section = next(each for each in section.sections(kind) if each.text("id") == name)
            return f"{path}:{section.line}: {kind}: {name}"
        return f"{path}:{section.section(kind).at(name)}: {kind}.{name}" if kind else f"{path}:1"
    except (Misconfigured, StopIteration):  # the file has changed since it was read
        return f"{path}:1"


def _read(path: Path, datasets: Mapping[str, Dataset], mistakes: Mistakes) -> Tenant:
    root = contract.read_yaml(path)
    with mistakes.gathered():
        root.only(("name", "datasets", "jobs", "tokens", "rates", "principal"))
    name = root.text("name")
    try:
        check_tenant_name(name)
    except Misconfigured as error:
        raise root.mistake("name", str(error)) from None
    if name != path.stem:
        raise root.mistake("name", f"{name!r} is not the file's name {path.stem!r}")
    section = root.section("datasets")
    wanted: dict[str, TenantDataset] = {}
    for key in section:
        with mistakes.gathered():
            wanted[key] = _wanted(section, key, datasets)
        if key in datasets:  # mistaken or not, jobs may be of it: that is not another mistake
            wanted.setdefault(key, TenantDataset(key, 1))
    found = jobs.read(root, wanted, datasets, mistakes)
    rates, principal = NO_RATES, ""
    with mistakes.gathered():
        rates = limits.read_rates(root)
    with mistakes.gathered():
        principal = limits.read_principal(root)
    held = tokens.read(root, mistakes)
    return Tenant(name, MappingProxyType(wanted), MappingProxyType(found), held, rates, principal)


def _wanted(section: contract.Section, key: str, datasets: Mapping[str, Dataset]) -> TenantDataset:
    dataset = datasets.get(key)
    if dataset is None:
        raise section.mistake(key, f"there is no such dataset; the contract has: {', '.join(datasets)}")
    if not section.is_section(key):
        if section.value(key) is not None:
            raise section.mistake(key, "nothing (the dataset's own retention), or retention_days: N and shards: N")
        return TenantDataset(key, dataset.retention_days)
    options = section.section(key)
    options.only(("retention_days", "shards"))
    days = options.integer("retention_days", dataset.retention_days, least=1, most=_MOST_RETENTION_DAYS)
    return TenantDataset(key, days, options.integer("shards", 1, least=1, most=MOST_SHARDS))
