"""`SolanaChain` over JSON-RPC: the chain that the pipeline, settlement and recovery use, over a pool of nodes."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from dexexec.clock import Clock
from dexexec.concurrency.batcher import Batcher
from dexexec.domain.pace import Pace
from dexexec.domain.rent import Rent
from dexexec.domain.sends import SendLog
from dexexec.domain.solana import AccountFilters, Accounts, ProgramAccounts, Simulation, TokenBalance
from dexexec.domain.swap import Blockhash, SignedSwap, SubmitAnswer, SwapStatus
from dexexec.domain.wallet_history import HistoryEntry, KeptTransaction, NodeHistory
from dexexec.settlement.solana.message import TOKEN_PROGRAMS, Program, memo
from dexexec.settlement.solana.rpc import methods, wallet_history
from dexexec.settlement.solana.rpc.account_batching import AccountBatcher
from dexexec.settlement.solana.rpc.account_feed import AccountFeed
from dexexec.settlement.solana.rpc.account_subscriptions import AccountListener
from dexexec.settlement.solana.rpc.broadcast import Broadcaster, SendOptions
from dexexec.settlement.solana.rpc.consensus import ConsensusSurvey
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_errors import NodeRefusedError, NodeUnavailableError
from dexexec.settlement.solana.rpc.node_pool import NodePool, NodePoolOptions
from dexexec.settlement.solana.rpc.node_reports import NodeListener, NodeReports
from dexexec.settlement.solana.rpc.node_urls import node_names
from dexexec.settlement.solana.rpc.program_subscriptions import ProgramSubscriptions
from dexexec.settlement.solana.rpc.request_budget import RequestBudget
from dexexec.settlement.solana.rpc.request_meter import RequestMeter
from dexexec.settlement.solana.rpc.send_endpoints import send_only_endpoints
from dexexec.settlement.solana.rpc.signature_notifications import SignatureNotifications
from dexexec.settlement.solana.rpc.signature_status import SignatureStatuses
from dexexec.settlement.solana.rpc.signature_subscriptions import SignatureSubscriptions
from dexexec.settlement.solana.rpc.subscription_socket import SubscriptionSocket
from dexexec.settlement.solana.transaction import compile_message
from dexexec.venue import BadAnswer, ProgramWatch

T = TypeVar("T")


class RpcChain:
    """The chain behind one or several nodes, `urls` in order of preference. Works while `run` runs.

    `requests_per_second` limits all nodes together; without it only their known limits apply. Raises `ValueError` for
    an invalid URL, naming its place in the list.
    """

    def __init__(
        self,
        urls: Sequence[str],
        clock: Clock,
        listener: NodeListener,
        options: NodePoolOptions | None = None,
        *,
        requests_per_second: float | None = None,
        meter: RequestMeter | None = None,
        sends: SendOptions | None = None,
    ) -> None:
        if not urls:
            raise ValueError("give at least one node")
        self._options = options or NodePoolOptions()
        self._clock = clock
        self._listener = listener
        names = node_names(list(urls))
        nodes = [Node(url, name, self._options.timeout) for url, name in zip(urls, names, strict=True)]
        self._budget = RequestBudget(clock, requests_per_second)
        self._nodes = NodePool(nodes, clock, listener, self._options, self._budget, meter=meter)
        self._statuses = SignatureStatuses(self._nodes)
        commitment = self._nodes.commitments.name
        subscriptions = SignatureSubscriptions(clock, commitment, lambda: self.pace.slot_seconds)
        self._notifications = SignatureNotifications(
            subscriptions, lambda: self._nodes.order, clock, listener, self._options.timeout
        )
        self._programs = ProgramSubscriptions(clock, commitment)
        self._program_socket = SubscriptionSocket(
            self._programs, lambda: self._nodes.order, clock, listener, self._options.timeout
        )
        self._consensus = ConsensusSurvey(self._nodes, clock)
        reports = NodeReports(listener)
        self._send_only = send_only_endpoints(
            (sends or SendOptions()).urls,
            names_of_nodes=names,
            clock=clock,
            reports=reports,
            timeout=self._options.timeout,
            meter=meter,
        )
        endpoints = {node: self._nodes.send_endpoint(node, reports) for node in nodes}
        self._broadcaster = Broadcaster(
            lambda: [*(endpoints[node] for node in self._nodes.order), *self._send_only],
            clock,
            sends or SendOptions(),
            slot=lambda: self._nodes.slot_now(self.pace),
            slot_seconds=lambda: self.pace.slot_seconds,
            timeout=self._options.timeout,
        )
        self._account_batcher = AccountBatcher(self._fresh_accounts)
        self._blockhashes: Batcher[None, Blockhash] = Batcher(self._newest_blockhash)

    @property
    def pace(self) -> Pace:
        """As `PacedChain`, from all answers of all nodes."""
        timer = self._nodes.timer
        return Pace(timer.slot_seconds, self._consensus.finality, timer.measured)

    async def learn_finality(self) -> None:
        """Finds out now when a confirmed block is final. Never raises: it stays unknown then."""
        await self._consensus.survey()

    async def follow_finality(self) -> None:
        """Finds it out again and again, until cancelled: a cluster may change while this runs."""
        await self._consensus.run()

    def node_lags(self) -> dict[str, int]:
        """The slots by which each node is behind, by its name, for nodes that answered lately."""
        return self._nodes.lags()

    def budget_left(self) -> dict[str, float]:
        """The requests that each budget allows at once now, by its name."""
        return self._budget.left()

    async def run(self) -> None:
        """Sends batched requests and keeps the WebSockets, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._statuses.run())
            group.create_task(self._blockhashes.run())
            group.create_task(self._notifications.run())
            group.create_task(self._program_socket.run())

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._broadcaster.aclose()
        for endpoint in self._send_only:
            await endpoint.aclose()
        await self._account_batcher.aclose()
        await self._nodes.aclose()

    async def blockhash(self) -> Blockhash:
        """As `Chain`, from a node that does not lag. Callers that wait while a request runs share the next one."""
        return await self._blockhashes.put(None)

    async def submit(self, signed: SignedSwap) -> SubmitAnswer:
        """As `Chain`, to all endpoints. Waits for the first one that accepts."""
        return await self._broadcaster.send(signed, SendLog(), patient=True)

    async def broadcast(self, signed: SignedSwap, log: SendLog) -> SubmitAnswer:
        """As `BroadcastingChain`."""
        return await self._broadcaster.send(signed, log)

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        """As `Chain`. Concurrent lookups share one request."""
        return await self._statuses.status(signatures, history=history)

    async def wait_for_notification(self, signature: str, seconds: float) -> None:
        """As `NotifyingChain`, over a WebSocket. Without one, after the pauses of a chain without notifications."""
        await self._notifications.wait(signature, seconds)

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """As `SolanaChain`, from a node that does not lag. Concurrent reads share one request if they fit."""
        return await _as_venue_error(self._account_batcher.accounts(addresses))

    @property
    def node_count(self) -> int:
        """How many nodes there are."""
        return len(self._nodes.order)

    async def accounts_everywhere(self, addresses: Sequence[str]) -> dict[str, Accounts]:
        """The accounts as each node shows them, by its name, of all nodes that answer. For what no single node is
        believed. Raises `VenueError`."""
        answers = await _as_venue_error(self._nodes.everywhere(methods.accounts(addresses)))
        return {node.name: found for node, found in answers}

    async def account_heads(self, addresses: Sequence[str], size: int) -> Accounts:
        """The accounts with the first `size` bytes of their data only. Raises `VenueError`."""
        return await _as_venue_error(self._nodes.call(methods.accounts(addresses, size), fresh=True))

    async def rent(self) -> Rent:
        """The cluster's rent. Raises `VenueError`."""
        return await _as_venue_error(self._nodes.call(methods.RENT))

    def account_feed(self, listener: AccountListener) -> AccountFeed:
        """A feed of accounts for `listener`, over a WebSocket of its own. The caller runs it."""
        return AccountFeed(self._nodes, listener, self._clock, self._listener, self._options.timeout)

    async def signature_fee(self) -> int | None:
        """What the cluster charges per signature, in lamports; None if the node does not know. Raises `VenueError`."""
        blockhash = await self.blockhash()
        # Its text makes no difference, and no key signs it: only its one signer counts.
        message = compile_message(Program.SYSTEM, (memo("fee"),), blockhash.hash)
        return await _as_venue_error(self._nodes.call(methods.signature_fee(message)))

    async def program_accounts(self, program: str, filters: AccountFilters) -> ProgramAccounts:
        """As `SolanaChain`."""
        return await _as_venue_error(self._nodes.call(methods.program_accounts(program, filters)))

    def watch_program(self, program: str, filters: Sequence[AccountFilters]) -> ProgramWatch:
        """As `ProgramWatchingChain`, over a WebSocket."""
        return self._programs.watch(program, filters)

    async def token_accounts(self, owner: str) -> list[TokenBalance]:
        """The confirmed token balances of `owner`, of both token programs, sorted by mint. Raises `VenueError`."""
        calls = (self._nodes.call(methods.token_balances(owner, program)) for program in sorted(TOKEN_PROGRAMS))
        by_program = await _as_venue_error(asyncio.gather(*calls))
        balances = (balance for balances in by_program for balance in balances)
        return sorted(balances, key=lambda balance: (balance.mint, balance.address))

    async def recent_priority_fees(self, addresses: Sequence[str]) -> list[int]:
        """For each recent slot, newest last: the lowest price per compute unit, in millionths of a lamport, of the
        transactions that wrote to all of `addresses` (at most 128, else `ValueError`). Raises `VenueError`."""
        return await _as_venue_error(self._nodes.call(methods.recent_priority_fees(addresses)))

    async def simulate(self, transaction: bytes, watched: Sequence[str]) -> Simulation:
        """As `SolanaChain`. Raises `ValueError` for bytes that are not a transaction."""
        return await _as_venue_error(self._nodes.simulate(methods.simulation(transaction, watched)))

    async def genesis_hash(self) -> str:
        """The chain's genesis hash. From then on a node is used only after it has shown the same one. Raises
        `VenueError`, also if the nodes that answer are of different chains."""
        answers = await _as_venue_error(self._nodes.everywhere(methods.GENESIS_HASH))
        if len({genesis for _, genesis in answers}) > 1:
            hashes = ", ".join(f"{node.name}: {genesis}" for node, genesis in answers)
            raise BadAnswer(f"the nodes are of different chains, by their genesis hashes ({hashes})", shared=True)
        genesis = answers[0][1]
        self._nodes.expect_genesis(genesis, [node for node, _ in answers])
        return genesis

    async def heights(self) -> dict[str, int]:
        """As `WalletHistory`."""
        return await _as_venue_error(wallet_history.heights(self._nodes))

    async def newest_signatures(self, wallet: str) -> list[HistoryEntry] | None:
        """As `WalletHistory`."""
        return await _as_venue_error(wallet_history.newest(self._nodes, wallet))

    async def wallet_history(self, wallet: str, since: int) -> list[NodeHistory]:
        """As `WalletHistory`."""
        return await _as_venue_error(wallet_history.wallet_history(self._nodes, wallet, since))

    async def kept_transaction(self, signature: str) -> KeptTransaction | None:
        """As `WalletHistory`."""
        return await _as_venue_error(wallet_history.kept_transaction(self._nodes, signature))

    async def _fresh_accounts(self, addresses: Sequence[str]) -> Accounts:
        return await self._nodes.call(methods.accounts(addresses), fresh=True)

    async def _newest_blockhash(self, callers: list[None]) -> list[Blockhash]:
        blockhash = await _as_venue_error(self._nodes.blockhash())
        return [blockhash for _ in callers]


class Localnet(RpcChain):
    """A chain whose coins are free."""

    async def fund(self, owner: str, mint: str, decimals: int, amount: int) -> None:
        """As `Faucet`. The coins are there at once, and confirmed two blocks later."""
        await _as_venue_error(self._nodes.call(methods.fund(owner, mint, decimals, amount)))


async def _as_venue_error(answer: Awaitable[T]) -> T:
    """The answer. Turns a node's error into a `VenueError`, which is `shared` unless the request itself is wrong."""
    # `from None`: the node's error must not carry its URL into a traceback.
    try:
        return await answer
    except NodeUnavailableError as error:
        raise error.kind(str(error), shared=True) from None
    except NodeRefusedError as error:
        raise BadAnswer(str(error)) from None
