"""`raydium-clmm` on Raydium's real program: what is realised is what was quoted, to the unit."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from random import Random

import pytest

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.swap import ProgramFailure
from dexexec.domain.token import Token
from dexexec.venue import AnyVenue, NoRoute, Slippage, VenueError
from dexexec_adapters.curves.clmm_ticks import sqrt_price_at
from dexexec_adapters.curves.ticks import MAX_TICK, MIN_TICK, amount_a, amount_b
from dexexec_adapters.pools.quoted import arrays_of
from dexexec_adapters.raydium_clmm.layout import POOL
from dexexec_adapters.raydium_clmm.venue import RaydiumClmm
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from tests.programs import dumps
from tests.programs.direct import Direct, ProgramRefusalError, transfer_fee
from tests.programs.raydium_clmm_pools import PROGRAM, ClmmMade, Config, create_pool, forget_counters, open_position
from tests.programs.swap_runs import Recording, any_size, compare
from tests.support.raydium_accounts import patched
from tests.support.service.process import say

pytestmark = [dumps.needs("raydium-clmm"), pytest.mark.timeout(900)]

POOLS = 60
SWAPS = 60
"""Of each pool."""
CONFIGS = [
    Config(index, trade, spacing)
    for index, (trade, spacing) in enumerate(
        [(100, 1), (400, 1), (500, 10), (2_500, 60), (10_000, 120), (0, 4), (50_000, 8), (3_000, 15), (900_000, 14)]
    )
]
MOST_SWAPPED = 2**55
"""Base units between the ticks of one position. With the dearest fee a swap pays ten times as many."""
SHAPES = ("nested", "dense", "gapped", "one-sided", "thin", "wide", "whole range")
MINTS = {
    "classic": (TOKEN, b""),
    "token-2022": (TOKEN_2022, b""),
    "transfer fee": (TOKEN_2022, transfer_fee(250, 2**64 - 1)),
    "capped fee": (TOKEN_2022, transfer_fee(1_000, 5_000)),
    "fee of a unit": (TOKEN_2022, transfer_fee(1, 2**64 - 1)),
}


@dataclass
class Drawn:
    """A pool, its shape, and the ticks that its positions begin and end at."""

    made: ClmmMade
    shape: str
    ticks: set[int]


@pytest.mark.gen_test(timeout=800)
async def test_every_swap_of_every_pool_realises_its_quote(seed: int, runs: int) -> None:
    chance, counts, recording = Random(seed), Counter[str](), Recording(every=POOLS * SWAPS // 40)
    crossed: Counter[str] = Counter()
    for number in range(POOLS * runs):
        direct = Direct(dumps.programs("raydium-clmm"), seed=number + 1)
        drawn = some_pool(direct, chance, SHAPES[number % len(SHAPES)])
        # With the pool in the settings, and found by search.
        venue = direct.venue(RaydiumClmm, pools=(str(drawn.made.address),) if number % 2 else ())
        await venue.prepare()
        draw = partial(next_request, direct, drawn, chance)
        for _ in range(SWAPS):
            before = tick_of(direct, drawn.made)
            counts += await compare(direct, venue, draw, 1, recording)
            low, high = sorted((before, tick_of(direct, drawn.made)))
            crossed[label(sum(low < tick <= high for tick in drawn.ticks))] += 1
        await venue.aclose()
    recording.write(RaydiumClmm.name)
    say(f"raydium-clmm, seed {seed}: {dict(sorted(counts.items()))}; ticks crossed: {dict(sorted(crossed.items()))}")
    swaps = counts[Mode.EXACT_IN] + counts[Mode.EXACT_OUT]
    # Nothing more can be had of a pool whose liquidity of one side is used up.
    assert swaps > POOLS * SWAPS * runs // 2
    assert min(counts[Mode.EXACT_IN], counts[Mode.EXACT_OUT]) > swaps // 3
    assert min(crossed["0"], crossed["1"], crossed["2 to 9"], crossed["10 and more"]) > 0


def label(crossed: int) -> str:
    return str(crossed) if crossed < 2 else "2 to 9" if crossed < 10 else "10 and more"


def some_pool(direct: Direct, chance: Random, shape: str) -> Drawn:
    """A pool of any config and tokens at any price, with liquidity of the shape."""
    config = chance.choice(CONFIGS)
    config.put(direct)
    tokens = [some_token(direct, chance) for _ in range(2)]
    tick = chance.randint(-200_000, 200_000)
    if chance.random() < 0.2:
        tick = chance.choice([MIN_TICK + 500, MAX_TICK - 500, 0])
    drawn = Drawn(create_pool(direct, config, tokens, sqrt_price_at(tick) + chance.randrange(1000)), shape, set())
    step = config.spacing
    for _ in range(40 if shape == "dense" else 6):
        near = tick // step + (chance.randint(-300, 300) if shape == "gapped" else 0)
        below, above = (1 + any_size(chance, 30 if shape in ("dense", "gapped") else 2_000) for _ in range(2))
        if shape == "one-sided":
            side = chance.choice([-1, 1])
            lower, upper = sorted((near + side * (1 + below), near + side * (2 + below + above)))
        elif shape == "whole range":
            lower, upper = MIN_TICK // step + 1, MAX_TICK // step
        elif shape == "wide":
            lower, upper = near - 20 * below, near + 20 * above
        else:
            lower, upper = near - below, near + above
        open_within(direct, drawn, lower * step, upper * step, any_size(chance, 10**4 if shape == "thin" else 10**15))
    return drawn


def open_within(direct: Direct, drawn: Drawn, lower: int, upper: int, liquidity: int) -> None:
    """A position, unless it would end outside of the program's range; with less liquidity where swaps through it would
    move more than there can be of a token."""
    if lower < MIN_TICK or upper > MAX_TICK:
        return
    low, high = sqrt_price_at(lower), sqrt_price_at(upper)
    swapped = max(amount_a(low, high, liquidity, round_up=True), amount_b(low, high, liquidity, round_up=True))
    open_position(direct, drawn.made, lower, upper, max(1, liquidity * min(swapped, MOST_SWAPPED) // swapped))
    drawn.ticks |= {lower, upper}


def some_token(direct: Direct, chance: Random) -> Token:
    """A token of either program, with a transfer fee or without."""
    program, extensions = MINTS[chance.choice(list(MINTS)) if chance.random() < 0.5 else "classic"]
    return direct.mint(decimals=chance.choice([0, 6, 9]), program=program, extensions=extensions)


def next_request(direct: Direct, drawn: Drawn, chance: Random) -> SwapRequest:
    """Either way, either mode, from one unit to more than the pool has."""
    forget_counters(direct, drawn.made)
    direct.move_time(chance.choice([0, 1, 3_600]), slots=chance.randrange(100))
    token_in, token_out = chance.choice([drawn.made.tokens, drawn.made.tokens[::-1]])
    mode = chance.choice(list(Mode))
    counted = token_in if mode is Mode.EXACT_IN else token_out
    held = direct.balance(drawn.made.vaults[drawn.made.tokens.index(counted)])
    amount = any_size(chance, 2 * held) if chance.random() < 0.5 else held * chance.randint(1, 110) // 100
    amount = min(max(amount, 1), 2**62)
    return SwapRequest(mint_in=token_in.mint, mint_out=token_out.mint, amount=amount, mode=mode, slippage_bps=50)


def tick_of(direct: Direct, made: ClmmMade) -> int:
    """The tick of the pool now."""
    begin = POOL.offset("tick_current")
    return int.from_bytes(direct.data(made.address)[begin : begin + 4], "little", signed=True)


async def test_a_swap_that_was_quoted_in_another_tick_array_still_lands(seed: int) -> None:
    """The price moves over the border of an array and back, by less than the bound, between quote and swap."""
    direct = Direct(dumps.programs("raydium-clmm"))
    config = CONFIGS[0]
    config.put(direct)
    made = create_pool(direct, config, (direct.mint(), direct.mint()), sqrt_price_at(1))
    for reach in (3, 63, 130, 200, 400):
        open_position(direct, made, -reach, reach, 10**12)
    venue = direct.venue(RaydiumClmm, pools=(str(made.address),))
    first, second = (token.mint for token in made.tokens)

    async def quoted(mint_in: str, amount: int) -> Quote:
        mint_out = second if mint_in == first else first
        request = SwapRequest(mint_in=mint_in, mint_out=mint_out, amount=amount, mode=Mode.EXACT_IN, slippage_bps=1_000)
        return await direct.quote(venue, request)

    for mint_in in (first, second) * 3:
        other = second if mint_in == first else first
        for mover in (mint_in, other):
            planned = await quoted(mint_in, 10**8)
            before = tick_of(direct, made)
            await realised(direct, venue, await quoted(mover, 5 * 10**9))
            after = tick_of(direct, made)
            moved = await realised(direct, venue, planned)
            assert planned.min_out <= moved
            assert len(arrays_of(planned)) >= 2
            if before // 60 != after // 60:
                break
        else:
            continue
    assert before // 60 != after // 60, "the price moved into another array"


async def realised(direct: Direct, venue: AnyVenue, quote: Quote) -> int:
    """What came out of it."""
    return (await direct.realise(venue, quote)).amount_out


async def meaning(direct: Direct, venue: AnyVenue, quote: Quote) -> VenueError:
    """What the venue makes of the program's refusal of a quote."""
    with pytest.raises(ProgramRefusalError) as refused:
        await direct.realise(venue, quote)
    failure = ProgramFailure(index=2, program=str(PROGRAM), custom=refused.value.code, text=str(refused.value))
    explained = venue.explain(failure)
    assert explained is not None, refused.value
    return explained


def nested_pool() -> tuple[Direct, ClmmMade, AnyVenue, SwapRequest]:
    """A pool with most of its liquidity near the price, and a small swap in it."""
    direct = Direct(dumps.programs("raydium-clmm"))
    CONFIGS[0].put(direct)
    made = create_pool(direct, CONFIGS[0], (direct.mint(), direct.mint()), sqrt_price_at(1))
    for reach in (30, 300, 3_000):
        open_position(direct, made, -reach, reach, 10**12)
    first, second = (token.mint for token in made.tokens)
    small = SwapRequest(mint_in=first, mint_out=second, amount=10**8, mode=Mode.EXACT_IN, slippage_bps=10)
    return direct, made, direct.venue(RaydiumClmm, pools=(str(made.address),)), small


async def test_a_price_that_moved_past_the_bound_is_slippage() -> None:
    direct, _, venue, small = nested_pool()
    quote = await direct.quote(venue, small)
    await direct.realise(venue, await direct.quote(venue, replace(small, amount=2 * 10**10)))
    assert type(await meaning(direct, venue, quote)) is Slippage


async def test_a_price_that_moved_past_the_arrays_of_the_swap_is_slippage() -> None:
    direct, made, venue, small = nested_pool()
    quote = await direct.quote(venue, replace(small, slippage_bps=9_999))
    await direct.realise(venue, await direct.quote(venue, replace(small, amount=6 * 10**10)))
    assert tick_of(direct, made) < -300
    assert type(await meaning(direct, venue, quote)) is Slippage


@pytest.mark.parametrize(("field", "value"), [("status", bytes([16])), ("open_time", 2**40)])
async def test_a_pool_that_was_closed_after_the_quote_is_no_route(field: str, value: bytes | int) -> None:
    direct, made, venue, small = nested_pool()
    quote = await direct.quote(venue, small)
    direct.put(made.address, PROGRAM, patched(direct.data(made.address), (POOL.offset(field), value)))
    assert type(await meaning(direct, venue, quote)) is NoRoute
