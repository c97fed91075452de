"""`SolanaChain` over JSON-RPC: what pipeline and settlement ask for, sent to whichever node is good."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from dexexec.clock import Clock
from dexexec.concurrency.batcher import Batcher
from dexexec.domain.solana import AccountFilters, Accounts, ProgramAccounts, Simulation, TokenBalance
from dexexec.domain.swap import Blockhash, SignedSwap, SubmitAnswer, SwapStatus
from dexexec.domain.wallet_history import HistoryEntry, KeptTransaction, NodeHistory
from dexexec.settlement.solana.message import TOKEN_PROGRAMS
from dexexec.settlement.solana.rpc import methods, submit, wallet_history
from dexexec.settlement.solana.rpc.account_batching import AccountBatcher
from dexexec.settlement.solana.rpc.node import Node, NodeRefusedError, NodeUnavailableError, node_names
from dexexec.settlement.solana.rpc.node_pool import NodePool, NodePoolOptions
from dexexec.settlement.solana.rpc.node_reports import NodeListener
from dexexec.settlement.solana.rpc.request_budget import RequestBudget
from dexexec.settlement.solana.rpc.signature_notifications import SignatureNotifications
from dexexec.settlement.solana.rpc.signature_status import SignatureStatuses
from dexexec.venue import BadAnswer

T = TypeVar("T")


class RpcChain:
    """The chain behind one or several nodes of it, `urls` in order of preference. Works while `run` runs.

    `requests_per_second` to all of them together; unset, as often as each is known to allow. Raises `ValueError` for an
    address that is none, naming its place in the list.
    """

    def __init__(
        self,
        urls: Sequence[str],
        clock: Clock,
        listener: NodeListener,
        patience: NodePoolOptions | None = None,
        *,
        requests_per_second: float | None = None,
    ) -> None:
        if not urls:
            raise ValueError("give at least one node")
        self._patience = patience or NodePoolOptions()
        names = node_names(list(urls))
        found = [Node(url, name, self._patience.timeout) for url, name in zip(urls, names, strict=True)]
        self._nodes = NodePool(found, clock, listener, self._patience, RequestBudget(clock, requests_per_second))
        self._statuses = SignatureStatuses(self._nodes)
        self._notifications = SignatureNotifications(lambda: self._nodes.order, clock, listener, self._patience.timeout)
        self._account_batcher = AccountBatcher(self._fresh_accounts)
        self._blockhashes: Batcher[None, Blockhash] = Batcher(self._newest_blockhash)

    async def run(self) -> None:
        """Ask for what has come together, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._statuses.run())
            group.create_task(self._blockhashes.run())
            group.create_task(self._notifications.run())

    async def aclose(self) -> None:
        """Close all connections."""
        await self._account_batcher.aclose()
        await self._nodes.aclose()

    async def blockhash(self) -> Blockhash:
        """As `Chain`, of a node that is not behind. Those who ask while a request runs share the next one."""
        return await self._blockhashes.put(None)

    async def submit(self, signed: SignedSwap) -> SubmitAnswer:
        """As `Chain`."""
        return await submit.submit(self._nodes, signed, self._patience.grace)

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        """As `Chain`. What many ask for at once is one request."""
        return await self._statuses.status(signatures, history=history)

    async def wait_for_notification(self, signature: str, seconds: float) -> None:
        """As `NotifyingChain`, over a WebSocket. Where there is none, after the pauses of who has no news."""
        await self._notifications.wait(signature, seconds)

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """As `SolanaChain`, of a node that is not behind. What several ask for at once is one request, if it fits."""
        return await _usable(self._account_batcher.accounts(addresses))

    async def program_accounts(self, program: str, filters: AccountFilters) -> ProgramAccounts:
        """As `SolanaChain`."""
        return await _usable(self._nodes.call(methods.program_accounts(program, filters)))

    async def token_accounts(self, owner: str) -> list[TokenBalance]:
        """All that `owner` holds of tokens, of both token programs, as confirmed; by mint. Raises `VenueError`."""
        asked = (self._nodes.call(methods.token_balances(owner, program)) for program in sorted(TOKEN_PROGRAMS))
        found = await _usable(asyncio.gather(*asked))
        return sorted((one for part in found for one in part), key=lambda one: (one.mint, one.address))

    async def recent_priority_fees(self, addresses: Sequence[str]) -> list[int]:
        """Of recent slots, the newest last: the least that a transaction paid for a compute unit, in millionths of a
        lamport, and wrote to all of `addresses` (at most 128, else `ValueError`). Raises `VenueError`."""
        return await _usable(self._nodes.call(methods.recent_priority_fees(addresses)))

    async def simulate(self, transaction: bytes, watched: Sequence[str]) -> Simulation:
        """As `SolanaChain`. Raises `ValueError` for bytes that are no transaction."""
        return await _usable(self._nodes.simulate(methods.simulation(transaction, watched)))

    async def genesis_hash(self) -> str:
        """Which chain it is. From then on a node counts only once it has shown to be of that one, too. Raises
        `VenueError`, also when the nodes that answer are not of one chain."""
        answers = await _usable(self._nodes.everywhere(methods.GENESIS_HASH))
        if len({genesis for _, genesis in answers}) > 1:
            told = ", ".join(f"{node.name}: {genesis}" for node, genesis in answers)
            raise BadAnswer(f"the nodes are of different chains, by their genesis hashes ({told})", shared=True)
        genesis = answers[0][1]
        self._nodes.is_of(genesis, [node for node, _ in answers])
        return genesis

    async def heights(self) -> dict[str, int]:
        """As `WalletHistory`."""
        return await _usable(wallet_history.heights(self._nodes))

    async def newest_signatures(self, wallet: str) -> list[HistoryEntry] | None:
        """As `WalletHistory`."""
        return await _usable(wallet_history.newest(self._nodes, wallet))

    async def wallet_history(self, wallet: str, since: int) -> list[NodeHistory]:
        """As `WalletHistory`."""
        return await _usable(wallet_history.wallet_history(self._nodes, wallet, since))

    async def kept_transaction(self, signature: str) -> KeptTransaction | None:
        """As `WalletHistory`."""
        return await _usable(wallet_history.kept_transaction(self._nodes, signature))

    async def _fresh_accounts(self, addresses: Sequence[str]) -> Accounts:
        return await self._nodes.call(methods.accounts(addresses), fresh=True)

    async def _newest_blockhash(self, waiting: list[None]) -> list[Blockhash]:
        found = await _usable(self._nodes.blockhash())
        return [found for _ in waiting]


class Localnet(RpcChain):
    """A chain whose coins are free."""

    async def fund(self, owner: str, mint: str, decimals: int, amount: int) -> None:
        """As `Faucet`. It is there at once, and confirmed two blocks later."""
        await _usable(self._nodes.call(methods.fund(owner, mint, decimals, amount)))


async def _usable(answer: Awaitable[T]) -> T:
    """The answer, or the `VenueError` that says why there is none: `shared` unless the question itself is refused."""
    try:
        return await answer
    except NodeUnavailableError as error:
        raise error.kind(str(error), shared=True) from None
    except NodeRefusedError as error:
        raise BadAnswer(str(error)) from None
