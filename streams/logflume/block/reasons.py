"""Why something is a dead letter: one word each, a small and closed set, fit for a metric's label."""

from __future__ import annotations

from typing import Final

# A record.
NOT_JSON: Final = "not-json"  # no JSON text, or more than one
NOT_OBJECT: Final = "not-object"  # JSON, but no object
NOT_UTF8: Final = "not-utf8"
TOO_DEEP: Final = "too-deep"  # nested deeper than any honest record
NOT_FINITE: Final = "not-finite"  # NaN, Infinity, or a number no double and no integer of 4,300 digits can hold
TOO_LARGE: Final = "too-large"  # it fits into no message by itself
NOT_COMBINED: Final = "not-combined"  # a line that is not in the combined log format
MALFORMED: Final = "malformed"  # not as the protocol says that it came by (OTLP, Loki …)
TOO_MANY_ROWS: Final = "too-many-rows"  # a message of more lines than any honest one
NOT_AVRO: Final = "not-avro"  # no Avro value of the schema that it names
UNKNOWN_SCHEMA: Final = "unknown-schema"  # it names a schema that nobody knows, or none that can be read

# A block.
VERSION: Final = "block-version"  # a version this release does not read
HEADER: Final = "block-header"  # a Kafka header is missing or malformed
DATASET: Final = "block-dataset"  # a block of one dataset on the topic of another
ARROW: Final = "block-arrow"  # no Arrow IPC stream of one batch, or its buffers contradict each other
COLUMNS: Final = "block-columns"  # a column is missing, of another type, or there twice
ROWS: Final = "block-rows"  # the header and the batch disagree about the rows
OVERSIZE: Final = "block-oversize"  # would take more memory than any honest block
TENANT: Final = "block-tenant"  # a row without a tenant
RECEIVED: Final = "block-received"  # a row without its time of arrival
EXTRA: Final = "block-extra"  # `_extra` holds something that is no JSON object

# What came of a message or a row for other causes than its bytes.
NO_TENANT: Final = "no-tenant"  # a plain record with neither key nor header
BAD_TENANT: Final = "bad-tenant"  # a name that no tenant can have
OTHER_DATASET: Final = "other-dataset"  # a plain record whose header names another dataset than its topic
UNREADABLE: Final = "unreadable-batch"  # Kafka's batch of messages can't be unpacked, or grows past every honest one
UNWANTED: Final = "unwanted"  # the configuration in force names no table for it
RETENTION: Final = "retention"  # deleted before it was read; the letter has no bytes, and says which offsets

ALL: Final = frozenset(
    {
        NOT_JSON,
        NOT_OBJECT,
        NOT_UTF8,
        TOO_DEEP,
        NOT_FINITE,
        TOO_LARGE,
        NOT_COMBINED,
        MALFORMED,
        TOO_MANY_ROWS,
        NOT_AVRO,
        UNKNOWN_SCHEMA,
        VERSION,
        HEADER,
        DATASET,
        ARROW,
        COLUMNS,
        ROWS,
        OVERSIZE,
        TENANT,
        RECEIVED,
        EXTRA,
        NO_TENANT,
        BAD_TENANT,
        OTHER_DATASET,
        UNREADABLE,
        UNWANTED,
        RETENTION,
    }
)
