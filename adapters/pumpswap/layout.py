"""The accounts of PumpSwap (`idl/pump_amm.json` and `pump_fees.json` of pump-public-docs, May 2026)."""

from dataclasses import dataclass
from struct import Struct
from typing import Annotated, NamedTuple

from dexexec.domain.solana import Account, AccountFilters
from dexexec.venue import BadAnswer, Unsupported
from dexexec_adapters.curves.pumpswap import Fees, FeeTier
from dexexec_adapters.pools import search
from dexexec_adapters.solana.layout import U8, U16, U32, U64, Flag, Layout, Pubkey, Rows, after, rows

NO_KEY = "1" * 32
"""The address of 32 zero bytes."""


class Recipient(NamedTuple):
    """A receiver of fees."""

    address: Pubkey


class GlobalConfig(NamedTuple):
    """The fields of the program's one config that a swap depends on."""

    disable_flags: Annotated[U8, after(48)]
    protocol_fee_recipients: Annotated[Rows[Recipient], rows(Recipient, 8)]
    buyback_fee_recipients: Annotated[Rows[Recipient], after(330), rows(Recipient, 8)]


class PumpAccount(NamedTuple):
    """A pool. One that is shorter must be extended first, for which the program has an instruction."""

    bump: U8
    number: U16
    creator: Pubkey
    base_mint: Pubkey
    quote_mint: Pubkey
    lp_mint: Pubkey
    base_vault: Pubkey
    quote_vault: Pubkey
    lp_supply: U64
    coin_creator: Pubkey
    is_mayhem_mode: Flag
    is_cashback_coin: Flag


class FeeConfigHead(NamedTuple):
    """The fees of pools that are not of pump's own coins, and how many tiers follow for those."""

    bump: U8
    admin: Pubkey
    lp_bps: U64
    protocol_bps: U64
    creator_bps: U64
    tiers: U32


POOL = Layout("pool", PumpAccount, size=300, discriminator="f19a6d0411b16dbc")
CONFIG = Layout("global config", GlobalConfig, size=899, or_more=True, discriminator="95089ccaa0fcb0d9")
FEE_CONFIG = Layout("fee config", FeeConfigHead, size=69, or_more=True, discriminator="8f3492bbdb7b4c9b")
TIER = Struct("<QQQQQ")
"""The market cap (128 bits), and the three rates."""
MOST_TIERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolKeys(search.PoolKeys):
    """Also who made the pool, and where its fees go."""

    creator: str
    coin_creator: str
    protocol_fee_recipient: str
    buyback_fee_recipient: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """A pool account with its constant addresses."""

    keys: PoolKeys
    account: PumpAccount

    @property
    def depth(self) -> int:
        """The supply of liquidity shares, about sqrt(x * y)."""
        return self.account.lp_supply


def pool_filters(base: bytes, quote: bytes) -> AccountFilters:
    """The search for pools with these two tokens, in this order."""
    return POOL.filters(base_mint=base, quote_mint=quote)


def read_pool(address: str, account: Account | None, program: str) -> PumpAccount:
    """The pool at `address`. Raises `BadAnswer` for another account, and `Unsupported` for a kind of pool whose swaps
    the documents do not describe in full."""
    pool = POOL.read(address, account, owner=program)
    if pool.is_mayhem_mode:
        raise Unsupported(f"the pool {address} is in mayhem mode")
    if pool.is_cashback_coin:
        raise Unsupported(f"the pool {address} pays cashback to accounts that the wallet would have to open")
    return pool


def read_config(address: str, account: Account | None, program: str) -> GlobalConfig:
    """The program's config. Raises `BadAnswer`."""
    return CONFIG.read(address, account, owner=program)


def read_fees(address: str, account: Account | None, program: str) -> tuple[Fees, tuple[FeeTier, ...]]:
    """The flat fees, and those by market cap. Raises `BadAnswer`."""
    head = FEE_CONFIG.read(address, account, owner=program)
    assert account is not None  # noqa: S101 - `read` has checked it
    begin = FEE_CONFIG.size
    data = account.data[begin : begin + head.tiers * TIER.size]
    if head.tiers > MOST_TIERS or len(data) < head.tiers * TIER.size:
        raise BadAnswer(f"the fee config {address} has {head.tiers} tiers in {len(account.data)} bytes")
    try:
        flat = Fees(lp=head.lp_bps, protocol=head.protocol_bps, creator=head.creator_bps)
        tiers = tuple(
            FeeTier(market_cap=low + (high << 64), fees=Fees(lp=lp, protocol=protocol, creator=creator))
            for low, high, lp, protocol, creator in TIER.iter_unpack(data)
        )
    except ValueError as error:
        raise BadAnswer(f"the fee config {address}: {error}") from error
    return flat, tiers
