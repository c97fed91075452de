"""An order as a list shows it, with the terms of its kind."""

from typing import Literal

from dexexec.api.contract.answer import (
    Answer,
    BaseUnits,
    Bps,
    Count,
    DecimalText,
    Milliseconds,
    OrderId,
    Timestamp,
    absent,
    part_of,
)
from dexexec.domain.order import Side
from dexexec.domain.quote import Mode
from dexexec.domain.recurring import Missed
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType, TimeInForce, TriggerWhen


class Slice(Answer):
    """The place of an order among the slices of its parent."""

    number: Count
    of: Count
    best_amount: BaseUnits = absent()


class BracketExit(Answer):
    """Where an exit is."""

    price: DecimalText = absent()
    bps: Bps = absent()
    limit_price: DecimalText = absent()


class Bracket(Answer):
    """The exits that the order's fill arms."""

    take_profit: BracketExit = absent()
    stop: BracketExit = absent()


class Conditions(Answer):
    """What the new pool must fulfil."""

    min_liquidity: DecimalText = absent()
    max_price_impact_bps: Bps = absent()
    max_price: DecimalText = absent()
    max_age_ms: Milliseconds = absent()
    mint_authority_revoked: Literal[True] = absent()
    freeze_authority_revoked: Literal[True] = absent()
    max_transfer_fee_bps: Bps = absent()
    venues: list[str] = absent()


class Terms(Answer):
    """What the kind of an order adds to a market order, as it was posted."""

    time_in_force: TimeInForce = absent()
    limit_price: DecimalText = absent()
    expires_at: Timestamp = absent()
    trigger_price: DecimalText = absent()
    trigger_when: TriggerWhen = absent()
    trail_bps: Bps = absent()
    share_bps: Bps = absent("The part of the balance that the order spends; 10000 is all of it.")
    close_account: Literal[True] = absent()
    slices: Count = absent()
    every: str = absent("An ISO 8601 duration.")
    missed: Missed = absent()
    deadline_seconds: Count = absent()
    start_at: Timestamp = absent()
    min_price: DecimalText = absent()
    max_price: DecimalText = absent()
    best_amount: BaseUnits = absent()
    bracket: Bracket = absent()
    conditions: Conditions = absent()
    mint_decimals: Count = absent()


class OrderSummary(Terms):
    """An order without its history, as in a list."""

    order_id: OrderId
    type: OrderType
    status: Status
    side: Side
    amount: str
    """A number of tokens, or a share of the balance, as it was posted."""
    mode: Mode
    input_mint: str
    output_mint: str
    slippage_bps: Bps
    min_out: BaseUnits | None
    """The order's bound."""
    max_in: BaseUnits | None
    max_price_impact_bps: Bps | None
    venue: str | None
    """Of the latest attempt."""
    tx_hash: str | None
    failure_reason: str | None
    amount_in: BaseUnits | None
    """The fill."""
    amount_out: BaseUnits | None
    attempt_count: Count
    seq: Count
    """The number of the last event."""
    deadline_at: Timestamp | None
    created_at: Timestamp
    finished_at: Timestamp | None
    finalized_at: Timestamp | None
    tag: str | None
    wallet: str | None
    """The name of the wallet that pays; null: the default one, or `payer`."""
    payer: str = absent("The address of the client's own wallet, which pays.")
    dry_run: bool
    parent_id: OrderId = absent("The order that the service made this one for.")
    oco_group: str = absent()
    slice: Slice = absent()
    made_slices: Count = absent()
    skipped_slices: Count = absent()
    ended_slices: Count = absent()
    filled_slices: Count = absent()
    average_price: DecimalText | None = absent()
    next_slice_at: Timestamp | None = absent()


class OrderSummaryPart(Answer):
    """Those fields of an order in a list that `fields` names."""

    model_config = part_of(OrderSummary)


class OrderTotals(Answer):
    """How many orders the whole list has."""

    orders: Count
    by_status: dict[Status, Count]
    """Without statuses that no order has."""
    at_least: bool
    """There are more than were counted: 10,000 at most."""


class OrdersPage(Answer):
    """A page of orders, newest first."""

    orders: list[OrderSummary | OrderSummaryPart]
    next: str | None
    """The `cursor` of the next page; null on the last one."""
    totals: OrderTotals = absent("With `totals=true`.")
