"""Reads the accounts of pools, all as of one slot, and prices a swap in each of them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Generic, NamedTuple

from dexexec.domain.quote import Mode, SwapRequest, max_in
from dexexec.domain.reading_ahead import ConfirmingChain, ReadingAheadChain
from dexexec.domain.solana import Account
from dexexec.venue import BadAnswer, NoRoute, SolanaChain, Unsupported, VenueError
from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.curves.swap import ChainTime, CurveError, MissingArray, Refusal, SwapResult, TradeDirection
from dexexec_adapters.pools.needed import KnownArrays, MoreNeeded
from dexexec_adapters.pools.program import CurveT, KeysT, PoolProgram, StateT
from dexexec_adapters.pools.quoted import Offer
from dexexec_adapters.pools.refusals import Refusals
from dexexec_adapters.pools.search import MAX_ADDRESSES, combined
from dexexec_adapters.solana.chain_clock import CLOCK, read_epoch
from dexexec_adapters.solana.token_accounts import check_mint, read_amount
from dexexec_adapters.solana.transfer_fees import NO_FEE, TransferFee

MAX_ROUNDS = 4
"""How often more accounts are read for one quote, because a price turned out to depend on them."""
MOST_STATES = 1_024
"""Pools that are kept parsed."""

Shown = Mapping[str, Account | None]


class _Priced(NamedTuple):
    """The swap in all pools: offers, the reasons of those that cannot do it, and whether some need more accounts."""

    offers: list[Offer]
    refusals: list[VenueError]
    more: bool


class PoolPricing(Generic[KeysT, StateT, CurveT]):
    """Prices swaps in pools of `program` with the accounts of `chain`, by the monotonic clock `now` (seconds)."""

    def __init__(
        self, program: PoolProgram[KeysT, StateT, CurveT], chain: SolanaChain, now: Callable[[], float]
    ) -> None:
        self._program = program
        self._chain = chain
        self._refusals = Refusals(chain, now)
        self._arrays = KnownArrays(now)
        self._states: dict[str, tuple[Account, StateT]] = {}

    def accounts_of(self, pool: KeysT) -> tuple[str, ...]:
        """What the price of a pool depends on, as far as that is known before it is read."""
        return (*self._program.shared_accounts(), *self._program.accounts_of(pool), *self._arrays.of(pool.address))

    def found(self, state: StateT) -> None:
        """A search returned this pool: its arrays are known from now on."""
        self._arrays.move(state.keys.address, self._program.arrays_of(state))

    async def best(self, pools: Sequence[KeysT], request: SwapRequest, outdated: Callable[[], None]) -> Offer:
        """The best swap in one of the pools, all read in one slot. Calls `outdated` if one is not what it was when it
        was found. Raises `NoRoute`, `Unsupported` or `BadAnswer` with the pools' reasons, and the node's errors."""
        slot, accounts = await self.read(pools)
        from_node = False
        rounds = MAX_ROUNDS
        while True:
            priced = self._price_all(pools, accounts, request, slot, outdated=outdated, more=rounds > 0)
            if priced.more:
                # All pools again, not only these accounts: a price must not mix two slots.
                rounds -= 1
                slot, accounts = await self.read(pools, from_node=from_node)
            elif priced.offers:
                # One of the two amounts is fixed by the request, so the other one decides.
                return max(priced.offers, key=lambda offer: (offer.amount_out, -offer.amount_in))
            else:
                # A refusal may end the order, and what is in memory may be wrong.
                again = None if from_node else await self._refusals.read_again(accounts)
                if again is None:
                    raise combined(priced.refusals)
                from_node = True
                slot, accounts = again

    def offer(self, pool: KeysT, accounts: Shown, slot: int, request: SwapRequest) -> Offer:
        """The swap in one pool, with accounts that were read. Raises `BadAnswer`, `Unsupported` or `NoRoute`, which
        name the account, and `MoreNeeded`."""
        return self._price(pool, accounts, request, self._program.now(accounts, slot), slot)

    def curve(self, pool: KeysT, accounts: Shown) -> CurveT:
        """What is priced of one pool. Raises as `offer` does."""
        state = self._state(pool.address, accounts.get(pool.address))
        return self._program.curve(state, self._held(pool, accounts), accounts)

    def has_transfer_fee(self, pool: KeysT, accounts: Shown) -> bool:
        """Whether a transfer of one of the pool's tokens has a fee. Raises as `offer` does."""
        return self._transfer_fees(pool, accounts) != (NO_FEE, NO_FEE)

    async def read(self, pools: Sequence[KeysT], *, from_node: bool = False) -> tuple[int, Shown]:
        """All accounts that the prices depend on, as of one slot. Pools that do not fit into one answer are left out.
        Raises the node's errors."""
        slot, accounts = await self._answer(pools, from_node)
        moved = False
        for pool in pools:
            # A pool that cannot be read says why when it is priced.
            with suppress(BadAnswer, Unsupported):
                state = self._state(pool.address, accounts.get(pool.address))
                moved |= self._arrays.move(pool.address, self._program.arrays_of(state))
        return await self._answer(pools, from_node) if moved else (slot, accounts)

    async def _answer(self, pools: Sequence[KeysT], from_node: bool) -> tuple[int, Shown]:
        fitting: dict[str, None] = {}
        written: list[str] = []
        for pool in pools:
            # The deepest pools come first, and have room for their arrays.
            if len(more := {**fitting, **dict.fromkeys(self.accounts_of(pool))}) <= MAX_ADDRESSES:
                fitting = more
                written += pool.written
        wanted = [*fitting]
        if from_node and isinstance(self._chain, ConfirmingChain):
            answer = await self._chain.accounts_now(wanted)
        else:
            if isinstance(self._chain, ReadingAheadChain):
                await self._chain.read_ahead(wanted, [*self._program.swap_accounts(), *written], written)
            answer = await self._chain.accounts(wanted)
        return answer.slot, dict(zip(wanted, answer.found, strict=True))

    def _price_all(
        self,
        pools: Sequence[KeysT],
        accounts: Shown,
        request: SwapRequest,
        slot: int,
        *,
        outdated: Callable[[], None],
        more: bool,
    ) -> _Priced:
        """Price the swap in each pool. `more` allows to read more accounts."""
        priced = _Priced([], [], more=False)
        try:
            now = self._program.now(accounts, slot)
        except BadAnswer as error:
            return priced._replace(refusals=[error])
        for pool in pools:
            if pool.address not in accounts:
                continue
            try:
                priced.offers.append(self._price(pool, accounts, request, now, slot))
            except MoreNeeded as needed:
                if more and self._arrays.add(pool.address, needed.addresses):
                    priced = priced._replace(more=True)
                else:
                    priced.refusals.append(NoRoute(f"the pool {pool.address}: the swap reaches too far from its price"))
            except BadAnswer as error:
                # The cached addresses may be outdated: the next quote searches again.
                outdated()
                priced.refusals.append(error)
            except (NoRoute, Unsupported) as error:
                priced.refusals.append(error)
        return priced

    def _price(self, pool: KeysT, accounts: Shown, request: SwapRequest, now: ChainTime, slot: int) -> Offer:
        """Price the swap in one pool. Raises `BadAnswer`, `Unsupported` or `NoRoute`, which name the account, and
        `MoreNeeded`."""
        state = self._state(pool.address, accounts[pool.address])
        if state.keys != pool:
            raise BadAnswer(f"the pool {pool.address} has other mints, vaults or programs than when it was found")
        held = self._held(pool, accounts)
        way = 1 if request.mint_in == pool.mints[0] else -1
        fee_in, fee_out = self._transfer_fees(pool, accounts)[::way]
        # Transfer fees are outside of the curve: the pool gets less than the wallet pays, and pays more than it gets.
        exact_in = request.mode is Mode.EXACT_IN
        amount = request.amount - fee_in.of(request.amount) if exact_in else fee_out.before(request.amount)
        result = self._swap(state, held, accounts, replace(request, amount=amount), now)
        # The curve works on the pool's account; what the vault really holds decides whether the program can pay.
        balance = held[::way][1]
        if result.amount_out > balance:
            raise NoRoute(f"the pool {pool.address} cannot pay {result.amount_out}: its vault holds {balance}")
        paid = request.amount if exact_in else fee_in.before(result.amount_in)
        received = result.amount_out - fee_out.of(result.amount_out) if exact_in else request.amount
        if received <= 0:
            raise NoRoute(f"the pool {pool.address}: the transfer fee of the output leaves nothing of it")
        if max(paid, 0 if exact_in else max_in(paid, request.slippage_bps)) > U64_MAX:
            raise NoRoute(f"the pool {pool.address}: the input with its slippage does not fit in 64 bits")
        return Offer(pool, result, paid, received, slot)

    def _swap(
        self, state: StateT, held: tuple[int, int], accounts: Shown, request: SwapRequest, now: ChainTime
    ) -> SwapResult[CurveT]:
        """The swap between the vaults, as the program computes it."""
        pool: KeysT = state.keys
        direction = TradeDirection.A_TO_B if request.mint_in == pool.mints[0] else TradeDirection.B_TO_A
        try:
            return self._program.price(self._program.curve(state, held, accounts), request, direction, now)
        except MissingArray as error:
            raise MoreNeeded(self._program.array_at(pool, index) for index in error.indexes) from error
        except CurveError as error:
            kind = Unsupported if error.code is Refusal.UNSUPPORTED else NoRoute
            raise kind(f"the pool {pool.address}: {error}") from error

    def _transfer_fees(self, pool: KeysT, accounts: Shown) -> tuple[TransferFee, TransferFee]:
        """What a transfer of each of the pool's tokens costs in this epoch. Raises `BadAnswer`, or `Unsupported` for a
        mint with an extension that changes more."""
        named = self._program.accounts_of(pool)
        found = []
        for mint, program in zip(pool.mints, pool.token_programs, strict=True):
            # A mint of the older token program, which has no extensions, need not be among the accounts.
            fees = check_mint(mint, accounts[mint], program=program) if mint in named else None
            found.append(fees.at(read_epoch(accounts.get(CLOCK))) if fees else NO_FEE)
        return found[0], found[1]

    def _state(self, address: str, account: Account | None) -> StateT:
        """The pool, parsed again only if its account has changed. Raises `BadAnswer` or `Unsupported`."""
        kept = self._states.get(address)
        if kept is not None and kept[0] == account:
            return kept[1]
        state = self._program.read_pool(address, account)
        if account is not None:
            self._states.pop(address, None)
            self._states[address] = account, state
            # A dict keeps the order of insertion, so the oldest go first.
            while len(self._states) > MOST_STATES:
                del self._states[next(iter(self._states))]
        return state

    def _held(self, pool: KeysT, accounts: Shown) -> tuple[int, int]:
        """The balances of the vaults. Raises `BadAnswer`, or `Unsupported` for a frozen one."""
        amounts = []
        owner = self._program.vault_owner(pool)
        for mint, vault, program in zip(pool.mints, pool.vaults, pool.token_programs, strict=True):
            amounts.append(read_amount(vault, accounts[vault], program=program, mint=mint, owner=owner))
        return amounts[0], amounts[1]
