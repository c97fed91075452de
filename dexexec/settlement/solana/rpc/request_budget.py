"""How often nodes may be asked, so that quoting cannot starve settlement, and a node that had too much is left alone.

A bucket fills with so many tokens per second; a request takes one. The last of them are a reserve that only urgent
questions may take: those that send, look up, and give what is signed its blockhash. Urgent ones are served before all
others, and equals in the order they came. Who would have to wait longer than it can is told so at once.
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
"""Methods without which a swap that may be on its way is neither landed nor looked up."""
LEAST_BURST = 4
RESERVED = 0.25
"""Part of a bucket that only urgent questions may take."""
SHORTEST_REST, LONGEST_REST = 0.5, 30.0
"""Seconds for which a node is left alone that was asked too often: doubled each time, until it answers again."""
_EPSILON = 1e-6
"""Tokens that are missing because numbers are rounded."""
SHORTEST_PAUSE = 0.001


class BudgetExhaustedError(Exception):
    """There is no token in time. Says of which budget."""


@dataclass(frozen=True, slots=True)
class PublicLimit:
    """At most `requests` in any `seconds`, of all methods together and (`per_method`) of each."""

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
"""By host: what Solana's own public nodes allow an address (https://solana.com/docs/references/clusters)."""


class TokenBucket:
    """`rate` tokens per second, and at most `burst` at once; it begins full. The last `reserve` are for the urgent."""

    def __init__(self, clock: Clock, name: str, rate: float, burst: float, reserve: float) -> None:
        self._clock, self._name, self.rate, self._burst, self._reserve = clock, name, rate, burst, reserve
        self._tokens, self._filled = burst, clock.monotonic()
        self._urgent: list[object] = []
        self._others: list[object] = []

    @asynccontextmanager
    async def turn(self, *, urgent: bool, until: float) -> AsyncIterator[None]:
        """Entered as soon as there is a token for this one, which is spent when the block ends. Raises
        `BudgetExhaustedError` when that is after `until` (monotonic seconds)."""
        line = self._urgent if urgent else self._others
        place = object()
        line.append(place)
        try:
            while (missing := self._missing(place, urgent=urgent)) > _EPSILON:
                pause = missing / self.rate
                if self._clock.monotonic() + pause > until:
                    raise BudgetExhaustedError(f"the budget of {self._name} is spent")
                await self._clock.sleep(max(pause, SHORTEST_PAUSE))
            yield
            self._tokens -= 1
        finally:
            line.remove(place)

    def _missing(self, place: object, *, urgent: bool) -> float:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self.rate)
        self._filled = now
        if urgent:
            return 1 + self._urgent.index(place) - self._tokens
        return 1 + len(self._urgent) + self._others.index(place) + self._reserve - self._tokens


class RequestBudget:
    """What may be asked of the nodes of one chain. `per_second`: of all of them together; without it, as often as each
    host is known to allow, which for most is not limited here."""

    def __init__(self, clock: Clock, per_second: float | None = None) -> None:
        self._clock, self._per_second = clock, per_second
        self._buckets: dict[tuple[str, str], TokenBucket] = {}

    async def take(self, host: str, method: str, until: float, pace: TokenBucket | None = None) -> None:
        """Waits until a request to `host` is within the budget and within `pace`. Raises `BudgetExhaustedError` if that
        is after `until`."""
        async with AsyncExitStack() as turns:  # all tokens are spent at once: at the moment of the request
            for bucket in self._of(host, method, pace):
                await turns.enter_async_context(bucket.turn(urgent=method in URGENT, until=until))

    def _of(self, host: str, method: str, pace: TokenBucket | None) -> Sequence[TokenBucket]:
        limit = PUBLIC_LIMITS.get(host)
        found = [] if pace is None else [pace]
        if limit is not None:
            name = f"{limit.per_method} requests in {limit.seconds:g} s of one method to {host}"
            rate, burst = _spread(limit.per_method, limit.seconds)
            found.append(self._bucket((host, method), TokenBucket(self._clock, name, rate, burst, 0)))
        if self._per_second is not None:
            name = f"{self._per_second:g} requests per second (DEXEXEC_RPC_REQUESTS_PER_SECOND)"
            rate, burst = self._per_second, max(self._per_second, LEAST_BURST)
            found.append(self._bucket(("", ""), TokenBucket(self._clock, name, rate, burst, burst * RESERVED)))
        elif limit is not None:
            name = f"{limit.requests} requests in {limit.seconds:g} s to {host}"
            rate, burst = _spread(limit.requests, limit.seconds)
            found.append(self._bucket((host, ""), TokenBucket(self._clock, name, rate, burst, burst * RESERVED)))
        return found

    def _bucket(self, key: tuple[str, str], full: TokenBucket) -> TokenBucket:
        return self._buckets.setdefault(key, full)


def _spread(requests: int, seconds: float) -> tuple[float, float]:
    """Rate and burst which together are never more than `requests` in any `seconds`."""
    burst = requests / seconds
    return (requests - burst) / seconds, burst


class Cooldown:
    """How long a node is left alone that says it was asked too often."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until, self._pause = float("-inf"), SHORTEST_REST

    @property
    def left(self) -> float:
        """Seconds until it may be asked again; 0 when it may."""
        return max(0.0, self._until - self._clock.monotonic())

    def begin(self, wanted: float | None) -> bool:
        """It was asked too often, and wants (if it says so) this many seconds. What was on its way to it when it said
        so first does not make it longer. Whether this began a rest."""
        if self.left:
            return False
        bounded = self._pause if wanted is None else min(max(wanted, SHORTEST_REST), LONGEST_REST)
        self._until = self._clock.monotonic() + bounded
        self._pause = min(max(self._pause, bounded) * 2, LONGEST_REST)
        return True

    def end(self) -> None:
        """It answers again. What it answers while it rests was on its way before."""
        if self.left:
            return
        self._until, self._pause = float("-inf"), SHORTEST_REST
