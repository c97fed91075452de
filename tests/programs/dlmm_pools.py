"""Pools of Meteora's DLMM program, made and filled by the program itself.

Only what an administrator of Meteora makes is written as bytes here: the presets, from which pools are made. The
instructions follow the program's IDL 0.12.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from struct import pack

from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dexexec_adapters.curves.dlmm_bins import BINS_PER_ARRAY, INNER_ARRAYS
from dexexec_adapters.meteora_dlmm.venue import CUSTOM_POOLS
from dexexec_adapters.solana.addresses import address_bytes
from dexexec_adapters.solana.spl import SYSTEM
from tests.programs.direct import Direct

PROGRAM = Pubkey.from_string("LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo")
RENT = Pubkey.from_string("SysvarRent111111111111111111111111111111111")
BINS_AT_ONCE = 30
"""As many deposits fit into a transaction."""
PLENTY = 2**62
"""Base units of both tokens that the maker of a pool has."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The rules of a pool, as `PresetParameter2` lays them out. A pool may have limit orders, or rewards."""

    bin_step: int
    base_factor: int
    filter_period: int = 30
    decay_period: int = 600
    variable_fee_control: int = 0
    max_volatility: int = 0
    reduction_factor: int = 5_000
    protocol_share: int = 500
    base_fee_power: int = 0
    orders: bool = False
    collect_fee_mode: int = 0

    def data(self, index: int) -> bytes:
        """The account's bytes."""
        numbers = pack(
            "<HHHHIIHHHBBB", self.bin_step, self.base_factor, self.filter_period, self.decay_period,
            self.variable_fee_control, self.max_volatility, self.reduction_factor, self.protocol_share, index,
            self.base_fee_power, not self.orders, self.collect_fee_mode,
        )  # fmt: skip
        return (discriminator("account:PresetParameter2") + numbers).ljust(192, b"\0")


class DlmmPools:
    """Makes pools on a machine. The trader pays, and owns all positions."""

    def __init__(self, direct: Direct, program: Pubkey = PROGRAM) -> None:
        self.program = program
        self._direct = direct
        self._owner = direct.trader.pubkey()
        self._presets = count(1)
        self._arrays: set[Pubkey] = set()
        self._extended: set[Pubkey] = set()
        self._keys = count(2)

    def make(self, mints: tuple[str, str], preset: Preset, active_id: int) -> Pubkey:
        """A pool of X and Y without liquidity."""
        index = next(self._presets)
        config = self._derived(b"preset_parameter2", pack("<H", index))
        self._direct.put(config, self.program, preset.data(index))
        for mint in mints:
            self._direct.hold(self._direct.account_of(mint), mint, str(self._owner), PLENTY)
        keys = [Pubkey.from_string(mint) for mint in mints]
        pool = self._derived(bytes(config), *sorted(map(bytes, keys)))
        programs = [Pubkey.from_string(self._direct.program_of(mint)) for mint in mints]
        outer = not -INNER_ARRAYS <= active_id // BINS_PER_ARRAY < INNER_ARRAYS
        metas = [
            writable(pool), writable(self._extension(pool)) if outer else readable(self.program),
            *map(readable, keys),
            *(writable(self._reserve(pool, mint)) for mint in keys),
            writable(self._derived(b"oracle", bytes(pool))), readable(config), AccountMeta(self._owner, True, True),
            readable(self.program), readable(self.program), *map(readable, programs),
            readable(Pubkey.from_string(SYSTEM)),
            *self._events(),
        ]  # fmt: skip
        self._send("initialize_lb_pair2", pack("<i96x", active_id), metas)
        if outer:
            self._extended.add(pool)
        return pool

    def make_custom(
        self, mints: tuple[str, str], preset: Preset, active_id: int, *, opens_at: int, by_time: bool
    ) -> Pubkey:
        """A pool without a preset, which opens at a second or a slot. Its Y must be USDC or SOL."""
        for mint in mints:
            self._direct.hold(self._direct.account_of(mint), mint, str(self._owner), PLENTY)
        keys = [Pubkey.from_string(mint) for mint in mints]
        pool = self._derived(address_bytes(CUSTOM_POOLS), *sorted(map(bytes, keys)))
        programs = [Pubkey.from_string(self._direct.program_of(mint)) for mint in mints]
        owned = [writable(self._direct.account_of(mint)) for mint in mints]
        metas = [
            writable(pool), readable(self.program), *map(readable, keys),
            *(writable(self._reserve(pool, mint)) for mint in keys),
            writable(self._derived(b"oracle", bytes(pool))), owned[0], AccountMeta(self._owner, True, True),
            readable(self.program), readable(self.program), *map(readable, programs),
            readable(Pubkey.from_string(SYSTEM)),
            owned[1], *self._events(),
        ]  # fmt: skip
        data = pack(
            "<iHHB??Q?BBB60x", active_id, preset.bin_step, preset.base_factor, by_time, False, True, opens_at, False,
            preset.base_fee_power, not preset.orders, preset.collect_fee_mode,
        )  # fmt: skip
        self._send("initialize_customizable_permissionless_lb_pair2", data, metas)
        return pool

    def extend(self, pool: Pubkey) -> None:
        """Make the bitmap of the arrays far from the middle."""
        if pool not in self._extended:
            self._extended.add(pool)
            metas = [readable(pool), writable(self._extension(pool)), AccountMeta(self._owner, True, True)]
            metas += [readable(Pubkey.from_string(SYSTEM)), readable(RENT)]
            self._send("initialize_bin_array_bitmap_extension", b"", metas)

    def array(self, pool: Pubkey, index: int) -> Pubkey:
        """The array of bins at an index, made unless it exists."""
        address = self._derived(b"bin_array", bytes(pool), pack("<q", index))
        if address not in self._arrays:
            if not -INNER_ARRAYS <= index < INNER_ARRAYS:
                self.extend(pool)
            self._arrays.add(address)
            metas = [readable(pool), writable(address), AccountMeta(self._owner, True, True)]
            self._send("initialize_bin_array", pack("<q", index), [*metas, readable(Pubkey.from_string(SYSTEM))])
        return address

    def deposit(self, pool: Pubkey, mints: tuple[str, str], bins: Mapping[int, int], *, x: bool) -> None:
        """Base units of X for bins above the active one, or of Y for bins below it."""
        for index in sorted({bin_id // BINS_PER_ARRAY for bin_id in bins}):
            inside = [(bin_id, amount) for bin_id, amount in bins.items() if bin_id // BINS_PER_ARRAY == index]
            position = self._position(pool, index)
            for begin in range(0, len(inside), BINS_AT_ONCE):
                self._deposit(pool, mints[0 if x else 1], index, position, inside[begin : begin + BINS_AT_ONCE])

    def deposit_active(self, pool: Pubkey, mints: tuple[str, str], bin_id: int, amounts: tuple[int, int]) -> None:
        """Base units of X and Y for one bin, which may be the active one."""
        index = bin_id // BINS_PER_ARRAY
        array = self.array(pool, index)
        position = self._position(pool, index)
        keys = [Pubkey.from_string(mint) for mint in mints]
        programs = [Pubkey.from_string(self._direct.program_of(mint)) for mint in mints]
        metas = [
            writable(position), writable(pool), self._bitmap(pool),
            *(writable(self._direct.account_of(mint)) for mint in mints),
            *(writable(self._reserve(pool, key)) for key in keys), *map(readable, keys),
            AccountMeta(self._owner, True, False), *map(readable, programs), *self._events(),
            writable(array),
        ]  # fmt: skip
        shares = [10_000 if amount else 0 for amount in amounts]
        data = pack("<QQIiHHI", *amounts, 1, bin_id, *shares, 0)
        self._send("add_liquidity2", data, metas)

    def order(self, pool: Pubkey, mints: tuple[str, str], bins: Mapping[int, int], *, asks: bool) -> None:
        """Limit orders in base units by bin. With `asks` they sell X, otherwise Y."""
        mint = mints[0 if asks else 1]
        made = self._keypair()
        arrays = [self.array(pool, index) for index in sorted({bin_id // BINS_PER_ARRAY for bin_id in bins})]
        metas = [
            writable(pool), self._bitmap(pool), writable(self._reserve(pool, Pubkey.from_string(mint))),
            readable(Pubkey.from_string(mint)), AccountMeta(made.pubkey(), True, True),
            AccountMeta(self._owner, True, True), readable(self._owner), writable(self._direct.account_of(mint)),
            AccountMeta(self._owner, True, False), readable(Pubkey.from_string(self._direct.program_of(mint))),
            readable(Pubkey.from_string(SYSTEM)), *self._events(),
            *map(writable, arrays),
        ]  # fmt: skip
        amounts = b"".join(pack("<iQ", *one) for one in sorted(bins.items()))
        data = pack("<?16x?I", asks, False, len(bins)) + amounts + pack("<I", 0)
        self._send("place_limit_order", data, metas, made)

    def _deposit(self, pool: Pubkey, mint: str, index: int, position: Pubkey, amounts: list[tuple[int, int]]) -> None:
        key = Pubkey.from_string(mint)
        array = self.array(pool, index)
        largest = max(amount for _, amount in amounts)
        multiplier = max(1, -(-largest // (2**32 - 1)))
        metas = [
            writable(position), writable(pool), self._bitmap(pool), writable(self._direct.account_of(mint)),
            writable(self._reserve(pool, key)), readable(key), AccountMeta(self._owner, True, False),
            readable(Pubkey.from_string(self._direct.program_of(mint))), *self._events(),
            writable(array),
        ]  # fmt: skip
        parts = b"".join(pack("<iI", bin_id, max(1, amount // multiplier)) for bin_id, amount in amounts)
        data = pack("<I", len(amounts)) + parts + pack("<QQI", multiplier, 2**63, 0)
        self._send("add_liquidity_one_side_precise2", data, metas)

    def _position(self, pool: Pubkey, index: int) -> Pubkey:
        made = self._keypair()
        metas = [
            AccountMeta(self._owner, True, True), AccountMeta(made.pubkey(), True, True), readable(pool),
            AccountMeta(self._owner, True, False), readable(Pubkey.from_string(SYSTEM)), readable(RENT),
            *self._events(),
        ]  # fmt: skip
        self._send("initialize_position", pack("<ii", index * BINS_PER_ARRAY, BINS_PER_ARRAY), metas, made)
        return made.pubkey()

    def _keypair(self) -> Keypair:
        return Keypair.from_seed(next(self._keys).to_bytes(32, "big"))

    def _bitmap(self, pool: Pubkey) -> AccountMeta:
        return writable(self._extension(pool)) if pool in self._extended else readable(self.program)

    def _reserve(self, pool: Pubkey, mint: Pubkey) -> Pubkey:
        return reserve(pool, mint, self.program)

    def _extension(self, pool: Pubkey) -> Pubkey:
        return self._derived(b"bitmap", bytes(pool))

    def _derived(self, *seeds: bytes) -> Pubkey:
        return derived(*seeds, program=self.program)

    def _events(self) -> list[AccountMeta]:
        return [readable(self._derived(b"__event_authority")), readable(self.program)]

    def _send(self, name: str, data: bytes, metas: list[AccountMeta], *signers: Keypair) -> None:
        step = Instruction(self.program, discriminator(f"global:{name}") + data, metas)
        self._direct.send([step], *signers)


def discriminator(text: str) -> bytes:
    """Anchor's first 8 bytes of an account or an instruction."""
    return sha256(text.encode()).digest()[:8]


def derived(*seeds: bytes, program: Pubkey = PROGRAM) -> Pubkey:
    """An address of the program."""
    return Pubkey.find_program_address(list(seeds), program)[0]


def reserve(pool: Pubkey, mint: Pubkey, program: Pubkey = PROGRAM) -> Pubkey:
    """Where the pool keeps a token."""
    return derived(bytes(pool), bytes(mint), program=program)


def writable(address: Pubkey) -> AccountMeta:
    return AccountMeta(address, False, True)


def readable(address: Pubkey) -> AccountMeta:
    return AccountMeta(address, False, False)
