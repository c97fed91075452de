"""Token-2022 mints with transfer fees on the real programs: what is realised is what was quoted, to the unit."""

from collections import Counter
from random import Random
from struct import pack

import pytest
from solders.pubkey import Pubkey

from dexexec.domain import base58
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.venue import AnyVenue, NoRoute
from dexexec.venues.registry import VenueClass
from dexexec_adapters.meteora.venue import Meteora
from dexexec_adapters.raydium.venue import Raydium
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from tests.programs import dumps, meteora_pools, raydium_pools
from tests.programs.direct import START, Direct
from tests.support.meteora_accounts import FLAGS_AT
from tests.support.raydium_accounts import patched
from tests.support.service.process import say

pytestmark = dumps.needed

EPOCH = 900
HELD = 10**15
RESERVE = 10**12
SWAPS = 10
"""Of each pair of fees."""
MINTS = sorted((base58.encode(bytes([number]) * 32) for number in (21, 22)), key=base58.decode)
VENUES: dict[str, VenueClass] = {"raydium": Raydium, "meteora": Meteora}
ANY = 2**64 - 1
FEES = {
    "none": (),
    "usual": ((0, 250, ANY),),
    "capped": ((0, 1_000, 5_000_000),),
    "one unit": ((0, 1, ANY),),
    "changes": ((0, 100, ANY), (EPOCH + 1, 700, 10**9)),
    "all of it up to a limit": ((0, 10_000, 1_000),),
}
"""The fees of a mint: the epoch from which on each applies, bps, and most base units."""


def let_pass(on: Direct, seconds: int, epoch: int) -> None:
    """Let time pass, up to an epoch."""
    on.move_time(seconds, slots=seconds * 5 // 2 + 1)
    now = on.machine.get_clock()
    now.epoch = epoch
    on.machine.set_clock(now)


def opened(venue: str, kinds: tuple[str, str], chance: Random) -> tuple[Direct, AnyVenue]:
    """A machine with one pool of two mints with these fees, and its venue."""
    program = dumps.PROGRAMS[venue]
    on = Direct({program: dumps.elf(program)})
    programs = []
    for address, kind in zip(MINTS, kinds, strict=True):
        fees = FEES[kind]
        body = bytes(72) + b"".join(pack("<QQH", epoch, most, bps) for epoch, bps, most in (*fees[:1], *fees[-1:]))
        programs.append(TOKEN_2022 if fees else TOKEN)
        extension = pack("<HH", 1, len(body)) + body if fees else b""
        on.mint(program=programs[-1], extensions=extension, address=address)
        on.hold(on.account_of(address), address, on.trader.pubkey(), HELD)
    amounts = RESERVE, RESERVE * chance.randint(1, 9) // 3
    if venue == "raydium":
        for where, config in raydium_pools.accounts():
            on.put(where, config.owner, bytes(config.data), config.lamports)
        rates = raydium_pools.RATES[0]
        pool = raydium_pools.usual_address(rates, MINTS)
        on.send([raydium_pools.initialize(on.trader.pubkey(), pool, rates, MINTS, amounts, programs)])
    else:
        pool = Pubkey.new_unique()
        # Not the compounding ones, which an older build refuses (6017); transfer fees are outside of all curves.
        kind = chance.choice([kind for kind in meteora_pools.KINDS if kind != "compounding"])
        made, held = meteora_pools.pool(kind, pool, MINTS, amounts, START, chance)
        flags = [(at, bytes([one == TOKEN_2022])) for at, one in zip(FLAGS_AT, programs, strict=True)]
        on.put(pool, made.owner, patched(bytes(made.data), *flags))
        for mint, vault, amount in zip(MINTS, meteora_pools.vaults(pool, MINTS), held, strict=True):
            on.hold(vault, mint, meteora_pools.AUTHORITY, amount)
    let_pass(on, 10, EPOCH)
    return on, on.venue(VENUES[venue], pools=(str(pool),))


@pytest.mark.parametrize("name", VENUES)
async def test_every_swap_of_mints_with_transfer_fees_realises_its_quote(name: str, seed: int, runs: int) -> None:
    chance = Random(seed)
    counts: Counter[str] = Counter()
    kinds = [(first, second) for first in FEES for second in FEES if first != second or first == "usual"]
    for pair in kinds:
        on, venue = opened(name, pair, chance)
        for number in range(SWAPS * runs):
            let_pass(on, chance.choice((1, 10, 200)), EPOCH + (number >= SWAPS * runs // 2))
            mint_in, mint_out = chance.choice([MINTS, MINTS[::-1]])
            mode = chance.choice(list(Mode))
            amount = int(2_000 * (RESERVE / 20 / 2_000) ** chance.random())
            request = SwapRequest(mint_in=mint_in, mint_out=mint_out, amount=amount, mode=mode, slippage_bps=50)
            try:
                quote = await on.quote(venue, request)
            except NoRoute:
                assert "all of it up to a limit" in pair, "only a fee of all of it leaves nothing of these amounts"
                counts["refused"] += 1
                continue
            assert await on.realise(venue, quote) == (quote.amount_in, quote.amount_out), (pair, quote)
            counts[str(mode)] += 1
        await venue.aclose()
    assert sum(counts.values()) == len(kinds) * SWAPS * runs
    say(f"{name}, seed {seed}: {dict(counts)} swaps with transfer fees, each equal to its quote")
