"""`meteora-dlmm` on Meteora's real program: what is realised is what was quoted, to the unit."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from random import Random

import pytest
from solders.pubkey import Pubkey

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.swap import ProgramFailure
from dexexec.domain.token import USDC
from dexexec.venue import AnyVenue, NoRoute
from dexexec_adapters.curves.dlmm_bins import price_of
from dexexec_adapters.meteora_dlmm.venue import MeteoraDlmm
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from tests.programs import dumps
from tests.programs.direct import Direct, ProgramRefusalError, transfer_fee
from tests.programs.dlmm_pools import PROGRAM, DlmmPools, Preset
from tests.programs.swap_runs import Recording, any_size, compare
from tests.programs.tokens import key
from tests.support.raydium_accounts import patched
from tests.support.service.process import say

BUILDS = ("meteora-dlmm", "meteora-dlmm, build for tests")
"""The program of the clusters, and a newer one that Meteora's own tests use. That one remembers moves of the price for
5 and 10 seconds for any pool, so its pools have these periods."""
pytestmark = dumps.needs(BUILDS[0])
POOLS = 60
SWAPS = 40
"""Of each pool."""
STEPS = (1, 2, 5, 10, 20, 25, 80, 100, 200, 400)
SHAPES = ("full", "full", "only-x", "only-y", "gapped", "thin", "one-bin")
PAUSES = (0, 0, 0, 1, 5, 20, 100, 700)
"""Seconds between two swaps: the fee remembers some minutes."""
OLD = 0.2
"""This part of the pools is made to look like those from before limit orders."""
FUNCTION_AT, STATUS_AT, REWARD_AT = 35, 82, 408
"""In the pool's account: its function, its status, and the mint of its second reward."""
FAR = 512 * 70
"""From this bin on, and from its negative on, the pool has a bitmap extension."""


@dataclass(frozen=True)
class Made:
    """A pool of X and Y, and what all its bins are worth in each (base units)."""

    address: Pubkey
    mints: tuple[str, str]
    worth: tuple[int, int]


@pytest.mark.parametrize(
    "build", [BUILDS[0], pytest.param(BUILDS[1], marks=dumps.needs(BUILDS[1]))], ids=["clusters", "tests"]
)
async def test_every_swap_of_every_pool_realises_its_quote(build: str, seed: int, runs: int) -> None:
    chance, counts, recording = Random(seed), Counter[str](), Recording(every=POOLS * SWAPS // 24)
    program = dumps.PROGRAMS[build]
    for _ in range(POOLS):
        # A machine of its own, because presets and pools have derived addresses.
        direct = Direct(dumps.programs(build))
        made = some_pool(DlmmPools(direct, key(program)), direct, chance)
        venue = direct.venue(MeteoraDlmm, pools=(str(made.address),), program_id=program)
        await venue.prepare()
        counts += await compare(direct, venue, partial(next_request, direct, made, chance), SWAPS * runs, recording)
        await venue.aclose()
    if build == BUILDS[0]:
        recording.write(MeteoraDlmm.name)
    say(f"{build}, seed {seed}: {dict(sorted(counts.items()))}")
    # Of some pools only one side can be had, and little of that.
    assert counts[Mode.EXACT_IN] + counts[Mode.EXACT_OUT] > POOLS * SWAPS // 2
    assert min(counts[Mode.EXACT_IN], counts[Mode.EXACT_OUT]) > POOLS * SWAPS // 6


@pytest.mark.parametrize("by_time", [True, False], ids=["second", "slot"])
async def test_a_pool_opens_at_its_activation_and_not_before(by_time: bool) -> None:
    direct = Direct(dumps.programs(BUILDS[0]))
    mints = (direct.mint(decimals=9).mint, direct.mint(address=USDC).mint)
    clock = direct.machine.get_clock()
    opens_at = (clock.unix_timestamp if by_time else clock.slot) + 9_000
    pools = DlmmPools(direct)
    preset = Preset(bin_step=20, base_factor=10_000, orders=True, collect_fee_mode=1)
    pool = pools.make_custom(mints, preset, 5, opens_at=opens_at, by_time=by_time)
    pools.deposit(pool, mints, dict.fromkeys(range(-60, 5), 10**9), x=False)
    # Found without a search, since its address is derived.
    venue = direct.venue(MeteoraDlmm)
    request = SwapRequest(mint_in=mints[0], mint_out=USDC, amount=10**6, mode=Mode.EXACT_IN, slippage_bps=50)
    direct.move_time(8_999 if by_time else 0, 0 if by_time else 8_999)
    with pytest.raises(NoRoute, match=f"the pool opens at {opens_at}, it is {opens_at - 1}"):
        await direct.quote(venue, request)
    direct.move_time(int(by_time), int(not by_time))
    quote = await direct.quote(venue, request)
    early = direct.machine.get_clock()
    early.unix_timestamp -= int(by_time)
    early.slot -= int(not by_time)
    direct.machine.set_clock(early)
    assert "not open yet" in await refusal(direct, venue, quote)
    direct.move_time(0)
    if not by_time:
        early.slot += 1
        direct.machine.set_clock(early)
    assert await direct.realise(venue, quote) == (quote.amount_in, quote.amount_out)
    await venue.aclose()


async def test_what_the_program_refuses_after_the_quote_has_its_reason() -> None:
    direct = Direct(dumps.programs(BUILDS[0]))
    mints = (direct.mint(decimals=9).mint, direct.mint(decimals=6).mint)
    pools = DlmmPools(direct)
    pool = pools.make(mints, Preset(bin_step=20, base_factor=10_000), 5)
    pools.deposit(pool, mints, dict.fromkeys(range(-200, 5), 10**9), x=False)
    pools.deposit(pool, mints, dict.fromkeys(range(6, 300), 10**9), x=True)
    venue = direct.venue(MeteoraDlmm, pools=(str(pool),))
    large = SwapRequest(mint_in=mints[0], mint_out=mints[1], amount=30 * 10**9, mode=Mode.EXACT_IN, slippage_bps=50)
    paid = await direct.quote(venue, large)
    wanted = await direct.quote(venue, replace(large, amount=20 * 10**9, mode=Mode.EXACT_OUT))
    state = direct.data(pool)
    direct.put(pool, PROGRAM, patched(state, (STATUS_AT, b"\1")))
    assert "disabled" in await refusal(direct, venue, paid)
    direct.put(pool, PROGRAM, state)
    await direct.realise(venue, await direct.quote(venue, replace(large, amount=150 * 10**9)))
    assert "past the" in await refusal(direct, venue, paid)
    assert "past the" in await refusal(direct, venue, wanted)
    await venue.aclose()


async def refusal(direct: Direct, venue: AnyVenue, quote: Quote) -> str:
    """The venue's reason for what the program ends a quote's swap with."""
    with pytest.raises(ProgramRefusalError) as refused:
        await direct.realise(venue, quote)
    return str(venue.explain(ProgramFailure(index=2, program=str(PROGRAM), custom=refused.value.code, text="")))


def some_pool(pools: DlmmPools, direct: Direct, chance: Random) -> Made:
    """Of any step and fee, near the middle or far from it, with or without limit orders, of any shape and size."""
    preset = some_preset(chance)
    if pools.program != PROGRAM:
        preset = replace(preset, filter_period=5, decay_period=10)
    programs = [
        (TOKEN, b""),
        (TOKEN, b""),
        (TOKEN_2022, b""),
        (TOKEN_2022, transfer_fee(chance.choice([1, 50, 999]), 10**9)),
    ]
    tokens = []
    for decimals in (9, 6):
        program, extensions = chance.choice(programs)
        tokens.append(direct.mint(decimals=decimals, program=program, extensions=extensions))
    mints = (tokens[0].mint, tokens[1].mint)
    # The price stays where 64 bits hold both sides.
    highest = 100_000 // preset.bin_step
    active = chance.choice([0, -1, 69, 70, -70, -71, chance.randint(-highest, highest)])
    if preset.bin_step == 1 and chance.random() < 0.5:
        active = chance.choice([1, -1]) * (FAR + chance.randint(-150, 150))
    pool = pools.make(mints, preset, active)
    old = chance.random()
    if old < OLD:
        # Pools from before limit orders have neither function; those with rewards have no limit orders.
        reward = [(REWARD_AT, b"\7" * 32)] if old < OLD / 2 else []
        direct.put(pool, pools.program, patched(direct.data(pool), (FUNCTION_AT, b"\0"), *reward))
    bins = some_bins(chance, active, 60_000 // preset.bin_step)
    for above in (True, False):
        side = {bin_id: one for bin_id, one in bins.items() if bin_id != active and (bin_id > active) is above}
        pools.deposit(pool, mints, side, x=above)
    if active in bins:
        pools.deposit_active(pool, mints, active, (bins[active], bins[active]))
    if preset.orders and old >= OLD:
        for asks in (True, False):
            places = {active + (step if asks else -step) for step in chance.sample(range(1, 40), 8)}
            pools.order(
                pool, mints, {place: max(10, any_size(chance, max(bins.values()))) for place in places}, asks=asks
            )
    price = price_of(active, preset.bin_step) / 2**64
    x = sum(amount for bin_id, amount in bins.items() if bin_id >= active)
    y = sum(amount for bin_id, amount in bins.items() if bin_id <= active)
    return Made(pool, mints, (round(x + y / price) + 100, round(y + x * price) + 100))


def some_preset(chance: Random) -> Preset:
    step = chance.choice(STEPS)
    # The program takes base fees of 0.01 to 10 %.
    base = chance.choice([100_000, 400_000, 1_000_000, 10_000_000, 50_000_000])
    return Preset(
        bin_step=step,
        base_factor=min(65_535, -(-base // (step * 10))),
        filter_period=chance.choice([1, 10, 30, 300]),
        decay_period=chance.choice([301, 600, 1_200]),
        variable_fee_control=chance.choice([0, 7_500, 50_000, 2_000_000]),
        max_volatility=chance.choice([100_000, 150_000, 350_000]),
        reduction_factor=chance.choice([0, 5_000, 10_000]),
        protocol_share=chance.choice([0, 500, 2_500]),
        orders=chance.random() < 0.5,
        collect_fee_mode=chance.choice([0, 1]),
    )


def some_bins(chance: Random, active: int, farthest: int) -> dict[int, int]:
    """What is in each bin, in base units of the token that belongs there."""
    shape, reach = chance.choice(SHAPES), min(farthest, chance.choice([3, 30, 100, 220]))
    low = active if shape == "only-x" else active - reach
    high = active if shape == "only-y" else active + reach
    ids = [active] if shape == "one-bin" else list(range(low, high + 1))
    if shape == "gapped":
        ids = [bin_id for bin_id in ids if chance.random() < 0.15] or [active + 1]
        ids += [low - min(farthest, chance.randint(100, 400)), high + min(farthest, chance.randint(100, 400))]
    size = 10 ** chance.randint(2, 12)
    return {bin_id: chance.randint(1, 3) if shape == "thin" else chance.randint(size // 5, size) for bin_id in ids}


def next_request(direct: Direct, made: Made, chance: Random) -> SwapRequest:
    """Either way, either mode, from one unit to more than all bins hold, after a while."""
    direct.move_time(chance.choice(PAUSES), 1)
    places = chance.choice([(0, 1), (1, 0)])
    mode = chance.choice(list(Mode))
    counted = places[0 if mode is Mode.EXACT_IN else 1]
    amount = any_size(chance, made.worth[counted] * 5 // 4)
    mint_in, mint_out = (made.mints[place] for place in places)
    slippage_bps = chance.choice([0, 1, 50])
    return SwapRequest(mint_in=mint_in, mint_out=mint_out, amount=amount, mode=mode, slippage_bps=slippage_bps)
