"""The limits, in the same run: what Postgres, Redis and Tornado do at most with nothing of the service around.

Rows are written as the service writes them: arrays into one statement, one commit per batch, one batch after the other
on one connection, into tables made like its own.
"""

import json
import time
from collections.abc import Callable

import redis

from dexexec.bench import measure
from dexexec.bench.environment import BenchSandbox, BenchServers, plain_environment
from dexexec.bench.plan import Plan
from dexexec.bench.process_usage import Meter
from dexexec.bench.processes import LoadClient, ProcessGroup
from dexexec.bench.report import Report
from dexexec.domain.status import Status
from dexexec.domain.uuid7 import RANDOM_BYTES, uuid7
from dexexec.store import connect

BATCHES = (1, 64, 500)
PIPELINE = 100
START_SECONDS = 20.0

INSERT = """
INSERT INTO bench_events (order_id, seq, status, detail)
SELECT * FROM unnest(%b::uuid[], %b::int[], %b::text[], %b::jsonb[]) RETURNING at
"""
DETAIL = json.dumps({"round": 1, "quotes": [{"venue": "mock", "price": "151.3", "amountOut": "1513000"}] * 2})


def run(servers: BenchServers, plan: Plan, report: Report) -> None:
    """Raises `BenchError`."""
    bare(servers.processes, servers.load, plan, report)
    with servers.sandbox() as sandbox:
        sandbox.processes.start("dexexec migrate", ["-m", "dexexec", "migrate"], sandbox.environment).finish(
            START_SECONDS
        )
        for batch in BATCHES:
            rate = _rows(sandbox, batch, plan.primitive_seconds)
            words = "each row its own commit" if batch == 1 else f"{batch} rows per commit"
            report.add(f"primitives.rows.{batch}", f"Postgres: events, {words}", rate, "rows/s")
        report.add(
            "primitives.xadd",
            f"Redis: XADD, {PIPELINE} per pipeline",
            _xadds(sandbox, plan.primitive_seconds),
            "entries/s",
        )


def bare(processes: ProcessGroup, load: LoadClient, plan: Plan, report: Report) -> None:
    """A Tornado that only reads and answers JSON, under the same client and the same number of connections."""
    server = processes.start("the bare server", ["-m", "dexexec.bench.baseline_server"], plain_environment())
    url = server.line(START_SECONDS)
    for clients in plan.clients:
        load.do("closed", url, START_SECONDS, clients=clients, seconds=plan.warm_seconds / 2)
        meter = Meter({"bare": [server.pid]})
        answer = load.do("closed", url, START_SECONDS, clients=clients, seconds=plan.primitive_seconds)
        used = meter.read().get("bare")
        measure.tell(report, f"bare POST, {clients} clients", answer)
        rate = answer["acceptedInTime"] / answer["seconds"]
        report.add(f"primitives.bare_post.{clients}", f"bare Tornado POST, {clients} clients", rate, "requests/s")
        cost = None if used is None else used * 1000 / max(answer["accepted"], 1)
        report.add(f"primitives.bare_cpu.{clients}", f"bare Tornado's CPU per POST, {clients} clients", cost, "ms")
        report.details[f"primitives.bare_post.{clients}"] = answer
    server.stop()


def _rows(sandbox: BenchSandbox, batch: int, seconds: float) -> float:
    """Rows per second in commits of `batch`."""
    with connect(sandbox.address) as connection:
        connection.execute("CREATE TABLE bench_events (LIKE order_events INCLUDING ALL)")
        connection.prepare_threshold = 1
        statuses, details = [Status.ROUTING.value] * batch, [DETAIL] * batch
        made = [0]

        def write() -> int:
            ids = [uuid7(int(time.time() * 1000), (made[0] + n).to_bytes(RANDOM_BYTES, "big")) for n in range(batch)]
            made[0] += batch
            connection.execute(INSERT, (ids, [2] * batch, statuses, details), prepare=True, binary=True).fetchall()
            return batch

        rate = _rate(write, seconds, sandbox)
        connection.execute("DROP TABLE bench_events")
    return rate


def _xadds(sandbox: BenchSandbox, seconds: float) -> float:
    """Entries per second, in pipelines that are encoded before."""
    with redis.Redis.from_url(sandbox.redis_url) as client:
        pool = client.connection_pool
        connection = pool.get_connection()
        key = f"{{{sandbox.prefix}}}:bench"
        order = str(uuid7(int(time.time() * 1000), bytes(RANDOM_BYTES)))
        packed = connection.pack_commands([("XADD", key, "*", "id", order)] * PIPELINE)

        def write() -> int:
            connection.send_packed_command(packed)
            for _ in range(PIPELINE):
                connection.read_response()
            return PIPELINE

        try:
            return _rate(write, seconds, sandbox)
        finally:
            pool.release(connection)
            client.delete(key)


def _rate(write: Callable[[], int], seconds: float, sandbox: BenchSandbox) -> float:
    """How many per second, after a warm-up of a tenth."""
    for share in (0.1, 1.0):
        done, begun = 0, time.perf_counter()
        while (took := time.perf_counter() - begun) < seconds * share:
            done += write()
            sandbox.processes.check()
    return done / took
