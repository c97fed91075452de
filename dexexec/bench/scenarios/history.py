"""The same rates with an empty database and with a million finished orders in it.

The history consists of copies of orders that were executed here, with their events, attempts and swaps. Each copy has
its own id, signature and times. The columns are read from the catalogue, so the copies follow the schema.
"""

import time
from typing import Any

import psycopg
from psycopg import errors, sql
from psycopg.rows import dict_row

from dexexec.bench import load_run
from dexexec.bench.load_run import LoadResult
from dexexec.bench.processes import BenchError, Service
from dexexec.bench.profile import Profile
from dexexec.bench.report import Report
from dexexec.bench.sandbox import BenchSandbox, BenchServers

CLIENTS = 64
RATE = 200
TEMPLATES = 50
CHUNK = 20_000
"""Orders per statement: large enough to be fast, and small enough to react to Ctrl-C."""
LOAD_SECONDS = 600.0
TABLES = {"orders": "id", "order_events": "order_id", "attempts": "order_id", "simulated_swaps": "signature"}
"""Table -> the column that identifies the order of a row."""

PREPARE = """
CREATE TEMP TABLE templates AS
SELECT row_number() OVER (ORDER BY id) - 1 AS n, id, created_at, tx_hash FROM orders
WHERE status = 'confirmed' AND finished_at IS NOT NULL AND attempts = 1 LIMIT %s
"""

# The ids are valid UUIDv7 of the copy's time, so that their order in the index is that of real orders. The hash is
# repeated to the 88 characters of a signature.
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


def run(servers: BenchServers, profile: Profile, report: Report) -> None:
    """Measure, load the history, measure again. Raises `BenchError`."""
    with servers.sandbox() as sandbox:
        service = sandbox.service()
        before = _measure(sandbox, service, profile, report, "before")
        begun = time.monotonic()
        _load_history(servers, sandbox, profile.history_orders)
        took = time.monotonic() - begun
        after = _measure(sandbox, service, profile, report, "after")
        service.stop()
    report.add("history.orders", "finished orders loaded", profile.history_orders, "orders")
    report.add("history.loading", "time to load them", took, "s")
    names = {"before": "empty database", "after": f"{profile.history_orders:,} orders"}
    for when, (load, latencies) in {"before": before, "after": after}.items():
        where = names[when]
        report.add(f"history.{when}.accepted", f"accepted, {where}", load.accepted, "orders/s")
        limit = "history.before.whole_way" if when == "after" else ""
        report.add(f"history.{when}.whole_way", f"end to end, {where}", load.counts.rate, "orders/s", limit)
        for name in ("p50", "p99"):
            label = f"POST to confirmed at {RATE}/s, {where}, {name}"
            report.add(f"history.{when}.{name}", label, latencies[name], "ms")


def _measure(
    sandbox: BenchSandbox, service: Service, profile: Profile, report: Report, when: str
) -> tuple[LoadResult, dict[str, Any]]:
    where = f"history, {when}"
    load = load_run.run_closed_loop(sandbox, service, profile, clients=CLIENTS, seconds=profile.window_seconds)
    load_run.require_orders(load, where)
    load_run.compare_with_database(report, sandbox, where, load)
    latency_run = load_run.run_load(
        sandbox, service, profile, "open_loop", seconds=profile.rate_seconds, rate=RATE, clients=CLIENTS, follow_every=1
    )
    load_run.compare_with_database(report, sandbox, where, latency_run)
    report.details[f"history.{when}"] = {"closed": load.answer, "paced": latency_run.answer}
    confirmed: dict[str, Any] = latency_run.answer["confirmed"]
    return load, confirmed


def _load_history(servers: BenchServers, sandbox: BenchSandbox, total: int) -> None:
    """Insert `total` finished orders with times in the past. Raises `BenchError` when that takes too long."""
    connection = sandbox.database.connection
    now = sandbox.database.now()
    deadline = time.monotonic() + LOAD_SECONDS
    # These rows may be lost in a crash: the database is deleted anyway.
    connection.execute("SET synchronous_commit = off")
    connection.execute(PREPARE, (TEMPLATES,))
    statement = _statement(connection)
    for first in range(1, total + 1, CHUNK):
        last = min(total, first + CHUNK - 1)
        connection.execute(statement, {"first": first, "last": last, "now": now, "total": total})
        sandbox.processes.raise_if_stopped()
        if time.monotonic() > deadline:
            raise BenchError(f"history: {last:,} of {total:,} orders were loaded within {LOAD_SECONDS:g} s")
        if last == total or last % (10 * CHUNK) == 0:
            servers.say(f"  {last:,} of {total:,} finished orders loaded")
    connection.execute("SET synchronous_commit = on")
    # Autovacuum would do this in the middle of the measurement.
    for table in TABLES:
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))
        sandbox.processes.raise_if_stopped()
    try:
        # Otherwise the checkpoint for these rows would run during the measurement.
        connection.execute("CHECKPOINT")
    except errors.InsufficientPrivilege:
        return


def _statement(connection: psycopg.Connection[Any]) -> sql.Composed:
    """One INSERT per table, all in one statement, so that they share the generated ids."""
    inserts = [_insert(connection, table, key) for table, key in TABLES.items()]
    named = [sql.SQL("{} AS ({})").format(sql.Identifier(f"into_{n}"), insert) for n, insert in enumerate(inserts[:-1])]
    return sql.SQL(MADE) + sql.SQL(", ") + sql.SQL(", ").join(named) + sql.SQL(" ") + inserts[-1]


def _insert(connection: psycopg.Connection[Any], table: str, key: str) -> sql.Composed:
    """Copy the templates' rows of `table` with new ids and signatures and shifted times; other columns are copied."""
    with connection.cursor(row_factory=dict_row) as cursor:
        columns = cursor.execute(
            "SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = %s"
            " AND is_generated = 'NEVER' AND table_schema = current_schema() ORDER BY ordinal_position",
            (table,),
        ).fetchall()
    values: list[sql.Composable] = []
    for column in columns:
        name = column["column_name"]
        if name == "signature" or (table, name) == ("orders", "tx_hash"):
            values.append(sql.SQL("m.signature"))
        elif name == key:
            values.append(sql.SQL("m.id"))
        elif column["udt_name"] == "timestamptz":
            values.append(sql.SQL("r.{} + m.shift").format(sql.Identifier(name)))
        else:
            values.append(sql.SQL("r.{}").format(sql.Identifier(name)))
    join = sql.SQL("r.signature = m.tx_hash" if key == "signature" else "r.{} = m.template")
    return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM made m JOIN {} r ON {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(sql.Identifier(column["column_name"]) for column in columns),
        sql.SQL(", ").join(values),
        sql.Identifier(table),
        join if key == "signature" else join.format(sql.Identifier(key)),
    )
