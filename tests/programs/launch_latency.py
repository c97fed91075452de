"""Measures the time from the launch of a pool to the first send of a sniper's swap, on the real programs.

All snipers wait before the first launch, so every launch happens while all other pairs are watched. A launch is the
moment at which its transaction has landed, the first send the one at which the localnet gets the swap's bytes.
"""

import argparse
import asyncio
import base64
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Processed
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction

from dexexec.domain.percentile import percentile
from tests.programs import dumps
from tests.programs.launching import fund_creator, launch_on_meteora, launch_on_raydium
from tests.programs.service import followed, read, service_on_programs, serving
from tests.support.localnet.scripted_node import forward_websocket, scripted_node
from tests.support.service.process import say

LAUNCHERS = {"raydium": launch_on_raydium, "meteora": launch_on_meteora}
SLOT_MS = 200
"""Slots of mainnet-beta since autumn 2026."""
SETTLED_SECONDS = 3.0
"""Until every pair is watched: some turns of the leader."""


class TimedRequests(list[tuple[str, Any]]):
    """The requests of a node, with the moment of the first send of each signature (monotonic seconds)."""

    def __init__(self) -> None:
        super().__init__()
        self.sends: dict[str, float] = {}

    def append(self, request: tuple[str, Any]) -> None:
        """Keep the moment of a send, and nothing else."""
        method, params = request
        if method == "sendTransaction":
            signed = VersionedTransaction.from_bytes(base64.b64decode(params[0]))
            self.sends.setdefault(str(signed.signatures[0]), time.monotonic())


@dataclass(kw_only=True)
class Latencies:
    """What was measured: seconds, by launch."""

    to_send: list[float] = field(default_factory=list)
    sends: int = 0
    confirmed: int = 0

    def lines(self) -> list[str]:
        """For people."""
        ms = sorted(round(seconds * 1000) for seconds in self.to_send)
        figures = f"p50 {percentile(ms, 0.5)} ms, p99 {percentile(ms, 0.99)} ms, max {ms[-1]} ms"
        counts = f"{len(ms)} launches, {self.confirmed} confirmed, {self.sends} transactions sent"
        return [f"launch -> first send: {figures}", counts]


async def measure(launches: int, venue: str, pause: float, slot_ms: int, folder: Path) -> Latencies:
    """Let `launches` snipers wait for a pool each, and launch one after the other."""
    async with service_on_programs({}, folder, 1, slot_ms=slot_ms) as on, scripted_node(on.url) as node:
        requests = TimedRequests()
        node.requests = requests
        node.on_message = forward_websocket(on.url)
        wallet = await on.trader()
        creator = Keypair()
        mints = [str(Keypair().pubkey()) for _ in range(launches)]
        for mint in mints:
            await fund_creator(on.url, creator.pubkey(), mint)
        settings = {"DEXEXEC_LOCALNET_URL": node.url, "DEXEXEC_ADAPTERS": "raydium,meteora"}
        async with serving(on, wallet, **settings) as (url, calls), AsyncClient(on.url, commitment=Processed) as client:
            order_ids = []
            for mint in mints:
                body = {"type": "sniper", "mint": mint, "amount": "0.01", "conditions": {"venues": [venue]}}
                answer = await calls.post(url, body)
                assert answer.status == 202, answer
                order_ids.append(str(answer.body["orderId"]))
            await asyncio.sleep(SETTLED_SECONDS)
            landed: list[float] = []
            for mint in mints:
                await LAUNCHERS[venue](client, creator, mint)
                landed.append(time.monotonic())
                await asyncio.sleep(pause)
            await followed(url, order_ids, "confirmed", seconds=120)
            orders = await read(calls, url, order_ids)
        found = Latencies(sends=len(requests.sends))
        for order, moment in zip(orders, landed, strict=True):
            found.confirmed += order["status"] == "confirmed"
            first = min((requests.sends[one["txHash"]] for one in order["attempts"]), default=None)
            assert first is not None, order
            found.to_send.append(first - moment)
        return found


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launches", type=int, default=200)
    parser.add_argument("--venue", choices=sorted(LAUNCHERS), default="raydium")
    parser.add_argument("--pause", type=float, default=0.25, help="seconds between two launches")
    parser.add_argument("--slot-ms", type=int, default=SLOT_MS)
    options = parser.parse_args()
    if dumps.missing(*dumps.MARKET):
        parser.error(dumps.missing(*dumps.MARKET))
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(options.launches, options.venue, options.pause, options.slot_ms, Path(folder)))
    say("\n".join([f"{options.venue}, slots of {options.slot_ms} ms", *found.lines()]))


if __name__ == "__main__":
    main()
