"""Resting orders: what they cost while nothing happens, and how fast a price that crosses a thousand triggers them.

One order per pair is posted, and copied in Postgres with other prices. All rest far from the market but those of one
pair, whose limits lie side by side just above its price; then all prices rise.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql
from psycopg.rows import dict_row

from dexexec.bench.process_usage import CpuMeter, pss_and_rss
from dexexec.bench.processes import BenchError, Service
from dexexec.bench.profile import Profile
from dexexec.bench.report import Report
from dexexec.bench.sandbox import BenchSandbox, BenchServers
from dexexec.client import Client, LimitOrder
from dexexec.domain.base58 import encode
from dexexec.domain.token import USDC, WSOL
from dexexec.store.resting import PAGE

PAIRS = 10
MIB = 1024 * 1024
WAIT_SECONDS = 120.0
FAR = 3
"""How many times the market's price the orders are away that nothing reaches."""
RISE = "1.3"
"""By what the prices rise. The limits that are reached lie between the market and this."""
LOWEST_NEAR, HIGHEST_NEAR = 1.10, 1.20
SIZES = 50
"""Different sizes among the orders: each needs a fresh quote of its own."""
CHUNK = 10_000

# Every copy gets an id, a size, a limit and its bound. The other columns are the template's.
COPY = """
INSERT INTO orders (id, created_at, terms, amount, amount_base, min_out, max_in, rested_xid, {columns})
SELECT x.id, clock_timestamp(),
       o.terms || jsonb_build_object('limitPrice', round((p.price * x.times)::numeric, 12)::text),
       o.amount * x.size, o.amount_base * x.size, trunc(o.min_out * x.size * (x.times / %(far)s)::numeric),
       o.max_in * x.size, pg_current_xact_id(), {values}
FROM orders o JOIN bench_prices p ON p.id = o.id,
LATERAL (SELECT gen_random_uuid() AS id, %(low)s + (%(high)s - %(low)s) * random() AS times,
                1 + floor(random() * %(sizes)s)::int AS size
         FROM generate_series(1, %(count)s)) x
WHERE o.id = %(template)s
"""
EVENTS = """
INSERT INTO order_events (order_id, seq, status, at, detail)
SELECT o.id, e.seq, e.status, o.created_at, e.detail
FROM orders o JOIN bench_prices p ON p.input_mint = o.input_mint JOIN order_events e ON e.order_id = p.id
WHERE NOT EXISTS (SELECT FROM order_events mine WHERE mine.order_id = o.id)
"""
OWN_COLUMNS = frozenset({"id", "created_at", "terms", "amount", "amount_base", "min_out", "max_in", "rested_xid"})

TRIGGERED = """
SELECT o.id, (o.terms->>'limitPrice')::numeric AS price, o.created_at, e.at,
       (SELECT min(at) FROM order_events s WHERE s.order_id = o.id AND s.status = 'submitted') AS submitted_at
FROM orders o JOIN order_events e ON e.order_id = o.id AND e.seq = 3 AND e.detail ? 'triggered'
ORDER BY e.at, price, o.created_at, o.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """What a price that crossed `crossed` of `resting` orders took: until the last trigger, until the first signed
    transaction (seconds), the CPU time of the service until the last trigger, and whether the order was right."""

    resting: int
    crossed: int
    seconds: float
    first_trigger: float
    first_sent: float
    cpu: float | None
    in_order: bool


def run(servers: BenchServers, profile: Profile, report: Report) -> None:
    """Measure the full number of orders, and a tenth of it with as many crossed. Raises `BenchError`."""
    many = _measure(servers, profile, report, profile.resting_orders, "full")
    few = _measure(servers, profile, report, max(profile.resting_orders // 10, profile.crossed_orders * 2), "tenth")
    if many.cpu and few.cpu:
        name = f"CPU of the crossing with {many.resting:,} orders, as a multiple of that with {few.resting:,}"
        report.add("resting.growth", name, many.cpu / few.cpu, "x")


def _measure(servers: BenchServers, profile: Profile, report: Report, total: int, key: str) -> Crossing:
    tokens = [encode(bytes([40 + number]) * 32) for number in range(PAIRS - 1)]
    with servers.sandbox() as sandbox:
        path = servers.folder / f"{sandbox.prefix}.price"
        service = sandbox.service(
            DEXEXEC_TOKENS=",".join(f"{mint}:T{number}:6" for number, mint in enumerate(tokens)),
            DEXEXEC_MOCK_PRICE_FILE=str(path),
            DEXEXEC_MOCK_DRIFT_PPM="0",
            DEXEXEC_MOCK_OFFSET_PPM="0",
            DEXEXEC_MAX_QUEUE="100000",
            # A size whose quote is late would be triggered by the next turn, behind higher prices.
            DEXEXEC_QUOTE_TIMEOUT_MS="30000",
        )
        [child] = service.children
        # What a start needs only for a moment is over by then.
        sandbox.processes.sleep(profile.idle_seconds)
        empty = _idle_cpu(sandbox, profile, child.pid)
        before = pss_and_rss(child.pid)
        _load(sandbox, service, [WSOL, *tokens], total, profile.crossed_orders)
        _wait_for_the_oracle(sandbox, service)
        # So many new orders bring a complete reading forward, which takes a page for each of its turns.
        sandbox.processes.sleep(profile.idle_seconds + total / PAGE / 2 * 1.2)
        idle = _idle_cpu(sandbox, profile, child.pid)
        after = pss_and_rss(child.pid)
        crossing = _cross(sandbox, path, child.pid, total, profile.crossed_orders)
        service.stop()
    name = f"{total:,} resting orders"
    if empty is not None and idle is not None:
        report.add(f"resting.{key}.idle_empty", "CPU when idle, no orders", empty, "% of a core")
        report.add(f"resting.{key}.idle", f"CPU when idle, {name}", idle, "% of a core")
    if before and after:
        report.add(f"resting.{key}.rss", f"RSS, {name}", after[1] / MIB, "MiB")
        report.add(f"resting.{key}.per_order", "memory per order", (after[1] - before[1]) / total, "bytes")
    _add_crossing(report, key, crossing)
    return crossing


def _add_crossing(report: Report, key: str, crossing: Crossing) -> None:
    name = f"{crossing.crossed:,} of {crossing.resting:,}"
    rate = crossing.crossed / crossing.seconds if crossing.seconds else None
    report.add(f"resting.{key}.first_trigger", "price change to the first trigger", crossing.first_trigger * 1000, "ms")
    report.add(
        f"resting.{key}.first_sent", "price change to the first recorded transaction", crossing.first_sent * 1000, "ms"
    )
    report.add(f"resting.{key}.seconds", f"price change to the last trigger, {name}", crossing.seconds, "s")
    report.add(f"resting.{key}.rate", f"triggers, {name}", rate, "orders/s")
    report.add(f"resting.{key}.cpu", f"CPU until the last trigger, {name}", crossing.cpu, "s")
    if not crossing.in_order:
        report.faults.append(f"resting, {name}: not triggered in the order of price and time")


def _idle_cpu(sandbox: BenchSandbox, profile: Profile, pid: int) -> float | None:
    meter = CpuMeter({"service": [pid]})
    begun = time.monotonic()
    sandbox.processes.sleep(2 * profile.idle_seconds)
    used = meter.read().get("service")
    return None if used is None else used / (time.monotonic() - begun) * 100


def _place(service: Service, order: LimitOrder) -> str:
    """Place an order; its id."""
    with Client(service.url) as client:
        return client.place(order).order_id


def _price(service: Service, mint: str) -> float:
    """The price of a small swap now."""
    with Client(service.url) as client:
        [quote] = client.quote("0.1", input_mint=mint, output_mint=USDC)
    return float(next(venue.price for venue in quote.venues if venue.venue == quote.best and venue.price))


def _load(sandbox: BenchSandbox, service: Service, mints: list[str], total: int, near: int) -> None:
    """Let `total` orders rest, `near` of them just above the market of the first pair."""
    connection = sandbox.database.connection
    connection.execute("CREATE TABLE bench_prices (id uuid, input_mint text, price float8)")
    columns = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'orders'"
        " AND is_generated = 'NEVER' AND table_schema = current_schema()"
    ).fetchall()
    copied = [name for (name,) in columns if name not in OWN_COLUMNS]
    statement = sql.SQL(COPY).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, copied)),
        values=sql.SQL(", ").join(sql.Identifier("o", name) for name in copied),
    )
    for number, mint in enumerate(mints):
        price = _price(service, mint)
        far = f"{price * FAR:.9f}"
        order = LimitOrder(
            "buy", "0.1", limit_price=far, input_mint=mint, output_mint=USDC, max_price_impact_bps=10_000
        )
        template = _place(service, order)
        connection.execute("INSERT INTO bench_prices VALUES (%s, %s, %s)", (template, mint, price))
        rest = total // len(mints) - (near if number == 0 else 0)
        parts = [(near, LOWEST_NEAR, HIGHEST_NEAR)] if number == 0 else []
        parts += [(min(CHUNK, rest - done), FAR, 2 * FAR) for done in range(0, rest, CHUNK)]
        for count, low, high in parts:
            values = {"template": template, "count": count, "low": low, "high": high, "sizes": SIZES, "far": FAR}
            connection.execute(statement, values)
            sandbox.processes.raise_if_stopped()
        connection.execute(EVENTS)
    # Autovacuum would do this in the middle of the measurement.
    for table in ("orders", "order_events"):
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))


def _wait_for_the_oracle(sandbox: BenchSandbox, service: Service) -> None:
    """Wait until it has read all orders: it triggers one that was posted after them."""
    order_id = _place(service, LimitOrder("buy", "0.1", limit_price="1"))
    connection = sandbox.database.connection

    def is_triggered() -> bool:
        events = connection.execute(
            "SELECT FROM order_events WHERE order_id = %s AND detail ? 'triggered'", (order_id,)
        )
        return events.fetchone() is not None

    sandbox.processes.wait(is_triggered, WAIT_SECONDS, "the oracle")
    # It would count among the orders that are triggered later.
    connection.execute("DELETE FROM order_events WHERE order_id = %s AND detail ? 'triggered'", (order_id,))


def _cross(sandbox: BenchSandbox, path: Path, pid: int, total: int, near: int) -> Crossing:
    connection = sandbox.database.connection
    meter = CpuMeter({"service": [pid]})
    changed_at = sandbox.database.now()
    # Replaced and not rewritten: the service must never read half a number.
    other = path.with_suffix(".new")
    other.write_text(RISE)
    other.replace(path)

    def count() -> int:
        row = connection.execute("SELECT count(*) FROM order_events WHERE seq = 3 AND detail ? 'triggered'").fetchone()
        return int(row[0]) if row else 0

    sandbox.processes.wait(lambda: count() >= near, WAIT_SECONDS, f"{near:,} triggers")
    used = meter.read().get("service")
    with connection.cursor(row_factory=dict_row) as cursor:

        def all_sent() -> bool:
            return all(row["submitted_at"] for row in cursor.execute(TRIGGERED).fetchall())

        sandbox.processes.wait(all_sent, WAIT_SECONDS, "the transactions of all triggered orders")
        rows = cursor.execute(TRIGGERED).fetchall()
    if len(rows) != near:
        raise BenchError(f"{len(rows):,} orders were triggered instead of {near:,}")
    # Those of one commit have one time, and are sorted by price here: no commit may come before one of lower prices.
    prices = [row["price"] for row in rows]
    return Crossing(
        resting=total,
        crossed=near,
        seconds=(rows[-1]["at"] - changed_at).total_seconds(),
        first_trigger=(rows[0]["at"] - changed_at).total_seconds(),
        first_sent=(min(row["submitted_at"] for row in rows) - changed_at).total_seconds(),
        cpu=used,
        in_order=prices == sorted(prices),
    )
