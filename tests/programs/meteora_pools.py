"""Pools of Meteora's DAMM v2 program: recorded ones, of all kinds, with other tokens, prices and reserves.

The bytes are what the program itself once wrote (tests/vectors); what is changed follows `state/pool.rs`.
"""

from collections.abc import Sequence
from math import isqrt
from random import Random
from struct import pack

from solders.account import Account
from solders.pubkey import Pubkey

from dexexec_adapters.curves.damm_v2 import liquidity_from_b, range_reserves, sqrt_price_from_amounts
from tests.programs.dumps import METEORA
from tests.programs.tokens import key
from tests.support import meteora_accounts as recorded
from tests.support.meteora_accounts import Program
from tests.support.raydium_accounts import patched

PROGRAM = Pubkey.from_string(METEORA)
AUTHORITY = Program.at(METEORA).pool_authority
KINDS = {
    "both": recorded.BOTH_FEES,
    "only-b": recorded.ONLY_B,
    "compounding": recorded.COMPOUNDING,
    "dynamic": recorded.DYNAMIC,
    "range": recorded.RANGE,
    "linear": recorded.LINEAR,
    "exponential": recorded.EXPONENTIAL,
}
"""How fees are collected, and what they depend on: both ways round, compounding, volatility (`dynamic`, `range`, which
is also bounded), and schedules in time."""
SCHEDULES = ("linear", "exponential")
FEE_AT, PERIOD_AT, LAST_UPDATE_AT, REFERENCES_AT, STARTED_AT = 8, 24, 80, (104, 120, 136), 152
PERIOD = 3_600
"""Seconds that a step of a schedule takes here: long, so that none comes between a quote and its swap."""


def vaults(pool: Pubkey, mints: Sequence[str]) -> tuple[str, str]:
    """Where the program keeps the pool's tokens."""
    first, second = (
        str(Pubkey.find_program_address([b"token_vault", bytes(key(mint)), bytes(pool)], PROGRAM)[0]) for mint in mints
    )
    return first, second


def pool(
    kind: str, address: Pubkey, mints: Sequence[str], amounts: tuple[int, int], now: int, chance: Random
) -> tuple[Account, tuple[int, int]]:
    """A pool of about these amounts of its tokens A and B, and what it really counts as its reserves."""
    data = KINDS[kind]
    price = sqrt_price_from_amounts(*amounts)
    low, high = (int.from_bytes(data[at : at + 16], "little") for at in (recorded.LEAST_AT, recorded.MOST_AT))
    if kind == "compounding":
        liquidity, held = isqrt(amounts[0] * amounts[1]) << 64, amounts
    else:
        if kind == "range":
            low, high = price * 577 // 1000, price * 1633 // 1000
        liquidity = liquidity_from_b(amounts[1], price, low)
        held = range_reserves(liquidity, price, low, high)
    steps = 10 if kind in SCHEDULES else 0
    begun = now - steps * PERIOD - PERIOD // 4
    fee = int.from_bytes(data[FEE_AT : FEE_AT + 8], "little") * chance.choice((1, 2, 4)) // 2
    changes: list[tuple[int, bytes | int | str]] = [
        *zip(recorded.MINTS_AT, mints, strict=True),
        *zip(recorded.VAULTS_AT, vaults(address, mints), strict=True),
        *zip(recorded.AMOUNTS_AT, held, strict=True),
        (FEE_AT, fee),
        (LAST_UPDATE_AT, 0),
        *((at, recorded.wide(0)) for at in REFERENCES_AT),
        (STARTED_AT, recorded.wide(price)),
        (recorded.LIQUIDITY_AT, recorded.wide(liquidity)),
        (recorded.LEAST_AT, recorded.wide(low)),
        (recorded.MOST_AT, recorded.wide(high)),
        (recorded.PRICE_AT, recorded.wide(price)),
        (recorded.ACTIVATION_AT, begun),
    ]
    if kind in SCHEDULES:
        changes.append((PERIOD_AT, pack("<Q", PERIOD)))
    if data[recorded.DYNAMIC_AT]:
        changes.append((REFERENCES_AT[0], recorded.wide(price)))
    return Account(10**8, patched(data, *changes), PROGRAM), held
