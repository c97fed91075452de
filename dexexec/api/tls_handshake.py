"""The TLS handshake of a new connection, before it becomes a `ClientStream`.

It is counted like a connection, and gives way like an idle one. It must end within the time limit of a request's head.
Its arithmetic costs more than most requests, so handshakes take turns by client.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Protocol

from dexexec.api.certificate import Certificate
from dexexec.api.client_stream import Phase, StreamOwner
from dexexec.api.request_pacer import Pacer

HANDSHAKES_PER_TURN = 1
"""Handshakes per turn of the event loop: one takes up to two milliseconds with an RSA key."""
_HANDSHAKE_RECORD = b"\x16"
"""The first byte of every TLS connection, which no request of plain HTTP begins with."""


class HandshakeEnd(Protocol):
    """Receives the one outcome of a handshake, unless the client or the table ends it."""

    def secured(self, handshake: "Handshake", connection: ssl.SSLSocket) -> None:
        """The connection is encrypted."""

    def not_tls(self, connection: socket.socket) -> None:
        """The client speaks something else. The receiver closes the connection."""

    def failed(self, handshake: "Handshake", why: str) -> None:
        """Client and service share no version or cipher, or the client does not trust the certificate."""


class Handshake:
    """One handshake. `client`, `phase`, `since`, `first_byte_at` and `unread` are as in `ClientStream`."""

    def __init__(
        self,
        connection: socket.socket,
        owner: StreamOwner,
        client: str,
        *,
        certificate: Certificate,
        pacer: Pacer,
        end: HandshakeEnd,
    ) -> None:
        self.client = client
        self.phase = Phase.HANDSHAKE
        self.unread = 0
        self.first_byte_at = 0.0
        self._loop = asyncio.get_running_loop()
        self.since = self._loop.time()
        self._socket = connection
        self._secure: ssl.SSLSocket | None = None
        self._owner = owner
        self._certificate = certificate
        self._pacer = pacer
        self._end = end
        self._open = True
        connection.setblocking(False)

    def begin(self) -> None:
        """Wait for the client's first byte."""
        self._loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Give up, for example because its time is over."""
        if self._open:
            self._leave_table()
            self._socket.close()

    def _readable(self) -> None:
        self._stop_waiting()
        try:
            first = self._socket.recv(1, socket.MSG_PEEK) if self._secure is None else _HANDSHAKE_RECORD
        except OSError:
            first = b""
        if not first:
            self.close()
        elif first != _HANDSHAKE_RECORD:
            self._leave_table()
            self._end.not_tls(self._socket)
        else:
            self._take_turn()

    def _take_turn(self) -> None:
        turn = self._pacer.turn(self.client)
        if turn is None:
            self._go_on()
        else:
            turn.add_done_callback(lambda _: self._go_on())

    def _go_on(self) -> None:
        if not self._open:
            return
        try:
            secure = self._secured()
            secure.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.add_reader(self._socket, self._readable)
        except ssl.SSLWantWriteError:
            self._loop.add_writer(self._socket, self._readable)
        except OSError as error:
            self.close()
            # A client that just leaves is no failure: browsers and port scans do so all the time.
            if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
                self._end.failed(self, error.reason or "unknown")
        else:
            self._leave_table()
            self._end.secured(self, secure)

    def _secured(self) -> ssl.SSLSocket:
        if self._secure is None:
            self._secure = self._certificate.context.wrap_socket(
                self._socket, server_side=True, do_handshake_on_connect=False
            )
            self._socket = self._secure
        return self._secure

    def _stop_waiting(self) -> None:
        with suppress(ValueError):  # the descriptor is gone
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)

    def _leave_table(self) -> None:
        self._stop_waiting()
        self._open = False
        self._owner.closed(self)
