"""Logflume: the logs of many tenants, through Kafka into Delta tables in object storage."""

__version__ = "0.1.0"
