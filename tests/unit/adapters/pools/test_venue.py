"""What every venue of pools does alike: look at the start whether all is there, and build nothing from stale quotes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from dexexec.domain.pace import Finality, Pace
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.solana import Account, SwapInstructions
from dexexec.domain.swap import Blockhash
from dexexec.domain.token import USDC, WSOL
from dexexec.venue import BadAnswer, QuoteExpired, Unreachable, Unsupported, VenueError
from dexexec_adapters.pools.startup import LOADERS
from dexexec_adapters.solana.clusters import METEORA_DAMM_V2, RAYDIUM_CPMM
from dexexec_adapters.solana.spl import SYSTEM
from tests.support import meteora_accounts as at
from tests.support.meteora_accounts import chain_of, meteora
from tests.support.raydium_accounts import (
    BLOCKHASH,
    CONFIG_AT,
    RecordedChain,
    address,
    key,
    pool_accounts,
    pool_of,
    raydium,
)

POOL = address(1)
WALLET = address(99)
RAYDIUM_POOL = pool_of((WSOL, USDC), 1, (373, 1))
HELD: dict[Any, Mapping[str, Account]] = {
    raydium: pool_accounts(POOL, RAYDIUM_POOL),
    meteora: chain_of(at.pool_of()).held,
}
PROGRAMS = {raydium: RAYDIUM_CPMM["mainnet-beta"].program, meteora: METEORA_DAMM_V2["mainnet-beta"].program}
CONFIG = key(RAYDIUM_POOL, CONFIG_AT)
SELL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=1_000_000_000, mode=Mode.EXACT_IN, slippage_bps=50)
PROGRAM = Account("BPFLoaderUpgradeab1e11111111111111111111111", 1, bytes(36))

each_venue = pytest.mark.parametrize("venue", HELD, ids=lambda venue: venue.__name__)


def deployed(venue: Any, **more: Account) -> RecordedChain:
    """A node with a pool, and with the program that it is of."""
    return RecordedChain({**HELD[venue], PROGRAMS[venue]: PROGRAM, **more})


# ---- at the start ----------------------------------------------------------------------------------------------------


@each_venue
@pytest.mark.parametrize("loader", sorted(LOADERS))
async def test_a_deployed_program_is_found_in_one_question(venue: Any, loader: str) -> None:
    chain = deployed(venue, **{PROGRAMS[venue]: Account(loader, 1, b"")})
    await venue(chain).prepare()
    assert chain.read == [(PROGRAMS[venue],)]
    assert chain.searched == []


@each_venue
@pytest.mark.parametrize("there", [None, Account(SYSTEM, 1, b""), Account(address(5), 1, bytes(36))])
async def test_a_program_of_another_cluster_is_refused_with_the_variable_to_set(
    venue: Any, there: Account | None
) -> None:
    chain = RecordedChain({} if there is None else {address(7): there})
    with pytest.raises(Unsupported) as refused:
        await venue(chain, node="devnet", program_id=address(7)).prepare()
    prefix = f"DEXEXEC_{venue.__name__.upper()}_"
    assert f"program id {address(7)} is not a program on devnet: set {prefix}PROGRAM_ID" in str(refused.value)


@each_venue
async def test_where_the_cluster_has_no_name_or_is_a_localnet_the_refusal_names_it(venue: Any) -> None:
    with pytest.raises(Unsupported, match="not a program on the cluster of the node"):
        await venue(RecordedChain({}), node="", program_id=address(7)).prepare()
    with pytest.raises(Unsupported, match=r"not a program on localnet: .*, or load it there"):
        await venue(RecordedChain({}), node="localnet", cluster="localnet").prepare()


@each_venue
async def test_configured_pools_must_exist_and_belong_to_the_program(venue: Any) -> None:
    await venue(deployed(venue), pools=POOL).prepare()
    variable = f"DEXEXEC_{venue.__name__.upper()}_POOLS"
    with pytest.raises(BadAnswer, match=f"{variable}: there is no pool {address(9)}"):
        await venue(deployed(venue), pools=f"{POOL},{address(9)}").prepare()
    foreign = {address(9): Account(address(5), 1, HELD[venue][POOL].data)}
    with pytest.raises(BadAnswer, match=f"{variable}: the pool {address(9)} belongs to {address(5)}"):
        await venue(deployed(venue, **foreign), pools=address(9)).prepare()


@pytest.mark.parametrize(
    ("venue", "option", "problem"),
    [
        (raydium, "amm_configs", f"there is no config {address(9)}"),
        (raydium, "amm_configs", f"the account {POOL} is not a config"),
        (meteora, "configs", f"there is no config {address(9)}"),
        (meteora, "configs", f"the config {WSOL} belongs to"),
    ],
)
async def test_configured_configs_must_exist_and_belong_to_the_program(venue: Any, option: str, problem: str) -> None:
    [named] = [one for one in (address(9), POOL, WSOL) if one in problem]
    with pytest.raises(BadAnswer, match=f"DEXEXEC_{venue.__name__.upper()}_{option.upper()}: {problem}"):
        await venue(deployed(venue), **{option: named}).prepare()


async def test_a_config_of_the_program_is_content() -> None:
    await raydium(deployed(raydium), amm_configs=CONFIG).prepare()
    mine = {address(8): Account(PROGRAMS[meteora], 1, bytes(8))}
    await meteora(deployed(meteora, **mine), configs=address(8)).prepare()


@each_venue
async def test_a_config_that_is_only_the_clusters_default_may_be_missing(venue: Any) -> None:
    opened = venue(RecordedChain({PROGRAMS[venue]: PROGRAM}))
    await opened.prepare()
    assert opened.configs or venue is meteora


@each_venue
async def test_a_node_that_is_down_is_reported(venue: Any) -> None:
    chain = deployed(venue)
    chain.reading = Unreachable("down")
    with pytest.raises(Unreachable, match="down"):
        await venue(chain).prepare()


# ---- named pools later -----------------------------------------------------------------------------------------------


@each_venue
async def test_a_missing_configured_pool_does_not_hide_the_others(venue: Any) -> None:
    quote = await venue(deployed(venue), pools=f"{address(9)},{POOL}").quote(SELL, 60.0)
    assert quote.route == (POOL,)
    with pytest.raises(BadAnswer, match=f"there is no pool {address(9)}"):
        await venue(deployed(venue), pools=address(9)).quote(SELL, 60.0)


# ---- stale quotes ----------------------------------------------------------------------------------------------------


@each_venue
async def test_a_quote_of_too_old_a_slot_is_not_built(venue: Any) -> None:
    opened = venue(deployed(venue), quote_max_slots=32)
    quote = await opened.quote(SELL, 60.0)
    assert quote.context_slot > 32
    for ahead in (-100, 0, 32):
        built = await opened.build(quote, WALLET, replace(BLOCKHASH, slot=quote.context_slot + ahead))
        assert isinstance(built, SwapInstructions)
    text = f"of slot {quote.context_slot}, 33 slots before the newest one, and 32 are allowed"
    with pytest.raises(QuoteExpired, match=text):
        await opened.build(quote, WALLET, replace(BLOCKHASH, slot=quote.context_slot + 33))
    with pytest.raises(QuoteExpired, match=text):
        # The age of a blockhash that was kept must not hide that of the quote.
        await opened.build(quote, WALLET, replace(BLOCKHASH, slot=quote.context_slot - 7, age=40))


class PacedChain(RecordedChain):
    """A chain of a measured pace."""

    pace = Pace(0.2, Finality.IMMEDIATE, measured=True)


@each_venue
async def test_a_quote_holds_as_long_as_its_slots_take_on_the_chain(venue: Any) -> None:
    paced = venue(PacedChain(deployed(venue).held), quote_max_slots=32)
    for opened, seconds in ((paced, 6.4), (venue(deployed(venue), quote_max_slots=32, quote_ttl_ms=900), 0.9)):
        quote = await opened.quote(SELL, 60.0)
        assert quote.expires_at_ms - opened.context.clock.unix_ms() == round(seconds * 1000)


@each_venue
@pytest.mark.parametrize(("of_quote", "of_hash"), [(0, 10**9), (10**9, 0), (0, 0)])
async def test_slots_that_are_not_known_are_not_compared(venue: Any, of_quote: int, of_hash: int) -> None:
    opened = venue(deployed(venue), quote_max_slots=0)
    quote = replace(await opened.quote(SELL, 60.0), context_slot=of_quote)
    assert await opened.build(quote, WALLET, Blockhash(BLOCKHASH.hash, 150, of_hash))


@each_venue
@pytest.mark.parametrize("raw", [{}, {"pool": "no keys"}, {"pool": None}])
async def test_a_quote_that_is_not_its_own_is_not_built(venue: Any, raw: Mapping[str, object]) -> None:
    opened = venue(deployed(venue))
    quote = await opened.quote(SELL, 60.0)
    with pytest.raises(Unsupported, match="cannot be built by"):
        await opened.build(replace(quote, raw=raw), WALLET, BLOCKHASH)


@each_venue
def test_no_meaning_of_a_program_error_speaks_of_the_wallet(venue: Any) -> None:
    """Missing tokens and missing accounts are no errors of the adapter: the engine reports them by name and amount."""
    meanings: Mapping[int, VenueError] = venue(RecordedChain({})).failures
    assert {1, 3012}.isdisjoint(meanings)
    assert all(error.code != "insufficient-funds" for error in meanings.values())
