"""A watch of a program's accounts: reported addresses, a search after every gap, and an honest `live`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solders.pubkey import Pubkey

from dexexec.domain import base58
from dexexec.domain.solana import AccountFilters
from dexexec.domain.token import USDC
from dexexec.settlement.solana.rpc import RpcChain
from dexexec.settlement.solana.transaction import associated_token_account
from dexexec.venue import ProgramChanges, ProgramWatch, ProgramWatchingChain
from dexexec_adapters.solana.spl import TOKEN
from tests.support.localnet.in_process import InProcessLocalnet, run_localnet
from tests.support.localnet.rpc_chains import open_chain, rpc_chain
from tests.support.localnet.scripted_node import ScriptedNode, ScriptedWebSocket, forward_websocket, scripted_node
from tests.support.waiting import until

LONG = 60.0
"""Seconds: longer than a test may take."""
OTHER = base58.encode(bytes([9]) * 32)


def accounts_of(mint: str) -> AccountFilters:
    """All token accounts of a mint."""
    return AccountFilters(165, ((0, base58.decode(mint)),))


@dataclass
class WatchSetup:
    """A localnet behind a node that counts, and a chain over that."""

    net: InProcessLocalnet
    node: ScriptedNode
    chain: RpcChain

    async def live(self, *filters: AccountFilters) -> ProgramWatch:
        """A watch that the node has subscribed, and whose first search is done."""
        watch = self.chain.watch_program(TOKEN, filters)
        await until(lambda: watch.live)
        assert await missed_and_none(watch)
        return watch

    async def changed(self, mint: str = USDC) -> str:
        """A token account that has just been made and is confirmed."""
        owner = str(Pubkey.new_unique())
        await self.net.rpc("localnet_fund", owner, mint, 6, 5)
        await self.net.advance(2)
        return associated_token_account(owner, mint)


async def missed_and_none(watch: ProgramWatch) -> bool:
    """Whether only a search is needed."""
    changes = await watch.changes(0)
    return changes.missed and not changes.addresses


@asynccontextmanager
async def setup(folder: Path) -> AsyncIterator[WatchSetup]:
    async with run_localnet(folder) as net, scripted_node(net.url) as node:
        node.on_message = forward_websocket(net.url)
        async with open_chain(rpc_chain(node.url)) as chain:
            yield WatchSetup(net, node, chain)


def test_a_chain_over_rpc_watches_programs() -> None:
    assert isinstance(rpc_chain("http://127.0.0.1:1"), ProgramWatchingChain)


async def test_a_confirmed_change_is_reported_by_its_address_and_wakes_the_watch(tmp_path: Path) -> None:
    async with setup(tmp_path) as there:
        watch = await there.live(accounts_of(USDC), accounts_of(OTHER))
        waiting = asyncio.create_task(watch.changes(LONG))
        address = await there.changed()
        changes = await waiting
        assert changes == ProgramChanges(frozenset({address}), missed=False)
        other = await there.changed(OTHER)
        assert (await watch.changes(LONG)).addresses == {other}
        watch.close()


async def test_a_lost_connection_needs_a_search_and_so_does_a_new_one(tmp_path: Path) -> None:
    async with setup(tmp_path) as there:
        watch = await there.live(accounts_of(USDC))
        there.node.sockets[0].close()
        assert (await watch.changes(LONG)).missed
        await until(lambda: watch.live)
        assert (await watch.changes(LONG)).missed
        address = await there.changed()
        assert (await watch.changes(LONG)).addresses == {address}
        watch.close()


async def test_a_node_that_refuses_the_subscription_is_not_live_and_a_wait_just_ends(tmp_path: Path) -> None:
    def refuse(socket: ScriptedWebSocket, message: Any) -> None:
        socket.write_message({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no"}})

    async with setup(tmp_path) as there:
        there.node.on_message = refuse
        watch = there.chain.watch_program(TOKEN, [accounts_of(USDC)])
        await until(lambda: bool(there.node.messages))
        assert await missed_and_none(watch)
        changes = await watch.changes(0.05)
        assert not changes.addresses
        assert not changes.missed
        assert not watch.live
        watch.close()


async def test_a_closed_watch_ends_its_subscriptions_at_the_node(tmp_path: Path) -> None:
    async with setup(tmp_path) as there:
        kept = await there.live(accounts_of(OTHER))
        closed = await there.live(accounts_of(USDC))
        closed.close()
        await until(lambda: any(one["method"] == "programUnsubscribe" for one in there.node.messages))
        assert not closed.live
        address = await there.changed(OTHER)
        assert (await kept.changes(LONG)).addresses == {address}
        kept.close()


async def test_more_changes_than_are_kept_need_a_search(tmp_path: Path) -> None:
    async with setup(tmp_path) as there:
        watch = there.chain._programs.watch(TOKEN, [accounts_of(USDC)])
        assert await missed_and_none(watch)
        for number in range(1_001):
            watch.notified(str(number))
        changes = await watch.changes(LONG)
        assert (len(changes.addresses), changes.missed) == (1_000, True)
        watch.close()
