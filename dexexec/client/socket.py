"""One WebSocket to the service, by the websockets library. It is never redirected, and logs nothing that is sent."""

import logging
import ssl
from collections.abc import Awaitable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from dexexec.client.errors import NoAnswerError, one_line
from dexexec.client.problem_document import read_problem
from dexexec.client.problems import ProblemError
from dexexec.client.resume import Close
from dexexec.client.service_url import ApiKey, ServiceUrl

STREAM = "/api/orders/execute"
HANDSHAKE_SECONDS = 10.0
CLOSE_SECONDS = 2.0
PING_SECONDS = 20.0
"""Between two pings, and how long the answer to one may take."""
MOST_BYTES = 4 * 1024 * 1024
"""Of one message. The longest is a round of quotes of all venues."""
MOST_WAITING = 64
"""Messages that are read before the program takes them. Beyond that the service sees a slow client, and closes."""

# The library writes the headers of its handshake, and so the API key, to its log at the level DEBUG.
_LOG = logging.getLogger("dexexec.client.socket")
_LOG.setLevel(logging.INFO)


class _Connect(connect):
    """Opens a connection, and follows no redirect: that would show the API key to another server."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Called by the library for each failed handshake."""
        return exc


class SocketClosedError(Exception):
    """The socket has ended."""

    def __init__(self, close: Close) -> None:
        super().__init__(str(close))
        self.close = close


class Socket:
    """An open socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, message: str) -> None:
        """Send a text message. Raises `SocketClosedError`."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            raise SocketClosedError(_close_of(error)) from None

    async def receive(self) -> str | bytes:
        """The next message; bytes for a binary one. A call that is cancelled loses none. Raises `SocketClosedError`."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise SocketClosedError(_close_of(error)) from None

    async def close(self) -> None:
        """Close it: at most `CLOSE_SECONDS` for the answer of the service."""
        await self._connection.close()

    def abort(self) -> None:
        """Cut the connection."""
        self._connection.transport.abort()


async def open_socket(url: ServiceUrl, key: ApiKey | None, tls: ssl.SSLContext | None) -> Socket:
    """Open a socket. Raises `ProblemError` when the service refuses it, and `NoAnswerError`."""
    opening: Awaitable[ClientConnection] = _Connect(
        url.websocket(STREAM),
        additional_headers=key.headers() if key else None,
        user_agent_header="dexexec-client",
        ssl=tls,
        # A proxy of the environment would see the API key of a plain connection.
        proxy=None,
        compression=None,
        open_timeout=HANDSHAKE_SECONDS,
        ping_interval=PING_SECONDS,
        ping_timeout=PING_SECONDS,
        close_timeout=CLOSE_SECONDS,
        max_size=MOST_BYTES,
        max_queue=MOST_WAITING,
        logger=_LOG,
    )
    refusal: ProblemError | None = None
    why = ""
    try:
        return Socket(await opening)
    except InvalidStatus as error:
        response = error.response
        body = bytes(response.body or b"")
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        refusal = read_problem(response.status_code, headers, key.mask(body) if key else body)
    except (InvalidHandshake, EOFError) as error:
        why = f"answered a handshake with what is none ({type(error).__name__})"
    except TimeoutError:
        why = f"did not answer a handshake within {HANDSHAKE_SECONDS:g} s"
    except OSError as error:
        why = f"cannot be connected to ({one_line(error.strerror or str(error))})"
    # Raised outside of the except blocks: the original error may hold what was sent.
    raise refusal or NoAnswerError(f"{url.base} {why}")


def _close_of(error: ConnectionClosed) -> Close:
    """How the service ended the connection. A close frame that only this side has sent counts as a broken one."""
    return Close(error.rcvd.code, error.rcvd.reason) if error.rcvd else _own_close(error)


def _own_close(error: ConnectionClosed) -> Close:
    # 1002, 1007 and 1009 of this side: the service has sent what its protocol does not have.
    # 1011 is the library's code for a ping without an answer: the connection is gone.
    return Close(error.sent.code, error.sent.reason) if error.sent and error.sent.code != 1011 else Close(1006)
