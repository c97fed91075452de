"""The same rates on an empty record and on one that holds a million finished orders.

The past is made of copies of orders that were really executed here, events, attempts and swaps included, each with an
id, a signature and times of its own. Their columns are read from the catalogue, so a changed schema changes the copies.
"""

import time
from typing import Any

import psycopg
from psycopg import errors, sql
from psycopg.rows import TupleRow

from dexexec.bench import measure
from dexexec.bench.environment import BenchSandbox, BenchServers
from dexexec.bench.measure import Measured
from dexexec.bench.plan import Plan
from dexexec.bench.processes import BenchError, Service
from dexexec.bench.report import Report

CLIENTS = 64
RATE = 200
TEMPLATES = 50
CHUNK = 20_000
LOAD_SECONDS = 600.0
TABLES = {"orders": "id", "order_events": "order_id", "attempts": "order_id", "simulated_swaps": "signature"}
"""Each with the column that says which order a row is about."""

PREPARE = """
CREATE TEMP TABLE templates AS
SELECT row_number() OVER (ORDER BY id) - 1 AS n, id, created_at, tx_hash FROM orders
WHERE status = 'confirmed' AND finished_at IS NOT NULL AND attempts = 1 LIMIT %s
"""

MADE = """
WITH made AS MATERIALIZED (
    SELECT t.id AS template, t.tx_hash, x.at - t.created_at AS shift, substr(x.h || x.h || x.h, 1, 88) AS signature,
           (lpad(to_hex((extract(epoch FROM x.at) * 1000)::bigint), 12, '0') || '7' || substr(x.h, 1, 3)
            || '8' || substr(x.h, 4, 15))::uuid AS id
    FROM generate_series(%(first)s::int, %(last)s::int) AS i
    CROSS JOIN LATERAL (SELECT md5(i::text) AS h,
                               %(now)s - interval '1 h' - (%(total)s - i) * interval '0.1 s' AS at) x
    JOIN templates t ON t.n = i % (SELECT count(*) FROM templates)
)
""".replace("i %", "i %%")


def run(servers: BenchServers, plan: Plan, report: Report) -> None:
    """Before, the loading, after. Raises `BenchError`."""
    with servers.sandbox() as sandbox:
        service = sandbox.service()
        before = _rates(sandbox, service, plan, report, "before")
        begun = time.monotonic()
        _load(servers, sandbox, plan.history_orders)
        took = time.monotonic() - begun
        after = _rates(sandbox, service, plan, report, "after")
        service.stop()
    report.add("history.orders", "finished orders loaded", plan.history_orders, "orders")
    report.add("history.loading", "loading them", took, "s")
    names = {"before": "empty", "after": f"{plan.history_orders:,} orders"}
    for when, (load, paced) in {"before": before, "after": after}.items():
        words = names[when]
        report.add(f"history.{when}.accepted", f"accepted, {words}", load.accepted, "orders/s")
        limit = "history.before.whole_way" if when == "after" else ""
        report.add(f"history.{when}.whole_way", f"whole way, {words}", load.outcome.rate, "orders/s", limit)
        for name in ("p50", "p99"):
            report.add(f"history.{when}.{name}", f"POST to confirmed at {RATE}/s, {words}, {name}", paced[name], "ms")


def _rates(
    sandbox: BenchSandbox, service: Service, plan: Plan, report: Report, when: str
) -> tuple[Measured, dict[str, Any]]:
    where = f"history, {when}"
    load = measure.closed(sandbox, service, plan, clients=CLIENTS, seconds=plan.window_seconds)
    measure.require_orders(load, where)
    measure.check(report, sandbox, where, load)
    paced = measure.load(
        sandbox, service, plan, "paced", seconds=plan.rate_seconds, rate=RATE, clients=CLIENTS, follow_every=1
    )
    measure.check(report, sandbox, where, paced)
    report.details[f"history.{when}"] = {"closed": load.answer, "paced": paced.answer}
    confirmed: dict[str, Any] = paced.answer["confirmed"]
    return load, confirmed


def _load(servers: BenchServers, sandbox: BenchSandbox, total: int) -> None:
    """Put so many finished orders into the past. Raises `BenchError` when that takes too long."""
    connection, now = sandbox.record.connection, sandbox.record.now()
    deadline = time.monotonic() + LOAD_SECONDS
    connection.execute("SET synchronous_commit = off")
    connection.execute(PREPARE, (TEMPLATES,))
    statement = _statement(connection)
    for first in range(1, total + 1, CHUNK):
        last = min(total, first + CHUNK - 1)
        connection.execute(statement, {"first": first, "last": last, "now": now, "total": total})
        sandbox.processes.check()
        if time.monotonic() > deadline:
            raise BenchError(f"history: {last:,} of {total:,} orders were loaded within {LOAD_SECONDS:g} s")
        if last == total or last % (10 * CHUNK) == 0:
            servers.tell(f"  {last:,} of {total:,} finished orders loaded")
    connection.execute("SET synchronous_commit = on")
    for table in TABLES:  # what autovacuum would do in the middle of the measurement
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))
        sandbox.processes.check()
    try:
        connection.execute("CHECKPOINT")
    except errors.InsufficientPrivilege:
        return


def _statement(connection: psycopg.Connection[TupleRow]) -> sql.Composed:
    """One INSERT per table, all in one statement."""
    inserts = [_insert(connection, table, key) for table, key in TABLES.items()]
    named = [sql.SQL("{} AS ({})").format(sql.Identifier(f"into_{n}"), one) for n, one in enumerate(inserts[:-1])]
    return sql.SQL(MADE) + sql.SQL(", ") + sql.SQL(", ").join(named) + sql.SQL(" ") + inserts[-1]


def _insert(connection: psycopg.Connection[TupleRow], table: str, key: str) -> sql.Composed:
    """Copy the templates' rows of `table`: what names the order is new, times are shifted, the rest stays."""
    columns = connection.execute(
        "SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = %s AND is_generated = 'NEVER' "
        "AND table_schema = current_schema() ORDER BY ordinal_position",
        (table,),
    ).fetchall()
    values: list[sql.Composable] = []
    for name, kind in columns:
        if name == "signature" or (table, name) == ("orders", "tx_hash"):
            values.append(sql.SQL("m.signature"))
        elif name == key:
            values.append(sql.SQL("m.id"))
        elif kind == "timestamptz":
            values.append(sql.SQL("r.{} + m.shift").format(sql.Identifier(name)))
        else:
            values.append(sql.SQL("r.{}").format(sql.Identifier(name)))
    same = sql.SQL("r.signature = m.tx_hash" if key == "signature" else "r.{} = m.template")
    return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM made m JOIN {} r ON {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns),
        sql.SQL(", ").join(values),
        sql.Identifier(table),
        same if key == "signature" else same.format(sql.Identifier(key)),
    )
