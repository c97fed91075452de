"""The sizes of resting orders for a share of the wallet's balance: the oracle quotes a size, and the balance may change
while they rest. A duty of the leader, beside the oracle.

The amount that is executed is read by the worker, under its claim. A size here only decides when that is worth a try.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple, Protocol
from uuid import UUID

from dexexec.clock import Clock
from dexexec.domain.balance import SpendableBalance
from dexexec.domain.order import Side
from dexexec.domain.share import share_of
from dexexec.resting.watches import Watches
from dexexec.settlement.signer_errors import SignerError
from dexexec.store import RestingOrder
from dexexec.venue import VenueError

BALANCE_SECONDS = 5.0
"""How often the balance of a token is read while an order for a share of it rests."""


class Balances(Protocol):
    """The part of `dexexec.settlement.wallet_balances.WalletBalances` that is used here."""

    async def spendable(self, mint: str, wallet: str | None) -> SpendableBalance:
        """What a wallet can spend of `mint`. Raises `VenueError` and `SignerError`."""


class ShareSizes:
    """Keeps what each wallet can spend of each token that such an order sells. One read per wallet and token, not per
    order."""

    name = "reading balances for resting orders"

    def __init__(self, balances: Balances, clock: Clock) -> None:
        self._balances = balances
        self._clock = clock
        self._rows: dict[UUID, RestingOrder] = {}
        self._available: dict[_Spent, int] = {}
        self._read_at: dict[_Spent, float] = {}
        self._has_changed = False

    async def turn(self) -> None:
        """Read the balances that are due."""
        now = self._clock.monotonic()
        for spent in {_spent(row) for row in self._rows.values()}:
            if spent in self._read_at and now < self._read_at[spent] + BALANCE_SECONDS:
                continue
            self._read_at[spent] = now
            try:
                available = (await self._balances.spendable(spent.mint, spent.wallet)).available
            except (VenueError, SignerError):
                continue  # the last size is kept: a worker that is triggered reports the trouble of its own read
            if available != self._available.get(spent):
                self._available[spent] = available
                self._has_changed = True

    def resign(self) -> None:
        """Forget the orders: another process watches them."""
        self._rows.clear()
        self._available.clear()
        self._read_at.clear()

    def sized(self, row: RestingOrder) -> RestingOrder:
        """The row with the amount that its share came to lately; with the row's own before the first read, and while
        there is nothing to spend."""
        share_bps = row.terms.share_bps
        if share_bps is None:
            self._rows.pop(row.id, None)  # it was changed to a fixed amount
            return row
        self._rows[row.id] = row
        amount = share_of(self._available.get(_spent(row), 0), share_bps)
        return replace(row, amount_base=amount) if amount else row

    def changed(self, watches: Watches) -> Iterator[RestingOrder]:
        """The rows whose order is watched with another size than it has now."""
        # Only after a balance has changed: otherwise every turn of the oracle would look at every order.
        if not self._has_changed:
            return
        self._has_changed = False
        for row in list(self._rows.values()):
            order = watches.get(row.id)
            if order is None:
                del self._rows[row.id]
            elif order.amount != self.sized(row).amount_base:
                yield row


class _Spent(NamedTuple):
    """What an order sells a share of: the balance of a wallet in a token."""

    wallet: str | None
    mint: str


def _spent(row: RestingOrder) -> _Spent:
    return _Spent(row.wallet, row.input_mint if row.side is Side.BUY else row.output_mint)
