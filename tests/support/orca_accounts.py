"""Accounts of Orca's Whirlpool program, as bytes, and a chain that shows some.

They are packed field by field from the program's source, and share nothing with the layouts that read them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from struct import pack
from typing import Any

from dexexec.clock import Clock
from dexexec.domain import base58
from dexexec.domain.quote import Quote, SwapRequest
from dexexec.domain.solana import Account
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.testing.clock import ManualClock
from dexexec.venue import VenueContext
from dexexec_adapters.curves.ticks import amount_a, amount_b
from dexexec_adapters.curves.whirlpool_fees import AdaptiveFee
from dexexec_adapters.curves.whirlpool_ticks import TICKS_IN_ARRAY, sqrt_price_at
from dexexec_adapters.orca.venue import Orca, OrcaOptions
from dexexec_adapters.solana.chain_clock import CLOCK
from dexexec_adapters.solana.clusters import ORCA
from dexexec_adapters.solana.keys import derived, derived_with_bump
from dexexec_adapters.solana.spl import TOKEN
from tests.support import meteora_accounts
from tests.support.raydium_accounts import RecordedChain, address, mint_account, token_account
from tests.support.whirlpool_pools import Position

PROGRAM = ORCA["localnet"].program
[CONFIG] = ORCA["localnet"].configs
DEADLINE = 60.0
"""Of real seconds, while the clock does not move: one second is too short on a busy machine."""
ADAPTIVE_TIER = 1_024
"""The number of a fee tier with an adaptive fee. Those of the others are their tick spacings."""


@dataclass(frozen=True, kw_only=True)
class WhirlpoolRecord:
    """A pool at the price of a tick, plus `beyond`. Its price may also be at a tick that was crossed downwards.

    `dynamic` are the starts of arrays that grow with their ticks.
    """

    mints: tuple[str, str] = (WSOL, USDC)
    positions: Sequence[Position] = (Position(-64_000, 64_000, 10**13),)
    tick: int = 7
    beyond: int = 1_234
    crossed: bool = False
    spacing: int = 64
    fee_rate: int = 3_000
    protocol_fee_rate: int = 1_300
    adaptive_fee: AdaptiveFee | None = None
    opens_at: int = 0
    tier: int | None = None
    dynamic: Sequence[int] = ()
    vaults: tuple[str, str] = field(default_factory=lambda: (address(171), address(172)))

    @property
    def sqrt_price(self) -> int:
        """The price in Q64.64."""
        return sqrt_price_at(self.tick) + self.beyond

    @property
    def tick_current(self) -> int:
        """One below the tick of the price if that was crossed downwards."""
        return self.tick - self.crossed

    @property
    def liquidity(self) -> int:
        """At the price."""
        return sum(one.liquidity for one in self.positions if one.lower <= self.tick_current < one.upper)

    @property
    def tier_bytes(self) -> bytes:
        """The number of the fee tier, as the pool has it."""
        usual = self.spacing if self.adaptive_fee is None else ADAPTIVE_TIER + self.spacing % 1_024
        return pack("<H", usual if self.tier is None else self.tier)

    @property
    def address(self) -> str:
        """The pool's."""
        return self._derived[0]

    @property
    def _derived(self) -> tuple[str, int]:
        seeds = (b"whirlpool", base58.decode(CONFIG), *map(base58.decode, self.mints), self.tier_bytes)
        return derived_with_bump(PROGRAM, *seeds)

    @property
    def held(self) -> tuple[int, int]:
        """What the positions hold of A and B."""
        a = b = 0
        for one in self.positions:
            low, high = sqrt_price_at(one.lower), sqrt_price_at(one.upper)
            price = min(max(self.sqrt_price, low), high)
            a += amount_a(price, high, one.liquidity, round_up=True)
            b += amount_b(low, price, one.liquidity, round_up=True)
        return a, b

    def accounts(self) -> dict[str, bytes]:
        """The program's accounts, by address."""
        pool = self.address
        found = {pool: self._pool()}
        ticks: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        for one in self.positions:
            for at, net in ((one.lower, one.liquidity), (one.upper, -one.liquidity)):
                ticks[at][0] += net
                ticks[at][1] += one.liquidity
        span = self.spacing * TICKS_IN_ARRAY
        arrays: dict[int, dict[int, list[int]]] = defaultdict(dict)
        for at, used in ticks.items():
            arrays[at // span * span][at % span // self.spacing] = used
        for start in {*arrays, *self.dynamic}:
            make = dynamic_array if start in self.dynamic else fixed_array
            found[array_address(pool, start)] = make(pool, start, arrays.get(start, {}))
        if self.adaptive_fee is not None:
            found[oracle_address(pool)] = oracle_data(pool, self.adaptive_fee, self.opens_at)
        return found

    def _pool(self) -> bytes:
        head = base58.decode(CONFIG) + pack("<BH", self._derived[1], self.spacing) + self.tier_bytes
        rates = pack("<HH", self.fee_rate, self.protocol_fee_rate)
        state = u128(self.liquidity) + u128(self.sqrt_price) + pack("<iQQ", self.tick_current, 0, 0)
        sides = b"".join(
            base58.decode(mint) + base58.decode(vault) + bytes(16)
            for mint, vault in zip(self.mints, self.vaults, strict=True)
        )
        return (discriminator("Whirlpool") + head + rates + state + sides).ljust(653, b"\0")


def discriminator(kind: str) -> bytes:
    """Anchor's first 8 bytes of an account."""
    return sha256(f"account:{kind}".encode()).digest()[:8]


def u128(value: int) -> bytes:
    return value.to_bytes(16, "little")


def tick_data(net: int, gross: int) -> bytes:
    """The fields of a tick: its liquidities, and what has grown outside of it."""
    return net.to_bytes(16, "little", signed=True) + u128(gross) + bytes(80)


def fixed_array(pool: str, start: int, ticks: Mapping[int, Sequence[int]]) -> bytes:
    """An array of ticks, by their place, each with its net and gross liquidity."""
    rows = (b"\1" + tick_data(*ticks[place]) if place in ticks else bytes(113) for place in range(TICKS_IN_ARRAY))
    return discriminator("TickArray") + pack("<i", start) + b"".join(rows) + base58.decode(pool)


def dynamic_array(pool: str, start: int, ticks: Mapping[int, Sequence[int]]) -> bytes:
    """The same, in an account that has only the ticks in use."""
    rows = (b"\1" + tick_data(*ticks[place]) if place in ticks else b"\0" for place in range(TICKS_IN_ARRAY))
    marks = u128(sum(1 << place for place in ticks))
    return discriminator("DynamicTickArray") + pack("<i", start) + base58.decode(pool) + marks + b"".join(rows)


def oracle_data(pool: str, fee: AdaptiveFee, opens_at: int = 0) -> bytes:
    """The account of an adaptive fee."""
    constants = pack(
        "<HHHIIHH16x", fee.filter_period, fee.decay_period, fee.reduction_factor, fee.control_factor,
        fee.max_volatility, fee.group_size, fee.major_swap_ticks,
    )  # fmt: skip
    variables = pack(
        "<QQIiI", fee.reference_updated_at, fee.major_swap_at, fee.volatility_reference, fee.group_reference,
        fee.volatility,
    )  # fmt: skip
    data = discriminator("Oracle") + base58.decode(pool) + pack("<Q", opens_at) + constants + variables
    return data.ljust(254, b"\0")


def array_address(pool: str, start: int) -> str:
    """Where the array of the ticks from `start` on is."""
    return derived(PROGRAM, b"tick_array", base58.decode(pool), str(start).encode())


def oracle_address(pool: str) -> str:
    """Where the adaptive fee of a pool is."""
    return derived(PROGRAM, b"oracle", base58.decode(pool))


def pool_accounts(record: WhirlpoolRecord) -> dict[str, Account]:
    """A pool with its vaults, by address."""
    accounts = {at: Account(PROGRAM, 10**7, data) for at, data in record.accounts().items()}
    for vault, mint, amount in zip(record.vaults, record.mints, record.held, strict=True):
        accounts[vault] = token_account(mint, record.address, amount)
    return accounts


def chain_of(*pools: Mapping[str, Account] | WhirlpoolRecord) -> RecordedChain:
    """A chain that shows these pools and a clock."""
    accounts = {CLOCK: meteora_accounts.clock_account(), WSOL: mint_account(TOKEN), USDC: mint_account(TOKEN)}
    for pool in pools:
        accounts |= pool_accounts(pool) if isinstance(pool, WhirlpoolRecord) else pool
    return RecordedChain(accounts)


def orca(chain: RecordedChain, clock: Clock | None = None, **options: Any) -> Orca:
    """The venue on a chain."""
    made = OrcaOptions.model_validate(options)
    return Orca(VenueContext(clock or ManualClock(), Tokens(KNOWN), chain, made, "mainnet-beta"))


async def ask(chain: RecordedChain, request: SwapRequest, **options: Any) -> Quote:
    """What the venue quotes."""
    return await orca(chain, **options).quote(request, DEADLINE)


def sorted_mints(mints: Iterable[str]) -> tuple[str, str]:
    """As the program requires them."""
    low, high = sorted(mints, key=base58.decode)
    return low, high
