"""`orca` on Orca's real program: what is realised is what was quoted, to the unit."""

from collections import Counter
from functools import partial
from random import Random

from solders.pubkey import Pubkey

from dexexec.domain.quote import Mode, SwapRequest
from dexexec_adapters.curves.ticks import MAX_TICK
from dexexec_adapters.curves.whirlpool_fees import AdaptiveFee
from dexexec_adapters.curves.whirlpool_ticks import TICKS_IN_ARRAY
from dexexec_adapters.orca.venue import Orca
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from tests.programs import dumps
from tests.programs.direct import START, Direct, transfer_fee
from tests.programs.orca_pools import put_pool
from tests.programs.swap_runs import Recording, any_size, compare
from tests.support.orca_accounts import WhirlpoolRecord, sorted_mints
from tests.support.service.process import say
from tests.support.whirlpool_pools import Position

pytestmark = dumps.needs("orca")

POOLS = 80
SWAPS = 40
"""Of each pool."""
SPACINGS = (1, 2, 4, 8, 16, 64, 96, 128, 256)
SPLASH = 32_896
"""The spacing of pools whose only position is the whole range."""
MOST = 2**62
"""Base units in a vault."""
SHAPES = ("wide", "many", "many", "only-a", "only-b", "gapped", "thin", "narrow")
PAUSES = (0, 0, 0, 1, 5, 20, 100, 700, 4_000)
"""Seconds between two swaps: an adaptive fee remembers up to an hour."""


async def test_every_swap_of_every_pool_realises_its_quote(seed: int, runs: int) -> None:
    chance, counts, recording = Random(seed), Counter[str](), Recording(every=POOLS * SWAPS // 40)
    crossed = Counter[str]()
    for _ in range(POOLS):
        direct = Direct(dumps.programs("orca"))
        record = some_pool(direct, chance)
        pool = put_pool(direct, record)
        venue = direct.venue(Orca, pools=(record.address,))
        await venue.prepare()
        counts += await compare(direct, venue, partial(next_request, direct, record, chance), SWAPS * runs, recording)
        crossed["adaptive" if record.adaptive_fee else "static"] += changes(direct, pool, record)
        await venue.aclose()
    recording.write(Orca.name)
    say(f"orca, seed {seed}: {dict(sorted(counts.items()))}")
    # Of some pools only one side can be had, and little of that.
    assert counts[Mode.EXACT_IN] + counts[Mode.EXACT_OUT] > POOLS * SWAPS // 2
    assert min(counts[Mode.EXACT_IN], counts[Mode.EXACT_OUT]) > POOLS * SWAPS // 6
    assert min(crossed["adaptive"], crossed["static"]) > POOLS // 10, "prices have moved past ticks"


def changes(direct: Direct, pool: Pubkey, record: WhirlpoolRecord) -> bool:
    """Whether the price is at another tick than it was."""
    return int.from_bytes(direct.data(pool)[81:85], "little", signed=True) != record.tick_current


def some_pool(direct: Direct, chance: Random) -> WhirlpoolRecord:
    """Of any spacing, fee and shape, near the middle or far from it, with arrays of both kinds or none."""
    while max((record := any_pool(direct, chance)).held) >= MOST:
        pass
    return record


def any_pool(direct: Direct, chance: Random) -> WhirlpoolRecord:
    """Perhaps with more than a token account can hold."""
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
    spacing = SPLASH if chance.random() < 0.1 else chance.choice(SPACINGS)
    span = spacing * TICKS_IN_ARRAY
    tick = chance.choice([0, -1, spacing, span - spacing, span - 1, -span, chance.randint(-60_000, 60_000)])
    tick = max(-200_000, min(200_000, tick))
    crossed = tick % spacing == 0 and chance.random() < 0.3
    starts = [(tick // span + step) * span for step in range(-3, 4)]
    return WhirlpoolRecord(
        mints=sorted_mints(token.mint for token in tokens),
        positions=some_positions(chance, tick, spacing),
        tick=tick,
        beyond=0 if crossed or chance.random() < 0.2 else chance.randrange(2**49),
        crossed=crossed,
        spacing=spacing,
        fee_rate=chance.choice([0, 100, 400, 3_000, 10_000, 60_000]),
        protocol_fee_rate=chance.choice([0, 300, 1_300, 2_500]),
        adaptive_fee=some_fee(chance, spacing) if spacing != SPLASH and chance.random() < 0.5 else None,
        opens_at=START - chance.choice([0, 10**6]),
        dynamic=[start for start in starts if spacing != SPLASH and chance.random() < 0.4],
        vaults=(str(Pubkey.new_unique()), str(Pubkey.new_unique())),
    )


def some_fee(chance: Random, spacing: int) -> AdaptiveFee:
    sizes = [size for size in (1, 2, 4, 16, 64, 128) if spacing % size == 0]
    return AdaptiveFee(
        filter_period=chance.choice([1, 10, 30, 300]),
        decay_period=chance.choice([301, 600, 1_200]),
        reduction_factor=chance.choice([0, 500, 5_000, 9_999]),
        control_factor=chance.choice([0, 10, 1_500, 4_000, 99_999]),
        max_volatility=chance.choice([1, 88_000, 350_000, 5_000_000]),
        group_size=chance.choice(sizes),
        major_swap_ticks=chance.choice([1, spacing, 30 * spacing]),
        reference_updated_at=0,
        major_swap_at=0,
        volatility_reference=0,
        group_reference=0,
        volatility=0,
    )


def some_positions(chance: Random, tick: int, spacing: int) -> list[Position]:
    """Where the liquidity is."""
    if spacing == SPLASH:
        edge = MAX_TICK // spacing * spacing
        return [Position(-edge, edge, 10 ** chance.randint(4, 15))]
    near = tick // spacing
    shape = chance.choice(SHAPES)
    size = 10 ** chance.randint(3, 14)

    def position(low: int, high: int) -> Position:
        most = MAX_TICK // spacing
        low = max(-most, min(most - 1, near + low))
        high = max(low + 1, min(most, near + high))
        liquidity = chance.randint(1, 9) if shape == "thin" else chance.randint(size // 9, size)
        return Position(low * spacing, high * spacing, liquidity)

    reach = chance.choice([2, 20, 88, 250])
    match shape:
        case "wide":
            return [position(-400, 400)]
        case "only-a":
            return [position(1 + step * reach // 9, reach + 2 + step * 5) for step in range(5)]
        case "only-b":
            return [position(-reach - 2 - step * 5, -step * reach // 9) for step in range(5)]
        case "gapped":
            return [position(-reach - 40, -reach), position(reach, reach + 40), position(-1, 1)]
        case "narrow":
            return [position(-1, 1), position(0, 1)]
        case _:
            borders = [sorted(chance.sample(range(-reach, reach + 1), 2)) for _ in range(chance.randint(2, 40))]
            return [position(low, high) for low, high in borders]


def next_request(direct: Direct, record: WhirlpoolRecord, chance: Random) -> SwapRequest:
    """Either way, either mode, from one unit to more than all positions hold, after a while."""
    direct.move_time(chance.choice(PAUSES), 1)
    places = chance.choice([(0, 1), (1, 0)])
    mode = chance.choice(list(Mode))
    price = (record.sqrt_price / 2**64) ** 2
    a, b = record.held
    worth = (round(a + b / price) + 100, round(b + a * price) + 100)
    amount = any_size(chance, min(MOST, worth[places[0 if mode is Mode.EXACT_IN else 1]] * 5 // 4))
    mint_in, mint_out = (record.mints[place] for place in places)
    return SwapRequest(mint_in=mint_in, mint_out=mint_out, amount=amount, mode=mode, slippage_bps=50)
