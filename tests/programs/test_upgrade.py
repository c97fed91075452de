"""Promise 34 on real programs: an upgrade in the middle of orders quarantines its venue, until its quotes are right."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey

from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.solana.message import Program
from tests.programs import dumps
from tests.programs.dumps import METEORA
from tests.programs.localnet import flowing
from tests.programs.service import Order, ServiceOnPrograms, body, followed, post, read, serving
from tests.programs.sizes import draw
from tests.support.localnet.in_process import InProcessLocalnet
from tests.support.parts import running
from tests.support.service.client import Http
from tests.support.service.process import Launcher, say
from tests.support.waiting import until

pytestmark = [dumps.needed, pytest.mark.timeout(300)]

SLOT_SECONDS = 0.04
LOOSE = 1_500
"""Bps: an order that was quoted by one venue may be filled by the other."""
ORDERS = 12
"""In flight at each upgrade."""


def other_program() -> bytes:
    """Code that is no venue's: it makes each swap fail."""
    account = LiteSVM().get_account(Pubkey.from_string(Program.MEMO))
    assert account is not None
    return bytes(account.data)


def rebuilt(elf: bytes) -> bytes:
    """The same program with another hash: a byte of the header that means nothing."""
    return elf[:9] + bytes([elf[9] ^ 1]) + elf[10:]


def deploy(net: InProcessLocalnet, elf: bytes) -> None:
    """Upgrade Meteora's program."""
    net.ledger.add_programs([(Pubkey.from_string(METEORA), elf)])


async def ticking(net: InProcessLocalnet) -> None:
    """Makes slots, as time passes."""
    while True:
        await net.advance(1)
        await asyncio.sleep(SLOT_SECONDS)


async def overview(calls: Http, url: str) -> list[dict[str, Any]]:
    """The venues that are quarantined."""
    answer = await calls.get(f"{url}/api/overview")
    assert answer.status == 200
    shown: Any = answer.body["quarantines"]
    return list(shown)


async def upgraded_while_in_flight(
    calls: Http, url: str, orders: list[dict[str, Any]], upgrade: Callable[[], None], *, quarantined: bool
) -> list[Order]:
    """Posts orders, upgrades while they are executed, and waits until the quarantine is as expected."""
    posted = [await post(calls, url, order) for order in orders[: len(orders) // 2]]
    upgrade()
    posted += [await post(calls, url, order) for order in orders[len(orders) // 2 :]]

    async def shown() -> bool:
        return [one["venue"] for one in await overview(calls, url)] == (["meteora"] if quarantined else [])

    await until(shown, pause=0.1)
    await followed(url, posted)
    return await read(calls, url, posted)


@pytest.mark.gen_test(timeout=280)
async def test_promise_34_an_upgrade_in_the_middle_of_orders_quarantines_the_venue_until_its_quotes_are_confirmed(
    given: dict[str, str], tmp_path: Path, seed: int
) -> None:
    chance = Random(seed)
    async with flowing(tmp_path / "ledger", seed, (WSOL, USDC)) as net_on:
        net, market = net_on.net, net_on.market
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(running(ticking(net)))
            launcher = stack.enter_context(Launcher(**given))
            on = ServiceOnPrograms(net.url, market, launcher)
            wallet: Keypair = await on.trader()

            def orders() -> list[dict[str, Any]]:
                return [body(draw(chance.choice(market.pools), chance, LOOSE), chance) for _ in range(ORDERS)]

            async with serving(on, wallet) as (url, calls):
                before = await upgraded_while_in_flight(calls, url, orders(), lambda: None, quarantined=False)
                assert {order["status"] for order in before} == {"confirmed"}

                # Other code: swaps fail, so nothing confirms the quotes.
                elf = dumps.elf(METEORA)
                during = await upgraded_while_in_flight(
                    calls, url, orders(), lambda: deploy(net, other_program()), quarantined=True
                )
                assert {order["status"] for order in during} == {"confirmed"}, "the other venue takes them"
                [quarantine] = await overview(calls, url)
                assert quarantine["program"] == METEORA
                ready = await calls.get(f"{url}/readyz")
                assert (ready.status, ready.body["status"]) == (200, "degraded")
                causes: Any = ready.body["causes"]
                assert "meteora: its program" in causes["quarantined"]

                after = [await post(calls, url, order) for order in orders()]
                await followed(url, after)
                for order in await read(calls, url, after):
                    assert (order["status"], order["venue"]) == ("confirmed", "raydium"), order
                    answers = {one["venue"]: one for one in order["quotes"]}
                    assert answers["meteora"]["reason"] == "quarantined", answers

                # A new build of the same program: simulated swaps equal the quotes, and the venue is back by itself.
                again = await upgraded_while_in_flight(
                    calls, url, orders(), lambda: deploy(net, rebuilt(elf)), quarantined=False
                )
                assert {order["status"] for order in again} == {"confirmed"}
                back = [await post(calls, url, order) for order in orders()]
                await followed(url, back)
                found = await read(calls, url, back)
                assert {order["status"] for order in found} == {"confirmed"}
                assert all("reason" not in one or one["reason"] != "quarantined" for o in found for one in o["quotes"])

                # And a person can accept code that nothing confirms.
                await upgraded_while_in_flight(calls, url, [], lambda: deploy(net, other_program()), quarantined=True)
                command = launcher.start("adapters", "accept", "meteora", "--json")
                assert await asyncio.to_thread(command.wait) == 0
                [program] = json.loads(command.out)["accepted"]
                assert program["program"] == METEORA
                await until(lambda: _none(calls, url), pause=0.1)
    say(f"seed {seed}: an upgrade quarantined meteora, and a build with the same arithmetic brought it back")


async def _none(calls: Http, url: str) -> bool:
    return not await overview(calls, url)
