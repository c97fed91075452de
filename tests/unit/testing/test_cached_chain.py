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


async def test_the_first_answers_of_a_node_are_returned_again() -> None:
    chain = RecordedChain(HELD, slot=500)
    cached = CachedChain(chain)
    first = await cached.accounts([address(1), WSOL])
    assert first.slot == 500
    chain.held = {}
    chain.slot = 900
    assert await cached.accounts([address(1), WSOL]) == first
    more = await cached.accounts([WSOL, USDC, address(1)])
    assert (more.slot, more.found) == (500, (None, None, HELD[address(1)])), "as old as its oldest part"
    assert chain.read == [(address(1), WSOL), (USDC,)]
    assert await cached.blockhash() == await cached.blockhash() == BLOCKHASH


async def test_a_search_and_its_error_are_cached() -> None:
    chain = RecordedChain(HELD)
    cached = CachedChain(chain)
    found = await cached.program_accounts(PROGRAM, ALL)
    chain.searching = RateLimited("slow down")
    assert await cached.program_accounts(PROGRAM, ALL) == found
    for _ in range(2):
        with pytest.raises(RateLimited, match="slow down"):
            await cached.program_accounts(address(5), ALL)
    assert len(chain.searched) == 2


async def test_it_sends_no_swap() -> None:
    cached = CachedChain(RecordedChain({}))
    assert isinstance(await cached.submit(SWAP), Unknown)
    [status] = await cached.status([SWAP.signature])
    assert isinstance(status, Unavailable)
