"""Accounts of Meteora's DLMM program as bytes, from the recorded pools, and a chain that shows some.

They are packed field by field from the program's IDL, and share nothing with the layouts that read them.
"""

from collections.abc import Mapping
from struct import pack
from typing import Any

from dexexec.clock import Clock
from dexexec.domain import base58
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.testing.clock import ManualClock
from dexexec.venue import VenueContext
from dexexec_adapters.meteora_dlmm.venue import MeteoraDlmm, MeteoraDlmmOptions
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.clusters import METEORA_DLMM
from dexexec_adapters.solana.keys import derived
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from tests.support.meteora_accounts import clock_account
from tests.support.raydium_accounts import RecordedChain, address, mint_account, token_account
from tests.vectors.accounts import load

PROGRAM = METEORA_DLMM["mainnet-beta"].program
RECORDS: Mapping[str, dict[str, Any]] = {record["name"]: record for record in load("dlmm.json")}
BINS, OUTER = 70, 512
DEADLINE = 60.0
"""Seconds of real time: one second is too short on a busy machine."""
SELL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**6, mode=Mode.EXACT_IN, slippage_bps=50)
BUY = SwapRequest(mint_in=USDC, mint_out=WSOL, amount=10**6, mode=Mode.EXACT_OUT, slippage_bps=50)


def deeper(record: Mapping[str, Any], times: int) -> dict[str, Any]:
    """The recorded pool with so many times as much in its bins."""
    rows = [
        [bin_id, x * times, y * times, price, opened * times, processed * times, ask]
        for bin_id, x, y, price, opened, processed, ask in record["bins"]
    ]
    return {**record, "bins": rows}


def indexes_of(record: Mapping[str, Any]) -> list[int]:
    """The arrays that have a bin with something in it."""
    return sorted({row[0] // BINS for row in record["bins"]})


def array_address(pool: str, index: int) -> str:
    """Where an array of bins is."""
    return derived(PROGRAM, b"bin_array", base58.decode(pool), index.to_bytes(8, "little", signed=True))


def extension_address(pool: str) -> str:
    """Where the bitmap extension is."""
    return derived(PROGRAM, b"bitmap", base58.decode(pool))


def held_by(record: Mapping[str, Any]) -> tuple[int, int]:
    """All X and Y in the bins, limit orders included."""
    asks, bids = (sum(row[4] + row[5] for row in record["bins"] if row[6] == side) for side in (1, 0))
    return sum(row[1] for row in record["bins"]) + asks, sum(row[2] for row in record["bins"]) + bids


def pair_data(
    record: Mapping[str, Any],
    mints: tuple[str, str] = (WSOL, USDC),
    number: int = 1,
    *,
    status: int = 0,
    pair_type: int = 3,
    activation: tuple[int, int] = (0, 0),
    function: int | None = None,
    collect_fee_mode: int | None = None,
    reward: str = "",
    flags: tuple[int, int] = (0, 0),
    vaults: tuple[str, str] | None = None,
) -> bytes:
    """The pool account. `activation` is type and point."""
    fee = record["fee"]
    mode = record["collectFeeMode"] if collect_fee_mode is None else collect_fee_mode
    kind = (2 if record["withOrders"] else 1) if function is None else function
    static = pack(
        "<HHHHIIiiHBBB3x", fee["base_factor"], fee["filter_period"], fee["decay_period"], fee["reduction_factor"],
        fee["variable_fee_control"], fee["max_volatility_accumulator"], -443_636, 443_636, fee["protocol_share"],
        fee["base_fee_power_factor"], kind, mode,
    )  # fmt: skip
    variable = pack("<IIi4xq8x", 0, 0, 0, record["updatedAt"])
    step = fee["bin_step"]
    head = pack("<B2sBiHBB2sBB", 255, pack("<H", step), pair_type, record["active"], step, status, 0, b"\0\0",
                activation[0], 0)  # fmt: skip
    owned = vaults or (address(100 + 2 * number), address(101 + 2 * number))
    keys = b"".join(map(base58.decode, (*mints, *owned)))
    rewards = (base58.decode(reward) if reward else bytes(32)).ljust(288, b"\0")
    marks = sum(1 << index + OUTER for index in indexes_of(record) if -OUTER <= index < OUTER)
    tail = bytes(8 + 32 + 32 + 32) + pack("<QQ16x", activation[1], 0) + base58.decode(address(90)) + bytes(flags)
    data = bytes.fromhex("210b3162b565b10d") + static + variable + head + keys + bytes(16 + 32) + rewards
    data += base58.decode(address(80 + number)) + marks.to_bytes(128, "little") + tail
    return data.ljust(904, b"\0")


def array_data(record: Mapping[str, Any], pool: str, index: int) -> bytes:
    """One array of bins."""
    bins = [bytes(144)] * BINS
    for bin_id, x, y, price, opened, processed, ask in record["bins"]:
        if bin_id // BINS == index:
            bins[bin_id % BINS] = (
                pack("<QQ", x, y) + int(price).to_bytes(16, "little") + bytes(80)
                + pack("<QQQIB3x", opened, 0, processed, 0, ask)
            )  # fmt: skip
    head = bytes.fromhex("5c8e5cdc059446b5") + pack("<qB7x", index, 2) + base58.decode(pool)
    return head + b"".join(bins)


def extension_data(record: Mapping[str, Any], pool: str) -> bytes:
    """The marks of the arrays far from the middle."""
    indexes = indexes_of(record)
    above = sum(1 << index - OUTER for index in indexes if index >= OUTER)
    below = sum(1 << -index - OUTER - 1 for index in indexes if index < -OUTER)
    marks = above.to_bytes(768, "little") + below.to_bytes(768, "little")
    return bytes.fromhex("506f7c7137ed1205") + base58.decode(pool) + marks


def pool_accounts(
    record: Mapping[str, Any],
    number: int = 1,
    mints: tuple[str, str] = (WSOL, USDC),
    held: tuple[int, int] | None = None,
    **changes: Any,
) -> dict[str, Account]:
    """A recorded pool with other mints at `address(number)`, and all that belongs to it."""
    at = address(number)
    accounts = {at: Account(PROGRAM, 7_182_720, pair_data(record, mints, number, **changes))}
    flags = changes.get("flags", (0, 0))
    for place, (mint, amount) in enumerate(zip(mints, held or held_by(record), strict=True)):
        program = TOKEN_2022 if flags[place] == 1 else TOKEN
        accounts[mint] = mint_account(program)
        accounts[address(100 + 2 * number + place)] = token_account(mint, at, amount, program=program)
    for index in indexes_of(record):
        accounts[array_address(at, index)] = Account(PROGRAM, 71_437_440, array_data(record, at, index))
    if any(not -OUTER <= index < OUTER for index in indexes_of(record)):
        accounts[extension_address(at)] = Account(PROGRAM, 11_859_840, extension_data(record, at))
    return accounts


def chain_of(*pools: Mapping[str, Account], clock: Account | None = None) -> RecordedChain:
    """A chain that shows these pools and a clock, by default just after the pools were recorded."""
    accounts = {CLOCK: clock or clock_account(435_900_000, RECORDS["plain"]["updatedAt"] + 5)}
    for pool in pools:
        accounts |= pool
    return RecordedChain(accounts, slot=435_900_000)


def dlmm(chain: RecordedChain, clock: Clock | None = None, **options: Any) -> MeteoraDlmm:
    """The venue on a recorded chain of mainnet."""
    clock = clock or ManualClock()
    return MeteoraDlmm(VenueContext(clock, Tokens(KNOWN), chain, MeteoraDlmmOptions(**options), "mainnet-beta"))


async def ask(chain: RecordedChain, request: SwapRequest = SELL, **options: Any) -> Quote:
    """What a fresh venue quotes."""
    venue = dlmm(chain, **options)
    try:
        return await venue.quote(request, DEADLINE)
    finally:
        await venue.aclose()
