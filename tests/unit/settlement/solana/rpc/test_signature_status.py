"""Looking up many signatures at once: what one of them lacks keeps no other from its answer."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from dexexec.domain import base58
from dexexec.domain.network_cost import NetworkCost
from dexexec.domain.swap import Landed, Unavailable
from dexexec.settlement.solana.rpc import signature_status
from dexexec.settlement.solana.rpc.decode.statuses import ReportedStatus
from dexexec.settlement.solana.rpc.decode.transactions import ExecutedTransaction
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_pool import NodePool
from dexexec.settlement.solana.rpc.signature_status import SignatureStatuses
from dexexec.settlement.solana.rpc.status_quorum import FINALIZED, Found, LookupResult
from tests.support.parts import running

SIGNATURES = [base58.encode(bytes([n]) * 64) for n in (1, 2, 3)]
SLOT = 7
COST = NetworkCost(base_fee=5_000, rent_paid=2_039_280)


class HangingNodes:
    """None of them answers what the second transaction did."""

    async def call(self, question: Any, first: Node | None = None) -> ExecutedTransaction:
        """The first node that answers."""
        if question.params[0] == SIGNATURES[1]:
            await asyncio.Event().wait()
        return ExecutedTransaction(SLOT, 5_000, {}, None, COST)


class FinalStatuses(SignatureStatuses):
    """Where all signatures are known as final."""

    async def _look_up(self, signatures: list[str], *, history: bool) -> Sequence[LookupResult]:  # type: ignore[override]
        node = Node("http://node.example", "node", 1.0)
        return [Found(node=node, status=ReportedStatus(SLOT, FINALIZED, False), final=True) for _ in signatures]


async def test_a_transaction_that_no_node_returns_delays_no_other_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature_status, "FETCH_SECONDS", 0.01)
    statuses = FinalStatuses(cast("NodePool", HangingNodes()))
    async with running(statuses.run()), asyncio.timeout(30):
        first, hangs, last = await statuses.status(SIGNATURES, history=False)
    assert first == last == Landed({}, 5_000, SLOT, finalized=True, cost=COST)
    assert isinstance(hangs, Unavailable)
