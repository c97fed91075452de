"""Reads Postgres, and the simulated chain in it, and checks that the promises were kept."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

import psycopg
from psycopg.rows import dict_row

from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.status import TERMINAL, TRANSITIONS, Status
from dexexec.domain.swap import Landed
from dexexec.store import Address
from tests.support.service.client import Event
from tests.support.service.process import Process

ORDERS = """
SELECT o.*, (SELECT quote FROM attempts a WHERE a.order_id = o.id AND a.outcome = 'landed' LIMIT 1) AS landed_quote
FROM (SELECT (jsonb_populate_record(NULL::orders, to_jsonb(orders) - 'due_at')).* FROM orders) o
"""
"""Without `due_at`: Python has no time for an order that is never due."""
EVENTS = "SELECT order_id, seq, status FROM order_events ORDER BY order_id, seq"
ATTEMPTS = """
SELECT order_id, n, outcome, payload, sent_height, lands_at_ms, s.last_valid_height
FROM attempts LEFT JOIN (SELECT signature, sent_height, lands_at_ms, last_valid_height FROM simulated_swaps
                         WHERE NOT lost) s USING (signature)
ORDER BY order_id, n
"""
UNFINISHED = """
SELECT count(*) AS n FROM orders
WHERE finished_at IS NULL OR (followed_up_at IS NULL AND coalesce(terms ? 'bracket', false))
"""
STRANGERS = "SELECT count(*) FROM simulated_swaps WHERE signature NOT IN (SELECT signature FROM attempts)"
HELD = """
SELECT o.id, o.claim, o.status FROM orders o JOIN workers w ON w.id = o.worker
WHERE o.finished_at IS NULL AND w.name LIKE '%%-' || %s || '-%%'
"""
SLOT_MS = 400

Chain = Callable[[Address], Mapping[str, Sequence[Landed]]]
"""The oracle: what landed, by order, read from the chain that the swaps settle on."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the orders, once all promises were found kept."""

    statuses: Counter[str]
    claims: int
    """Claims beyond the first of each order's: how often an order was taken up again."""
    swaps: int


def rows(
    address: Address, statement: str, values: Sequence[object] | Mapping[str, object] = ()
) -> list[dict[str, object]]:
    """Query Postgres."""
    with psycopg.connect(address.conninfo(), autocommit=True, row_factory=dict_row) as connection:
        return list(connection.execute(statement.encode(), values))


def unfinished(address: Address) -> int:
    """How many orders have no terminal status, or may still arm exits."""
    return int(str(rows(address, UNFINISHED)[0]["n"]))


def held(address: Address, worker: Process) -> dict[str, tuple[int, str]]:
    """The live orders in a worker's hands: their claim and status."""
    return {
        str(row["id"]): (int(str(row["claim"])), str(row["status"])) for row in rows(address, HELD, [str(worker.pid)])
    }


def on_the_simulated_chain(address: Address) -> dict[str, list[Landed]]:
    """Order -> its swaps that the chain shows. Fails when the chain shows one that no attempt records, or when record
    and chain differ."""
    landed: dict[str, list[Landed]] = {}
    for row in rows(address, ATTEMPTS):
        swap = _swap_of(row)
        assert (swap is not None) == (row["outcome"] == "landed"), row
        if swap is not None:
            landed.setdefault(str(row["order_id"]), []).append(swap)
    assert rows(address, STRANGERS)[0]["count"] == 0, "a swap was sent that no attempt records"
    return landed


def check_promises(address: Address, expected: Sequence[str], chain: Chain = on_the_simulated_chain) -> Verdict:
    """Fail unless exactly the orders `expected` exist, each has one terminal status (promise 2), a `seq` without
    gap and a way along the table (7), and landed exactly one swap if confirmed and none if not (3). `chain` is the
    oracle of what landed."""
    orders = {str(row["id"]): row for row in rows(address, ORDERS)}
    posted = {order_id for order_id, order in orders.items() if str(order["parent"]) not in orders}
    assert posted - set(expected) == set(), "orders that nobody posted"
    assert set(expected) - set(orders) == set(), "orders that were lost"
    events: dict[str, list[dict[str, object]]] = {}
    for row in rows(address, EVENTS):
        events.setdefault(str(row["order_id"]), []).append(row)
    landed = chain(address)
    for order_id, order in orders.items():
        _check_order(order, events[order_id], landed.get(order_id, []))
        if order["type"] == "recurring":
            _check_slices(order, [child for child in orders.values() if str(child["parent"]) == order_id])
    _check_groups(orders.values())
    costs = rows(address, "SELECT count(*) AS n FROM attempt_costs WHERE landed")[0]["n"]
    assert costs == sum(map(len, landed.values())), "each swap has its costs once"
    return Verdict(
        Counter(str(order["status"]) for order in orders.values()),
        sum(int(str(order["claim"])) - 1 for order in orders.values()),
        sum(map(len, landed.values())),
    )


def agree(seen: Mapping[str, Sequence[Event]], address: Address) -> None:
    """Fail unless sockets saw exactly the events that Postgres has."""
    stored: dict[str, list[tuple[object, object]]] = {}
    for row in rows(address, EVENTS):
        stored.setdefault(str(row["order_id"]), []).append((row["seq"], row["status"]))
    for order_id, events in seen.items():
        steps = [(event["seq"], event["status"]) for event in events]
        assert steps == stored[order_id], f"{order_id}: {steps} were seen, and {stored[order_id]} are stored"


def picture(address: Address) -> dict[str, str]:
    """Every order with its events and attempts as text, to compare before and after. Without the number of turns that
    count against it: a worker that lost its session takes its own turns back, even if another worker has the order.
    Without the marks of the leader, which may follow an order up after its last event."""
    statement = """
    SELECT o.id, to_jsonb(o) - '{claims,joined_at,followed_up_at}'::text[] AS o,
           (SELECT jsonb_agg(to_jsonb(e) ORDER BY seq) FROM order_events e WHERE order_id = o.id) AS e,
           (SELECT jsonb_agg(to_jsonb(a) ORDER BY n) FROM attempts a WHERE order_id = o.id) AS a
    FROM orders o
    """
    return {str(row["id"]): json.dumps([row["o"], row["e"], row["a"]]) for row in rows(address, statement)}


def _check_order(order: dict[str, object], events: list[dict[str, object]], landed: Sequence[Landed]) -> None:
    statuses = [Status(str(event["status"])) for event in events]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert order["version"] == len(events)
    assert statuses[0] is Status.PENDING
    for before, after in pairwise(statuses):
        assert after in TRANSITIONS[before].values(), f"{before} -> {after}"
    assert order["status"] == statuses[-1]
    assert statuses[-1] in {*TERMINAL, Status.CONFIRMED}
    assert order["finished_at"] is not None
    assert (order["finalized_at"] is not None) == (statuses[-1] is Status.CONFIRMED)
    swaps = statuses[-1] is Status.CONFIRMED and order["type"] != "recurring"
    assert len(landed) == (1 if swaps else 0), (order, landed)
    for swap in landed:
        spent, received = order["input_mint"], order["output_mint"]
        if order["side"] == "sell":
            spent, received = received, spent
        assert (order["amount_in"], order["amount_out"]) == (-swap.moved[str(spent)], swap.moved[str(received)])
        assert order["tx_hash"]
    if order["dry_run"]:
        assert order["attempts"] == 0, "promise 19: signed in a dry run"
        assert statuses[-1] is not Status.CONFIRMED
    if statuses[-1] is Status.SIMULATED:
        assert order["dry_run"]
        assert order["amount_out"] is not None
        assert order["tx_hash"] is None
    elif statuses[-1] in {Status.FAILED, Status.EXPIRED}:
        assert order["failure_reason"]
    assert not order["resting"]
    if swaps:
        _check_bound(order)


def _check_bound(order: dict[str, object]) -> None:
    """Promise 13: the fill is within the bound that its own attempt was signed with, and at the limit price or better.
    The row may have the bound of a later round, if an attempt landed after all. An attempt that came back from the
    chain has no quote."""
    amount_in, amount_out = (Decimal(str(order[name])) for name in ("amount_in", "amount_out"))
    quote = order["landed_quote"]
    if isinstance(quote, dict) and quote:
        assert amount_in <= Decimal(quote["maxIn"]), order
        assert amount_out >= Decimal(quote["minOut"]), order
    terms = order["terms"]
    if isinstance(terms, dict) and terms.get("limitPrice"):
        # Both tests' tokens: 9 decimals of SOL, 6 of USDC.
        limit = Decimal(terms["limitPrice"]).scaleb(-3)
        if order["side"] == "buy":
            assert amount_out >= amount_in * limit, order
        else:
            assert amount_in <= amount_out * limit, order


def _check_slices(order: dict[str, Any], children: Sequence[dict[str, Any]]) -> None:
    """Fail unless each slice was made at most once, none for too much, and the order has the sums of their fills."""
    numbers = [child["terms"]["slice"]["number"] for child in children]
    assert len(numbers) == len(set(numbers)), f"a slice was made twice: {sorted(numbers)}"
    assert sum(child["amount_base"] for child in children) <= order["amount_base"]
    filled = [child for child in children if child["status"] == "confirmed"]
    assert order["progress"]["endedSlices"] == order["progress"]["madeSlices"] == len(children)
    assert order["progress"]["filledSlices"] == len(filled)
    for name in ("amount_in", "amount_out"):
        assert (order[name] or 0) == sum(child[name] for child in filled)


def _check_groups(orders: Iterable[dict[str, object]]) -> None:
    """Promise 22: of each group at most one order was filled, and then no other one is left."""
    groups: dict[object, list[str]] = {}
    for order in orders:
        if order["oco_group"] is not None:
            groups.setdefault((order["oco_group"], order["dry_run"]), []).append(str(order["status"]))
    for group, statuses in groups.items():
        assert sum(status in ("confirmed", "simulated") for status in statuses) <= 1, f"promise 22: {group}: {statuses}"


def _swap_of(attempt: dict[str, object]) -> Landed | None:
    """What the chain shows for an attempt, if it moved something."""
    if attempt["lands_at_ms"] is None:
        return None
    slot = int(str(attempt["lands_at_ms"])) // SLOT_MS
    if slot > int(str(attempt["last_valid_height"])):
        return None
    payload = attempt["payload"]
    assert isinstance(payload, bytes)
    swap = SimulatedSwap.decode(payload).execute(slot)
    return swap if isinstance(swap, Landed) else None
