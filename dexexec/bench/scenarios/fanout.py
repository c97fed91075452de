"""One event to many sockets. The order lands some seconds after it was posted, so that all follow it by then."""

from dexexec.bench.environment import BenchServers
from dexexec.bench.plan import Plan
from dexexec.bench.report import Report

OPEN_SECONDS = 120.0
SUBSCRIBED_PER_SECOND = 1_000
"""What the pause before the landing reckons with."""


def run(servers: BenchServers, plan: Plan, report: Report) -> None:
    """Each number of sockets, some events each. Raises `BenchError`."""
    for count in plan.sockets:
        landing_ms = 1000 + 1000 * count // SUBSCRIBED_PER_SECOND
        with servers.sandbox() as sandbox:
            service = sandbox.service(DEXEXEC_MOCK_LANDING_MS=str(landing_ms))
            opened = sandbox.load.do("open", service.url, OPEN_SECONDS, count=count)
            patience = landing_ms / 1000 + 20
            rounds = [
                sandbox.load.do("fan", service.url, 2 * patience, patience=patience) for _ in range(plan.fan_rounds)
            ]
            sandbox.load.do("close", service.url, OPEN_SECONDS)
            service.stop()
        key, where = f"fanout.{count}", f"{count:,} sockets"
        for number, one in enumerate(rounds, 1):
            if one["heard"] < count or one["faults"]:
                report.faults.append(f"{where}, event {number}: {one['heard']} heard it; {one['faults'] or 'no fault'}")
            if one["live"] < count:
                report.notes.append(f"{where}, event {number}: {count - one['live']} followed it only afterwards")
        report.add(f"{key}.open", f"handshakes, {where}", count / opened["seconds"], "sockets/s")
        best = min((one for one in rounds if one["heard"]), key=lambda one: one["eventToLast"], default=None)
        if best is not None:
            span = best["firstToLast"] or None
            report.add(f"{key}.to_all", f"event until the last of {where} has it", best["eventToLast"] * 1000, "ms")
            report.add(f"{key}.messages", f"messages, {where}", span and best["heard"] / span, "messages/s")
            subscribing = best["subscribeSeconds"]
            report.add(f"{key}.subscribe", f"subscriptions, {where}", subscribing and count / subscribing, "orders/s")
        report.details[key] = {"opened": opened, "rounds": rounds}
