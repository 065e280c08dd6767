"""Formats in and out: text to columns that fit a dataset, columns back to records. Nothing is lost for its shape."""

from logflume.formats.ndjson import JsonParser
from logflume.formats.parsed import BadLine, Parsed
from logflume.formats.records import to_ndjson, to_records

__all__ = ["BadLine", "JsonParser", "Parsed", "to_ndjson", "to_records"]
