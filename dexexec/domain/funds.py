"""What an attempt may still spend of the wallet, and whether it fits beside other open attempts. Pure.

Amounts are base units by mint. Unwrapped SOL counts under `LAMPORTS`: one attempt may take both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LAMPORTS = ""
"""Instead of a mint: lamports of the wallet's own account, for fees, rent, tips and SOL to wrap."""


@dataclass(frozen=True, slots=True)
class Need:
    """`amount` base units of `mint` that may be taken, and the `balance` that is available: all but what must stay."""

    mint: str
    amount: int
    balance: int


@dataclass(frozen=True, slots=True)
class Spending:
    """What an attempt may take from `wallet`, whose balances are those of `slot` (as confirmed)."""

    wallet: str
    slot: int
    needs: tuple[Need, ...]

    def amounts(self) -> dict[str, int]:
        """Returns base units by mint."""
        return {need.mint: need.amount for need in self.needs if need.amount}


@dataclass(frozen=True, slots=True)
class Reserved:
    """What another attempt of the wallet may take. `slot` is where it is on the chain, None if that is not recorded."""

    slot: int | None
    amounts: Mapping[str, int]

    def counts_at(self, slot: int) -> bool:
        """Whether a balance of `slot` still includes what the attempt may take."""
        # An attempt that landed, and whose slot is not stored yet, counts twice for that moment. That only delays.
        return self.slot is None or self.slot > slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """Base units of `mint`: `needed`, while the attempts of `orders` orders have `reserved` of the `balance`."""

    mint: str
    needed: int
    balance: int
    reserved: int
    orders: int


def reserved_at(slot: int, others: Sequence[Reserved]) -> dict[str, int]:
    """Returns what `others` may take from the balances of `slot`, by mint."""
    total: dict[str, int] = {}
    for reservation in others:
        if reservation.counts_at(slot):
            for mint, amount in reservation.amounts.items():
                total[mint] = total.get(mint, 0) + amount
    return total


def shortfall(spending: Spending, others: Sequence[Reserved]) -> Shortfall | None:
    """The first need that does not fit beside what `others` may take, or None. If nothing is reserved everything fits:
    whether the wallet can pay at all is checked before signing."""
    reserved = reserved_at(spending.slot, others)
    for need in spending.needs:
        taken = reserved.get(need.mint, 0)
        # Without reservations everything fits: whether the wallet can pay at all is checked before signing.
        if need.amount and taken and taken + min(need.amount, need.balance) > need.balance:
            orders = sum(other.counts_at(spending.slot) and bool(other.amounts.get(need.mint)) for other in others)
            return Shortfall(mint=need.mint, needed=need.amount, balance=need.balance, reserved=taken, orders=orders)
    return None


@dataclass(frozen=True, slots=True)
class Tip:
    """A transfer of `lamports` to an account of a block builder or sender service, so that a transaction lands."""

    account: str
    lamports: int

    def detail(self) -> dict[str, object]:
        """Returns the fields as JSON values."""
        return {"account": self.account, "lamports": str(self.lamports)}


@dataclass(frozen=True, slots=True)
class PriorityFee:
    """The price offered per compute unit, in micro-lamports: `price`, and its `cap`. `market` is the recent price of
    other transactions, None if no node was queried; `age_ms` is how long ago it was read."""

    price: int
    cap: int
    market: int | None = None
    age_ms: int | None = None

    @property
    def capped(self) -> bool:
        """Whether the cap binds: others pay more than this offers, so the transaction may wait or never land."""
        return self.market is not None and self.market > self.cap

    def detail(self) -> dict[str, object]:
        """Returns the fields as JSON values."""
        age = {} if self.age_ms is None else {"ageMs": self.age_ms}
        return {"price": self.price, "cap": self.cap, "market": self.market, "capped": self.capped, **age}
