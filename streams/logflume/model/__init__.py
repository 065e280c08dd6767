"""Tenants, datasets and the configuration: validated data, no I/O but reading the contract."""

from logflume.model.dataset import Dataset, Datasets, Field, FieldType, arrow_type, load
from logflume.model.tenant import Configuration, Tenant, TenantDataset, check_tenant_name

__all__ = [
    "Configuration",
    "Dataset",
    "Datasets",
    "Field",
    "FieldType",
    "Tenant",
    "TenantDataset",
    "arrow_type",
    "check_tenant_name",
    "load",
]
