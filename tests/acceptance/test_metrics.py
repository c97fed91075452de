"""The metrics of several processes on the operations port: one sum, which a process that is killed does not lower."""

import asyncio
import json
import os
import re
import signal
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from tests.support.service.client import http
from tests.support.service.process import Launcher, Process, status
from tests.support.waiting import wait_until

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(url: str) -> Series:
    """All values of a scrape, by name and labels."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:  # noqa: S310 - http, to ourselves
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = answer.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


def total(found: Series, name: str, **labels: str) -> float:
    """The sum of the series of a name that have these labels."""
    return sum(value for (of, having), value in found.items() if of == name and labels.items() <= dict(having).items())


async def post(service: Process, count: int, **headers: str) -> None:
    url = await asyncio.to_thread(lambda: service.url)
    async with http() as calls:
        assert {(await calls.order(url, **headers)).status for _ in range(count)} == {202}


async def test_while_every_venue_is_skipped_the_service_is_degraded_and_still_gets_requests(launcher: Launcher) -> None:
    made = launcher.start("keys", "create", "desk", "--scope", "trade", "--json")
    assert made.wait() == 0
    service = launcher.start(
        DEXEXEC_REQUIRE_KEYS="1",
        DEXEXEC_METRICS_PORT="0",
        DEXEXEC_MOCK_FAILURE_RATE="1",
        DEXEXEC_BREAKER_FAILURES="1",
        DEXEXEC_BREAKER_SECONDS="60",
        DEXEXEC_HEARTBEAT_SECONDS="0.1",
    )
    await post(service, 1, Authorization=f"Bearer {re.findall('dx_[A-Za-z0-9_-]+', made.out)[0]}")
    url = str(service.logged("metrics and health checks are served")["url"])
    assert status(f"{service.url}/readyz") == 401, "without a key, health is on its own port only"

    def degraded() -> bool:
        with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:  # noqa: S310 - http, to ourselves
            found = json.load(answer)
        return bool(found["status"] == "degraded" and "mock-raydium (unreachable)" in found["causes"]["venues"])

    await asyncio.to_thread(wait_until, degraded, 20, "both breakers to open")

    def shown() -> bool:
        found = read(url)
        assert total(found, "dexexec_venue_errors_total", reason="unreachable") == 2
        assert total(found, "dexexec_venue_breaker_opened_total") == 2
        return total(found, "dexexec_venue_breaker_state") == 4

    await asyncio.to_thread(wait_until, shown, 20, "the state of the breakers to be sampled")
    assert (await asyncio.to_thread(service.stop)) == 0


async def test_the_sum_over_processes_is_exact_and_survives_one_that_is_killed(launcher: Launcher) -> None:
    service = launcher.start("--processes", "2", DEXEXEC_METRICS_PORT="0")
    await post(service, 30)
    url = str(service.logged("metrics and health checks are served")["url"])

    def ended(count: int) -> bool:
        return total(read(url), "dexexec_orders_ended_total", status="confirmed", kind="market") == count

    await asyncio.to_thread(wait_until, lambda: ended(30), 20, "all orders to be counted")
    found = read(url)
    assert total(found, "dexexec_orders_accepted_total", kind="market") == 30
    assert total(found, "dexexec_order_events_total", status="submitted") == 30
    assert (
        total(found, "dexexec_attempts_total") == total(found, "dexexec_attempts_ended_total", outcome="landed") == 30
    )
    assert total(found, "dexexec_order_stage_seconds_count", stage="accepting") == 30
    assert total(found, "dexexec_order_stage_seconds_count", stage="queue") == 30
    assert total(found, "dexexec_venue_wins_total") == 30
    assert total(found, "dexexec_venue_quote_seconds_count") == 60
    assert total(found, "dexexec_fill_slippage_bps_count") == 30
    assert total(found, "dexexec_commit_rows_sum", batch="creates") == 30
    assert total(found, "dexexec_processes") == 2
    assert total(found, "dexexec_scrape_source_up") == 4
    assert status(f"{url}/readyz") == status(f"{url}/healthz") == 200
    assert status(f"{url}/other") == status(f"{service.url}/metrics") == 404

    os.kill(int(str(service.logged("process ready")["pid"])), signal.SIGKILL)

    def restarted() -> bool:
        try:
            after = read(url)
        except OSError:  # the kernel had given the connection to the killed process
            return False
        return total(after, "dexexec_process_restarts_total") == 1 and total(after, "dexexec_processes") == 2

    await asyncio.to_thread(wait_until, restarted, 20, "the process to be replaced")
    assert ended(30), "what the killed process had counted is still there"
    await post(service, 10)
    await asyncio.to_thread(wait_until, lambda: ended(40), 20, "all orders to be counted")
