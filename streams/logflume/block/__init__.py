"""The wire format: Arrow record batches as Kafka messages (``docs/block.md``), and what may be wrong with one."""

from logflume.block.schema import ingest_schema, sorted_schema
from logflume.block.sorted import Coordinate, Runs, SortedMeta, Source, decode_sorted, encode_sorted
from logflume.block.wire import Header, decode, encode, is_block

__all__ = [
    "Coordinate",
    "Header",
    "Runs",
    "SortedMeta",
    "Source",
    "decode",
    "decode_sorted",
    "encode",
    "encode_sorted",
    "ingest_schema",
    "is_block",
    "sorted_schema",
]
