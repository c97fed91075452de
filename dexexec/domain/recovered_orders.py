"""What the record has to learn of one order, from the transactions on chain that it does not know. Pure.

The order's way: its attempts were signed, recorded and sent, and then the record lost them with its last commits. All
transactions here are finalized, so each is the end of its attempt: a swap that stands, or a failure that had no effect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.event import Detail
from dexexec.domain.failure_reason import FailureReason
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
    `Landed`; `fee` is lamports; `failure` says why it had no effect, if it had none."""

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


@dataclass(frozen=True, slots=True)
class RecordedAttempt:
    """An attempt that the record knows; `outcome` is None while its fate is open."""

    n: int
    signature: str
    last_valid_height: int
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedOrder:
    """An order as the record has it. `ended`: nothing follows its last event."""

    order_id: UUID
    status: Status
    version: int
    ended: bool
    request: SwapRequest
    attempts: tuple[RecordedAttempt, ...]

    @property
    def open_attempt(self) -> RecordedAttempt | None:
        """The open attempt."""
        return next((one for one in self.attempts if one.outcome is None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LostOrder:
    """What can be told of an order that the record does not have at all. Where nothing landed, its sides are unknown:
    the mints are empty and the amount is 0; and its Idempotency-Key is free, as nothing keeps it from being posted
    again: `key_digest` is only told of an order that has swapped."""

    side: Side
    input_mint: str
    output_mint: str
    amount: Decimal
    amount_base: int
    created_at: datetime
    key_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredAttempt:
    """A row for the attempt: `n` is its number, `landed_at` is Unix seconds, `outcome` is landed or failed."""

    n: int
    signature: str
    payload: bytes
    venue: str
    landed_at: int
    outcome: Outcome
    proof: Detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """What to write of an order, in one commit. `lost`: the order's row is to be made, else it has `version` now.
    `resolved` is the fate of the attempt that the record holds for open: its number, outcome and proof. `alarm` is for
    somebody to look at."""

    order_id: UUID
    version: int
    lost: LostOrder | None
    status: Status
    events: tuple[tuple[Status, Detail], ...]
    attempts: tuple[RestoredAttempt, ...]
    resolved: tuple[int, Outcome, Detail] | None = None
    fill: Fill | None = None
    reason: str | None = None
    alarm: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self.status in {Status.CONFIRMED, Status.FAILED}


class UnsettledError(Exception):
    """It is not known yet what became of an earlier attempt of the order."""


class ContradictionError(Exception):
    """Record and chain cannot both be right about an order: somebody has to look, and nothing is written."""


def restore(
    known: RecordedOrder | None, found: Sequence[ChainAttempt], open_fate: SwapStatus | None, pair: tuple[str, str]
) -> Restoration:
    """What the record has to learn of the order that `found` are attempts of, none of which it has.

    `open_fate` is what the chain says of the attempt that the record holds for open, looked for when its blockhash was
    dead. `pair` (input and output mint) is the one that the sides of an unknown order are told by. Raises
    `ContradictionError`, `UnsettledError`.
    """
    found = sorted(found, key=lambda one: (one.attempt.attempt, one.slot))
    order_id = found[0].attempt.order_id
    landed = [one for one in found if one.failure is None]
    if known is None:
        story = _Story(Status.PENDING, [(Status.PENDING, {})], set())
        lost = _lost_order(found, landed[0] if landed else None, pair)
        story.events[0] = (Status.PENDING, _first_detail(lost))
        version, request = 0, None
    else:
        if known.ended:
            raise ContradictionError(f"the order ended as {known.status}, and has {found[0].signature} on chain")
        story = _Story(known.status, [], {one.n for one in known.attempts})
        _settle_open(story, known.open_attempt, open_fate)
        lost, version, request = None, known.version, known.request
    for one in [*(one for one in found if one.failure is not None), *landed[:1]]:
        story.attempt(one, request)
    for one in landed[1:]:
        story.keep(one, story.number_of(one), Outcome.LANDED, {"slot": one.slot, "finalized": True, "recovered": True})
    if known is None and not landed:
        words = "the record lost this order: nothing was swapped, and it can be posted again"
        story.step(Trigger.FAIL, {"reason": FailureReason.RECORD_LOST, "detail": words})
    return Restoration(
        order_id=order_id,
        version=version,
        lost=lost,
        status=story.status,
        events=tuple(story.events),
        attempts=tuple(story.attempts),
        resolved=story.resolved,
        fill=story.fill,
        reason=FailureReason.RECORD_LOST if story.status is Status.FAILED else None,
        alarm=f"{len(landed)} swaps of it landed" if len(landed) > 1 else "",
    )


def end_duplicate(status: Status, original: UUID) -> tuple[Status, Detail]:
    """The last event of an order that was posted again with the key of `original`, while the record lacked that one:
    `original` has swapped, so this one must not."""
    words = f"order {original}, posted before with the same Idempotency-Key, has swapped: it came back from the chain"
    return advance(status, Trigger.FAIL), {
        "reason": FailureReason.DUPLICATE,
        "detail": words,
        "duplicateOf": str(original),
    }


@dataclass(slots=True)
class _Story:
    """The events that bring an order from where it stands to where the chain shows it."""

    status: Status
    events: list[tuple[Status, Detail]]
    numbers: set[int]
    attempts: list[RestoredAttempt] = field(default_factory=list)
    resolved: tuple[int, Outcome, Detail] | None = None
    fill: Fill | None = None

    def step(self, trigger: Trigger, detail: Detail) -> None:
        """One event, along the table."""
        self.status = advance(self.status, trigger)
        self.events.append((self.status, {"recovered": True, **detail}))

    def attempt(self, one: ChainAttempt, request: SwapRequest | None) -> None:
        """One transaction: `submitted`, and what it came to."""
        number = self.number_of(one)
        about: dict[str, object] = {"venue": one.venue, "attempt": number, "txHash": one.signature}
        *before, submit = _TO_SUBMITTED[self.status]
        for trigger in before:
            self.step(trigger, {"detail": READ_BACK})
        self.step(submit, {**about, "detail": READ_BACK})
        if one.failure is not None:
            proof = {"slot": one.slot, "detail": one.failure, "fee": str(one.fee), "recovered": True}
            told = {
                **about,
                "outcome": Outcome.FAILED,
                "reason": FailureReason.PROGRAM_ERROR,
                "detail": one.failure,
                "proof": proof,
            }
            self.step(Trigger.ROUTE, told)
            self.keep(one, number, Outcome.FAILED, proof)
            return
        self.fill = _fill(one, request)
        self.step(Trigger.FINALIZE, {**about, "detail": READ_BACK, **_fill_detail(self.fill)})
        self.keep(one, number, Outcome.LANDED, {"slot": one.slot, "finalized": True, "recovered": True})

    def number_of(self, one: ChainAttempt) -> int:
        """Its number; the next free one where the record has used that again since."""
        number = one.attempt.attempt if one.attempt.attempt not in self.numbers else max(self.numbers) + 1
        self.numbers.add(number)
        return number

    def keep(self, one: ChainAttempt, number: int, outcome: Outcome, proof: Detail) -> None:
        """A row for the attempt."""
        self.attempts.append(
            RestoredAttempt(
                n=number,
                signature=one.signature,
                payload=one.payload,
                venue=one.venue,
                landed_at=one.time or 0,
                outcome=outcome,
                proof=proof,
            )
        )


def _settle_open(story: _Story, attempt: RecordedAttempt | None, fate: SwapStatus | None) -> None:
    """A later attempt was signed, so the open one had been proven gone, and that was lost as well: what the chain says
    of it must bear that out."""
    if attempt is None:
        return
    match fate:
        case NotSeen(height, _, node) if proves_expiry(fate, attempt.last_valid_height):
            proof: dict[str, object] = {"heightSeen": height, "historySearched": True, "node": node, "recovered": True}
            story.resolved = (attempt.n, Outcome.EXPIRED, proof)
        case FailedOnChain(code=code, detail=detail, fee=fee, slot=slot, finalized=True):
            proof = {"slot": slot, "code": code, "detail": detail, "fee": str(fee), "recovered": True}
            story.resolved = (attempt.n, Outcome.FAILED, proof)
        case Landed():
            raise ContradictionError(f"{attempt.signature} landed, and a later attempt is on chain as well")
        case _:
            raise UnsettledError(f"it is not known what became of {attempt.signature}, an earlier attempt")


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
    """The mints that a swap spent and received; empty where that is not clear. SOL counts only where nothing else is on
    that side: rent and tips are paid in it as well."""

    def one_of(mints: list[str]) -> str:
        others = [mint for mint in mints if mint != WSOL] or mints
        return others[0] if len(others) == 1 else ""

    spent = one_of([mint for mint, amount in moved.items() if amount < 0])
    received = one_of([mint for mint, amount in moved.items() if amount > 0])
    return spent, received


def _created_at(order_id: UUID, landed_at: int | None) -> datetime:
    """When the order was accepted: its id has the millisecond; of an id without one, when its first transaction
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
    }
    unknown = "" if lost.input_mint else "; what was ordered is not known, as nothing was swapped"
    return {"recovered": True, **known, "detail": READ_BACK + unknown}


def _fill(one: ChainAttempt, request: SwapRequest | None) -> Fill:
    spent, received = (request.mint_in, request.mint_out) if request else _sides(one.moved)
    return Fill(-one.moved.get(spent, 0), one.moved.get(received, 0), one.fee, one.slot)


def _fill_detail(fill: Fill) -> Detail:
    return {
        "amountIn": str(fill.amount_in),
        "amountOut": str(fill.amount_out),
        "networkFee": str(fill.fee),
        "slot": fill.slot,
        "finalized": True,
    }
