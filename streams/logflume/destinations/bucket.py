"""Objects of a bucket, by s3fs: one conditional PUT, or parts that become an object at once.

B1  Whatever is answered, retried or lost on the way, only a whole object can come to stand under a name: a PUT carries
    its length and the hash of its bytes, and parts are visible only once all are complete.
B2  A multipart upload that does not end well is aborted, also when its time is over.
B3  ``If-None-Match: *`` goes with what makes the object. "It is there" (412) is success; a store that ignores it
    replaces equal bytes by equal bytes.

s3fs's private ``_call_s3`` is used, as of 2026.9: it alone takes both a deadline that aborts what it interrupts and
conditions of each request. tests/contract/test_destinations.py fails when it moves.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import fsspec.asyn
import s3fs

from logflume.destinations.credentials import Keys
from logflume.destinations.destination import Data, Receipt, check_name
from logflume.destinations.refusals import Lost, Taken, typed
from logflume.destinations.session import session_of
from logflume.model.job import Target

T = TypeVar("T")

_CONNECT_SECONDS: Final = 5
_ATTEMPTS: Final = 4
_LEAST_BYTES_PER_SECOND: Final = 50_000
_PARTS_AT_ONCE: Final = 4
_CONNECTIONS: Final = 32  # of all threads together; others wait
_ABORT_SECONDS: Final = 10
_DEFAULT_REGION: Final = "us-east-1"


class Bucket:
    """The destination ``s3://``. Safe for threads: requests run on fsspec's own loop thread."""

    def __init__(
        self, target: Target, place: str, keys: Keys | None, *, timeout_seconds: float, part_bytes: int
    ) -> None:
        """``place`` is ``bucket/prefix``. No request is made yet."""
        self._bucket, _, prefix = place.partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._timeout, self._part = timeout_seconds, part_bytes
        self._encryption = {"ServerSideEncryption": target.encryption} if target.encryption else {}
        if target.kms_key:
            self._encryption["SSEKMSKeyId"] = target.kms_key
        region = target.region or (_DEFAULT_REGION if target.endpoint else None)
        config = {
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": max(timeout_seconds / 2, 1),  # a store that does not answer gets a second chance
            "max_pool_connections": _CONNECTIONS,
            "retries": {"mode": "standard", "total_max_attempts": _ATTEMPTS},
            # Newer checksums are no help to stores that never heard of them; the signed hash (B1) they all check.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            "s3": {"addressing_style": "path" if target.path_style else "auto", "payload_signing_enabled": True},
        }
        own = None if target.role else keys  # a role's come from its session
        self._s3 = s3fs.S3FileSystem(
            endpoint_url=target.endpoint or None,
            key=own.access_key if own else None,
            secret=own.secret_key if own else None,
            token=(own.session_token or None) if own else None,
            session=session_of(target, keys),
            client_kwargs={"region_name": region} if region else {},
            config_kwargs=config,
            use_listings_cache=False,
            skip_instance_cache=True,  # its cache would keep secrets of targets that are gone
        )
        self._s3.retries = 1  # botocore's attempts are enough: the two would multiply

    def __repr__(self) -> str:
        return f"Bucket({self.url})"

    @property
    def url(self) -> str:
        """What names are relative to."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def write(self, name: str, data: Data) -> Receipt:
        """Store the object; see ``Destination``. Below ``destination_part_bytes`` it is one request."""
        key = self._key(name)
        view = memoryview(data).cast("B")  # type: ignore[arg-type, unused-ignore]  # Arrow's buffers are views too
        seconds = self._timeout + view.nbytes / _LEAST_BYTES_PER_SECOND
        how = self._put if view.nbytes <= self._part else self._put_parts
        made = self._run(f"{name} can't be stored", seconds, lambda: how(key, view))
        return Receipt(name, view.nbytes, made)

    def holds(self, name: str) -> bool:
        """Whether there is an object of that name; S3 says so only to who may list the bucket."""
        key = self._key(name)
        return self._run(f"{name} can't be looked up", self._timeout, lambda: self._head(key))

    def _key(self, name: str) -> str:
        return self._prefix + "/".join(check_name(name))

    def _run(self, failing: str, seconds: float, work: Callable[[], Awaitable[T]]) -> T:
        """Do ``work`` on the loop's thread within ``seconds``; every failure typed."""

        async def bounded() -> T:
            async with asyncio.timeout(seconds):
                return await work()

        try:
            found: T = fsspec.asyn.sync(self._s3.loop, bounded)
        except Exception as error:
            raise typed(error, f"{self.url}: {failing}", seconds) from None  # its cause may hold headers
        return found

    async def _call(self, method: str, key: str, **arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self._s3._call_s3(method, Bucket=self._bucket, Key=key, **arguments)
        return answer

    async def _put(self, key: str, view: memoryview) -> bool:
        try:
            # As a file: aiohttp warns of larger bytes, and rightly, as it would send them in one go.
            await self._call("put_object", key, Body=io.BytesIO(view), IfNoneMatch="*", **self._encryption)
        except OSError as error:
            if Taken.says(error):
                return False
            raise
        return True

    async def _put_parts(self, key: str, view: memoryview) -> bool:
        upload = (await self._call("create_multipart_upload", key, **self._encryption))["UploadId"]
        try:
            parts = await self._upload(key, upload, view)
            return await self._complete(key, upload, parts)
        except BaseException:  # a cancelled one too (B2)
            await self._abort(key, upload)
            raise

    async def _upload(self, key: str, upload: str, view: memoryview) -> list[dict[str, Any]]:
        room = asyncio.Semaphore(_PARTS_AT_ONCE)

        async def part(number: int) -> dict[str, Any]:
            async with room:
                body = io.BytesIO(view[(number - 1) * self._part : number * self._part])
                done = await self._call("upload_part", key, UploadId=upload, PartNumber=number, Body=body)
                return {"PartNumber": number, "ETag": done["ETag"]}

        count = -(-view.nbytes // self._part)
        async with asyncio.TaskGroup() as group:  # one that fails ends the others
            tasks = [group.create_task(part(number)) for number in range(1, count + 1)]
        return [task.result() for task in tasks]

    async def _complete(self, key: str, upload: str, parts: list[dict[str, Any]]) -> bool:
        try:
            await self._call(
                "complete_multipart_upload", key, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
            )
        except OSError as error:
            if Taken.says(error):
                await self._abort(key, upload)
                return False
            # An attempt may have been heard and its answer lost: the upload is gone then, and the object is there.
            if Lost.says(error) and await self._head(key):
                return True
            raise
        return True

    async def _abort(self, key: str, upload: str) -> None:
        """Free what the parts take. What can't be aborted is left to the bucket's lifecycle rule."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_ABORT_SECONDS):
                await self._call("abort_multipart_upload", key, UploadId=upload)

    async def _head(self, key: str) -> bool:
        try:
            await self._call("head_object", key)
        except FileNotFoundError:
            return False
        return True
