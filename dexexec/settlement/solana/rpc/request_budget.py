"""Limits the requests to nodes, so that quoting cannot starve settlement.

Token buckets with a reserve that only urgent methods may take: sending, lookups and blockhashes. Urgent requests go
first, and equal ones in order of arrival. A request that would wait longer than it may fails at once.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from dexexec.clock import Clock

URGENT = frozenset(
    {
        "getBlockHeight", "getEpochInfo", "getGenesisHash", "getLatestBlockhash", "getSignatureStatuses",
        "getTransaction", "sendTransaction",
    }
)  # fmt: skip
"""Methods that a swap which may be on its way needs, to land or to be looked up."""
MIN_BURST = 4
RESERVED = 0.25
"""Part of a bucket that only urgent methods may take."""
MIN_COOLDOWN = 0.5
MAX_COOLDOWN = 30.0
"""Seconds without requests to a node that refused one as too many: doubled each time, until it answers again."""
_EPSILON = 1e-6
"""Missing tokens that are only a rounding error."""
MIN_SLEEP = 0.001


class BudgetExhaustedError(Exception):
    """There is no token in time. The message names the budget."""


@dataclass(frozen=True, slots=True)
class PublicLimit:
    """At most `requests` in any `seconds`, for all methods together, and `per_method` for each one."""

    requests: int
    per_method: int
    seconds: float


_PUBLIC = PublicLimit(100, 40, 10.0)
PUBLIC_LIMITS = {
    "api.devnet.solana.com": _PUBLIC,
    "api.testnet.solana.com": _PUBLIC,
    "api.mainnet.solana.com": _PUBLIC,
    "api.mainnet-beta.solana.com": _PUBLIC,
}
"""By host: the documented limits of Solana's public nodes (https://solana.com/docs/references/clusters)."""


class TokenBucket:
    """`rate` tokens per second, at most `burst` at once. It starts full. The last `reserve` are for urgent requests."""

    def __init__(self, clock: Clock, name: str, rate: float, burst: float, reserve: float) -> None:
        self.rate = rate
        self._clock = clock
        self._name = name
        self._burst = burst
        self._reserve = reserve
        self._tokens = burst
        self._filled_at = clock.monotonic()
        self._urgent_queue: list[object] = []
        self._queue: list[object] = []

    @asynccontextmanager
    async def turn(self, *, urgent: bool, until: float) -> AsyncIterator[None]:
        """Waits for a token, and takes it when the block ends. Raises `BudgetExhaustedError` if there will be none
        before `until` (monotonic seconds)."""
        queue = self._urgent_queue if urgent else self._queue
        ticket = object()
        queue.append(ticket)
        try:
            while (missing := self._missing_tokens(ticket, urgent=urgent)) > _EPSILON:
                pause = missing / self.rate
                if self._clock.monotonic() + pause > until:
                    raise BudgetExhaustedError(f"the budget of {self._name} is exhausted")
                # Urgent requests may arrive meanwhile, so the wait is computed again after each pause.
                await self._clock.sleep(max(pause, MIN_SLEEP))
            yield
            self._tokens -= 1
        finally:
            queue.remove(ticket)

    def left(self) -> float:
        """Tokens that are there now."""
        return min(self._burst, self._tokens + (self._clock.monotonic() - self._filled_at) * self.rate)

    def _missing_tokens(self, ticket: object, *, urgent: bool) -> float:
        """Tokens that must still come in for this ticket, after all that are served before it."""
        self._tokens = self.left()
        self._filled_at = self._clock.monotonic()
        if urgent:
            return 1 + self._urgent_queue.index(ticket) - self._tokens
        return 1 + len(self._urgent_queue) + self._queue.index(ticket) + self._reserve - self._tokens


class RequestBudget:
    """The request budget for the nodes of one chain.

    `per_second` limits all of them together. Without it only the documented limits of public nodes apply.
    """

    def __init__(self, clock: Clock, per_second: float | None = None) -> None:
        self._clock = clock
        self._per_second = per_second
        self._buckets: dict[tuple[str, str], TokenBucket] = {}

    async def take(
        self, host: str, method: str, until: float, pacing: TokenBucket | None = None, *, spare: bool = False
    ) -> None:
        """Waits until a request to `host` is within the budget and within `pacing`. With `spare` it takes nothing that
        is reserved for urgent methods. Raises `BudgetExhaustedError` if that is after `until`."""
        urgent = method in URGENT and not spare
        # Leaving the stack takes all tokens at once, at the moment of the request. A request that waits for its second
        # bucket, or gives up there, has taken nothing from the first.
        async with AsyncExitStack() as turns:
            for bucket in self._buckets_for(host, method, pacing):
                await turns.enter_async_context(bucket.turn(urgent=urgent, until=until))

    def left(self) -> dict[str, float]:
        """The requests that are allowed at once now: for all nodes together as `all`, else by host. Buckets of single
        methods are left out."""
        return {host or "all": bucket.left() for (host, method), bucket in self._buckets.items() if not method}

    def _buckets_for(self, host: str, method: str, pacing: TokenBucket | None) -> Sequence[TokenBucket]:
        limit = PUBLIC_LIMITS.get(host)
        buckets = [] if pacing is None else [pacing]
        if limit is not None:
            name = f"{limit.per_method} requests in {limit.seconds:g} s of one method to {host}"
            rate, burst = _rate_and_burst(limit.per_method, limit.seconds)
            buckets.append(self._bucket((host, method), TokenBucket(self._clock, name, rate, burst, 0)))
        if self._per_second is not None:
            name = f"{self._per_second:g} requests per second (DEXEXEC_RPC_REQUESTS_PER_SECOND)"
            rate = self._per_second
            burst = max(self._per_second, MIN_BURST)
            buckets.append(self._bucket(("", ""), TokenBucket(self._clock, name, rate, burst, burst * RESERVED)))
        elif limit is not None:
            name = f"{limit.requests} requests in {limit.seconds:g} s to {host}"
            rate, burst = _rate_and_burst(limit.requests, limit.seconds)
            buckets.append(self._bucket((host, ""), TokenBucket(self._clock, name, rate, burst, burst * RESERVED)))
        return buckets

    def _bucket(self, key: tuple[str, str], full: TokenBucket) -> TokenBucket:
        return self._buckets.setdefault(key, full)


def _rate_and_burst(requests: int, seconds: float) -> tuple[float, float]:
    """A rate and a burst that together never exceed `requests` in any `seconds`."""
    burst = requests / seconds
    return (requests - burst) / seconds, burst


class Cooldown:
    """The time without requests to a node that refused one as too many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = float("-inf")
        self._next = MIN_COOLDOWN

    @property
    def left(self) -> float:
        """Seconds until the next request; 0 if there is no cooldown."""
        return max(0.0, self._until - self._clock.monotonic())

    def begin(self, retry_after: float | None) -> bool:
        """Starts a cooldown, of `retry_after` seconds if the node sent that. Returns whether it started one now."""
        # Requests that were on their way when the first one was refused are refused as well: that is one refusal.
        if self.left:
            return False
        seconds = self._next if retry_after is None else min(max(retry_after, MIN_COOLDOWN), MAX_COOLDOWN)
        self._until = self._clock.monotonic() + seconds
        self._next = min(max(self._next, seconds) * 2, MAX_COOLDOWN)
        return True

    def end(self) -> None:
        """Records an answer, which resets the next cooldown."""
        # An answer during a cooldown is to a request from before it.
        if self.left:
            return
        self._until = float("-inf")
        self._next = MIN_COOLDOWN
