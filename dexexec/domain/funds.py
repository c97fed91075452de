"""What an attempt may still spend of the wallet, and whether that fits beside what others in flight may spend. Pure.

Amounts are base units by mint. SOL that is not wrapped has the name `LAMPORTS`: one attempt may take of both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LAMPORTS = ""
"""In the place of a mint: lamports of the wallet's own account, for fees, rent, tips and SOL that is wrapped."""


@dataclass(frozen=True, slots=True)
class Need:
    """`amount` base units of `mint` that may be taken, and the `balance` that can be: all of it but what must stay."""

    mint: str
    amount: int
    balance: int


@dataclass(frozen=True, slots=True)
class Spending:
    """What an attempt may take of `wallet`, whose balances are those of `slot` (as confirmed)."""

    wallet: str
    slot: int
    needs: tuple[Need, ...]

    def amounts(self) -> dict[str, int]:
        """Base units by mint."""
        return {need.mint: need.amount for need in self.needs if need.amount}


@dataclass(frozen=True, slots=True)
class Reserved:
    """What another attempt of the wallet may take. `slot` is where it is on the chain, None while that is not known."""

    slot: int | None
    amounts: Mapping[str, int]

    def counts_at(self, slot: int) -> bool:
        """Whether a balance of `slot` still has what it may take. One that landed and is not known to have counts twice
        for that moment, which only delays."""
        return self.slot is None or self.slot > slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """Base units of `mint`: `needed`, while `reserved` of the `balance` belong to the attempts of `orders` orders."""

    mint: str
    needed: int
    balance: int
    reserved: int
    orders: int


def reserved_at(slot: int, others: Sequence[Reserved]) -> dict[str, int]:
    """What `others` may take of the balances of `slot`, by mint."""
    total: dict[str, int] = {}
    for one in others:
        if one.counts_at(slot):
            for mint, amount in one.amounts.items():
                total[mint] = total.get(mint, 0) + amount
    return total


def shortfall(spending: Spending, others: Sequence[Reserved]) -> Shortfall | None:
    """The first need that does not fit beside what `others` may take, or None. Where nothing is reserved everything
    fits: whether the wallet can pay at all is judged before it is signed."""
    reserved = reserved_at(spending.slot, others)
    for need in spending.needs:
        taken = reserved.get(need.mint, 0)
        if need.amount and taken and taken + min(need.amount, need.balance) > need.balance:
            orders = sum(one.counts_at(spending.slot) and bool(one.amounts.get(need.mint)) for one in others)
            return Shortfall(mint=need.mint, needed=need.amount, balance=need.balance, reserved=taken, orders=orders)
    return None


@dataclass(frozen=True, slots=True)
class PriorityFee:
    """What is offered for each compute unit, in micro-lamports: `price`, and what bounds it. `market` is what others
    paid lately, None where nobody was asked."""

    price: int
    cap: int
    market: int | None = None

    @property
    def capped(self) -> bool:
        """Whether the cap binds: others pay more than is offered, so the transaction may wait or never land."""
        return self.market is not None and self.market > self.cap

    def detail(self) -> dict[str, object]:
        """As JSON values."""
        return {"price": self.price, "cap": self.cap, "market": self.market, "capped": self.capped}
