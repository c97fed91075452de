"""Watches the accounts that orders need, and answers reads of them from memory where that is as good as a node.

Each account is subscribed, then read in full, and read again before it was unconfirmed for too long. Whatever shows
that notifications are missing or false makes accounts cold until they are read again; a cold one is read from a node.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from dexexec.clock import Clock
from dexexec.domain.pace import Pace
from dexexec.domain.solana import Account, Accounts
from dexexec.settlement.solana.rpc.account_feed import AccountFeed
from dexexec.settlement.solana.rpc.account_subscriptions import AccountListener
from dexexec.settlement.solana.rpc.event_wait import wait_for_event
from dexexec.settlement.solana.rpc.methods import MAX_ACCOUNTS
from dexexec.settlement.solana.rpc.node_errors import NodeRefusedError, NodeUnavailableError
from dexexec.settlement.solana.warm.account_cache import AccountCache, CacheLimits, Cold
from dexexec.settlement.solana.warm.recent_reads import RecentReads
from dexexec.settlement.solana.warm.report import WarmPool, WarmReport
from dexexec.settlement.solana.warm.slot_stream import StreamGapError
from dexexec.settlement.solana.warm.watched import WatchedAccounts

CLOCK = "SysvarC1ock11111111111111111111111111111111"
_CLOCK_SLOT_BYTES = 8
"""The Clock sysvar begins with its slot."""
UPKEEP_SECONDS = 0.2
"""Between two looks at what has to be done."""
MAX_GAPS = 3
GAPS_SECONDS = 60.0
"""A node with so many gaps in that time is left for another one."""
MAX_BYTES = 64 * 1024 * 1024
"""With so many bytes in memory nothing more is watched."""


class WatchedChain(Protocol):
    """What the watch needs of the chain behind the nodes."""

    @property
    def pace(self) -> Pace:
        """As `PacedChain`."""

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """As `SolanaChain`."""

    def account_feed(self, listener: AccountListener) -> AccountFeed:
        """As `RpcChain`."""


class WatchListener(Protocol):
    """Receives what an operator should see."""

    def warm_state_interrupted(self, node: str, why: str) -> None:
        """Accounts in memory are not used until they are read again."""

    def warm_state_recovered(self, node: str) -> None:
        """Accounts are answered from memory again."""

    def account_subscription_refused(self, node: str, why: str) -> None:
        """The node does not subscribe as many accounts as are needed: the others are read for each order."""

    def accounts_read(self, *, from_memory: bool) -> None:
        """An order read a set of accounts."""


def no_price(addresses: Sequence[str]) -> None:
    """Nothing is paid for priority."""


class AccountWatch:
    """The watched accounts of `chain`, at most `limit`. What was not confirmed for `stale_slots` is cold.

    `expect_price` is called with the accounts that a cold order may write to.
    """

    def __init__(
        self,
        chain: WatchedChain,
        clock: Clock,
        listener: WatchListener,
        *,
        limit: int,
        stale_slots: int,
        expect_price: Callable[[Sequence[str]], None] = no_price,
    ) -> None:
        self._chain = chain
        self._clock = clock
        self._listener = listener
        self._stale_slots = stale_slots
        self._expect_price = expect_price
        self._cache = AccountCache()
        self._watched = WatchedAccounts(limit)
        self._watched.pin("clock", [CLOCK], clock.monotonic())
        self._feed = chain.account_feed(self)
        self._recent = RecentReads()
        self._work = asyncio.Event()
        self._refused = ""
        self._interrupted = False
        self._gaps: deque[float] = deque(maxlen=MAX_GAPS)
        self._gap_count = 0
        self._last_gap = ""
        self._connected_at: float | None = None
        self._from_memory = 0
        self._from_node = 0

    # ---- reads for orders ----

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """As `SolanaChain`: from memory if all accounts are warm; otherwise from a node, and watched from then on."""
        now = self._clock.monotonic()
        found = self.recall(addresses)
        if found is not None:
            self._from_memory += 1
            self._listener.accounts_read(from_memory=True)
            return found
        along = self._recent.along(now)
        wanted = list(dict.fromkeys((*addresses, *along)))
        if len(wanted) > MAX_ACCOUNTS:
            wanted, along = list(addresses), []
        answer = await self._chain.accounts(wanted)
        self._from_node += 1
        self._listener.accounts_read(from_memory=False)
        self._admit(wanted, answer)
        if along:
            self._recent.add(wanted, answer, self._clock.monotonic())
        by_address = dict(zip(wanted, answer.found, strict=True))
        return Accounts(answer.slot, tuple(by_address[address] for address in addresses))

    def expect(self, addresses: Sequence[str]) -> None:
        """An order that begins now will need these accounts. If it has to read others, these are read along."""
        # Also those that are warm: a cold pool can be traded on here only if all accounts are of one answer.
        self._recent.expect(addresses, self._clock.monotonic())

    async def read_ahead(
        self, addresses: Sequence[str], along: Sequence[str] = (), written: Sequence[str] = ()
    ) -> None:
        """As `ReadingAheadChain`. The answer serves for a moment, and only what is then used is watched."""
        if self.snapshot(addresses) is not None:
            return
        self._expect_price(written)
        now = self._clock.monotonic()
        wanted = list(dict.fromkeys((*addresses, *self._recent.along(now), *along)))[:MAX_ACCOUNTS]
        # Another order may have read the same just now, but for another wallet.
        if self._recent.find(wanted, now, self._chain.pace.slot_seconds) is not None:
            return
        answer = await self._chain.accounts(wanted)
        self._from_node += 1
        self._listener.accounts_read(from_memory=False)
        self._recent.add(wanted, answer, self._clock.monotonic())

    def snapshot(self, addresses: Sequence[str]) -> Accounts | None:
        """The accounts as of one complete slot; None if one of them is cold."""
        found = self._cache.snapshot(addresses, self._clock.monotonic(), self._limits())
        return None if isinstance(found, Cold) else found

    def recall(self, addresses: Sequence[str]) -> Accounts | None:
        """As `snapshot`, for an order: the accounts stay watched. Cold ones may be from an answer to the same order."""
        now = self._clock.monotonic()
        self._watched.use(addresses, now)
        found = self.snapshot(addresses)
        if found is None:
            found = self._recent.find(addresses, now, self._chain.pace.slot_seconds)
            if found is not None:
                # Read ahead it was only a guess. Now it is needed.
                self._admit(addresses, found)
        return found

    @property
    def newest_slot(self) -> int:
        """The newest slot that was notified; 0 before the first one."""
        return self._cache.stream.newest

    def pin(self, group: str, addresses: Iterable[str]) -> None:
        """Watches accounts for as long as the process runs, or until other ones are pinned under the same group."""
        self._begin(self._watched.pin(group, addresses, self._clock.monotonic()))

    # ---- what is shown ----

    def report(self) -> WarmReport:
        """The state of the watch."""
        now = self._clock.monotonic()
        stream = self._cache.stream
        clock = self._cache.snapshot([CLOCK], now, self._limits())
        return WarmReport(
            cold=clock.value if isinstance(clock, Cold) else "",
            node=self._feed.node,
            slot=stream.complete,
            age_seconds=now - stream.moved_at if stream.newest else None,
            watched=len(self._watched),
            limit=self._watched.limit,
            subscribed=len(self._feed.subscriptions),
            refused=self._refused,
            notifications_per_second=self._cache.rates(None, now),
            bytes=self._cache.size(),
            from_memory=self._from_memory,
            from_node=self._from_node,
            gaps=self._gap_count,
            last_gap=self._last_gap,
        )

    def pool(self, address: str, accounts: Sequence[str]) -> WarmPool:
        """The state of one pool."""
        now = self._clock.monotonic()
        found = self._cache.snapshot(accounts, now, self._limits())
        oldest = self._cache.oldest(accounts)
        return WarmPool(
            address=address,
            cold=found.value if isinstance(found, Cold) else "",
            accounts=len(accounts),
            age_slots=max(0, self._cache.stream.newest - oldest) if oldest else 0,
            notifications_per_second=self._cache.rates(accounts, now),
            bytes=self._cache.size(accounts),
        )

    # ---- what the node notifies of, as `AccountListener` ----

    def connected(self) -> None:
        """There is a new connection."""
        self._connected_at = self._clock.monotonic()
        self._refused = ""

    def disconnected(self) -> None:
        """There are no subscriptions any more."""
        self._connected_at = None
        self._cache.disconnected()
        self._interrupt("the WebSocket is lost")

    def subscribed(self, address: str) -> None:
        """The account's changes are notified from now on."""
        self._cache.subscribed(address)

    def refused(self, address: str, why: str) -> None:
        """The node does not subscribe the account, which stays cold."""
        why = self._feed.clean(why)
        if not self._refused:
            self._listener.account_subscription_refused(self._feed.node, why)
        self._refused = why

    def changed(self, address: str, slot: int, account: Account | None) -> None:
        """An account has changed. The Clock shows which slots are complete."""
        now = self._clock.monotonic()
        try:
            if address == CLOCK:
                _check_clock(slot, account)
                self._cache.clock(slot, now, self._limits())
            self._cache.report(address, slot, account, now)
        except StreamGapError as gap:
            self._gap(str(gap))
        if self._cache.has_work():
            self._work.set()

    # ---- upkeep ----

    async def run(self) -> None:
        """Keeps the watched accounts warm, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed.run())
            group.create_task(self._keep_up())

    async def _keep_up(self) -> None:
        while True:
            await wait_for_event(self._work, UPKEEP_SECONDS, self._clock)
            self._work.clear()
            self._forget(self._watched.expire(self._clock.monotonic()))
            self._renew(self._cache.take_missed())
            self._feed.subscriptions.send_due()
            self._leave_bad_node()
            self._report_recovery()
            if await self._read_due():
                # Reads are as frequent as blocks at most, whatever the node notifies of.
                await self._clock.sleep(self._chain.pace.slot_seconds)

    async def _read_due(self) -> bool:
        """Reads what has to be read, in one request. Returns whether there was anything."""
        cache = self._cache
        due = [*cache.doubted(), *cache.unread()]
        if cache.slot_doubt:
            due.append(CLOCK)
        if not cache.stream.newest:
            return False
        # Whatever is read now need not be read alone soon, so the oldest others fill the request.
        if due or cache.unconfirmed(self._stale_slots // 2):
            due = [*due, *cache.unconfirmed(self._stale_slots // 4)]
        if not due:
            return False
        addresses = list(dict.fromkeys(due))[:MAX_ACCOUNTS]
        requested_at = cache.stream.newest
        try:
            answer = await self._feed.read(addresses)
        except (NodeUnavailableError, NodeRefusedError):
            # The accounts become cold if this lasts. What is wrong with the node has been reported by its calls.
            return True
        found = dict(zip(addresses, answer.found, strict=True))
        cache.read(found, answer.slot, requested_at, self._stale_slots)
        if cache.slot_doubt:
            self._interrupt(cache.slot_doubt)
        return True

    def _report_recovery(self) -> None:
        if self._interrupted and self.snapshot([CLOCK]) is not None:
            self._interrupted = False
            self._listener.warm_state_recovered(self._feed.node)

    def _leave_bad_node(self) -> None:
        """Connects to another node if this one is silent, or its notifications have too many gaps."""
        now = self._clock.monotonic()
        since = max(self._cache.stream.moved_at, self._connected_at or now)
        silent = self._connected_at is not None and now - since > self._patience()
        if silent:
            self._interrupt(f"no Clock for {now - since:.1f} s")
        often = len(self._gaps) == MAX_GAPS and now - self._gaps[0] <= GAPS_SECONDS
        if silent or often:
            self._gaps.clear()
            self._feed.subscriptions.restart()

    def _patience(self) -> float:
        # At least some seconds, so that a node has time to answer the first subscriptions.
        return max(self._limits().stale_seconds, 5.0)

    def _limits(self) -> CacheLimits:
        return CacheLimits(self._stale_slots, self._chain.pace.seconds(self._stale_slots))

    def _gap(self, why: str) -> None:
        self._gap_count += 1
        self._last_gap = why
        self._gaps.append(self._clock.monotonic())
        self._cache.gap()
        self._interrupt(why)

    def _renew(self, missed: Iterable[str]) -> None:
        for address in missed:
            self._gap_count += 1
            self._last_gap = f"a change of {address} was not notified"
            self._cache.unsubscribed(address)
            self._feed.subscriptions.renew(address)
            self._interrupt(self._last_gap)

    def _interrupt(self, why: str) -> None:
        # Once, until accounts are answered from memory again: a bad node has a gap in every slot.
        if not self._interrupted:
            self._interrupted = True
            self._listener.warm_state_interrupted(self._feed.node, why)

    def _admit(self, addresses: Sequence[str], answer: Accounts) -> None:
        if self._cache.size() > MAX_BYTES:
            return
        new, leaving = self._watched.admit(addresses, answer.found, self._clock.monotonic())
        self._forget(leaving)
        self._begin(new)

    def _begin(self, addresses: Sequence[str]) -> None:
        if not addresses:
            return
        # The Clock comes first: without it nothing becomes warm.
        for address in (CLOCK, *addresses):
            self._cache.add(address)
        self._feed.subscriptions.watch((CLOCK, *addresses))

    def _forget(self, addresses: Sequence[str]) -> None:
        for address in addresses:
            self._cache.drop(address)
        self._feed.subscriptions.unwatch(addresses)


def _check_clock(slot: int, account: Account | None) -> None:
    """Raises `StreamGapError` if the Clock is of another slot than its notification."""
    inside = int.from_bytes(account.data[:_CLOCK_SLOT_BYTES], "little") if account else 0
    if inside != slot:
        raise StreamGapError(f"reported the Clock of slot {inside} for slot {slot}")
