"""`DEXEXEC_DRY_RUN=1` as a person uses it: every order ends as simulated, and the chain of the mocks stays empty."""

import asyncio
import json
from typing import Any

import pytest

from dexexec.demo.kinds import Kind
from dexexec.store import Address
from tests.support.service.client import http, watching
from tests.support.service.process import Launcher, Process
from tests.support.service.promise_checks import check_promises, rows

DRY = {"DEXEXEC_DRY_RUN": "1"}
ORDERS: list[dict[str, Any]] = [
    {"side": "buy", "amount": "0.5", "tag": "momentum"},
    {"side": "sell", "amount": "100", "tag": "momentum"},
    {"type": "limit", "side": "buy", "amount": "0.5", "limitPrice": "1"},
    {"side": "buy", "amount": "0.5", "triggerPrice": "1", "triggerWhen": "above"},
    {"type": "limit", "side": "buy", "amount": "0.5", "limitPrice": "1", "timeInForce": "FOK", "dryRun": True},
]
FAR: dict[str, Any] = {"side": "buy", "amount": "0.5", "triggerPrice": "1", "triggerWhen": "below"}


def nothing_was_signed(address: Address) -> None:
    assert rows(address, "SELECT * FROM attempts") == []
    assert rows(address, "SELECT * FROM simulated_swaps") == []


def paper(launcher: Launcher) -> Any:
    command = launcher.start("paper", "--json")
    assert command.wait() == 0, command.err
    return json.loads(command.out)


async def test_promise_19_every_kind_of_order_runs_dry_through_a_crash_and_a_restart(
    launcher: Launcher, database_address: Address
) -> None:
    async with http() as calls, asyncio.timeout(60):
        first = launcher.start(**DRY)
        url = await asyncio.to_thread(lambda: first.url)
        assert "every order is simulated, and nothing is signed or sent" in first.banner()
        answers = [await calls.post(url, order) for order in (*ORDERS, FAR)]
        assert {(answer.status, answer.body.get("dryRun")) for answer in answers} == {(202, True)}
        *order_ids, far = [str(answer.body["orderId"]) for answer in answers]
        # Some are simulated by now, some rest, some are on their way.
        first.kill()
        second = launcher.start(**DRY)
        url = await asyncio.to_thread(lambda: second.url)
        async with watching(lambda: url, order_ids):
            pass
        assert (await calls.delete(f"{url}/api/orders/{far}")).status == 200
    verdict = check_promises(database_address, [*order_ids, far])
    assert verdict.statuses == {"simulated": len(ORDERS), "cancelled": 1}
    nothing_was_signed(database_address)
    lines = {(line["tag"], line["side"]): line for line in paper(launcher)["lines"]}
    assert {key: line["simulated"] for key, line in lines.items()} == {
        ("momentum", "buy"): 1,
        ("momentum", "sell"): 1,
        (None, "buy"): 3,
    }
    assert lines[None, "buy"]["cancelled"] == 1
    assert lines["momentum", "buy"]["amountIn"] == "500000000"


def test_the_demo_runs_dry_and_finds_no_fault(launcher: Launcher, database_address: Address) -> None:
    service = launcher.start()
    demo = finished(launcher.start("demo", "--orders", "4", "--dry-run", "--url", service.url))
    assert "0 confirmed, 0 failed, 4 simulated" in demo.out
    nothing_was_signed(database_address)
    assert sum(line["simulated"] for line in paper(launcher)["lines"]) == 4


@pytest.mark.long
def test_the_demo_shows_every_kind_and_finds_no_fault(launcher: Launcher) -> None:
    url = launcher.start(DEXEXEC_MOCK_LAUNCHES="5").url
    kinds = [kind.value for kind in Kind if kind is not Kind.MARKET]
    demos = [launcher.start("demo", "--type", kind, "--orders", "5", "--url", url, "--timeout", "50") for kind in kinds]
    for demo in demos:
        assert "all orders ended, and each socket received every event" in finished(demo).out


def finished(process: Process) -> Process:
    assert process.wait(100) == 0, process.out + process.err
    return process
