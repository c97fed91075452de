"""The demo's orders, the checks on their events, and the summary of a run, as pure functions.

An order has a fault when it did not end, or when its socket did not receive exactly the events of the stored order:
`seq` 1, 2, 3 ... up to the final event, each once, in order and with the same content. An order that ended as `failed`
is not a fault. The demo exits with 0 only without faults.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice

from dexexec.client.errors import one_line
from dexexec.domain.status import Status, ends

Message = Mapping[str, object]
FILLED = frozenset({Status.CONFIRMED, Status.SIMULATED})

SIZES = (
    ("buy", "0.01"), ("sell", "25"), ("buy", "2.5"), ("sell", "1000"),
    ("buy", "400"), ("sell", "60000"), ("buy", "0.5"), ("sell", "250"),
)  # fmt: skip
"""Sides and amounts of the default pair. The mocks' fees favour one venue for small orders, and their depth the other
for large ones."""


@dataclass(slots=True, eq=False, kw_only=True)
class DemoOrder:
    """One order of the demo. Times are seconds of one monotonic clock; `key` is its Idempotency-Key."""

    side: str
    amount: str
    key: str
    fields: Message = field(default_factory=dict)
    """Further fields of its body."""
    order_id: str = ""
    events: list[Message] = field(default_factory=list)
    """In the order in which they arrived, including duplicates."""
    posted_at: float | None = None
    confirmed_at: float | None = None
    """When its first `confirmed` event came, final or not."""
    ended_at: float | None = None
    note: str = ""
    """What delays it at the moment, for people."""
    given_up: str = ""
    """Why it could not be posted or followed."""
    sockets: int = 0
    record: Message | None = None
    """The answer of `GET /api/orders/{id}` at the end."""

    @property
    def short_id(self) -> str:
        """The end of the id, which is random. Its beginning is the time, and equal for orders of the same moment."""
        return self.order_id[-8:]

    @property
    def seqs(self) -> list[int]:
        """The `seq` of every event, in the order of arrival."""
        # The events come from outside, so a `seq` may have any type.
        return [seq for event in self.events if isinstance(seq := event.get("seq"), int)]

    @property
    def last_seq(self) -> int:
        """The highest `seq` received, after which a new socket resumes."""
        return max(self.seqs, default=0)

    @property
    def status(self) -> str:
        """The status of the last event, or before the first event the progress of the POST."""
        if self.events:
            return str(self.events[-1].get("status"))
        if self.given_up:
            return "given up"
        return "accepted" if self.order_id else "posting" if self.posted_at is not None else "planned"

    @property
    def ended(self) -> bool:
        """Whether its final event has arrived."""
        return self.ended_at is not None

    @property
    def undoable(self) -> bool:
        """Whether it was confirmed before it was final. Only real transactions are."""
        return any(event.get("status") == Status.CONFIRMED and event.get("final") is False for event in self.events)

    def add_event(self, event: Message, at: float) -> bool:
        """Store an event that arrived at time `at`. Returns False for anything but an event of this order."""
        seq = event.get("seq")
        status = event.get("status")
        # An exact type: True would pass as the number 1.
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
        """The latest value of an event field, as text."""
        values = (event[name] for event in reversed(self.events) if event.get(name) is not None)
        return one_line(str(next(values, "")))

    def failure(self) -> str:
        """The reason and detail of the last event, if it has them."""
        last = self.events[-1] if self.events else {}
        texts = [str(last[name]) for name in ("reason", "detail") if last.get(name)]
        return one_line(": ".join(texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The result of a run. `faults` maps each fault to its orders; `signature` is one of a real transaction, if any."""

    orders: int
    statuses: Mapping[str, int]
    reasons: Mapping[str, int]
    venues: Mapping[str, int]
    """Of the orders that were filled. A recurring order has none: each of its slices has one."""
    seconds: Sequence[float]
    """From POST to the final event, for orders that ended."""
    confirmed_seconds: Sequence[float]
    """From POST to the first `confirmed`. Empty if that was the final event of all orders."""
    events: int
    sockets: int
    reconnects: int
    faults: Mapping[str, Sequence[str]]
    signature: str = ""

    @property
    def exit_code(self) -> int:
        """0 only if there is no fault."""
        return 1 if self.faults else 0


def plan(count: int, keys: Iterable[str]) -> list[DemoOrder]:
    """`count` orders with alternating sides and different sizes."""
    return [
        DemoOrder(side=side, amount=amount, key=key)
        for (side, amount), key in islice(zip(cycle(SIZES), keys, strict=False), count)
    ]


def sequence_faults(seqs: Sequence[int], last: int) -> list[str]:
    """The faults in `seqs`, which should be 1, 2, 3 ... up to `last`."""
    faults = []
    seen = set()
    highest = 0
    for seq in seqs:
        if seq in seen:
            faults.append(f"event {seq} came twice")
        elif seq < highest:
            faults.append(f"event {seq} came after event {highest}")
        seen.add(seq)
        highest = max(highest, seq)
    # Beyond `last` too, if an event with a higher `seq` came.
    missing = sorted(set(range(1, max(last, highest) + 1)) - seen)
    if missing:
        faults.append(f"{_events(missing)} missing")
    return faults


def order_faults(order: DemoOrder) -> list[str]:
    """All faults of an order after the run."""
    if not order.order_id:
        return [order.given_up or f"could not be posted in time{order.note and f': {order.note}'}"]
    stored = _by_seq(order.record.get("events")) if order.record else {}
    received = _by_seq(order.events)
    faults = [order.given_up] if order.given_up else []
    # Without a final event the socket was given up at some point. Later events of the record are not its fault.
    faults += sequence_faults(order.seqs, max(stored, default=0) if order.ended else 0)
    if not order.ended:
        faults.append(f"has not ended: the last status on its socket was {order.status}")
    elif order.events[-1].get("final") is not True:
        faults.append("an event came after the final one")
    elif not ends(Status(order.status), finalized=True):
        faults.append(f"its final event has the status {order.status}, which is not final")
    if order.record is None:
        return [*faults, "its record could not be read"]
    if unknown := sorted(received.keys() - stored.keys()):
        faults.append(f"{_events(unknown)} not in its record")
    both = sorted(received.keys() & stored.keys())
    faults += [f"event {seq} differs from its record" for seq in both if received[seq] != stored[seq]]
    if order.ended and order.record.get("status") != order.status:
        faults.append(f"its record has the status {order.record.get('status')}, its socket received {order.status}")
    return faults


def summarize(orders: Sequence[DemoOrder]) -> Summary:
    """The summary of a finished run."""
    ended = [order for order in orders if order.ended]
    unfilled = [order for order in ended if order.status not in FILLED]
    faults: dict[str, list[str]] = {}
    for order in orders:
        for fault in order_faults(order):
            faults.setdefault(fault, []).append(order.short_id or f"{order.side} {order.amount}")
    return Summary(
        orders=len(orders),
        statuses=Counter(order.status for order in orders),
        reasons=Counter(str(order.events[-1].get("reason") or "no reason") for order in unfilled),
        venues=Counter(venue for order in ended if order.status in FILLED and (venue := order.latest("venue"))),
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


def _events(seqs: Sequence[int]) -> str:
    listed = ", ".join(map(str, seqs[:10])) + (" ..." if len(seqs) > 10 else "")
    return f"event {listed} is" if len(seqs) == 1 else f"events {listed} are"


def _by_seq(events: object) -> dict[int, object]:
    """The valid events in `events`, by `seq`."""
    candidates = events if isinstance(events, list) else []
    return {event["seq"]: event for event in candidates if isinstance(event, dict) and type(event.get("seq")) is int}
