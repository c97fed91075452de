"""The open WebSockets and event streams of a process, what each may send, and the codes with which they are closed."""

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from dexexec.api.caller import Caller
from dexexec.api.request_pacer import Pacer
from dexexec.api.websocket_connection import READS_PER_TURN
from dexexec.domain.halt import NO_HALTS, Halt
from dexexec.intake.intake import Halts

BURST_SECONDS = 10


class OpenSocket(Protocol):
    """What the registry uses of a socket's handler, or of an event stream."""

    caller: Caller
    is_websocket: bool
    """Otherwise it is a stream of server-sent events."""

    def go_away(self) -> None:
        """Close it because this process stops."""

    def end_key(self) -> None:
        """Close it because its key is no longer valid."""

    def abort(self) -> None:
        """Cut it without a closing handshake."""

    def report_halt(self, halt: Halt, *, began: bool) -> None:
        """Send a notice if the halt concerns it."""


class CloseCode(IntEnum):
    """Why this handler closes a socket. `websocket_connection` closes it as well, for violations of the protocol."""

    GOING_AWAY = 1001
    POLICY_VIOLATION = 1008
    INTERNAL_ERROR = 1011
    UNAUTHORIZED = 4401  # a private code, after HTTP's 401: no valid key, or its key has ended
    RESUME = 4008  # a private code: the socket was too slow or silent. Nothing is lost; `afterSeq` resumes


class TokenBucket:
    """Allows `rate` messages per second, with ten seconds' worth at once."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._burst = rate * BURST_SECONDS
        self._at = now
        self._tokens = self._burst

    def take(self, cost: float, now: float) -> bool:
        """Spend from the budget at time `now` (seconds, monotonic); False if it is not enough."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= cost
        return self._tokens >= 0


class SocketRegistry:
    """The open sockets of a process. A drain ends them, which Tornado's own shutdown does not do."""

    def __init__(self, halts: Halts = NO_HALTS) -> None:
        self.halts = halts
        self._open: set[OpenSocket] = set()
        self._of_secret: dict[str, set[OpenSocket]] = {}
        self.pacer = Pacer(READS_PER_TURN)
        self._none_left = asyncio.Event()
        self._none_left.set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._open)

    def counts(self) -> tuple[int, int]:
        """Open WebSockets, and open streams of server-sent events."""
        websockets = sum(one.is_websocket for one in self._open)
        return websockets, len(self._open) - websockets

    def add(self, handler: OpenSocket) -> None:
        """A socket was opened."""
        self._open.add(handler)
        self._none_left.clear()

    def admitted(self, handler: OpenSocket, before: str) -> None:
        """A socket has shown its key; `before` is the secret that it had shown earlier."""
        self._forget(handler, before)
        if handler.caller.secret_id:
            self._of_secret.setdefault(handler.caller.secret_id, set()).add(handler)

    def close_invalid(self, is_valid: Callable[[str], bool]) -> None:
        """Close the sockets whose secret is no longer valid."""
        # By secret: a check four times a second must not look at thousands of sockets.
        for secret_id in [secret_id for secret_id in self._of_secret if not is_valid(secret_id)]:
            for handler in tuple(self._of_secret[secret_id]):
                handler.end_key()

    def _forget(self, handler: OpenSocket, secret_id: str) -> None:
        if (handlers := self._of_secret.get(secret_id)) is not None:
            handlers.discard(handler)
            if not handlers:
                del self._of_secret[secret_id]

    def discard(self, handler: OpenSocket) -> None:
        """Its connection has ended."""
        self._open.discard(handler)
        self._forget(handler, handler.caller.secret_id)
        if not self._open:
            self._none_left.set()

    def report_halt(self, halt: Halt, began: bool) -> None:
        """Signing was halted, or goes on: sends a notice to the sockets that it concerns."""
        for handler in tuple(self._open):
            handler.report_halt(halt, began=began)

    async def close_all(self, grace: float = 2.0) -> None:
        """Close all with 1001, including those that open later; cut those that are still open after `grace` seconds."""
        self.draining = True
        for handler in tuple(self._open):
            handler.go_away()
        try:
            async with asyncio.timeout(grace):
                await self._none_left.wait()
        except TimeoutError:
            for handler in tuple(self._open):
                handler.abort()
