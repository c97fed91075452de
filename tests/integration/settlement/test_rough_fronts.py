"""The whole service on a localnet behind an unreliable provider: busy, false about what it passed on, away, or two
nodes behind one address. The chain itself shows what happened: one swap for each order, and no more."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from solders.keypair import Keypair

from dexexec.store import Address
from tests.conftest import Servers
from tests.support.chaos.proxy import proxy
from tests.support.localnet.in_process import set_faults
from tests.support.localnet.process import localnet_processes
from tests.support.localnet.unreliable_proxy import ReplacedAnswer, unreliable_proxy
from tests.support.service.client import Http, http, watching
from tests.support.service.localnet import SLOT_MS, settings_on
from tests.support.service.localnet_promise_checks import LocalnetChain
from tests.support.service.process import QUICK, Launcher, Process, servers_at
from tests.support.service.promise_checks import check_promises, rows
from tests.support.waiting import until

JUMPY = {
    "DEXEXEC_BREAKER_FAILURES": "1",
    "DEXEXEC_MAX_ATTEMPTS": "100",
    "DEXEXEC_QUOTE_TIMEOUT_MS": "20000",
    "DEXEXEC_RETRY_MAX_MS": "500",
}
"""One failure that counts against a venue opens its breaker, so that none goes unnoticed. A busy machine, where a quote
takes long and a swap may expire in such short slots, counts against no venue."""
SLOWER_SLOT_MS = 200
"""Mainnet's. A swap that waits for its turns while it is built and sent then lives for 30 s, and not for 6."""
A_SECOND, ORDERS = 10, 6
"""Requests that are allowed, and the number of orders: several times as many would be sent within a second."""
ROUNDS = 9
"""Rounds of an order without an answer: more than a second passes meanwhile."""
UNREACHABLE = "SELECT count(*) AS n FROM order_events WHERE detail->>'reason' = 'unreachable' GROUP BY order_id"


@dataclass
class ServiceBehindProxy:
    """The service, with the front as its node, and the chain behind that."""

    service: Process
    base: str
    chain: LocalnetChain
    address: Address
    calls: Http

    async def post(self, count: int) -> list[str]:
        """So many orders at once; their ids."""
        return list(await asyncio.gather(*(self.calls.accepted(self.base) for _ in range(count))))

    def waited(self, count: int) -> bool:
        """Whether this many orders reported several times that their node cannot be reached."""
        return sum(int(str(row["n"])) >= ROUNDS for row in rows(self.address, UNREACHABLE)) >= count

    async def all_confirmed(self, order_ids: Sequence[str]) -> None:
        """Each swapped exactly once, none failed or expired, and no venue was blamed for its node."""
        async with watching(lambda: self.base, order_ids):
            pass
        verdict = await asyncio.to_thread(check_promises, self.address, order_ids, self.chain)
        assert verdict.statuses == {"confirmed": len(order_ids)}
        assert verdict.swaps == len(order_ids)
        assert "breaker" not in self.service.err


OpenService = Callable[[str, str], AbstractAsyncContextManager[ServiceBehindProxy]]


@pytest.fixture
def serving(servers: Servers, database_address: Address, redis_prefix: str) -> OpenService:
    """Starts a service whose node is the first URL, on the chain of the second one."""
    return partial(service_on, servers, database_address, redis_prefix)


@asynccontextmanager
async def service_on(
    servers: Servers, address: Address, prefix: str, front: str, node: str
) -> AsyncIterator[ServiceBehindProxy]:
    """A service that is ready."""
    wallet = Keypair()
    settings = servers_at(address, servers.redis_url, prefix) | QUICK | JUMPY | settings_on(front, wallet)
    with Launcher(**settings) as launcher:
        service = launcher.start()
        await asyncio.to_thread(service.ready)
        async with http() as calls:
            chain = LocalnetChain(node, str(wallet.pubkey()))
            yield ServiceBehindProxy(service, service.url, chain, address, calls)
            assert await asyncio.to_thread(service.stop) == 0


@pytest.mark.gen_test(timeout=110)
async def test_promise_17_orders_pass_a_provider_that_limits_requests(tmp_path: Path, serving: OpenService) -> None:
    with localnet_processes(tmp_path) as start:
        node = await start("--slot-ms", str(SLOWER_SLOT_MS)).url()
        async with unreliable_proxy(node) as front, serving(front.url, node) as on:
            front.limit(A_SECOND)
            await on.all_confirmed(await on.post(ORDERS))
            assert front.refused


async def test_promise_3_orders_swap_once_with_any_answer_of_a_proxy_to_what_it_passed_on(
    tmp_path: Path, serving: OpenService
) -> None:
    with localnet_processes(tmp_path) as start:
        node = await start("--slot-ms", str(SLOT_MS)).url()
        async with unreliable_proxy(node) as front, serving(front.url, node) as on:
            front.replacements = tuple(ReplacedAnswer)
            await on.all_confirmed(await on.post(12))
            assert all(front.replaced[answer] >= 3 for answer in ReplacedAnswer)


@pytest.mark.gen_test(timeout=110)
async def test_promise_17_orders_outlast_a_node_that_cannot_be_reached(tmp_path: Path, serving: OpenService) -> None:
    with localnet_processes(tmp_path) as start:
        node = await start("--slot-ms", str(SLOT_MS)).url()
        async with (
            proxy(("127.0.0.1", urlsplit(node).port or 0)) as way,
            serving(f"http://127.0.0.1:{way.port}", node) as on,
        ):
            first = await on.post(1)
            await on.all_confirmed(first)  # as nothing is tried before record and chain are compared
            await way.cut()
            order_ids = await on.post(10)
            await until(lambda: on.waited(10), seconds=40, pause=0.1)
            way.heal()
            await on.all_confirmed([*first, *order_ids])


async def test_promise_17_orders_pass_one_address_before_two_nodes_of_which_one_is_behind(
    tmp_path: Path, serving: OpenService
) -> None:
    with localnet_processes(tmp_path) as start:
        node = await start("--slot-ms", str(SLOT_MS), "--allow-faults").url()
        behind = f"{node.rstrip('/')}/nodes/behind"
        await set_faults(behind, lag=20)
        async with (
            unreliable_proxy(node, behind) as front,
            serving(front.url, node) as on,
        ):
            await on.all_confirmed(await on.post(12))
