"""How long one event takes to many sockets. The order lands seconds after its POST, when all of them follow it."""

from dexexec.bench.profile import Profile
from dexexec.bench.report import Report
from dexexec.bench.sandbox import BenchServers

OPEN_SECONDS = 120.0
SUBSCRIBED_PER_SECOND = 1_000
"""How many sockets can certainly subscribe in a second. It sets the time until the order lands."""


def run(servers: BenchServers, profile: Profile, report: Report) -> None:
    """Measure several events for each number of sockets. Raises `BenchError`."""
    for count in profile.sockets:
        landing_ms = 1000 + 1000 * count // SUBSCRIBED_PER_SECOND
        with servers.sandbox() as sandbox:
            service = sandbox.service(DEXEXEC_MOCK_LANDING_MS=str(landing_ms))
            opened = sandbox.load.run_job("open_sockets", service.url, OPEN_SECONDS, count=count)
            # The landing, and ample time to deliver the event even on a slow machine.
            patience = landing_ms / 1000 + 20
            rounds = [
                sandbox.load.run_job("fan_out", service.url, 2 * patience, patience=patience)
                for _ in range(profile.fan_rounds)
            ]
            sandbox.load.run_job("close_sockets", service.url, OPEN_SECONDS)
            service.stop()
        key = f"fanout.{count}"
        where = f"{count:,} sockets"
        for number, result in enumerate(rounds, 1):
            event = f"{where}, event {number}"
            if result["heard"] < count or result["faults"]:
                faults = result["faults"] or "no socket failed"
                report.faults.append(f"{event}: only {result['heard']} sockets received it ({faults})")
            if result["live"] < count:
                report.notes.append(f"{event}: {count - result['live']} sockets subscribed after the event")
        report.add(f"{key}.open", f"handshakes, {where}", count / opened["seconds"], "sockets/s")
        # The best round: other load on the machine can only make a round slower.
        received = (result for result in rounds if result["heard"])
        best = min(received, key=lambda result: result["eventToLast"], default=None)
        if best is not None:
            span = best["firstToLast"] or None
            report.add(f"{key}.to_all", f"event until the last of {where}", best["eventToLast"] * 1000, "ms")
            report.add(f"{key}.messages", f"messages, {where}", span and best["heard"] / span, "messages/s")
            subscribing = best["subscribeSeconds"]
            report.add(f"{key}.subscribe", f"subscriptions, {where}", subscribing and count / subscribing, "orders/s")
        report.details[key] = {"opened": opened, "rounds": rounds}
