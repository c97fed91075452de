"""The first quote of a pair reads what the pools at derived addresses need while it searches."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from dexexec.domain import base58
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, AccountFilters, Accounts, ProgramAccounts, SwapInstructions
from dexexec.domain.token import USDC, WSOL
from dexexec.venue import Unreachable
from dexexec_adapters.pools.search import sorted_mints
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.clusters import RAYDIUM_CPMM
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from tests.support import meteora_accounts as at
from tests.support.meteora_accounts import clock_account, derived_vault, meteora
from tests.support.raydium_accounts import (
    BLOCKHASH,
    CONFIG_DATA,
    OBSERVATION_AT,
    PROGRAM,
    VAULTS_AT,
    Program,
    RecordedChain,
    address,
    patched,
    pool_accounts,
    pool_of,
    raydium,
)

PAIR = sorted_mints((WSOL, USDC))
WALLET = address(99)
SELL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=1_000_000_000, mode=Mode.EXACT_IN, slippage_bps=50)
SECONDS = 20.0
CPMM = Program.at(PROGRAM)
[CONFIG] = RAYDIUM_CPMM["mainnet-beta"].configs
CPMM_POOL = CPMM.pool_of_config(CONFIG, *PAIR)
DAMM_POOL = at.PROGRAM.customizable_pool(*PAIR)


@dataclass
class AheadChain(RecordedChain):
    """Keeps the last answer, as accounts in memory do. A search ends only after accounts were requested."""

    kept: dict[str, Account | None] = field(default_factory=dict)
    unreadable: bool = False
    written: list[set[str]] = field(default_factory=list)
    requested: asyncio.Event = field(default_factory=asyncio.Event)

    async def read_ahead(
        self, addresses: Sequence[str], along: Sequence[str] = (), written: Sequence[str] = ()
    ) -> None:
        """One request, unless the last answer has all."""
        if not self.kept.keys() >= {*addresses}:
            self.written.append({*written})
            self.requested.set()
            if self.unreadable:
                raise Unreachable("no node")
            wanted = list(dict.fromkeys((*addresses, *along)))
            self.kept = dict(zip(wanted, (await super().accounts(wanted)).found, strict=True))

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """From the last answer if it has all."""
        if self.kept.keys() >= {*addresses}:
            return Accounts(self.slot, tuple(self.kept[one] for one in addresses))
        return await super().accounts(addresses)

    async def program_accounts(self, program: str, filters: AccountFilters) -> ProgramAccounts:
        """Waits for a request of accounts."""
        async with asyncio.timeout(SECONDS):
            await self.requested.wait()
        return await super().program_accounts(program, filters)


def cpmm_pool() -> Mapping[str, Account]:
    vault_0, vault_1, observation = CPMM.accounts_of_pool(CPMM_POOL, PAIR)
    names = zip((8, *VAULTS_AT, OBSERVATION_AT), (CONFIG, vault_0, vault_1, observation), strict=True)
    data = patched(pool_of((WSOL, USDC)), *names)
    return {**pool_accounts(CPMM_POOL, data, (10**12, 10**12), CONFIG_DATA), CLOCK: clock_account()}


def damm_pool() -> Mapping[str, Account]:
    vaults = (
        (vault_at, derived_vault(DAMM_POOL, mint)) for vault_at, mint in zip(at.VAULTS_AT, at_mints(), strict=True)
    )
    data = patched(at.pool_of(), *vaults)
    return {CLOCK: clock_account(), DAMM_POOL: at.pool_account(data), **at.around(data)}


def at_mints() -> Sequence[str]:
    pool = at.pool_of()
    return [base58.encode(pool[mint_at : mint_at + 32]) for mint_at in at.MINTS_AT]


VENUES: dict[Any, Mapping[str, Account]] = {raydium: cpmm_pool(), meteora: damm_pool()}
each_venue = pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.__name__)


async def quoted(opened: Any) -> Quote:
    quote = await opened.quote(SELL, opened.context.clock.monotonic() + SECONDS)
    assert isinstance(quote, Quote)
    return quote


@each_venue
async def test_a_pool_at_a_derived_address_is_read_while_it_is_searched_with_all_that_its_swap_names(
    venue: Any,
) -> None:
    chain = AheadChain(VENUES[venue])
    opened = venue(chain)
    quote = await quoted(opened)
    [read] = chain.read
    unsigned = await opened.build(quote, WALLET, BLOCKHASH)
    assert isinstance(unsigned, SwapInstructions)
    programs = {step.program for step in unsigned.instructions}
    [swap] = [step for step in unsigned.instructions if step.program in opened.programs]
    tokens = {TOKEN, TOKEN_2022, WALLET, WSOL, USDC}
    owned = {meta.address for step in unsigned.instructions if step is not swap for meta in step.accounts}
    named = {meta.address for meta in swap.accounts}
    assert named - owned - programs - tokens <= set(read), "so it can be simulated on the same answer"
    writable = {meta.address for meta in swap.accounts if meta.writable}
    assert [writable - owned] == [*map((writable - owned).__and__, chain.written)], "so one fee is enough for it"
    assert not chain.written[0] & {WSOL, USDC, CLOCK, opened.vault_owner(quote.raw["pool"])}
    await opened.aclose()


@each_venue
async def test_a_known_pool_is_read_with_what_its_swap_needs(venue: Any) -> None:
    chain = AheadChain(VENUES[venue])
    opened = venue(chain)
    await quoted(opened)
    chain.kept.clear()
    chain.read.clear()
    searches = len(chain.searched)
    quote = await quoted(opened)
    [read] = chain.read
    assert opened.vault_owner(quote.raw["pool"]) in read
    assert chain.written[-1] <= {*read}
    assert CPMM_POOL in chain.written[-1] or DAMM_POOL in chain.written[-1]
    assert len(chain.searched) == searches
    await opened.aclose()


@each_venue
async def test_without_an_answer_ahead_the_pool_is_read_once_it_is_known(venue: Any) -> None:
    chain = AheadChain(VENUES[venue], unreadable=True)
    opened = venue(chain)
    task = asyncio.create_task(quoted(opened))
    async with asyncio.timeout(SECONDS):
        await chain.requested.wait()
    while not chain.searched:
        await asyncio.sleep(0)
    chain.unreadable = False
    assert (await task).amount_out > 0
    assert len(chain.read) == 1
    await opened.aclose()


@each_venue
async def test_a_pool_at_another_address_is_read_after_the_search(venue: Any) -> None:
    held = {address(5) if one in (CPMM_POOL, DAMM_POOL) else one: account for one, account in VENUES[venue].items()}
    chain = AheadChain(held)
    opened = venue(chain)
    quote = await quoted(opened)
    assert quote.route == (address(5),)
    assert [address(5) in read for read in chain.read] == [False, True]
    await opened.aclose()
