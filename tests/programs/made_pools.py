"""Pools of the venues that `market.py` does not have, for a localnet: their programs make and fill them in a virtual
machine, and what they then hold is given to the localnet as accounts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from math import isqrt, log
from random import Random

from solders.account import Account
from solders.pubkey import Pubkey
from solders.token import ID as TOKEN
from solders.token.state import TokenAccount, TokenAccountState

from dexexec.domain import base58
from dexexec.domain.token import WSOL
from dexexec_adapters.curves import whirlpool_ticks
from dexexec_adapters.curves.clmm_ticks import sqrt_price_at, tick_at
from tests.programs import dlmm_pools, dumps, orca_pools
from tests.programs.direct import Direct
from tests.programs.dlmm_pools import DlmmPools, Preset
from tests.programs.market import GivenPools, Pool
from tests.programs.raydium_amm_pools import put_pool
from tests.programs.raydium_clmm_pools import Config, create_pool, open_position
from tests.programs.tokens import RENT_EXEMPT, TOKENS, WORTH, key
from tests.support.orca_accounts import WhirlpoolRecord
from tests.support.whirlpool_pools import FEE, Position

VENUES = ("raydium-clmm", "raydium-amm", "meteora-dlmm", "orca")
LEAST, MOST = 300_000 * 10**6, 3_000_000 * 10**6
"""Base units of USDC on each side of a pool."""
OFF = 3_000
"""Millionths by which a pool's price may differ from the others'."""
CONFIGS = (Config(8, 400, 1), Config(1, 2_500, 60))
PRESET = Preset(bin_step=10, base_factor=4_000, variable_fee_control=50_000, max_volatility=150_000)
VAULTS_AT = (336, 368)
"""Of AMM v4."""
STEADY = {"filter_period": 3_000, "decay_period": 3_500}
"""Seconds. No adaptive fee changes between a quote and its swap because of the time in between."""
REACH = 60
"""Bins with liquidity on each side of the active one: 6 % of the price."""


def made_pools(seed: int, *venues: str) -> GivenPools:
    """Pools of each of these venues, by default of all `VENUES`, for each pair of the market's tokens."""
    names = venues or VENUES
    chance = Random(seed)
    direct = Direct(dumps.programs(*names))
    for token in TOKENS:
        direct.mint(decimals=token.decimals, address=token.mint)
    made, makers = GivenPools(), _makers(direct, chance)
    for pair in combinations((token.mint for token in TOKENS), 2):
        mints = sorted(pair, key=base58.decode)
        made.pools += [pool for name in names for pool in makers[name](mints)]
    for program in map(key, dumps.programs(*names)):
        found = direct.machine.get_program_accounts(program)
        made.accounts += [(address, Account(one.lamports, bytes(one.data), program)) for address, one in found]
    for pool in made.pools:
        made.accounts += [(key(vault), _vault(direct, vault)) for vault in pool.vaults]
    return made


def _makers(direct: Direct, chance: Random) -> dict[str, Callable[[Sequence[str]], list[Pool]]]:
    """What makes a venue's pools of two mints, in the order of their bytes."""
    bins = DlmmPools(direct)
    return {
        "raydium-clmm": lambda mints: [_clmm(direct, config, mints, chance) for config in CONFIGS],
        "raydium-amm": lambda mints: [_amm(direct, chance.sample(mints, 2), chance)],
        "meteora-dlmm": lambda mints: [_dlmm(direct, bins, chance.sample(mints, 2), chance)],
        "orca": lambda mints: [_orca(direct, mints, chance, adaptive=adaptive) for adaptive in (False, True)],
    }


def _sides(mints: Sequence[str], chance: Random) -> tuple[int, int]:
    """Base units of each token, of about the same worth."""
    worth = chance.randint(LEAST, MOST) * 10**6
    return worth // WORTH[mints[0]], worth // WORTH[mints[1]] * (10**6 + chance.randint(-OFF, OFF)) // 10**6


def _pool(direct: Direct, venue: str, kind: str, address: Pubkey, mints: Sequence[str], vaults: Sequence[str]) -> Pool:
    first, second = vaults
    reserves = direct.balance(first), direct.balance(second)
    return Pool(venue, kind, str(address), (mints[0], mints[1]), (first, second), reserves)


def _clmm(direct: Direct, config: Config, mints: Sequence[str], chance: Random) -> Pool:
    """Nested positions around the price, of which the narrowest has the most liquidity."""
    config.put(direct)
    tokens = [token for token in TOKENS if token.mint in mints]
    amounts = _sides(mints, chance)
    price = isqrt((amounts[1] << 128) // amounts[0])
    pool = create_pool(direct, config, tokens, price)
    middle = tick_at(price) // config.spacing * config.spacing
    for steps in (30, 300, 3_000):
        reach = -(-steps // config.spacing) * config.spacing
        liquidity = (amounts[1] // 3 << 64) // (price - sqrt_price_at(middle - reach))
        open_position(direct, pool, middle - reach, middle + reach, liquidity)
    vaults = [str(vault) for vault in pool.vaults]
    return _pool(direct, "raydium-clmm", f"spacing {config.spacing}", pool.address, mints, vaults)


def _orca(direct: Direct, mints: Sequence[str], chance: Random, *, adaptive: bool) -> Pool:
    """The same shape, with a fixed or an adaptive fee."""
    spacing = 8 if adaptive else 64
    amounts = _sides(mints, chance)
    price = isqrt((amounts[1] << 128) // amounts[0])
    tick = whirlpool_ticks.tick_at(price)
    middle = tick // spacing * spacing
    positions = []
    for steps in (64, 320, 3_200):
        depth = price - whirlpool_ticks.sqrt_price_at(middle - steps)
        positions.append(Position(middle - steps, middle + steps, (amounts[1] // 3 << 64) // depth))
    record = WhirlpoolRecord(
        mints=(mints[0], mints[1]),
        positions=positions,
        tick=tick,
        beyond=price - whirlpool_ticks.sqrt_price_at(tick),
        spacing=spacing,
        fee_rate=2_500,
        adaptive_fee=replace(FEE, group_size=spacing, **STEADY) if adaptive else None,
        vaults=(str(Pubkey.new_unique()), str(Pubkey.new_unique())),
    )
    pool = orca_pools.put_pool(direct, record)
    return _pool(direct, "orca", f"spacing {spacing}", pool, mints, record.vaults)


def _amm(direct: Direct, mints: Sequence[str], chance: Random) -> Pool:
    """A constant product."""
    first, second = (token for mint in mints for token in TOKENS if token.mint == mint)
    pool = put_pool(direct, (first, second), _sides(mints, chance))
    state = direct.data(pool.address)
    vaults = [base58.encode(state[at : at + 32]) for at in VAULTS_AT]
    return _pool(direct, "raydium-amm", "constant product", pool.address, mints, vaults)


def _dlmm(direct: Direct, bins: DlmmPools, mints: Sequence[str], chance: Random) -> Pool:
    """As much in each bin."""
    amounts = _sides(mints, chance)
    active = round(log(amounts[1] / amounts[0]) / log(1 + PRESET.bin_step / 10_000))
    pair = (mints[0], mints[1])
    pool = bins.make(pair, PRESET, active)
    for side, amount in enumerate(amounts):
        step = 1 if side == 0 else -1
        places = {active + step * place: amount // REACH for place in range(1, REACH + 1)}
        bins.deposit(pool, pair, places, x=side == 0)
    vaults = [str(dlmm_pools.reserve(pool, key(mint))) for mint in mints]
    return _pool(direct, "meteora-dlmm", f"step {PRESET.bin_step}", pool, mints, vaults)


def _vault(direct: Direct, address: str) -> Account:
    """A vault as the token program keeps it: wrapped SOL is its lamports."""
    held = TokenAccount.from_bytes(direct.data(address)[:165])
    wrapped = str(held.mint) == WSOL
    state = TokenAccount(
        held.mint,
        held.owner,
        held.amount,
        None,
        TokenAccountState.Initialized,
        RENT_EXEMPT if wrapped else None,
        0,
        None,
    )
    return Account(RENT_EXEMPT + (held.amount if wrapped else 0), bytes(state), TOKEN)
