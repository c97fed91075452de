"""The rows of the database in memory, and how the store reads them."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from zlib import crc32

from dexexec.domain.bound import Bound
from dexexec.domain.event import Event
from dexexec.domain.funds import Spending
from dexexec.domain.order import NewOrder, Order
from dexexec.domain.outcome import Outcome
from dexexec.domain.slice_progress import Progress
from dexexec.domain.status import Status
from dexexec.store import Attempt, Claimed, RestingOrder
from dexexec.store.steps import SUSPECT_AFTER

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS, SECOND = 1_000, 1_000_000
"""Times here are Unix time in whole microseconds, as fine as Postgres keeps them."""


@dataclass(slots=True)
class AttemptRow:
    """A row of `attempts`: `outcome` is None while the attempt is open."""

    attempt: Attempt
    created_at: int
    outcome: Outcome | None = None
    resolved_at: int | None = None
    proof: dict[str, object] | None = None
    sends: tuple[Mapping[str, object], ...] = ()
    spending: Spending | None = None


@dataclass(slots=True)
class OrderRow:
    """A row of `orders`, with its events and attempts. `claim_of` has the claim under which each event was written,
    which Postgres does not store; the checks use it."""

    new: NewOrder
    created_at: int
    deadline_at: int
    due_at: int
    status: Status = Status.PENDING
    version: int = 1
    claim: int = 0
    claims: int = 0
    worker: int | None = None
    rounds: int = 0
    refusals: int = 0
    bound: Bound | None = None
    bound_open: bool = True
    first_quote: tuple[int, int] | None = None
    attempt_count: int = 0
    venue: str | None = None
    tx_hash: str | None = None
    failure_reason: str | None = None
    amount_in: int | None = None
    amount_out: int | None = None
    waiting: dict[str, str] | None = None
    resting: bool = False
    rests: int = 0
    rested_at: int = 0
    quiet_until: int | None = None
    triggered: bool = False
    high_water: Decimal | None = None
    followed_up: bool = False
    joined: bool = False
    wake_at: int | None = None
    progress: Progress | None = None
    finished_at: int | None = None
    finalized_at: int | None = None
    events: list[Event] = field(default_factory=list)
    claim_of: list[int] = field(default_factory=list)
    attempts: list[AttemptRow] = field(default_factory=list)

    @property
    def open_attempt(self) -> AttemptRow | None:
        """The open attempt."""
        return next((row for row in self.attempts if row.outcome is None), None)


@dataclass(slots=True)
class WorkerRow:
    """A row of `workers`. `connected` is the session lock."""

    name: str
    started_at: int
    lease_until: int
    connected: bool = True
    trouble: str = ""


@dataclass(slots=True)
class ComparisonRow:
    """A row of `chain_comparisons`."""

    identity: str | None = None
    compared_at: int | None = None
    pending: str | None = None
    dead_height: int | None = None
    back_to: int | None = None
    begun_at: int | None = None
    stopped_at: int | None = None


def key_digest(order: NewOrder) -> str | None:
    """As the function in Postgres, for a record with this secret."""
    if order.idempotency_key is None:
        return None
    key, body = (sha256(b"secret" + one).digest() for one in (order.idempotency_key.encode(), order.body_hash))
    return urlsafe_b64encode(key[:9] + body[:3]).decode()


def moment(us: int) -> datetime:
    """A time as callers see it."""
    return EPOCH + timedelta(microseconds=us)


def us_of(at: datetime) -> int:
    """Inverse of `moment`."""
    return (at - EPOCH) // timedelta(microseconds=1)


def pause(row: OrderRow) -> int:
    """How long an order rests after a claim without a normal end, in microseconds; as `dexexec.store.claims.PAUSE`."""
    if row.claims <= SUSPECT_AFTER:
        return 0
    longest = min(30.0, 0.5 * 2.0 ** min(row.claims - 4, 10))
    part = 0.5 + (crc32(f"{row.new.id}{row.claim}".encode()) & 65_535) / 131_072
    return round(longest * part * SECOND)


def read_claimed(row: OrderRow, now: int, group_signatures: tuple[str, ...] = ()) -> Claimed:
    """Read an order as `dexexec.store.claims` does."""
    new, attempt = row.new, row.open_attempt
    order = Order(
        id=new.id,
        side=new.side,
        amount=new.amount,
        amount_base=new.amount_base,
        mode=new.mode,
        input_mint=new.input_mint,
        output_mint=new.output_mint,
        slippage_bps=new.slippage_bps,
        status=row.status,
        version=row.version,
        claim=row.claim,
        claims=row.claims,
        attempts=row.attempt_count,
        rounds=row.rounds,
        deadline_in_ms=(row.deadline_at - now) // MS,
        created_at=moment(row.created_at),
        refusals=row.refusals,
        bound=row.bound,
        bound_open=row.bound_open,
        first_quote=row.first_quote,
        max_price_impact_bps=new.max_price_impact_bps,
        key_digest=key_digest(new),
        type=new.type,
        terms=new.terms,
        tag=new.tag,
        dry_run=new.dry_run,
        parent=new.parent,
        oco_group=new.oco_group,
        triggered=row.triggered,
        rested=row.rests,
        owner=new.owner,
        wallet=new.wallet,
        request_id=new.request_id,
        traceparent=new.traceparent,
        age_ms=(now - row.created_at) / MS,
    )
    signatures = tuple(one.attempt.signed.signature for one in row.attempts)
    detail = row.events[-1].detail
    cause: tuple[str, str] | None = None
    if "reason" in detail:
        cause = str(detail["reason"]), str(detail.get("detail") or detail["reason"])
    return Claimed(
        order=order,
        attempt=None if attempt is None else _open_attempt(attempt, now),
        signatures=signatures,
        group_signatures=group_signatures,
        cause=cause,
    )


def _open_attempt(row: AttemptRow, now: int) -> Attempt:
    known, slot, age_ms = row.attempt, (row.proof or {}).get("slot"), max(0, now - row.created_at) // MS
    return Attempt(
        n=known.n,
        venue=known.venue,
        signed=known.signed,
        quoted=known.quoted,
        landed_slot=slot if isinstance(slot, int) else None,
        age_ms=age_ms,
    )


def shown_attempt(row: OrderRow) -> dict[str, object] | None:
    """The newest attempt as `dexexec.store.cancellations` shows it."""
    if not row.attempts:
        return None
    last = row.attempts[-1]
    return {
        "attempt": last.attempt.n,
        "venue": last.attempt.venue,
        "txHash": last.attempt.signed.signature,
        "outcome": last.outcome or "open",
    }


def read_resting(row: OrderRow, now: int) -> RestingOrder:
    """Read a resting order as `dexexec.store.resting` does."""
    new = row.new
    assert new.terms is not None
    return RestingOrder(
        id=new.id,
        version=row.version,
        created_at=moment(row.created_at),
        side=new.side,
        mode=new.mode,
        input_mint=new.input_mint,
        output_mint=new.output_mint,
        amount_base=new.amount_base,
        slippage_bps=new.slippage_bps,
        type=new.type,
        terms=new.terms,
        triggered=row.triggered,
        bound=row.bound,
        high_water=row.high_water,
        max_price_impact_bps=new.max_price_impact_bps,
        quiet_ms=max(0, (row.quiet_until or 0) - now) / MS,
        wallet=new.wallet,
    )
