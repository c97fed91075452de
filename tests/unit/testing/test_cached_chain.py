"""A frozen chain for checking an adapter with live prices: the first answer is repeated."""

import pytest

from dexexec.domain import base58
from dexexec.domain.solana import AccountFilters
from dexexec.domain.swap import SignedSwap, Unavailable, Unknown
from dexexec.domain.token import USDC, WSOL
from dexexec.testing.node import CachedChain
from dexexec.venue import RateLimited
from tests.support.raydium_accounts import BLOCKHASH, PROGRAM, RecordedChain, address, pool_accounts

HELD = pool_accounts(address(1))
SWAP = SignedSwap(signature=base58.encode(bytes(64)), payload=b"swap", last_valid_height=1)
ALL = AccountFilters(637)


async def test_what_a_node_showed_first_is_shown_again() -> None:
    chain = RecordedChain(HELD, slot=500)
    still = CachedChain(chain)
    first = await still.accounts([address(1), WSOL])
    assert first.slot == 500
    chain.held = {}
    chain.slot = 900
    assert await still.accounts([address(1), WSOL]) == first
    more = await still.accounts([WSOL, USDC, address(1)])
    assert (more.slot, more.found) == (500, (None, None, HELD[address(1)])), "as old as its oldest part"
    assert chain.read == [(address(1), WSOL), (USDC,)]
    assert await still.blockhash() == await still.blockhash() == BLOCKHASH


async def test_a_search_is_made_once_and_a_refusal_is_kept() -> None:
    chain = RecordedChain(HELD)
    still = CachedChain(chain)
    found = await still.program_accounts(PROGRAM, ALL)
    chain.searching = RateLimited("slow down")
    assert await still.program_accounts(PROGRAM, ALL) == found
    for _ in range(2):
        with pytest.raises(RateLimited, match="slow down"):
            await still.program_accounts(address(5), ALL)
    assert len(chain.searched) == 2


async def test_nothing_is_sent_to_it() -> None:
    still = CachedChain(RecordedChain({}))
    assert isinstance(await still.submit(SWAP), Unknown)
    [status] = await still.status([SWAP.signature])
    assert isinstance(status, Unavailable)
