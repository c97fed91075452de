"""Finds out from the nodes when a block of their cluster is final, at the start and again and again while this runs.

The answer proves nothing about a swap: what is final is decided by the statuses of all nodes (`status_quorum`). It only
decides what is waited for. A false one costs a delay, and never makes anything final.
"""

import asyncio
from collections.abc import Iterable

from dexexec.clock import Clock
from dexexec.domain.pace import Finality
from dexexec.settlement.solana.rpc import methods
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_errors import (
    MethodUnsupportedError,
    NodeRefusedError,
    NodeUnavailableError,
)
from dexexec.settlement.solana.rpc.node_pool import NodePool

KNOWN_SECONDS = 60.0
"""Seconds between two surveys: a cluster may change its consensus while this runs."""
UNANSWERED_SECONDS = 5.0
"""Seconds until the next survey while no node has answered at all."""
LARGEST_GAP = 16
"""Slots by which the finalized block may be behind the newest one where confirmed is final. It is one or two there, and
32 elsewhere, so a node that has a certificate and a larger gap is not believed."""


class ConsensusSurvey:
    """The consensus of the cluster of `nodes`."""

    def __init__(self, nodes: NodePool, clock: Clock) -> None:
        self._nodes = nodes
        self._clock = clock
        self._answers: dict[Node, Finality | None] = {}
        self._reported: Finality | None = None
        self._surveyed_at = float("-inf")

    @property
    def finality(self) -> Finality:
        """When a confirmed block is final, as far as the nodes agree on it."""
        return agreed(self._answers.values())

    async def run(self) -> None:
        """Surveys the nodes, until cancelled."""
        while True:
            if not self._answers or self._clock.monotonic() - self._surveyed_at >= KNOWN_SECONDS:
                await self.survey()
            await self._clock.sleep(KNOWN_SECONDS if self._answers else UNANSWERED_SECONDS)

    async def survey(self) -> None:
        """Calls all nodes once. Never raises: a node that gives no answer keeps its last one."""
        self._surveyed_at = self._clock.monotonic()
        await asyncio.gather(*(self._ask(node) for node in self._nodes.order))
        self._nodes.commitments.learned(self.finality)
        answered = any(self._answers.values())
        if answered and self.finality is not self._reported:
            self._reported = self.finality
            self._nodes.reports.consensus(self.finality)

    async def _ask(self, node: Node) -> None:
        try:
            answer = await self._finality(node)
        except MethodUnsupportedError:
            # The node is older than the method, or its provider does not offer it: that is no answer, not "no".
            self._answers[node] = None
        except (NodeUnavailableError, NodeRefusedError):
            return
        else:
            self._answers[node] = answer

    async def _finality(self, node: Node) -> Finality:
        migrated_at = await self._nodes.call_node(node, methods.GENESIS_CERTIFICATE)
        if migrated_at is None:
            return Finality.DELAYED
        finalized = await self._nodes.call_node(node, methods.FINALIZED_SLOT)
        newest = await self._nodes.call_node(node, methods.NEWEST_SLOT)
        # A certificate of a block that is not final yet decides nothing yet.
        as_claimed = migrated_at <= finalized and newest - finalized <= LARGEST_GAP
        return Finality.IMMEDIATE if as_claimed else Finality.DELAYED


def agreed(answers: Iterable[Finality | None]) -> Finality:
    """What several nodes' answers mean together: immediate only if at least one has that and none contradicts. None is
    no answer."""
    distinct = set(answers) - {None}
    return Finality.IMMEDIATE if distinct == {Finality.IMMEDIATE} else Finality.DELAYED
