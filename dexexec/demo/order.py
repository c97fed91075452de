"""What the demo knows of its orders, and what it makes of that: plain values and pure functions.

An order is at fault when it did not end, or when what its socket heard is not exactly what the service's record holds:
`seq` 1, 2, 3 ... up to the final event, each once, in order, with the same content. Without a fault the demo exits
with 0. An order that ended as failed is no fault: that is an answer too.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice

from dexexec.domain.status import Status, ends

Message = Mapping[str, object]

SIZES = (
    ("buy", "0.01"), ("sell", "25"), ("buy", "2.5"), ("sell", "1000"),
    ("buy", "400"), ("sell", "60000"), ("buy", "0.5"), ("sell", "250"),
)  # fmt: skip
"""Small and large ones, of the default pair: the mocks' fees favour one venue for the first, depth the other for the
last."""


@dataclass(slots=True, eq=False)
class DemoOrder:
    """One order of the demo. Times are seconds on one monotonic clock; `key` is its Idempotency-Key."""

    side: str
    amount: str
    key: str
    order_id: str = ""
    events: list[Message] = field(default_factory=list)
    """As they came, whatever their `seq`."""
    posted_at: float | None = None
    confirmed_at: float | None = None
    """When it was first told to be on chain, final or not."""
    ended_at: float | None = None
    note: str = ""
    """What is in the way just now, for people."""
    given_up: str = ""
    """Why it could not be posted or followed."""
    sockets: int = 0
    record: Message | None = None
    """What `GET /api/orders/{id}` answered at the end."""

    @property
    def short_id(self) -> str:
        """The random end of the id: its beginning is the time, alike for all orders of a moment."""
        return self.order_id[-8:]

    @property
    def seqs(self) -> list[int]:
        """The `seq` of every event, in the order in which they came."""
        return [seq for event in self.events if isinstance(seq := event.get("seq"), int)]

    @property
    def last_seq(self) -> int:
        """Where a new socket resumes."""
        return max(self.seqs, default=0)

    @property
    def status(self) -> str:
        """The last one heard of; before that, how far posting it came."""
        if self.events:
            return str(self.events[-1].get("status"))
        if self.given_up:
            return "given up"
        return "accepted" if self.order_id else "posting" if self.posted_at is not None else "planned"

    @property
    def ended(self) -> bool:
        """Whether its final event came."""
        return self.ended_at is not None

    @property
    def undoable(self) -> bool:
        """Whether it was ever confirmed without being final: only real transactions are."""
        return any(event.get("status") == Status.CONFIRMED and event.get("final") is False for event in self.events)

    def take(self, event: Message, at: float) -> bool:
        """Note an event that came at time `at`. False when it is no event of this order, which is then noted too."""
        seq, status = event.get("seq"), event.get("status")
        if event.get("orderId") != self.order_id or type(seq) is not int or status not in list(Status):
            return False
        self.events.append(event)
        self.note = ""
        if status == Status.CONFIRMED and self.confirmed_at is None:
            self.confirmed_at = at
        if event.get("final") is True and self.ended_at is None:
            self.ended_at = at
        return True

    def elapsed(self, now: float) -> float | None:
        """Seconds from its POST to its end, or to `now`."""
        if self.posted_at is None:
            return None
        return (now if self.ended_at is None else self.ended_at) - self.posted_at

    def latest(self, name: str) -> str:
        """The newest value that an event has for a field, as text."""
        found = (event[name] for event in reversed(self.events) if event.get(name) is not None)
        return one_line(str(next(found, "")))

    def trouble(self) -> str:
        """The reason that the last event gives, if it is one that gives any."""
        last = self.events[-1] if self.events else {}
        told = [str(last[name]) for name in ("reason", "detail") if last.get(name)]
        return one_line(": ".join(told))


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run went. `faults` says which orders each fault befell, `signature` is that of a real transaction."""

    orders: int
    statuses: Mapping[str, int]
    reasons: Mapping[str, int]
    venues: Mapping[str, int]
    seconds: Sequence[float]
    """From POST to the final event, of those that ended."""
    confirmed_seconds: Sequence[float]
    """From POST to the first `confirmed`; empty unless that was not the end for any of them."""
    events: int
    sockets: int
    reconnects: int
    faults: Mapping[str, Sequence[str]]
    signature: str = ""

    @property
    def exit_code(self) -> int:
        """0 only if every order ended and no event was missing."""
        return 1 if self.faults else 0


def plan(count: int, keys: Iterable[str]) -> list[DemoOrder]:
    """That many orders, of alternating sides and sizes."""
    return [
        DemoOrder(side=side, amount=amount, key=key)
        for (side, amount), key in islice(zip(cycle(SIZES), keys, strict=False), count)
    ]


def sequence_faults(seqs: Sequence[int], last: int) -> list[str]:
    """What is wrong with `seqs`, which should be 1, 2, 3 ... up to `last`."""
    faults, seen, highest = [], set(), 0
    for seq in seqs:
        if seq in seen:
            faults.append(f"event {seq} came twice")
        elif seq < highest:
            faults.append(f"event {seq} came after event {highest}")
        seen.add(seq)
        highest = max(highest, seq)
    missing = sorted(set(range(1, max(last, highest) + 1)) - seen)
    if missing:
        faults.append(f"{_events(missing)} missing")
    return faults


def order_faults(order: DemoOrder) -> list[str]:
    """Everything that is wrong with an order when the run is over; empty when nothing is.

    What an order that has not ended did after its socket was given up is not held against the socket.
    """
    if not order.order_id:
        return [order.given_up or f"could not be posted in time{order.note and f': {order.note}'}"]
    stored = _by_seq(order.record.get("events")) if order.record else {}
    heard = _by_seq(order.events)
    faults = [order.given_up] if order.given_up else []
    faults += sequence_faults(order.seqs, max(stored, default=0) if order.ended else 0)
    if not order.ended:
        faults.append(f"has not ended: {order.status} was the last that its socket heard")
    elif order.events[-1].get("final") is not True:
        faults.append("an event came after the final one")
    elif not ends(Status(order.status), finalized=True):
        faults.append(f"its final event says {order.status}, which is no end")
    if order.record is None:
        return [*faults, "its record could not be read"]
    if unknown := sorted(heard.keys() - stored.keys()):
        faults.append(f"{_events(unknown)} not in its record")
    both = sorted(heard.keys() & stored.keys())
    faults += [f"event {seq} differs from its record" for seq in both if heard[seq] != stored[seq]]
    if order.ended and order.record.get("status") != order.status:
        faults.append(f"its record says {order.record.get('status')}, its socket heard {order.status}")
    return faults


def summarize(orders: Sequence[DemoOrder]) -> Summary:
    """Add up a run that is over."""
    ended = [order for order in orders if order.ended]
    unfilled = [order for order in ended if order.status != Status.CONFIRMED]
    faults: dict[str, list[str]] = {}
    for order in orders:
        for fault in order_faults(order):
            faults.setdefault(fault, []).append(order.short_id or f"{order.side} {order.amount}")
    return Summary(
        orders=len(orders),
        statuses=Counter(order.status for order in orders),
        reasons=Counter(str(order.events[-1].get("reason") or "no reason") for order in unfilled),
        venues=Counter(order.latest("venue") for order in ended if order.status == Status.CONFIRMED),
        seconds=sorted(seconds for order in ended if (seconds := order.elapsed(0)) is not None),
        confirmed_seconds=sorted(_until_confirmed(orders)) if any(order.undoable for order in orders) else (),
        events=sum(len(order.events) for order in orders),
        sockets=sum(order.sockets > 0 for order in orders),
        reconnects=sum(max(0, order.sockets - 1) for order in orders),
        faults=faults,
        signature=next((order.latest("txHash") for order in ended if order.undoable and order not in unfilled), ""),
    )


def _until_confirmed(orders: Iterable[DemoOrder]) -> Iterator[float]:
    for order in orders:
        if order.confirmed_at is not None and order.posted_at is not None:
            yield order.confirmed_at - order.posted_at


def one_line(text: str) -> str:
    """Without line breaks or control characters: it comes from elsewhere and goes to a terminal."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _events(seqs: Sequence[int]) -> str:
    listed = ", ".join(map(str, seqs[:10])) + (" ..." if len(seqs) > 10 else "")
    return f"event {listed} is" if len(seqs) == 1 else f"events {listed} are"


def _by_seq(events: object) -> dict[int, object]:
    """Events by `seq`, as far as there are any."""
    found = events if isinstance(events, list) else []
    return {event["seq"]: event for event in found if isinstance(event, dict) and type(event.get("seq")) is int}
