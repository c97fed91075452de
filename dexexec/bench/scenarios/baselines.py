"""The limits, measured in the same run: the maximum rates of Postgres, Redis and Tornado without the service.

Rows are written as the service writes them: arrays in one statement, one commit per batch, one batch after the other on
one connection, into a table with the same columns and indexes.
"""

import itertools
import json
import time
from collections.abc import Callable

import redis

from dexexec.bench import load_run
from dexexec.bench.process_usage import CpuMeter
from dexexec.bench.processes import LoadClient, ProcessGroup
from dexexec.bench.profile import Profile
from dexexec.bench.report import Report
from dexexec.bench.sandbox import BenchSandbox, BenchServers, plain_environment
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


def run(servers: BenchServers, profile: Profile, report: Report) -> None:
    """Measure all limits. Raises `BenchError`."""
    bare_server(servers.processes, servers.load, profile, report)
    with servers.sandbox() as sandbox:
        sandbox.processes.start("dexexec migrate", ["-m", "dexexec", "migrate"], sandbox.environment).finish(
            START_SECONDS
        )
        for batch in BATCHES:
            rate = _rows(sandbox, batch, profile.primitive_seconds)
            per_commit = "1 row per commit" if batch == 1 else f"{batch} rows per commit"
            report.add(f"primitives.rows.{batch}", f"Postgres: events, {per_commit}", rate, "rows/s")
        report.add(
            "primitives.xadd",
            f"Redis: XADD, {PIPELINE} per pipeline",
            _xadds(sandbox, profile.primitive_seconds),
            "entries/s",
        )


def bare_server(processes: ProcessGroup, load: LoadClient, profile: Profile, report: Report) -> None:
    """Measure a Tornado that only reads and answers JSON, with the same client and number of connections."""
    # Without the service's settings: the limit must not depend on them.
    server = processes.start("the bare server", ["-m", "dexexec.bench.baseline_server"], plain_environment())
    url = server.line(START_SECONDS)
    for clients in profile.clients:
        load.run_job("closed_loop", url, START_SECONDS, clients=clients, seconds=profile.warm_seconds / 2)
        meter = CpuMeter({"bare": [server.pid]})
        answer = load.run_job("closed_loop", url, START_SECONDS, clients=clients, seconds=profile.primitive_seconds)
        used = meter.read().get("bare")
        load_run.report_client_faults(report, f"bare POST, {clients} clients", answer)
        rate = answer["acceptedInTime"] / answer["seconds"]
        report.add(f"primitives.bare_post.{clients}", f"bare Tornado POST, {clients} clients", rate, "requests/s")
        cpu_ms = None if used is None else used * 1000 / max(answer["accepted"], 1)
        report.add(f"primitives.bare_cpu.{clients}", f"CPU of a bare Tornado POST, {clients} clients", cpu_ms, "ms")
        report.details[f"primitives.bare_post.{clients}"] = answer
    server.stop()


def _rows(sandbox: BenchSandbox, batch: int, seconds: float) -> float:
    """Rows per second in commits of `batch`."""
    with connect(sandbox.address) as connection:
        connection.execute("CREATE TABLE bench_events (LIKE order_events INCLUDING ALL)")
        # Prepared at once: the service's statements are prepared long before a load is measured.
        connection.prepare_threshold = 1
        statuses = [Status.ROUTING.value] * batch
        details = [DETAIL] * batch
        numbers = itertools.count()

        def write() -> int:
            # Ids that rise with time, as the service's: random ones would touch a new page of the index for each row.
            now_ms = int(time.time() * 1000)
            ids = [uuid7(now_ms, next(numbers).to_bytes(RANDOM_BYTES, "big")) for _ in range(batch)]
            connection.execute(INSERT, (ids, [2] * batch, statuses, details), prepare=True, binary=True).fetchall()
            return batch

        rate = _rate(write, seconds, sandbox)
        connection.execute("DROP TABLE bench_events")
    return rate


def _xadds(sandbox: BenchSandbox, seconds: float) -> float:
    """Stream entries per second, in pipelines that were encoded in advance."""
    with redis.Redis.from_url(sandbox.redis_url) as client:
        pool = client.connection_pool
        connection = pool.get_connection()
        # Braces, as in the service's keys: a cluster places all keys with the same text in them on one node.
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
    """Rows or entries per second, after a warm-up of a tenth of the time."""
    for share in (0.1, 1.0):
        done = 0
        begun = time.perf_counter()
        while (took := time.perf_counter() - begun) < seconds * share:
            done += write()
            sandbox.processes.raise_if_stopped()
    return done / took
