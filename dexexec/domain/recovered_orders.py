"""Restores one order from transactions on chain that the record lost with its last commits. Pure.

All transactions here are finalized, so each is the end of its attempt: a swap that is final, or a failure without
effect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.cost import AttemptCost
from dexexec.domain.event import Detail
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.network_cost import NetworkCost
from dexexec.domain.order import Side
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill, Mode, SwapRequest
from dexexec.domain.status import Status, Trigger, advance
from dexexec.domain.swap import FailedOnChain, Landed, NotSeen, SwapStatus, proves_expiry
from dexexec.domain.token import WSOL, from_base_units

READ_BACK = "read back from the chain, after the record lost it"
UNKNOWN_VENUE = "unknown"
SOL_DECIMALS = 9
_TO_SUBMITTED: Mapping[Status, tuple[Trigger, ...]] = {
    Status.PENDING: (Trigger.ROUTE, Trigger.BUILD, Trigger.SUBMIT),
    Status.WAITING: (Trigger.ROUTE, Trigger.BUILD, Trigger.SUBMIT),
    Status.ROUTING: (Trigger.BUILD, Trigger.SUBMIT),
    Status.BUILDING: (Trigger.SUBMIT,),
    Status.SUBMITTED: (Trigger.ROUTE, Trigger.BUILD, Trigger.SUBMIT),
    Status.CONFIRMED: (Trigger.UNLAND, Trigger.ROUTE, Trigger.BUILD, Trigger.SUBMIT),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainAttempt:
    """A finalized transaction that our wallet signed as an attempt of an order. `moved` is base units by mint, as in
    `Landed`; `fee` is lamports and `cost` has its parts; `failure` is the reason if it had no effect."""

    attempt: AttemptId
    signature: str
    payload: bytes
    venue: str
    slot: int
    time: int | None
    fee: int
    moved: Mapping[str, int]
    decimals: Mapping[str, int]
    failure: str | None
    cost: NetworkCost | None = None


@dataclass(frozen=True, slots=True)
class RecordedAttempt:
    """An attempt in the record; an open one has no `outcome`."""

    n: int
    signature: str
    last_valid_height: int
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedOrder:
    """An order as the record has it. `ended`: no event follows its last one."""

    order_id: UUID
    status: Status
    version: int
    ended: bool
    request: SwapRequest
    attempts: tuple[RecordedAttempt, ...]

    @property
    def open_attempt(self) -> RecordedAttempt | None:
        """Returns the open attempt."""
        return next((attempt for attempt in self.attempts if attempt.outcome is None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LostOrder:
    """What the chain shows of an order that the record lost completely. If nothing landed, its mints are unknown
    (empty, with the amount 0) and its Idempotency-Key is free, since the order may be posted again: only an order that
    swapped has a `key_digest`."""

    side: Side
    input_mint: str
    output_mint: str
    amount: Decimal
    amount_base: int
    created_at: datetime
    key_digest: str | None = None
    wallet: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredAttempt:
    """A row for `attempts`: `n` is the attempt's number, `landed_at` Unix seconds, `outcome` landed or failed."""

    n: int
    signature: str
    payload: bytes
    venue: str
    landed_at: int
    outcome: Outcome
    proof: Detail


@dataclass(frozen=True, slots=True)
class ResolvedAttempt:
    """The outcome of attempt number `n`, with its proof."""

    n: int
    outcome: Outcome
    proof: Detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """The changes of an order to write, in one commit. `lost`: the order's row has to be created, else it has `version`
    now. `resolved` is the outcome of the attempt that is open in the record: its number, outcome and proof. `alarm` is
    a message for the operator."""

    order_id: UUID
    version: int
    lost: LostOrder | None
    status: Status
    events: tuple[tuple[Status, Detail], ...]
    attempts: tuple[RestoredAttempt, ...]
    resolved: ResolvedAttempt | None = None
    fill: Fill | None = None
    reason: str | None = None
    alarm: str = ""

    @property
    def ended(self) -> bool:
        """Whether no event follows."""
        return self.status in {Status.CONFIRMED, Status.FAILED}


class UnsettledError(Exception):
    """The outcome of an earlier attempt of the order is not proven yet."""


class ContradictionError(Exception):
    """Record and chain contradict each other about an order: nothing is written, and an operator has to decide."""


def restore(
    known: RecordedOrder | None,
    found: Sequence[ChainAttempt],
    open_status: SwapStatus | None,
    pair: tuple[str, str],
    wallet: str | None = None,
) -> Restoration:
    """The changes that restore the order from `found`, its attempts that are missing in the record.

    `open_status` is the chain's answer about the attempt that is open in the record, looked up after its blockhash had
    expired. `pair` (input and output mint) decides the side of an order that the record lost, and `wallet` is the name
    of the wallet that paid for it (None: the default one). Raises `ContradictionError`, `UnsettledError`.
    """
    # By number, as they were signed: each was signed because the one before it had failed or expired.
    found = sorted(found, key=lambda attempt: (attempt.attempt.attempt, attempt.slot))
    order_id = found[0].attempt.order_id
    landed = [attempt for attempt in found if attempt.failure is None]
    failed = [attempt for attempt in found if attempt.failure is not None]
    if known is None:
        builder = _EventBuilder(status=Status.PENDING, events=[(Status.PENDING, {})], numbers=set())
        lost = replace(_lost_order(found, landed[0] if landed else None, pair), wallet=wallet)
        builder.events[0] = (Status.PENDING, _first_detail(lost))
        version = 0
        request = None
    else:
        if known.ended:
            raise ContradictionError(f"the order ended as {known.status}, and has {found[0].signature} on chain")
        builder = _EventBuilder(status=known.status, events=[], numbers={attempt.n for attempt in known.attempts})
        _resolve_open(builder, known.open_attempt, open_status)
        lost = None
        version = known.version
        request = known.request
    # Failures come first: after a landing the order is confirmed, and takes no further attempt.
    for attempt in [*failed, *landed[:1]]:
        builder.attempt(attempt, request)
    # More than one landing should be impossible. It is recorded without events, and raises an alarm.
    for attempt in landed[1:]:
        builder.keep(attempt, builder.number_of(attempt), Outcome.LANDED, _landing_proof(attempt))
    if known is None and not landed:
        words = "the record lost this order: nothing was swapped, and it can be posted again"
        builder.step(Trigger.FAIL, {"reason": FailureReason.RECORD_LOST, "detail": words})
    return Restoration(
        order_id=order_id,
        version=version,
        lost=lost,
        status=builder.status,
        events=tuple(builder.events),
        attempts=tuple(builder.attempts),
        resolved=builder.resolved,
        fill=builder.fill,
        reason=FailureReason.RECORD_LOST if builder.status is Status.FAILED else None,
        alarm=f"{len(landed)} swaps of it landed" if len(landed) > 1 else "",
    )


def end_duplicate(status: Status, original: UUID) -> tuple[Status, Detail]:
    """Returns the last event of an order that was posted with the key of `original` while the record lacked that one.

    `original` has swapped, so this order must not.
    """
    words = f"order {original}, posted before with the same Idempotency-Key, has swapped: it came back from the chain"
    return advance(status, Trigger.FAIL), {
        "reason": FailureReason.DUPLICATE,
        "detail": words,
        "duplicateOf": str(original),
    }


@dataclass(slots=True, kw_only=True)
class _EventBuilder:
    """Collects the events that bring an order from its recorded status to the state on chain."""

    status: Status
    events: list[tuple[Status, Detail]]
    numbers: set[int]
    attempts: list[RestoredAttempt] = field(default_factory=list)
    resolved: ResolvedAttempt | None = None
    fill: Fill | None = None

    def step(self, trigger: Trigger, detail: Detail) -> None:
        """Add one event, along the table of statuses."""
        self.status = advance(self.status, trigger)
        self.events.append((self.status, {"recovered": True, **detail}))

    def attempt(self, transaction: ChainAttempt, request: SwapRequest | None) -> None:
        """Add the events of one transaction: `submitted`, and its outcome."""
        number = self.number_of(transaction)
        about: dict[str, object] = {"venue": transaction.venue, "attempt": number, "txHash": transaction.signature}
        *before, submit = _TO_SUBMITTED[self.status]
        for trigger in before:
            self.step(trigger, {"detail": READ_BACK})
        self.step(submit, {**about, "detail": READ_BACK})
        if transaction.failure is not None:
            proof = {
                "slot": transaction.slot,
                "detail": transaction.failure,
                "fee": str(transaction.fee),
                "cost": AttemptCost.of_failure(transaction.fee, transaction.cost).detail(),
                "recovered": True,
            }
            detail = {
                **about,
                "outcome": Outcome.FAILED,
                "reason": FailureReason.PROGRAM_ERROR,
                "detail": transaction.failure,
                "proof": proof,
            }
            self.step(Trigger.ROUTE, detail)
            self.keep(transaction, number, Outcome.FAILED, proof)
            return
        self.fill = _fill(transaction, request)
        self.step(Trigger.FINALIZE, {**about, "detail": READ_BACK, **_fill_detail(self.fill)})
        self.keep(transaction, number, Outcome.LANDED, _landing_proof(transaction))

    def number_of(self, transaction: ChainAttempt) -> int:
        """Its number; the next free one if the record has used that number again since."""
        number = transaction.attempt.attempt
        if number in self.numbers:
            number = max(self.numbers) + 1
        self.numbers.add(number)
        return number

    def keep(self, transaction: ChainAttempt, number: int, outcome: Outcome, proof: Detail) -> None:
        """Add a row for the attempt."""
        self.attempts.append(
            RestoredAttempt(
                n=number,
                signature=transaction.signature,
                payload=transaction.payload,
                venue=transaction.venue,
                landed_at=transaction.time or 0,
                outcome=outcome,
                proof=proof,
            )
        )


def _resolve_open(builder: _EventBuilder, attempt: RecordedAttempt | None, status: SwapStatus | None) -> None:
    """Resolve the open attempt. A later attempt was signed, so it had been proven expired, and the record lost that:
    the chain has to confirm it."""
    if attempt is None:
        return
    match status:
        case NotSeen(height, _, node) if proves_expiry(status, attempt.last_valid_height):
            proof: dict[str, object] = {"heightSeen": height, "historySearched": True, "node": node, "recovered": True}
            builder.resolved = ResolvedAttempt(attempt.n, Outcome.EXPIRED, proof)
        case FailedOnChain(code=code, detail=detail, fee=fee, slot=slot, finalized=True, cost=network):
            cost = AttemptCost.of_failure(fee, network).detail()
            proof = {"slot": slot, "code": code, "detail": detail, "fee": str(fee), "cost": cost, "recovered": True}
            builder.resolved = ResolvedAttempt(attempt.n, Outcome.FAILED, proof)
        case Landed():
            raise ContradictionError(f"{attempt.signature} landed, and a later attempt is on chain as well")
        case _:
            raise UnsettledError(f"the outcome of {attempt.signature}, an earlier attempt, is not proven yet")


def _lost_order(found: Sequence[ChainAttempt], landed: ChainAttempt | None, pair: tuple[str, str]) -> LostOrder:
    first = found[0]
    created_at = _created_at(first.attempt.order_id, first.time)
    key_digest = landed.attempt.key_digest if landed else None
    spent, received = _sides(landed.moved) if landed else ("", "")
    if landed is None or not spent or not received:
        return LostOrder(
            side=Side.BUY,
            input_mint="",
            output_mint="",
            amount=Decimal(0),
            amount_base=0,
            created_at=created_at,
            key_digest=key_digest,
        )
    sells = (spent, received) == (pair[1], pair[0])
    amount = -landed.moved[spent]
    decimals = SOL_DECIMALS if spent == WSOL else landed.decimals.get(spent, 0)
    return LostOrder(
        side=Side.SELL if sells else Side.BUY,
        input_mint=received if sells else spent,
        output_mint=spent if sells else received,
        amount=Decimal(from_base_units(amount, decimals)),
        amount_base=amount,
        created_at=created_at,
        key_digest=key_digest,
    )


def _sides(moved: Mapping[str, int]) -> tuple[str, str]:
    """The mints that a swap spent and received; empty if that is ambiguous. SOL counts only if no other token is on
    that side: rent and tips are paid in it as well."""

    def one_of(mints: list[str]) -> str:
        others = [mint for mint in mints if mint != WSOL] or mints
        return others[0] if len(others) == 1 else ""

    spent = one_of([mint for mint, amount in moved.items() if amount < 0])
    received = one_of([mint for mint, amount in moved.items() if amount > 0])
    return spent, received


def _created_at(order_id: UUID, landed_at: int | None) -> datetime:
    """When the order was accepted: its id has the millisecond; for an id without one, when its first transaction
    landed."""
    if order_id.version == 7:
        return datetime.fromtimestamp((order_id.int >> 80) / 1000, UTC)
    return datetime.fromtimestamp(landed_at or 0, UTC)


def _first_detail(lost: LostOrder) -> Detail:
    known = {
        "side": lost.side.value,
        "amount": format(lost.amount, "f"),
        "mode": Mode.EXACT_IN.value,
        "inputMint": lost.input_mint,
        "outputMint": lost.output_mint,
        **({"wallet": lost.wallet} if lost.wallet else {}),
    }
    unknown = "" if lost.input_mint else "; the direction and amount are unknown, because nothing was swapped"
    return {"recovered": True, **known, "detail": READ_BACK + unknown}


def _fill(transaction: ChainAttempt, request: SwapRequest | None) -> Fill:
    spent, received = (request.mint_in, request.mint_out) if request else _sides(transaction.moved)
    return Fill(
        -transaction.moved.get(spent, 0),
        transaction.moved.get(received, 0),
        transaction.fee,
        transaction.slot,
        transaction.cost,
    )


def _landing_proof(transaction: ChainAttempt) -> Detail:
    # Neither the quote nor what the venue kept is on the chain.
    cost = AttemptCost(landed=True, fee=transaction.fee, network=transaction.cost)
    return {"slot": transaction.slot, "finalized": True, "cost": cost.detail(), "recovered": True}


def _fill_detail(fill: Fill) -> Detail:
    return {
        "amountIn": str(fill.amount_in),
        "amountOut": str(fill.amount_out),
        "networkFee": str(fill.fee),
        "slot": fill.slot,
        "finalized": True,
    }
