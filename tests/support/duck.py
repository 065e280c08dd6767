"""DuckDB that reads a store by itself: its extensions come as packages, so that none is fetched."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import duckdb
import duckdb_extension_delta
import duckdb_extension_httpfs

from logflume.table.store import Store


def connect(store: Store) -> duckdb.DuckDBPyConnection:
    """Return a connection that has the store's keys, and UTC; it keeps nothing that it read."""
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute("SET enable_external_file_cache = false")
    for extension in (duckdb_extension_httpfs, duckdb_extension_delta):
        db.execute(f"LOAD '{_file(extension)}'")
    if not store.local:
        keys = store.delta_options
        scheme, _, endpoint = keys["AWS_ENDPOINT_URL"].partition("://")
        db.execute(
            "CREATE SECRET (TYPE s3, KEY_ID $key, SECRET $secret, REGION $region, ENDPOINT $endpoint, "
            "URL_STYLE 'path', USE_SSL $tls)",
            {
                "key": keys["AWS_ACCESS_KEY_ID"],
                "secret": keys["AWS_SECRET_ACCESS_KEY"],
                "region": keys["AWS_REGION"],
                "endpoint": endpoint,
                "tls": scheme == "https",
            },
        )
    return db


def _file(extension: ModuleType) -> Path:
    [file] = Path(str(extension.__file__)).parent.rglob("*.duckdb_extension")
    return file
