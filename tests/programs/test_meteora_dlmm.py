"""`meteora-dlmm` on Meteora's real program: what is realised is what was quoted, to the unit."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from random import Random

from solders.pubkey import Pubkey

from dexexec.domain.quote import Mode, SwapRequest
from dexexec_adapters.curves.dlmm_bins import price_of
from dexexec_adapters.meteora_dlmm.venue import MeteoraDlmm
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from tests.programs import dumps
from tests.programs.direct import Direct, transfer_fee
from tests.programs.dlmm_pools import DlmmPools, Preset
from tests.programs.swap_runs import Recording, any_size, compare
from tests.support.service.process import say

pytestmark = dumps.needs("meteora-dlmm")

POOLS = 60
SWAPS = 40
"""Of each pool."""
STEPS = (1, 2, 5, 10, 20, 25, 80, 100, 200, 400)
SHAPES = ("full", "full", "only-x", "only-y", "gapped", "thin", "one-bin")
PAUSES = (0, 0, 0, 1, 5, 20, 100, 700)
"""Seconds between two swaps: the fee remembers some minutes."""
FAR = 512 * 70
"""From this bin on, and from its negative on, the pool has a bitmap extension."""


@dataclass(frozen=True)
class Made:
    """A pool of X and Y, and what all its bins are worth in each (base units)."""

    address: Pubkey
    mints: tuple[str, str]
    worth: tuple[int, int]


async def test_every_swap_of_every_pool_realises_its_quote(seed: int, runs: int) -> None:
    chance, counts, recording = Random(seed), Counter[str](), Recording(every=POOLS * SWAPS // 24)
    for _ in range(POOLS):
        # A machine of its own, because presets and pools have derived addresses.
        direct = Direct(dumps.programs("meteora-dlmm"))
        made = some_pool(direct, chance)
        venue = direct.venue(MeteoraDlmm, pools=(str(made.address),))
        await venue.prepare()
        counts += await compare(direct, venue, partial(next_request, direct, made, chance), SWAPS * runs, recording)
        await venue.aclose()
    recording.write(MeteoraDlmm.name)
    say(f"meteora-dlmm, seed {seed}: {dict(sorted(counts.items()))}")
    # Of some pools only one side can be had, and little of that.
    assert counts[Mode.EXACT_IN] + counts[Mode.EXACT_OUT] > POOLS * SWAPS // 2
    assert min(counts[Mode.EXACT_IN], counts[Mode.EXACT_OUT]) > POOLS * SWAPS // 6


def some_pool(direct: Direct, chance: Random) -> Made:
    """Of any step and fee, near the middle or far from it, with or without limit orders, of any shape and size."""
    preset = some_preset(chance)
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
    pools = DlmmPools(direct)
    pool = pools.make(mints, preset, active)
    bins = some_bins(chance, active, 60_000 // preset.bin_step)
    for above in (True, False):
        side = {bin_id: one for bin_id, one in bins.items() if bin_id != active and (bin_id > active) is above}
        pools.deposit(pool, mints, side, x=above)
    if active in bins:
        pools.deposit_active(pool, mints, active, (bins[active], bins[active]))
    if preset.orders:
        for ask in (True, False):
            places = {active + (step if ask else -step) for step in chance.sample(range(1, 40), 8)}
            pools.order(
                pool, mints, {place: max(10, any_size(chance, max(bins.values()))) for place in places}, ask=ask
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
