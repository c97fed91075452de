"""A worker's report for /readyz about chains that it cannot reach: only if it reaches none."""

from typing import cast

from dexexec.clock import SystemClock
from dexexec.domain.swap import Blockhash
from dexexec.settlement.reachability import Reachability
from dexexec.venue import Capabilities, Chain, Network, Unreachable
from tests.support.parts import running
from tests.support.scripted import ScriptedChain, ScriptedVenue
from tests.support.waiting import until


class Node:
    """A chain that answers, or does not."""

    def __init__(self) -> None:
        self.up, self.requests = False, 0

    async def blockhash(self) -> Blockhash:
        self.requests += 1
        if not self.up:
            raise Unreachable("refused")
        return Blockhash("hash", 1)


class Ticks(SystemClock):
    """Time passes at once."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(0)


def venues(*networks: str) -> list[ScriptedVenue]:
    found = []
    for network in networks:
        venue = ScriptedVenue(network, SystemClock(), 1, ScriptedChain())
        venue.capabilities = Capabilities(venue.capabilities.modes, venue.capabilities.pairs, network)
        found.append(venue)
    return found


async def test_a_chain_whose_nodes_are_away_is_reported_until_they_are_back() -> None:
    node = Node()
    reachability = Reachability(venues(Network.SOLANA), {Network.SOLANA: cast("Chain", node)}, Ticks())
    assert reachability.trouble() == ""
    async with running(reachability.run()):
        await until(reachability.trouble)
        assert reachability.trouble() == "no node of solana gives a usable answer"
        node.up = True
        await until(lambda: not reachability.trouble())


async def test_one_chain_that_can_be_reached_is_enough() -> None:
    away, here = Node(), Node()
    here.up = True
    chains = {Network.SOLANA: cast("Chain", away), Network.SIMULATED: cast("Chain", here)}
    reachability = Reachability(venues(Network.SOLANA, Network.SIMULATED), chains, Ticks())
    async with running(reachability.run()):
        await until(lambda: away.requests > 2)
        assert reachability.trouble() == ""


async def test_a_chain_that_no_venue_settles_on_does_not_count() -> None:
    away, here = Node(), Node()
    here.up = True
    chains = {Network.SOLANA: cast("Chain", away), Network.SIMULATED: cast("Chain", here)}
    reachability = Reachability(venues(Network.SOLANA), chains, Ticks())
    async with running(reachability.run()):
        await until(reachability.trouble)
        assert here.requests == 0
