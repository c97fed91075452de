"""One order with its history: events, quotes, attempts, fill."""

from typing import Literal

from pydantic import ConfigDict, JsonValue

from dexexec.api.contract.answer import (
    Answer,
    BaseUnits,
    Bps,
    Count,
    DecimalText,
    Lamports,
    Milliseconds,
    OrderId,
    SignedUnits,
    Timestamp,
    absent,
    part_of,
)
from dexexec.api.contract.cost_answers import OrderCost
from dexexec.api.contract.order_answers import OrderSummary, Slice, Terms
from dexexec.domain.bracket import ExitRole
from dexexec.domain.outcome import Outcome
from dexexec.domain.sends import SendAnswer
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType


class Fill(Answer):
    """What the swap moved, compared with quotes. Values that are not known, after a recovery from the chain, are null.
    A negative slippage is a better price."""

    price: DecimalText | None
    """`outputMint` per `inputMint`."""
    amount_in: BaseUnits | None
    amount_out: BaseUnits | None
    min_out: BaseUnits | None
    max_in: BaseUnits | None
    quoted_in: BaseUnits | None
    """Of the order's first quote."""
    quoted_out: BaseUnits | None
    slippage_bps: DecimalText | None
    """Against the order's first quote."""
    venue_quoted_in: BaseUnits | None
    """Of the quote that the transaction was built from."""
    venue_quoted_out: BaseUnits | None
    venue_slippage_bps: DecimalText | None
    network_fee: Lamports | None
    slot: int | None
    finalized: bool | None
    simulated: Literal[True] = absent("A dry run: nothing has moved.")


class WaitingFor(Answer):
    """Why the order makes no progress."""

    reason: str
    detail: str
    since: Timestamp
    until: Timestamp = absent("When it is tried again.")


class QuoteLeg(Answer):
    """A part of a swap over several pools."""

    venue: str
    pool: str
    mint_in: str
    mint_out: str
    amount_in: BaseUnits
    amount_out: BaseUnits
    share_bps: Bps
    """Of all legs that sell the same token."""
    price: DecimalText = absent("How many tokens it gives for one, if the decimals of both are known.")


class VenueQuote(Answer):
    """A venue's answer to a request for a quote: a quote, or the reason why there is none."""

    venue: str
    elapsed_ms: Milliseconds
    selected: bool
    price: DecimalText | None = absent("`outputMint` per `inputMint`.")
    amount_in: BaseUnits = absent()
    amount_out: BaseUnits = absent()
    min_out: BaseUnits = absent()
    max_in: BaseUnits = absent()
    fee: BaseUnits = absent("Of the venue, in `feeMint`. The amounts contain it.")
    fee_mint: str = absent()
    network_fee: Lamports = absent()
    tip: Lamports = absent("What the service adds so that the transaction lands, where tips are configured.")
    price_impact_bps: DecimalText = absent()
    route: list[str] = absent()
    context_slot: int | None = absent()
    legs: list[QuoteLeg] = absent("Of `split` and `hops`: what each pool does. All are in one transaction.")
    net: SignedUnits = absent("What quotes are compared by: the amount less the network fee.")
    reason: str = absent("Why it was not selected.")
    detail: str = absent()


class QuoteOfRound(VenueQuote):
    """A venue's answer in a round of an order."""

    seq: Count
    """The number of the event that has it."""


class Event(Terms):
    """One step of an order. It has the fields of that step; new ones may be added."""

    # The steps of an order's kinds differ, and more fields may come.
    model_config = ConfigDict(extra="allow")

    order_id: OrderId
    seq: Count
    status: Status
    at: Timestamp
    final: bool
    """Whether no event follows."""
    venue: str = absent()
    tx_hash: str = absent()
    attempt: Count = absent()
    reason: str = absent()
    detail: str = absent("In words, for people.")
    quotes: list[VenueQuote] = absent()
    dry_run: Literal[True] = absent()
    finalized: bool = absent("Of `confirmed`: whether the chain can no longer take the swap back.")
    waits_for: str = absent()
    retry_in_ms: Milliseconds = absent()
    slice: Slice | Count = absent("Of a slice, its place; of a recurring order, the number of the slice that was made.")
    amount_in: BaseUnits = absent()
    amount_out: BaseUnits = absent()
    min_out: BaseUnits = absent()
    max_in: BaseUnits = absent()


class BuiltFrom(Answer):
    """The quote that a transaction was built from. Of an attempt that was restored from the chain it is empty."""

    model_config = ConfigDict(extra="allow")

    amount_in: BaseUnits = absent()
    amount_out: BaseUnits = absent()
    min_out: BaseUnits = absent()
    max_in: BaseUnits = absent()


class EndpointSends(Answer):
    """Where the bytes of an attempt were sent, and what was answered there. No answer proves anything."""

    endpoint: str
    """The name of its host."""
    send_only: bool
    """Whether it only takes transactions (`DEXEXEC_SEND_URLS`)."""
    sent_at: Timestamp | None
    """The first send; null if none left the service."""
    sends: Count
    """How often the same bytes were sent."""
    answer: SendAnswer
    """The first acceptance, else the last answer."""
    detail: str = absent("In words, for people.")
    landing_slots: Count | None
    """The slots from the first send to the landing; null if it did not land, or if a slot is not known."""
    landing_ms: Milliseconds | None
    """The time from the first send until the landing was seen."""


class Attempt(Answer):
    """A signed transaction, and what became of it."""

    attempt: Count
    venue: str
    tx_hash: str
    last_valid_height: int | None
    quote: BuiltFrom
    at: Timestamp
    outcome: Outcome
    resolved_at: Timestamp | None
    proof: dict[str, JsonValue] | None
    """The proof of the outcome, as JSON values."""
    endpoints: list[EndpointSends]
    """Where it was sent: by the worker that recorded the outcome, on Solana."""


class ChildOrder(Answer):
    """An order that the service made for another one."""

    order_id: OrderId
    slice: Count = absent("Its number among the slices.")
    role: ExitRole = absent("Which exit of the bracket it is.")
    type: OrderType
    status: Status
    amount: DecimalText
    amount_in: BaseUnits | None
    amount_out: BaseUnits | None
    venue: str | None
    tx_hash: str | None
    failure_reason: str | None
    created_at: Timestamp
    finished_at: Timestamp | None


class Order(OrderSummary):
    """An order with its events, quotes and attempts."""

    waiting_for: WaitingFor | None
    fill: Fill | None
    fees_paid: Lamports
    """Network fees of all attempts."""
    cost: OrderCost
    events: list[Event]
    events_omitted: Count = absent("How many events of a long history are left out.")
    quotes: list[QuoteOfRound]
    attempts: list[Attempt]
    children: list[ChildOrder] = absent()


class OrderPart(Answer):
    """Those fields of an order that `fields` names."""

    model_config = part_of(Order)
