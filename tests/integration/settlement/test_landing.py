"""One swap, whatever the endpoints do with its bytes: drop them, hang, refuse, or answer something else."""

import asyncio
import base64
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from solders.pubkey import Pubkey

from dexexec.clock import SystemClock
from dexexec.domain import base58
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.attempt import PendingAttempt
from dexexec.settlement.settlement import Settlement
from dexexec.settlement.solana.rpc import RpcChain
from dexexec.settlement.solana.rpc.broadcast import SendOptions
from dexexec.venue import Network
from tests.support.localnet.in_process import SOL, run_localnet
from tests.support.localnet.rpc_chains import LONG_TIMEOUTS, RecordingListener, open_chain, signed_transfer
from tests.support.localnet.scripted_node import JsonRpcError, ScriptedNode, scripted_node
from tests.support.scripted import SELL_ONE_SOL
from tests.support.tcp_server import tcp_server
from tests.support.waiting import until


@asynccontextmanager
async def hanging_endpoint() -> AsyncIterator[str]:
    """An endpoint that takes requests and never answers."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with tcp_server(hang) as port:
        yield f"http://127.0.0.1:{port}"


def drop_first(node: ScriptedNode) -> None:
    """The node accepts the next transaction and forgets it; then it passes on what it gets."""
    answers: dict[str, Any] = {}

    def accept(params: Any) -> str:
        del answers["sendTransaction"]
        return base58.encode(base64.b64decode(params[0])[1:65])

    answers["sendTransaction"] = accept
    node.answers = answers


async def test_one_swap_lands_whatever_the_endpoints_do(tmp_path: Path) -> None:
    async with (
        run_localnet(tmp_path) as net,
        scripted_node(net.url) as dropping,
        scripted_node(sendTransaction=lambda _: JsonRpcError(-32002)) as refusing,
        scripted_node(sendTransaction=lambda _: "1" * 64) as lying,
        hanging_endpoint() as hanging,
    ):
        drop_first(dropping)
        sends = SendOptions(urls=[refusing.url, lying.url, hanging])
        chain = RpcChain([dropping.url], SystemClock(), RecordingListener(), LONG_TIMEOUTS, sends=sends)
        async with open_chain(chain):
            wallet = await net.funded()
            await net.advance(2)
            receiver = Pubkey.new_unique()
            signed = replace(await signed_transfer(chain, wallet, receiver, SOL), network=Network.LOCALNET)
            settlement = Settlement({Network.LOCALNET: chain}, {}, SystemClock(), Observer(make_logger("critical")))
            pending = PendingAttempt(signed=signed, request=SELL_ONE_SOL, deadline=math.inf, resumed=False)
            settling = asyncio.create_task(settlement.settle(pending, lambda: True))

            async def settled() -> bool:
                await net.advance(1)
                return settling.done()

            # A block in a while, so that nothing expires before the bytes are sent again.
            await until(settled, pause=0.1)
            result = await settling
            await net.advance(40)
            assert await net.balance(receiver) == SOL, "it landed once"
        found = {str(each["endpoint"]): each for each in result.sends}
        names = [url.removeprefix("http://") for url in (dropping.url, refusing.url, lying.url, hanging)]
        assert [found[name]["answer"] for name in names] == ["accepted", "refused", "other-signature", "no-answer"]
        assert dropping.count("sendTransaction") > 1, "what was dropped is sent again"
        assert found[names[3]]["sends"] == 1, "no second request follows one that hangs"
        assert result.outcome in {"landed", "confirmed"}
