"""Sends the same signed bytes to all endpoints, without preflight: the engine has just simulated the same message.

No answer to a send proves anything. A proxy may forward the bytes and then answer with any error, so what became of
them is looked up on the chain (`signature_status`). An endpoint that is slow or hangs delays neither the others nor the
lookup: its request goes on in the background, and its answer is recorded when it comes.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dexexec.clock import Clock
from dexexec.concurrency.cancellation import ignore_exception
from dexexec.domain.sends import EndpointSends, SendAnswer, SendLog
from dexexec.domain.swap import Accepted, SignedSwap, SubmitAnswer
from dexexec.settlement.solana.rpc.node_errors import NodeRateLimitedError, NodeRefusedError, NodeUnavailableError
from dexexec.settlement.solana.rpc.request_budget import BudgetExhaustedError, TokenBucket
from dexexec.settlement.solana.rpc.send_endpoints import SendEndpoint
from dexexec.venue import Timeout


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOptions:
    """Where and how often is sent, beside the nodes.

    `urls`, which may hold keys, only take transactions. `at_once`: the first send goes to all endpoints together, not
    to the preferred node first. `per_second` limits the sends to each endpoint (None: no limit).
    """

    urls: Sequence[str] = field(default=(), repr=False)
    at_once: bool = True
    per_second: float | None = None


class Broadcaster:
    """Sends to `endpoints`, the preferred one first. `slot` returns the newest known slot (0: unknown), and
    `slot_seconds` the length of a slot. `timeout`: seconds for which a first send may wait for its turn."""

    def __init__(
        self,
        endpoints: Callable[[], Sequence[SendEndpoint]],
        clock: Clock,
        options: SendOptions,
        *,
        slot: Callable[[], int],
        slot_seconds: Callable[[], float],
        timeout: float,
    ) -> None:
        self._endpoints = endpoints
        self._clock = clock
        self._options = options
        self._slot = slot
        self._slot_seconds = slot_seconds
        self._timeout = timeout
        self._buckets: dict[str, TokenBucket] = {}
        self._requests: set[asyncio.Task[None]] = set()

    async def send(self, signed: SignedSwap, log: SendLog, *, patient: bool = False) -> SubmitAnswer:
        """Sends the bytes and records it in `log`. Never raises.

        Returns at the first acceptance, when all endpoints have answered, or after the length of a slot; `patient`
        waits longer, as long as a request may take. A repeated send waits for no answer.
        """
        again = bool(log)
        # Bytes that an endpoint has are sent again only with what the budgets have left. Others wait for their turn, as
        # if it were the first time: where nodes limit requests, no later send would ever get one.
        spare = isinstance(log.answer(), Accepted)
        # A request without an answer is not repeated: hanging endpoints would collect one more with each send.
        free = [endpoint for endpoint in self._endpoints() if not _in_flight(log.of(endpoint.name))]
        # Without an order of the endpoints a refusal of one comes too late to hold back the bytes from the others, and
        # it would prove nothing: a front may refuse what it has passed on.
        first = len(free) if self._options.at_once or again else 1
        requests = self._begin(free[:first], signed, log, spare=spare)
        if first < len(free):
            # Any answer lets the others follow, and without one the length of a slot does.
            await asyncio.wait(requests, timeout=self._slot_seconds(), return_when=asyncio.FIRST_COMPLETED)
            requests |= self._begin(free[first:], signed, log, spare=spare)
        if patient or not again:
            await self._first_acceptance(requests, log, None if patient else self._slot_seconds())
        return log.answer()

    async def aclose(self) -> None:
        """Ends requests that are still running."""
        running = list(self._requests)
        for request in running:
            request.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _begin(
        self, endpoints: Iterable[SendEndpoint], signed: SignedSwap, log: SendLog, *, spare: bool
    ) -> set[asyncio.Task[None]]:
        # One slot for all of them: what they differ in is how soon they pass the bytes on, not when they got them.
        slot = self._slot() or None
        begun = set()
        for endpoint in endpoints:
            sends = log.begin(endpoint.name, send_only=endpoint.send_only, at_ms=self._clock.unix_ms(), slot=slot)
            begun.add(asyncio.create_task(self._request(endpoint, signed, sends, spare=spare)))
        for request in begun:
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)
            request.add_done_callback(ignore_exception)
        return begun

    async def _first_acceptance(self, requests: set[asyncio.Task[None]], log: SendLog, seconds: float | None) -> None:
        """Waits until an endpoint has accepted or all have answered, for `seconds` at most."""
        loop = asyncio.get_running_loop()
        until = None if seconds is None else loop.time() + seconds
        while requests and not isinstance(log.answer(), Accepted):
            left = None if until is None else until - loop.time()
            done, requests = await asyncio.wait(requests, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return

    async def _request(self, endpoint: SendEndpoint, signed: SignedSwap, sends: EndpointSends, *, spare: bool) -> None:
        answer = SendAnswer.FAILED
        words = f"{endpoint.name} was given up"
        try:
            await self._take_turn(endpoint.name, spare=spare)
            signature = await endpoint.send(signed.payload, spare=spare)
            accepted = signature == signed.signature
            answer = SendAnswer.ACCEPTED if accepted else SendAnswer.OTHER_SIGNATURE
            words = "" if accepted else f"{endpoint.name} answered with another signature"
        except (NodeUnavailableError, NodeRefusedError, BudgetExhaustedError) as error:
            answer = _answer_of(error)
            words = str(error)
        finally:
            sends.end(answer, words)

    async def _take_turn(self, endpoint: str, *, spare: bool) -> None:
        """Takes a token of the endpoint's budget. With `spare` it does not wait for one: the next send comes soon."""
        rate = self._options.per_second
        if rate is None:
            return
        name = f"{endpoint}, {rate:g} sends per second (DEXEXEC_SENDS_PER_SECOND)"
        bucket = self._buckets.setdefault(endpoint, TokenBucket(self._clock, name, rate, max(rate, 1.0), reserve=0.0))
        until = self._clock.monotonic() + (0.0 if spare else self._timeout)
        async with bucket.turn(urgent=not spare, until=until):
            pass


def _in_flight(sends: EndpointSends | None) -> bool:
    return sends is not None and sends.in_flight > 0


def _answer_of(error: NodeUnavailableError | NodeRefusedError | BudgetExhaustedError) -> SendAnswer:
    match error:
        case BudgetExhaustedError() | NodeUnavailableError(sent=False):
            return SendAnswer.NOT_SENT
        case NodeRefusedError():
            return SendAnswer.REFUSED
        case NodeRateLimitedError():
            return SendAnswer.RATE_LIMITED
        case NodeUnavailableError(kind=kind) if kind is Timeout:
            return SendAnswer.NO_ANSWER
        case _:
            return SendAnswer.FAILED
