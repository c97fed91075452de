"""Chains over RPC nodes for tests: a listener that records, and transactions to send."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dexexec.clock import SystemClock
from dexexec.domain.pace import Finality
from dexexec.domain.swap import Blockhash, SignedSwap
from dexexec.settlement.solana.rpc import RpcChain
from dexexec.settlement.solana.rpc.node_pool import NodePoolOptions
from dexexec.venue import Chain
from tests.support.localnet.in_process import pay, sign
from tests.support.parts import running

C = TypeVar("C", bound=RpcChain)
LONG_TIMEOUTS = NodePoolOptions(timeout=10.0, grace=0.5)
SHORT_TIMEOUTS = NodePoolOptions(timeout=2.0, grace=0.1)


@dataclass
class RecordingListener:
    """Records what an operator would be shown of the nodes; `finalities` has what they showed of the cluster."""

    lines: list[tuple[str, ...]] = field(default_factory=list)
    finalities: list[Finality] = field(default_factory=list)

    def node_failed(self, node: str, why: str) -> None:
        self.lines.append(("failed", node, why))

    def node_rate_limited(self, node: str, why: str) -> None:
        self.lines.append(("rate limited", node, why))

    def node_lagging(self, node: str, blocks: int) -> None:
        self.lines.append(("lags", node, str(blocks)))

    def node_recovered(self, node: str) -> None:
        self.lines.append(("recovered", node))

    def finality_learned(self, finality: Finality) -> None:
        self.finalities.append(finality)

    def node_websocket_failed(self, node: str, why: str) -> None:
        self.lines.append(("socket failed", node, why))

    def node_websocket_recovered(self, node: str) -> None:
        self.lines.append(("socket recovered", node))

    @property
    def kinds(self) -> list[str]:
        """What happened, without the nodes."""
        return [kind for kind, *_ in self.lines]


def rpc_chain(
    *urls: str, listener: RecordingListener | None = None, timeouts: NodePoolOptions = LONG_TIMEOUTS
) -> RpcChain:
    """A chain over nodes."""
    return RpcChain(urls, SystemClock(), listener or RecordingListener(), timeouts)


def timeouts_for(answer: str) -> NodePoolOptions:
    """Short time limits where a test waits for them to pass; otherwise long ones, since the machine may be busy."""
    return SHORT_TIMEOUTS if answer in {"hang", "429"} else LONG_TIMEOUTS


@asynccontextmanager
async def open_chain(chain: C) -> AsyncIterator[C]:
    """Runs a chain for the duration of the block."""
    try:
        async with running(chain.run()):
            yield chain
    finally:
        await chain.aclose()


def sign_swap(steps: Sequence[Instruction], *signers: Keypair, blockhash: Blockhash) -> SignedSwap:
    """A signed transaction in the form that settlement uses; the first signer pays."""
    transaction = sign(steps, *signers, blockhash=Hash.from_string(blockhash.hash))
    return SignedSwap(
        signature=str(transaction.signatures[0]),
        payload=bytes(transaction),
        last_valid_height=blockhash.last_valid_height,
    )


async def signed_transfer(chain: Chain, wallet: Keypair, to: Pubkey, lamports: int) -> SignedSwap:
    """A transfer with the chain's newest blockhash, not sent."""
    return sign_swap([pay(wallet, to, lamports)], wallet, blockhash=await chain.blockhash())


def wrong_answers(answer: str, *methods: str, requests: int = 1000, execute: bool = False) -> list[dict[str, Any]]:
    """The fault `answers` with one entry."""
    return [{"answer": answer, "methods": list(methods), "requests": requests, "execute": execute}]
