"""Confirms with a node that no pool can do a swap, where that was computed from accounts in memory. Memory may be wrong
for a moment, and a refusal may end an order."""

from collections.abc import Callable, Mapping

from dexexec.domain.reading_ahead import ConfirmingChain
from dexexec.domain.solana import Account
from dexexec.venue import SolanaChain
from dexexec_adapters.solana.chain_clock import CLOCK

CONFIRMED_SECONDS = 2.0
"""How long a node's answer confirms refusals by the same accounts: a pool that is closed to swaps costs no request for
each order."""
MOST_CONFIRMED = 64
"""Sets of accounts that are remembered."""

Shown = Mapping[str, Account | None]


class Refusals:
    """The refusals of one venue on `chain`, by the monotonic clock `now` (seconds)."""

    def __init__(self, chain: SolanaChain, now: Callable[[], float]) -> None:
        self._chain = chain
        self._now = now
        self._confirmed: dict[tuple[str, ...], tuple[float, Shown]] = {}

    async def read_again(self, accounts: Shown) -> tuple[int, Shown] | None:
        """The same accounts as a node shows them, with their slot; None if there is no memory, or if a node has just
        shown the same. Raises `VenueError`."""
        if not isinstance(self._chain, ConfirmingChain):
            return None
        at, confirmed = self._confirmed.get(tuple(accounts), (0.0, None))
        now = self._now()
        if confirmed == _without_clock(accounts) and now < at + CONFIRMED_SECONDS:
            return None
        answer = await self._chain.accounts_now(tuple(accounts))
        shown = dict(zip(accounts, answer.found, strict=True))
        self._confirmed.pop(tuple(accounts), None)
        self._confirmed[tuple(accounts)] = now, _without_clock(shown)
        # A dict keeps the order of insertion, so the oldest go first.
        while len(self._confirmed) > MOST_CONFIRMED:
            del self._confirmed[next(iter(self._confirmed))]
        return answer.slot, shown


def _without_clock(accounts: Shown) -> Shown:
    return {address: account for address, account in accounts.items() if address != CLOCK}
