"""The whole service as processes, on a localnet process with the real programs and a market of real pools."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dexexec.bench.node.program_pools import account_document
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.token import from_base_units
from tests.programs import dumps
from tests.programs.market import GivenPools, Market, fund
from tests.programs.tokens import SETTING, TOKENS
from tests.support.localnet.in_process import rpc
from tests.support.service.client import Http, Watch, http
from tests.support.service.localnet import start_localnet
from tests.support.service.process import Launcher, Process
from tests.support.waiting import until

VENUES = {
    "DEXEXEC_ADAPTERS": "raydium,meteora",
    "DEXEXEC_RAYDIUM_CLUSTER": "localnet",
    "DEXEXEC_METEORA_CLUSTER": "localnet",
    "DEXEXEC_TOKENS": SETTING,
    "DEXEXEC_ROUTES": "single",
    "DEXEXEC_FINALITY_SECONDS": "0.5",
    "DEXEXEC_RETRY_BASE_MS": "10",
    "DEXEXEC_QUOTE_TIMEOUT_MS": "10000",
    "DEXEXEC_BREAKER_FAILURES": "1000",
}
"""Both real venues, one pool for each swap. Machines that run tests are busy: a quote may take its time."""
Order = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ServiceOnPrograms:
    """A localnet with a market, and processes on it."""

    url: str
    market: Market
    launcher: Launcher

    def start(self, wallet: Keypair, **settings: str) -> Process:
        """An all-in-one service that signs with `wallet`."""
        key = {"SOLANA_WALLET_SECRET_KEY": str(wallet), "DEXEXEC_LOCALNET_URL": self.url}
        return self.launcher.start(**{**VENUES, **key, **settings})

    async def trader(self, **amounts: int) -> Keypair:
        """A wallet with the given lamports and tokens, or enough to trade; finalized on return."""
        wallet = Keypair()
        await fund(self.url, wallet.pubkey(), **amounts)
        slot: int = await rpc(self.url, "getSlot", {"commitment": "processed"})

        async def final() -> bool:
            finalized: int = await rpc(self.url, "getSlot", {"commitment": "finalized"})
            return finalized >= slot

        await until(final, pause=0.05)
        return wallet

    async def faults(self, **faults: Any) -> None:
        """Set the localnet's faults."""
        await rpc(self.url, "localnet_setFaults", faults)

    @property
    def other_node(self) -> str:
        """A node of the same localnet without its faults."""
        return f"{self.url}/nodes/other"


@asynccontextmanager
async def service_on_programs(
    given: dict[str, str],
    folder: Path,
    seed: int,
    *extra: tuple[Pubkey, Account],
    slot_ms: int | None = None,
    more: GivenPools | None = None,
    programs: Sequence[str] = (),
) -> AsyncIterator[ServiceOnPrograms]:
    """A localnet process with the programs and a market by `seed`, and servers for what is started on it. `extra` are
    more accounts, `more` are pools of other venues, and `programs` name venues without pools of their own. Without
    `slot_ms` slots are as short as in all tests."""
    market = Market(seed, int(time.time()), more=more)
    options = dumps.options(*dict.fromkeys([*(pool.venue for pool in market.pools), *programs]))
    if slot_ms is not None:
        options += ["--slot-ms", str(slot_ms)]
    for address, account in (*market.accounts, *extra):
        path = folder / f"{address}.json"
        path.write_text(json.dumps(account_document(account)))
        options += ["--account", f"{address}={path}"]
    with Launcher(**given) as launcher:
        _, url = await start_localnet(launcher, folder / "ledger", *options)
        await market.open_on(url)
        await opened(url)
        yield ServiceOnPrograms(url, market, launcher)


async def opened(url: str) -> None:
    """Wait until Raydium's pools are open as confirmed: the second after the newest is over."""
    made = await chain_time(url, "processed")

    async def later() -> bool:
        return await chain_time(url, "confirmed") > made + 1

    await until(later, pause=0.05)


async def chain_time(url: str, commitment: str) -> int:
    """Unix seconds of the newest block."""
    slot = await rpc(url, "getSlot", {"commitment": commitment})
    made: int = await rpc(url, "getBlockTime", slot)
    return made


def body(request: SwapRequest, chance: Random, **more: Any) -> dict[str, Any]:
    """An order for a swap: as a `buy`, or the same as a `sell` of the pair named the other way round."""
    counted = TOKENS.get(request.mint_in if request.mode is Mode.EXACT_IN else request.mint_out)
    assert counted is not None
    side = chance.choice(["buy", "sell"])
    pair = (request.mint_in, request.mint_out) if side == "buy" else (request.mint_out, request.mint_in)
    return {
        "side": side,
        "amount": from_base_units(request.amount, counted.decimals),
        "inputMint": pair[0],
        "outputMint": pair[1],
        "mode": request.mode.value,
        "slippageBps": request.slippage_bps,
        **more,
    }


async def post(calls: Http, url: str, order: dict[str, Any]) -> str:
    """Post an order that has to be accepted; its id."""
    answer = await calls.post(url, order)
    assert answer.status == 202, (order, answer)
    return str(answer.body["orderId"])


async def followed(url: str, order_ids: Iterable[str], status: str = "", seconds: float = 50) -> Watch:
    """Follow orders until each has ended, or has this status."""
    watch = Watch(lambda: url).also(order_ids)

    def there(seen: Watch) -> bool:
        return not seen.unfinished or set(seen.events) <= {*seen.at(status), *seen.at("failed")}

    tasks = [asyncio.create_task(one) for one in (watch.run(), watch.reach(there, seconds))]
    try:
        async with asyncio.timeout(seconds):
            done, _ = await asyncio.wait(tasks[:1] if not status else tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except TimeoutError:
        raise AssertionError(f"after {seconds} s: {watch.events}, sockets closed: {watch.closes}") from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return watch


async def read(calls: Http, url: str, order_ids: Iterable[str]) -> list[Order]:
    """The orders with all that is known of them."""
    return [(await calls.get(f"{url}/api/orders/{order_id}")).body for order_id in order_ids]


@asynccontextmanager
async def serving(on: ServiceOnPrograms, wallet: Keypair, **settings: str) -> AsyncIterator[tuple[str, Http]]:
    """A service that is ready, and a client for it; at the end it stops as it should."""
    service = on.start(wallet, **settings)
    await asyncio.to_thread(service.ready)
    async with http() as calls:
        yield service.url, calls
    assert await asyncio.to_thread(service.stop) == 0
