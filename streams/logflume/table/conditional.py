"""Put-if-absent on S3, by s3fs: the one request that pyarrow's file system has not.

A module of its own, imported by the first who writes: s3fs takes a second of CPU to import, and a query never needs it.
"""

from __future__ import annotations

import aiohttp
import s3fs
from botocore.exceptions import BotoCoreError

_PRECONDITION_FAILED = 412


class ConditionalPuts:
    """``If-None-Match: *`` for objects of one S3 service. Safe for threads."""

    def __init__(
        self, *, endpoint: str, region: str, key: str, secret: str, connect: int, silence: int, attempts: int
    ) -> None:
        """``connect`` and ``silence``: seconds after which a request ends; ``attempts``: of one request, at most."""
        self._s3 = s3fs.S3FileSystem(
            key=key or None,
            secret=secret or None,
            endpoint_url=endpoint or None,
            client_kwargs={"region_name": region},
            config_kwargs={
                "connect_timeout": connect,
                "read_timeout": silence,
                "retries": {"max_attempts": attempts, "mode": "standard"},
            },
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def put(self, path: str, data: bytes) -> bool:
        """Make ``bucket/key`` unless it is there; ``OSError`` when that failed, or succeeded unheard."""
        try:
            self._s3.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        except (
            OSError,
            TimeoutError,
            BotoCoreError,
            aiohttp.ClientError,
        ) as error:  # s3fs turns only some into OSError
            if _status(error) == _PRECONDITION_FAILED:
                return False
            raise OSError(str(error) or type(error).__name__) from error
        return True


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an error of s3fs."""
    response = getattr(error.__cause__, "response", None)
    return response["ResponseMetadata"].get("HTTPStatusCode") if response else None
