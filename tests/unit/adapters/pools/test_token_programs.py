"""The token programs of mints are those that own them, also where the pool does not name them."""

import pytest

from dexexec.domain.token import USDC, WSOL
from dexexec.venue import Unreachable
from dexexec_adapters.pools import token_programs
from dexexec_adapters.pools.launch_reader import LaunchReader
from dexexec_adapters.pools.search import sorted_mints
from dexexec_adapters.pools.token_programs import TokenPrograms
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from tests.support.raydium_accounts import RecordedChain, address, mint_account
from tests.support.raydium_clmm_accounts import ClmmAccounts, chain_of, clmm


async def test_a_mints_owner_is_its_token_program_and_an_unknown_mint_counts_as_a_usual_one() -> None:
    programs = TokenPrograms(RecordedChain({USDC: mint_account(TOKEN), WSOL: mint_account(TOKEN_2022)}))
    assert programs.of(WSOL) == TOKEN
    await programs.learn([USDC, WSOL, address(9)])
    assert [programs.of(mint) for mint in (USDC, WSOL, address(9))] == [TOKEN, TOKEN_2022, TOKEN]


async def test_a_mint_that_was_made_anew_is_read_again() -> None:
    chain = RecordedChain({USDC: mint_account(TOKEN)})
    programs = TokenPrograms(chain)
    await programs.learn([USDC])
    chain.held = {USDC: mint_account(TOKEN_2022)}
    await programs.learn([USDC])
    assert programs.of(USDC) == TOKEN_2022


async def test_only_so_many_mints_are_remembered_the_last_read_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_programs, "MOST_MINTS", 2)
    mints = [address(number) for number in range(1, 4)]
    programs = TokenPrograms(RecordedChain({mint: mint_account(TOKEN_2022) for mint in mints}))
    for mint in mints:
        await programs.learn([mint])
    assert [programs.of(mint) for mint in mints] == [TOKEN, TOKEN_2022, TOKEN_2022]


async def test_an_error_of_the_node_is_raised() -> None:
    programs = TokenPrograms(RecordedChain({}, reading=Unreachable("down")))
    with pytest.raises(Unreachable):
        await programs.learn([USDC])


async def test_a_launched_pool_is_reported_with_mints_of_either_program() -> None:
    made = ClmmAccounts(programs=(TOKEN, TOKEN_2022))
    pair = sorted_mints((WSOL, USDC))
    [launched] = await LaunchReader(clmm(chain_of(made)), pair).read([made.at])
    assert (launched.address, launched.mints) == (made.at, (WSOL, USDC))
    assert [token.reserve for token in launched.tokens] == list(made.held)
