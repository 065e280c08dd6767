"""Tenants, datasets and the configuration: validated data, no I/O but reading the contract."""

from logflume.model.dataset import Dataset, Datasets, Field, FieldType, arrow_type, load
from logflume.model.job import FileFormat, Job, Target
from logflume.model.owner import Owner
from logflume.model.rates import Rates
from logflume.model.route import Retired, Route
from logflume.model.tenant import Configuration, Holder, Outlet, Tenant, TenantDataset, check_tenant_name
from logflume.model.token import Scope, Token

__all__ = [
    "Configuration",
    "Dataset",
    "Datasets",
    "Field",
    "FieldType",
    "FileFormat",
    "Holder",
    "Job",
    "Outlet",
    "Owner",
    "Rates",
    "Retired",
    "Route",
    "Scope",
    "Target",
    "Tenant",
    "TenantDataset",
    "Token",
    "arrow_type",
    "check_tenant_name",
    "load",
]
