"""Records all requests of a chain to its nodes, as they go over the wire, and may act on them."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2

from dexexec.clock import Clock
from dexexec.settlement.solana.rpc import RpcChain
from tests.support.localnet.slot_clocks import Action


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """A JSON-RPC request: its time, its node, and the result or error of its answer, if any."""

    at: float
    node: str
    method: str
    params: Any
    answer: Any = None

    @property
    def options(self) -> Any:
        """The last parameter."""
        return self.params[-1]


@dataclass
class RequestLog:
    """All requests to all nodes, in the order of their answers.

    `before` has actions by method: one runs just before the next request of that method. Requests that `cut` selects
    lose their connection.
    """

    clock: Clock
    cut: Callable[[LoggedRequest], bool] = lambda _: False
    requests: list[LoggedRequest] = field(default_factory=list)
    before: dict[str, Action] = field(default_factory=dict)

    def of(self, *methods: str) -> list[LoggedRequest]:
        """The requests of these methods."""
        return [request for request in self.requests if request.method in methods]

    @property
    def sends(self) -> list[LoggedRequest]:
        """All sent transactions."""
        return self.of("sendTransaction")

    def attach(self, chain: RpcChain) -> None:
        """Starts recording the requests of a chain."""
        for node in chain._nodes.order:
            node._transport = _LoggingTransport(self, node.name, node._transport)  # type: ignore[assignment]


def payload_of(sent: LoggedRequest) -> bytes:
    """The transaction of a `sendTransaction`."""
    return base64.b64decode(sent.params[0])


class _LoggingTransport(httpx2.AsyncBaseTransport):
    def __init__(self, log: RequestLog, node: str, inner: httpx2.AsyncBaseTransport) -> None:
        self._log = log
        self._node = node
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call = json.loads(request.content)
        method = call["method"]
        if (action := self._log.before.pop(method, None)) is not None:
            await action()
        at = self._log.clock.monotonic()
        answer = None
        try:
            if self._log.cut(LoggedRequest(at=at, node=self._node, method=method, params=call["params"])):
                raise httpx2.ReadError("cut")
            response = await self._inner.handle_async_request(request)
            body = b"".join([part async for part in response.aiter_raw()])
            await response.aclose()
            if response.status_code == 200 and body.endswith(b"}"):
                document = json.loads(body)
                answer = document.get("result", document.get("error"))
            return httpx2.Response(response.status_code, headers=response.headers, stream=httpx2.ByteStream(body))
        finally:
            self._log.requests.append(
                LoggedRequest(at=at, node=self._node, method=method, params=call["params"], answer=answer)
            )

    async def aclose(self) -> None:
        await self._inner.aclose()
