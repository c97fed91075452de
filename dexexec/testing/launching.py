"""The contract's rules for reports of new pools. The docstring of a check is the text of its rule in reports."""

import secrets
from contextlib import aclosing, suppress
from dataclasses import FrozenInstanceError, replace

from dexexec.domain import base58
from dexexec.domain.launch import NewPool
from dexexec.domain.order import U64_MAX
from dexexec.domain.quote import Quote
from dexexec.testing.harness import Harness, NotApplicable, RuleBroken, VenueSetup, describe, expect, outcome

MOST_DECIMALS = 255
"""A mint stores its decimals in one byte."""


async def reported_pools_are_true(harness: Harness) -> None:
    """A new pool has the venue's name, the two mints and integers, does not change later, and is quoted once it is
    open."""
    async with harness.venue_setup() as setup:
        # A venue may report pools of the usual pair, or only those of mints that are new to it.
        own_mint = base58.encode(secrets.token_bytes(32))
        pairs = [(setup.mint_in, mint) for mint in (setup.mint_out, own_mint)]
        for pair in pairs:
            pools = setup.venue.watch_pools(pair)
            if pools is None:
                continue
            async with aclosing(pools):
                pool = expect(NewPool, await outcome(anext(pools)), "the first report of a pool")
            _check_values(pool, pair, setup.venue.name)
            await _check_quote(setup, pool, pair)
            return
    raise NotApplicable("it reports no new pools")


def _check_values(pool: NewPool, pair: tuple[str, str], venue: str) -> None:
    if pool.venue != venue:
        raise RuleBroken(f"the pool has the venue {pool.venue!r} instead of {venue!r}")
    if set(pool.mints) != set(pair):
        raise RuleBroken(f"a pool of {pool.mints} was reported for {pair}")
    if not pool.address:
        raise RuleBroken("the pool has no address")
    numbers = [pool.slot, pool.launched_at_ms]
    for token in pool.tokens:
        numbers += [token.reserve, token.transfer_fee_bps]
        if type(token.decimals) is not int or not 0 <= token.decimals <= MOST_DECIMALS:
            raise RuleBroken(f"the decimals of {token.mint} are {token.decimals!r}")
    if any(type(number) is not int or not 0 <= number <= U64_MAX for number in numbers):
        raise RuleBroken(f"amounts, slot and time must be integers of base units from 0 to 2^64 - 1, but are {numbers}")
    with suppress(FrozenInstanceError):
        pool.slot += 1  # type: ignore[misc]  # a subclass may have dropped the protection
        raise RuleBroken("the pool can be changed after it was reported")


async def _check_quote(setup: VenueSetup, pool: NewPool, pair: tuple[str, str]) -> None:
    wait_ms = pool.launched_at_ms - setup.clock.unix_ms()
    setup.clock.advance(max(wait_ms, 0) / 1000)
    spent = pool.token(pair[0])
    # A thousandth of the reserve: small enough for every curve, and more than nothing after fees.
    request = replace(setup.request(max(spent.reserve // 1000, 1)), mint_in=pair[0], mint_out=pair[1])
    answer = await setup.try_quote(request)
    if not isinstance(answer, Quote):
        raise RuleBroken(f"the pool {pool.address} was reported, but a swap of its pair returned {describe(answer)}")
