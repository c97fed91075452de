"""Tornado's HTTP server with limited connections: it accepts one only while there is room.

Tornado itself never stops accepting: without free descriptors it fails in every turn of the event loop, with a
traceback each time, and it accepts any number of connections in one turn.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterable
from typing import Any

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerConnectionDelegate
from tornado.ioloop import IOLoop

from dexexec.api.certificate import Certificate
from dexexec.api.client_address import client_key, is_proxy
from dexexec.api.client_stream import ClientStream, Phase, SecureStream
from dexexec.api.connection_table import ConnectionTable
from dexexec.api.early_refusal import EarlyRefusal, whole_answer
from dexexec.api.problems import UnreadableRequestError
from dexexec.api.request_pacer import Pacer
from dexexec.api.tls_handshake import HANDSHAKES_PER_TURN, Handshake
from dexexec.config.client_connections import ConnectionSettings
from dexexec.errors import TooManyConnectionsError
from dexexec.observe.observer import Observer

ACCEPTED_PER_TURN = 16
"""Connections accepted per turn of the event loop, so that connected clients do not wait behind a flood."""
PAUSE_SECONDS = 0.5
"""Pause in accepting after the system had no descriptor or memory for a connection."""
LOG_SECONDS = 10.0
"""The period in which refused connections, or failures to accept, become one log line."""
READ_CHUNK = 8 * 1024
"""Bytes read from a connection at once: so few requests wait here, and the others in the client's kernel."""
READ_BUFFER = 256 * 1024
SEND_BUFFER = 131_072
"""The kernel's send buffer for a client (bytes). By default it may grow to megabytes for each client that does not
read."""


class LimitedServer(HTTPServer):
    """Accepts connections while `table` has room: over TLS with a `certificate`, else plain HTTP (public for tests)."""

    def initialize(  # type: ignore[override]
        self,
        application: HTTPServerConnectionDelegate,
        *,
        table: ConnectionTable,
        certificate: Certificate | None,
        network: ConnectionSettings,
        observer: Observer,
        early: EarlyRefusal,
        **parameters: Any,
    ) -> None:
        """Called by Tornado in place of a constructor."""
        super().initialize(application, max_buffer_size=READ_BUFFER, chunk_size=READ_CHUNK, **parameters)
        self.table = table
        self.certificate = certificate
        self._handshakes = Pacer(HANDSHAKES_PER_TURN)
        self._handshakes_failed = 0
        self._network = network
        self._observer = observer
        self._early = early
        self._listeners: list[socket.socket] = []
        self._resuming: asyncio.TimerHandle | None = None
        self._refused = 0
        self._failed_at = float("-inf")  # when a failure to accept was last logged

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Start to accept on these sockets."""
        for listener in sockets:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # accepted sockets get the same size
            self._listeners.append(listener)
        self._listen()

    def on_close(self, server_conn: object) -> None:
        """Called by Tornado when it has read its last request of a connection."""
        assert isinstance(server_conn, HTTP1ServerConnection)  # noqa: S101 - ours are no others
        super().on_close(server_conn)
        stream = server_conn.stream
        if isinstance(stream, ClientStream) and not stream.closed():
            stream.enter(Phase.DETACHED)

    def stop(self) -> None:
        """Stop accepting."""
        self._pause()
        if self._resuming is not None:
            self._resuming.cancel()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for connection in [one for one in self.table if isinstance(one, Handshake)]:
            connection.close()

    def _listen(self) -> None:
        self._resuming = None
        for listener in self._listeners:
            IOLoop.current().add_handler(listener, self._accept, IOLoop.READ)

    def _pause(self) -> None:
        for listener in self._listeners:
            IOLoop.current().remove_handler(listener)

    def _accept(self, listener: socket.socket, _events: int) -> None:
        for _ in range(ACCEPTED_PER_TURN):
            try:
                connection, address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:  # the client disconnected while it waited
                continue
            except OSError as error:  # no descriptors or memory; or a network error that Linux reports by accept(2)
                self.accept_later(error)
                return
            self._admit(connection, address)

    def accept_later(self, error: OSError) -> None:
        """Pause accepting until descriptors or memory may be free again."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._failed_at >= LOG_SECONDS:
            # One line per period: the failure repeats with every pause.
            self._failed_at = loop.time()
            name = errno.errorcode.get(error.errno or 0, "")
            self._observer.accepting_paused(f"{name}: {error.strerror}", len(self.table))
        # The listener stays readable, so that the event loop would call us again in every turn.
        self._pause()
        self._resuming = loop.call_later(PAUSE_SECONDS, self._listen)

    def _admit(self, connection: socket.socket, address: Any) -> None:
        peer = str(address[0])
        client = client_key(peer)
        # A proxy opens the connections of all its clients, so there is no limit per address for one.
        if not self.table.make_room(client, limited=not is_proxy(peer, self._network)):
            self._refuse(connection)
        elif self.certificate is None:
            self._serve(connection, address, client, ClientStream)
        else:
            handshake = Handshake(
                connection, self.table, client, certificate=self.certificate, pacer=self._handshakes, end=self
            )
            self.table.add(handshake)
            handshake.begin()

    def _serve(self, connection: socket.socket, address: Any, client: str, kind: type[ClientStream]) -> None:
        """Read the requests of a connection."""
        stream = kind(
            connection,
            self.table,
            client,
            proxied=is_proxy(str(address[0]), self._network),
            refusal=self._unreadable,
            early=self._early.of,
            buffer=READ_BUFFER,
            chunk=READ_CHUNK,
        )
        self.table.add(stream)
        self.handle_stream(stream, address)

    # How a handshake ends

    def secured(self, handshake: Handshake, connection: ssl.SSLSocket) -> None:
        """Called by the handshake: the connection is encrypted."""
        try:
            address = connection.getpeername()
        except OSError:  # the client has left
            connection.close()
        else:
            self._serve(connection, address, handshake.client, SecureStream)

    def not_tls(self, connection: socket.socket) -> None:
        """Called by the handshake: most likely the client used http:// where https:// is right, so answer that."""
        error = UnreadableRequestError("this port takes TLS only: use https://, and wss:// for the stream")
        _send_and_close(connection, whole_answer(error, close=True))

    def failed(self, handshake: Handshake, why: str) -> None:
        """Called by the handshake: count it for a line in the log."""
        if not self._handshakes_failed:
            asyncio.get_running_loop().call_later(LOG_SECONDS, self._log_handshakes, why, handshake.client)
        self._handshakes_failed += 1

    def _log_handshakes(self, why: str, client: str) -> None:
        self._observer.handshakes_failed(self._handshakes_failed, why, client)
        self._handshakes_failed = 0

    # Refusals

    def _refuse(self, connection: socket.socket) -> None:
        """Refuse a connection without waiting for a request."""
        if not self._refused:
            asyncio.get_running_loop().call_later(LOG_SECONDS, self._log_refusals)
        self._refused += 1
        if self.certificate is None:
            answer = whole_answer(TooManyConnectionsError("all connections are taken, and each is in use"), close=True)
            _send_and_close(connection, answer)
        else:
            connection.close()  # an answer would need a handshake, which costs more than most requests

    def _unreadable(self, stream: ClientStream) -> bytes:
        """The answer to a request that Tornado cannot parse."""
        error = UnreadableRequestError("this is no valid request of HTTP/1.1: its first line, headers or chunks")
        self._observer.request_refused(error.http_status, error.code, [], client=stream.client)
        return whole_answer(error, close=True)

    def _log_refusals(self) -> None:
        self._observer.connections_refused(self._refused)
        self._refused = 0


def _send_and_close(connection: socket.socket, answer: bytes) -> None:
    """Written without Tornado and without waiting: a flood of refused clients must cost no memory and no time."""
    with connection:
        connection.setblocking(False)
        try:
            connection.recv(READ_CHUNK)  # the kernel discards the answer if unread data remains at the close
        except OSError:
            pass
        try:
            connection.send(answer)
        except OSError:
            pass
