"""An order: the client's request as validated values."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from dexexec.domain.bound import Bound
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, Terms

U64_MAX = 2**64 - 1
FOREVER_MS = 100 * 365 * 24 * 3600 * 1000
"""The deadline (milliseconds) of an order that rests until it is cancelled."""


class Side(StrEnum):
    """`buy` spends the input mint for the output mint, `sell` the other way round."""

    BUY = "buy"
    SELL = "sell"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """A validated order that is not stored yet.

    `amount` is the decimal as the client wrote it, `amount_base` the same in base units of the token it counts: the
    token spent for `exactIn`, the token received for `exactOut`. For a share of the balance `amount` is 0, and
    `amount_base` one token, until a round has read the balance. `deadline_ms` counts from acceptance. `bound` is the
    client's, and `bound_open` is true while the first quote can still fix or tighten it. Without `max_price_impact_bps`
    the worker's setting applies. `request_id` is that of the HTTP request; the first event has it.
    `traceparent` is its trace, if traces are exported. `terms` are None for
    a plain market order. `tag` is the client's own name for a group of orders. `parent` is the order that this one is a
    part of. `owner` is the number of the key that posts it, `wallet` the name of the wallet that pays (None: the
    default one). `passed` names fields whose time has passed: such an order is not stored, but an earlier one with its
    key is found.
    """

    id: UUID
    side: Side
    amount: Decimal
    amount_base: int
    mode: Mode
    input_mint: str
    output_mint: str
    slippage_bps: int
    deadline_ms: int
    client: str
    idempotency_key: str | None = None
    body_hash: bytes = b""
    bound: Bound | None = None
    bound_open: bool = True
    max_price_impact_bps: int | None = None
    request_id: str | None = None
    traceparent: str | None = None
    passed: tuple[str, ...] = ()
    type: OrderType = OrderType.MARKET
    terms: Terms | None = None
    tag: str | None = None
    dry_run: bool = False
    parent: UUID | None = None
    oco_group: str | None = None
    owner: int | None = None
    wallet: str | None = None

    @property
    def rests(self) -> bool:
        """Whether the order is stored as `waiting`, and executed once it is triggered."""
        return self.terms is not None and self.terms.rests

    @property
    def swap(self) -> SwapRequest:
        """The request to venues."""
        return _swap_of(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A stored order as a worker reads it under its claim.

    `version` is the `seq` of the last event, `claim` the fencing number that every write repeats, `attempts` the number
    of transactions signed so far, `rounds` the number of rounds of quotes, `refusals` the number of these in which
    every venue refused the order itself, `deadline_in_ms` the time until the deadline when the row was read (may be
    negative), `age_ms` its age then.

    `bound` is the worst that it accepts, once fixed, `bound_open` as in `NewOrder`, `first_quote` the amounts (in and
    out) of the first acceptable quote. `key_digest` goes into its transactions' memos, as in `AttemptId`. `triggered`:
    its stop was reached, for good. `high_water` is the best rate that a trailing stop has seen. `rested` is how often
    in a row a trigger came to nothing.
    """

    id: UUID
    side: Side
    amount: Decimal
    amount_base: int
    mode: Mode
    input_mint: str
    output_mint: str
    slippage_bps: int
    status: Status
    version: int
    claim: int
    claims: int
    attempts: int
    rounds: int
    deadline_in_ms: int
    created_at: datetime
    refusals: int = 0
    bound: Bound | None = None
    bound_open: bool = True
    first_quote: tuple[int, int] | None = None
    max_price_impact_bps: int | None = None
    key_digest: str | None = None
    type: OrderType = OrderType.MARKET
    terms: Terms | None = None
    tag: str | None = None
    dry_run: bool = False
    parent: UUID | None = None
    oco_group: str | None = None
    triggered: bool = False
    high_water: Decimal | None = None
    rested: int = 0
    owner: int | None = None
    wallet: str | None = None
    request_id: str | None = None
    traceparent: str | None = None
    age_ms: float = field(default=0.0, compare=False, repr=False)

    @property
    def share_bps(self) -> int | None:
        """The share of the wallet's balance (bps) that it spends; None if its amount is fixed."""
        return self.terms.share_bps if self.terms else None

    @property
    def closes_account(self) -> bool:
        """Whether the token account that it empties is closed."""
        return self.terms is not None and self.terms.close_account

    @property
    def has_limit(self) -> bool:
        """Whether its bound is a price that the client named: it is never executed at a worse one, and waits for it."""
        return self.terms is not None and self.terms.limit_price is not None

    @property
    def rests(self) -> bool:
        """Whether the order may go back to `waiting` after a round without a fill."""
        return self.terms is not None and self.terms.rests

    @property
    def single_try(self) -> bool:
        """Whether the order ends with its first round."""
        return self.terms is not None and self.terms.single_try

    @property
    def swap(self) -> SwapRequest:
        """The request to venues: the side resolved into a direction."""
        return _swap_of(self)


def _swap_of(order: NewOrder | Order) -> SwapRequest:
    # A sell goes the other way: it spends the pair's output mint.
    sells = order.side is Side.SELL
    return SwapRequest(
        mint_in=order.output_mint if sells else order.input_mint,
        mint_out=order.input_mint if sells else order.output_mint,
        amount=order.amount_base,
        mode=order.mode,
        slippage_bps=order.slippage_bps,
    )
