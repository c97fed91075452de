"""Notifications over a WebSocket trigger a lookup of a swap, and prove nothing; without them it is polled."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from solders.pubkey import Pubkey

from dexexec.clock import SystemClock
from dexexec.domain.swap import SignedSwap
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.attempt import PendingAttempt, SettlementResult
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.settlement.solana.rpc import RpcChain
from dexexec.testing.clock import ManualClock
from dexexec.venue import Network, NotifyingChain
from tests.integration.settlement.rpc.test_secrets import KEYS, secret
from tests.support.chain_suite import unknown
from tests.support.localnet.in_process import SOL, InProcessLocalnet, run_localnet
from tests.support.localnet.rpc_chains import LONG_TIMEOUTS, RecordingListener, open_chain, rpc_chain, signed_transfer
from tests.support.localnet.scripted_node import ScriptedNode, forward_websocket, scripted_node
from tests.support.scripted import SELL_ONE_SOL
from tests.support.waiting import until

LONG = 60.0
"""Seconds: longer than a test may take."""


@dataclass
class NotificationSetup:
    """A localnet behind a node that counts, and a chain over that."""

    net: InProcessLocalnet
    node: ScriptedNode
    chain: RpcChain
    listener: RecordingListener

    async def sealed(self) -> SignedSwap:
        """A transfer, not sent."""
        wallet = await self.net.funded()
        await self.net.advance(2)
        return await signed_transfer(self.chain, wallet, Pubkey.new_unique(), SOL)

    async def settle(self, signed: SignedSwap) -> SettlementResult:
        clock = SystemClock()
        sealers = {Network.SIMULATED: SimulatedSealer(SimulatedSigner())}
        settlement = Settlement({Network.SIMULATED: self.chain}, sealers, clock, Observer(make_logger("critical")))
        here = replace(signed, network=Network.SIMULATED)
        pending = PendingAttempt(signed=here, request=SELL_ONE_SOL, deadline=clock.monotonic() + LONG, resumed=False)
        return await settlement.settle(pending, lambda: True)


@asynccontextmanager
async def setup(folder: Path, *, sockets: bool = True) -> AsyncIterator[NotificationSetup]:
    listener = RecordingListener()
    async with run_localnet(folder) as net, scripted_node(net.url) as node:
        if sockets:
            node.on_message = forward_websocket(net.url)
        async with open_chain(rpc_chain(node.url, listener=listener)) as chain:
            yield NotificationSetup(net, node, chain, listener)


async def subscribed(chain: RpcChain, signature: str) -> None:
    """Until there is a subscription."""
    await until(
        lambda: (
            (one := chain._notifications._subscriptions._watched.get(signature)) is not None
            and one.subscription is not None
        )
    )


async def listening(chain: RpcChain, signature: str) -> None:
    """Until notifications arrive by themselves and all are processed."""
    await asyncio.gather(chain.wait_for_notification(signature, LONG), subscribed(chain, signature))
    if chain._notifications._subscriptions._watched[signature].wake_up.is_set():
        await chain.wait_for_notification(signature, LONG)


def test_a_chain_over_rpc_has_notifications() -> None:
    assert isinstance(rpc_chain("http://127.0.0.1:1"), NotifyingChain)


async def test_a_waiting_task_wakes_when_the_swap_is_confirmed_and_not_before(tmp_path: Path) -> None:
    async with setup(tmp_path) as there:
        swap = await there.sealed()
        await there.chain.submit(swap)
        await listening(there.chain, swap.signature)
        waiting = asyncio.create_task(there.chain.wait_for_notification(swap.signature, LONG))
        other = asyncio.create_task(there.chain.wait_for_notification(unknown(), LONG))
        await there.net.advance(1)
        await there.chain.genesis_hash()
        assert not waiting.done(), "it is processed only"
        await there.net.advance(1)
        await waiting
        other.cancel()


async def test_many_wait_over_one_connection(tmp_path: Path) -> None:
    async with setup(tmp_path) as there:
        swaps = [await there.sealed() for _ in range(20)]
        for swap in swaps:
            await there.chain.submit(swap)
        await asyncio.gather(*(listening(there.chain, swap.signature) for swap in swaps))
        waiting = asyncio.gather(*(there.chain.wait_for_notification(swap.signature, LONG) for swap in swaps))
        await there.net.advance(2)
        await waiting
        assert len(there.node.sockets) == 1
        assert {one["method"] for one in there.node.messages} == {"signatureSubscribe"}
        assert {one["params"][1]["commitment"] for one in there.node.messages} == {"confirmed"}


async def test_with_notifications_a_swap_is_confirmed_as_soon_with_fewer_requests(tmp_path: Path) -> None:
    """The same transfer on the same chain, whose slots take a third of a second, with and without a WebSocket."""

    async def passing(net: InProcessLocalnet) -> None:
        while True:
            await asyncio.sleep(0.33)
            await net.advance(1)

    looks, seconds = {}, {}
    for sockets in (True, False):
        async with setup(tmp_path / str(sockets), sockets=sockets) as there:
            if sockets:
                await listening(there.chain, unknown())  # the connection is there, as it mostly is
            swap = await there.sealed()
            slots = asyncio.create_task(passing(there.net))
            began = time.monotonic()
            result = await there.settle(swap)
            seconds[sockets] = time.monotonic() - began
            slots.cancel()
            assert result.outcome == "confirmed"
            looks[sockets] = there.node.count("getSignatureStatuses")
    assert looks[True] <= 5 < looks[False], looks
    assert seconds[True] <= seconds[False] + 0.33, "not later than by the slot that it may have missed"


async def test_a_lost_connection_wakes_waiting_tasks_and_the_swap_is_looked_up(tmp_path: Path) -> None:
    async with setup(tmp_path) as there:
        swap = await there.sealed()
        settling = asyncio.create_task(there.settle(swap))
        await subscribed(there.chain, swap.signature)
        there.node.on_message = None  # and none is opened again
        there.node.sockets[0].close()
        await until(lambda: "socket failed" in there.listener.kinds)
        assert not settling.done()
        await there.net.advance(2)
        assert (await settling).outcome == "confirmed"
        assert there.listener.kinds == ["socket failed"]


async def test_a_connection_that_comes_back_notifies_again_and_both_are_logged_once(tmp_path: Path) -> None:
    async with setup(tmp_path) as there:
        swap = await there.sealed()
        settling = asyncio.create_task(there.settle(swap))
        await subscribed(there.chain, swap.signature)
        there.node.sockets[0].close()
        await until(lambda: len(there.node.sockets) == 2)
        await subscribed(there.chain, swap.signature)
        await there.net.advance(2)
        assert (await settling).outcome == "confirmed"
        assert there.listener.kinds == ["socket failed", "socket recovered"]


async def test_a_node_without_websockets_is_polled(tmp_path: Path) -> None:
    async with setup(tmp_path, sockets=False) as there:
        swap = await there.sealed()
        settling = asyncio.create_task(there.settle(swap))
        await until(lambda: there.node.count("getSignatureStatuses") >= 8)
        await there.net.advance(2)
        assert (await settling).outcome == "confirmed"
        assert [line[:2] for line in there.listener.lines] == [
            ("socket failed", there.node.url.removeprefix("http://"))
        ]


async def test_a_lying_notification_confirms_nothing(tmp_path: Path) -> None:
    async with setup(tmp_path) as there:

        def lie(socket: Any, call: Any) -> None:
            socket.confirm(call, 7)
            for number in (7, 7, 8, 0):
                socket.notify(number)
            for nonsense in ("", "null", "[]", "{}", '{"id": [], "result": 1}', '{"method": "signatureNotification"}'):
                socket.write_message(nonsense)

        there.node.on_message = lie
        swap = await there.sealed()
        settling = asyncio.create_task(there.settle(swap))
        await until(lambda: there.node.count("getSignatureStatuses") >= 8)
        assert not settling.done()
        await there.net.advance(2)
        assert (await settling).outcome == "confirmed"
        assert there.listener.lines == []


@pytest.mark.parametrize("refusal", [{"error": {"code": -32601, "message": "no"}}, {"error": None}])
async def test_where_a_subscription_is_refused_the_swap_is_looked_up(tmp_path: Path, refusal: dict[str, Any]) -> None:
    async with setup(tmp_path) as there:

        def refuse(socket: Any, call: Any) -> None:
            socket.write_message({"jsonrpc": "2.0", "id": call["id"]} | refusal)

        there.node.on_message = refuse
        swap = await there.sealed()
        settling = asyncio.create_task(there.settle(swap))
        await until(lambda: there.node.count("getSignatureStatuses") >= 8)
        await there.net.advance(2)
        assert (await settling).outcome == "confirmed"


async def test_a_signature_without_a_waiting_task_is_unsubscribed(tmp_path: Path) -> None:
    clock, idle = ManualClock(), unknown()
    async with run_localnet(tmp_path) as net, scripted_node(net.url) as node:
        node.on_message = lambda socket, call: socket.confirm(call, call["id"] * 10)
        async with open_chain(RpcChain([node.url], clock, RecordingListener(), LONG_TIMEOUTS)) as chain:
            subscriptions = chain._notifications._subscriptions._subscriptions
            while idle not in subscriptions.values():
                await chain.wait_for_notification(idle, 0.1)
            number = next(iter(subscriptions))
            clock.advance(31)
            await chain.wait_for_notification(unknown(), 0.1)
            await until(lambda: any(one["method"] == "signatureUnsubscribe" for one in node.messages))
            assert [one["params"] for one in node.messages if one["method"] == "signatureUnsubscribe"] == [[number]]
            assert idle not in chain._notifications._subscriptions._watched


async def test_keys_reach_the_websocket_and_show_nowhere(tmp_path: Path) -> None:
    listener = RecordingListener()
    async with run_localnet(tmp_path) as net, scripted_node(net.url) as node:
        async with open_chain(rpc_chain(secret(node.url), listener=listener)) as chain:
            await chain.wait_for_notification(unknown(), 0.01)
            await until(lambda: listener.kinds == ["socket failed"])
        node.on_message = forward_websocket(net.url)
        async with open_chain(rpc_chain(secret(node.url), listener=listener)) as chain:
            await asyncio.gather(chain.wait_for_notification(unknown(), 0.01), until(lambda: bool(node.sockets)))
    assert node.paths == ["/v2/pathKEY123?api-key=queryKEY123"]
    assert node.headers[0]["Authorization"] == "Basic dXNlcktFWTEyMzpwYXNzS0VZMTIz"
    assert [key for key in KEYS if key in str(listener.lines)] == []
