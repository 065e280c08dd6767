"""The syslog listeners of one process: they bind, admit, pause and end together.

SY1  At most ``edge_syslog_connections`` connections are held, those in a TLS handshake counted; at that number the one
     that was quiet longest, a minute at least, gives way, else the newcomer is refused.
SY2  A handshake has ten seconds. A connection that is quiet for ``edge_syslog_idle_seconds`` is ended.
SY3  While the feed is at its brim nothing is read, from nobody.
SY4  ``stop`` hands on all that was read, or fails, and tells how much was not.
SY5  Only a tenant that the configuration knows, and that wants the dataset, is listened to.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from logflume import metrics
from logflume.clock import Clock, SystemClock
from logflume.edge.rates import Pacing
from logflume.edge.syslog import listen
from logflume.edge.syslog.datagrams import Datagrams, plain_host
from logflume.edge.syslog.feed import Feed, Taking
from logflume.edge.syslog.listen import By, Listen, Transport
from logflume.edge.syslog.stream import Stream
from logflume.errors import LogflumeError, Misconfigured, Unavailable, Unconfigured
from logflume.model.tenant import Configuration
from logflume.settings import Settings

_HANDSHAKE_SECONDS = 10.0
_QUIET_SECONDS = 60.0  # for so long a connection may be quiet although others want its place
_AGAIN_SECONDS = 1.0  # after an accept that failed for want of file descriptors
_LAST_BYTES_SECONDS = 1.0  # that a stop goes on reading while something still comes
_LAST_BYTES_STEP = 0.02
_BACKLOG = 512

_log = structlog.get_logger(__name__)


class SyslogServer:
    """See SY1 to SY5. All calls are of one event loop."""

    def __init__(
        self,
        settings: Settings,
        client: Taking,
        configuration: Callable[[], Configuration],
        *,
        failed: Callable[[LogflumeError], None],
        ending: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
        pacing: Pacing | None = None,
    ) -> None:
        """Read the settings; raise ``Misconfigured``. ``failed`` is told when nothing more can be taken.

        ``ending`` is called, from a thread, once nothing is read any more, before the client gets the rest.
        ``pacing`` holds tenants to their rates, without it nobody.

        ``client`` is fed from a thread and stays the caller's; ``configuration`` is cheap and of any thread.
        """
        self._settings = settings
        self._client = client
        self._configuration = configuration
        self._failed = failed
        self._ending = ending
        self._clock = clock or SystemClock()
        self._pacing = pacing or Pacing.free(self._clock)
        self._listens = listen.parse(settings.edge_syslog_listen)
        self._zone = _zone(settings.edge_syslog_zone)
        with contextlib.suppress(Unconfigured):  # without any yet, rows are kept unjudged
            _check_tenants(self._listens, configuration(), settings.edge_syslog_dataset)
        self._tls = _tls(settings, self._listens)
        self._feed: Feed | None = None
        self._streams: set[Stream] = set()
        self._handshakes = 0
        self._paused = False
        self._datagrams: list[Datagrams] = []
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.addresses: list[str] = []
        """Where it listens, in the order of the setting: ``tcp://127.0.0.1:1514``."""

    async def start(self) -> None:
        """Listen. ``Misconfigured``: an address can't be bound; nothing is left open then."""
        loop = asyncio.get_running_loop()
        self._feed = Feed(
            self._client,
            self._configuration,
            dataset=self._settings.edge_syslog_dataset,
            zone=self._zone,
            clock=self._clock,
            pacing=self._pacing,
            memory_bytes=self._settings.edge_syslog_memory_bytes,
            pause=self._pause,
            resume=lambda: _soon(loop, self._resume),
            failed=lambda failure: _soon(loop, self._failed, failure),
        )
        try:
            for wanted in self._listens:
                self._open(wanted)
        except Misconfigured:
            await self.stop()
            raise
        self._spawn(self._end_idle())

    async def stop(self) -> None:
        """Listen no more, take what senders have sent so far, end the connections, and hand all on to the client."""
        for task in self._tasks:
            task.cancel()
        for listening in self._sockets:
            listening.close()
        await self._hear_the_last()
        for datagrams in self._datagrams:
            datagrams.close()
        for stream in list(self._streams):
            stream.close()
        while self._streams:
            await asyncio.sleep(0)
        feed, self._feed = self._feed, None
        self._sockets, self._datagrams, self._tasks = [], [], set()
        if feed is not None:
            await asyncio.to_thread(self._ending)
            left = await asyncio.to_thread(feed.close, self._settings.edge_timeout_seconds)
            if left:
                self._failed(Unavailable(f"{left} syslog messages were not handed on: the client had no room for them"))

    # --- listening ---------------------------------------------------------------------------------------------------

    def _open(self, wanted: Listen) -> None:
        assert self._feed is not None
        bound = _bind(wanted, self._settings.edge_syslog_socket_bytes)
        port = bound.getsockname()[1]
        host = f"[{wanted.host}]" if ":" in wanted.host else wanted.host
        self.addresses.append(f"{wanted.transport}://{host}:{port}")
        if wanted.transport is Transport.UDP:
            limit = self._settings.edge_syslog_message_bytes
            datagrams = Datagrams(bound, wanted.tenant or None, self._feed, limit=limit, clock=self._clock)
            self._datagrams.append(datagrams)
            datagrams.resume()
        else:
            self._sockets.append(bound)
            self._spawn(self._accept(bound, wanted))

    async def _accept(self, bound: socket.socket, wanted: Listen) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(bound)
            except OSError as error:
                _log.warning("accepting a connection failed", error=str(error))
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            if self._has_room():
                self._handshakes += 1
                self._spawn(self._welcome(connection, plain_host(address[0]), wanted))
            else:
                connection.close()
                metrics.EDGE_SYSLOG_REFUSED_CONNECTIONS.labels("full").inc()

    async def _welcome(self, connection: socket.socket, host: str, wanted: Listen) -> None:
        """Complete the handshake; from then on the connection is a ``Stream``."""
        assert self._feed is not None
        feed = self._feed
        tls: dict[str, Any] = {}
        if wanted.transport is Transport.TLS:
            tls = {"ssl": self._tls, "ssl_handshake_timeout": _HANDSHAKE_SECONDS}

        def made() -> Stream:
            return Stream(
                wanted.transport,
                host,
                wanted.tenant or None,
                feed,
                limit=self._settings.edge_syslog_message_bytes,
                clock=self._clock,
                opened=lambda stream: self._opened(stream, wanted),
                lost=self._lost,
            )

        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            await asyncio.get_running_loop().connect_accepted_socket(made, connection, **tls)
        except OSError as error:  # a TLS error is one too, and so is a handshake's time-out
            connection.close()
            metrics.EDGE_SYSLOG_REFUSED_CONNECTIONS.labels("handshake").inc()
            _log.warning("a syslog connection failed", host=host, error=str(error))
        except asyncio.CancelledError:
            connection.close()
            raise
        finally:
            self._handshakes -= 1

    def _opened(self, stream: Stream, wanted: Listen) -> bool:
        self._streams.add(stream)
        metrics.EDGE_SYSLOG_CONNECTIONS.set(len(self._streams))
        if wanted.by is By.CERTIFICATE:
            stream.tenant = self._named(_names(stream.certificate()))
            if stream.tenant is None:
                metrics.EDGE_SYSLOG_REFUSED_CONNECTIONS.labels("certificate").inc()
                _log.warning("a certificate names no tenant that wants syslog", host=stream.host)
                return False
        if self._paused:
            stream.pause()
        return True

    def _named(self, names: set[str]) -> str | None:
        """The one tenant among ``names``; none and several are the same: nobody knows whose messages they are."""
        try:
            configuration = self._configuration()
        except Unconfigured:
            return None
        found = [name for name in names if configuration.wants(name, self._settings.edge_syslog_dataset)]
        return found[0] if len(found) == 1 else None

    def _lost(self, stream: Stream) -> None:
        self._streams.discard(stream)
        metrics.EDGE_SYSLOG_CONNECTIONS.set(len(self._streams))

    # --- limits ------------------------------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        """SY1."""
        if len(self._streams) + self._handshakes < self._settings.edge_syslog_connections:
            return True
        quietest = min(self._streams, key=lambda stream: stream.heard, default=None)
        if quietest is None or self._paused or self._clock.monotonic() - quietest.heard < _QUIET_SECONDS:
            return False
        self._end_one(quietest, "gave-way")
        return True

    async def _end_idle(self) -> None:
        """SY2."""
        idle = self._settings.edge_syslog_idle_seconds
        while True:
            await asyncio.sleep(min(30.0, idle / 4))
            if self._paused:
                continue
            now = self._clock.monotonic()
            for stream in [stream for stream in self._streams if now - stream.heard >= idle]:
                self._end_one(stream, "idle")

    def _end_one(self, stream: Stream, reason: str) -> None:
        metrics.EDGE_SYSLOG_REFUSED_CONNECTIONS.labels(reason).inc()
        self._streams.discard(stream)  # now: it counts no more
        stream.close()

    def _pause(self) -> None:
        self._paused = True
        for stream in self._streams:
            stream.pause()
        for datagrams in self._datagrams:
            datagrams.pause()

    def _resume(self) -> None:
        if self._feed is None or self._feed.paused:  # overtaken by another pause, or by the end
            return
        self._paused = False
        for stream in self._streams:
            stream.resume()
        for datagrams in self._datagrams:
            datagrams.resume()

    async def _hear_the_last(self) -> None:
        """Read on while something comes: a restart should not cost what lies in the sockets already."""
        deadline = self._clock.monotonic() + _LAST_BYTES_SECONDS
        heard = None
        while self._streams and not self._paused and self._clock.monotonic() < deadline:
            latest = max(stream.heard for stream in self._streams)
            if latest == heard:
                return
            heard = latest
            await asyncio.sleep(_LAST_BYTES_STEP)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: there is nobody left to tell
        loop.call_soon_threadsafe(call, *arguments)


def _bind(wanted: Listen, receive_bytes: int) -> socket.socket:
    kind = socket.SOCK_DGRAM if wanted.transport is Transport.UDP else socket.SOCK_STREAM
    bound = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            wanted.host, wanted.port, type=kind, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setblocking(False)
        if wanted.transport is Transport.UDP:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        if wanted.transport is not Transport.UDP:
            bound.listen(_BACKLOG)
        return bound
    except (OSError, OverflowError) as error:
        if bound is not None:
            bound.close()
        raise Misconfigured(
            f"edge_syslog_listen: can't listen on {wanted.transport}://{wanted.host}:{wanted.port}: {error}"
        ) from error


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise Misconfigured(
            f"edge_syslog_zone: {name!r} is no time zone, such as UTC or Europe/Berlin: {error}"
        ) from None


def _check_tenants(listens: Iterable[Listen], configuration: Configuration, dataset: str) -> None:
    """SY5, for the listeners' own tenants: a mistake there is told at the start, not by rows that nobody wants."""
    for each in listens:
        if each.by is By.LISTENER and not configuration.wants(each.tenant, dataset):
            raise Misconfigured(
                f"edge_syslog_listen: {each.tenant} on port {each.port}: no tenant of that name wants {dataset}; "
                f"add it to {each.tenant}.yaml in the tenants' folder"
            )


def _tls(settings: Settings, listens: Iterable[Listen]) -> ssl.SSLContext | None:
    """The context of the TLS listeners (RFC 5425); a client shows a certificate when there is an authority for it."""
    wanted = [each for each in listens if each.transport is Transport.TLS]
    if not wanted:
        return None
    certificate, key = settings.require("edge_syslog_certificate"), settings.require("edge_syslog_key")
    if any(each.by is By.CERTIFICATE for each in wanted):
        settings.require("edge_syslog_client_ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        if settings.edge_syslog_client_ca:
            context.load_verify_locations(settings.edge_syslog_client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(
            f"edge_syslog_certificate, edge_syslog_key or edge_syslog_client_ca can't be read: {error}"
        ) from error
    return context


def _names(certificate: dict[str, Any]) -> set[str]:
    """What a certificate calls its holder: the subject's common names, and its DNS names."""
    subject = {value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"}
    return subject | {value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}
