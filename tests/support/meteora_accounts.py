"""Meteora DAMM v2 accounts as a node shows them, from the recorded bytes.
`tests.support.raydium_accounts.RecordedChain` shows them."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dexexec.clock import Clock
from dexexec.domain import base58
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.testing.clock import ManualClock
from dexexec.venue import VenueContext
from dexexec_adapters.meteora.venue import Meteora, MeteoraOptions
from dexexec_adapters.solana.addresses import address_bytes
from dexexec_adapters.solana.chain_clock import CLOCK, SYSVAR
from dexexec_adapters.solana.clusters import METEORA_DAMM_V2
from dexexec_adapters.solana.keys import derived
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from tests.support.raydium_accounts import RecordedChain, address, key, mint_account, patched, token_account
from tests.vectors.accounts import load


@dataclass(frozen=True, slots=True)
class Program:
    """The program at an address, with the two derived addresses that all its pools share."""

    address: str
    pool_authority: str
    event_authority: str

    @classmethod
    def at(cls, address: str) -> "Program":
        """The program at `address`. Raises `ValueError` for an invalid address."""
        return cls(address, derived(address, b"pool_authority"), derived(address, b"__event_authority"))

    def customizable_pool(self, mint_a: bytes, mint_b: bytes) -> str:
        """The address of the pair's only pool without a config. The mints may be in any order."""
        return derived(self.address, b"cpool", *sorted((mint_a, mint_b), reverse=True))

    def vaults_of_pool(self, pool: str, mints: Sequence[bytes]) -> tuple[str, ...]:
        """The addresses of a pool's vaults."""
        return tuple(derived(self.address, b"token_vault", mint, address_bytes(pool)) for mint in mints)

    def pool_of_config(self, config: str, mint_a: bytes, mint_b: bytes) -> str:
        """The address of the pair's pool from `config`. The mints may be in any order."""
        return derived(self.address, b"pool", address_bytes(config), *sorted((mint_a, mint_b), reverse=True))


PROGRAM = Program.at(METEORA_DAMM_V2["mainnet-beta"].program)
RECORDS = load("damm_v2.json")
BOTH_FEES, ONLY_B, COMPOUNDING, DYNAMIC, RANGE, LINEAR, EXPONENTIAL = (
    b64decode(record["account_at_start"]) for record in RECORDS
)
MODE_AT, DYNAMIC_AT, MINTS_AT, VAULTS_AT = 16, 56, (168, 200), (232, 264)
LIQUIDITY_AT, LEAST_AT, MOST_AT, PRICE_AT = 360, 424, 440, 456
ACTIVATION_AT, ACTIVATION_TYPE_AT, STATUS_AT, FLAGS_AT, COLLECT_AT = 472, 480, 481, (482, 483), 484
FEE_VERSION_AT, AMOUNTS_AT, LAYOUT_AT = 486, (680, 688), 696
SLOT, UNIX = 435_900_000, 1_770_000_000
VAULT_AMOUNT = 2**62
POOL, WALLET = address(1), address(99)
SELL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=1_000_000_000, mode=Mode.EXACT_IN, slippage_bps=50)
BUY = SwapRequest(mint_in=USDC, mint_out=WSOL, amount=1_000_000_000, mode=Mode.EXACT_OUT, slippage_bps=50)
DEADLINE = 60.0
"""Of real seconds, beside a clock that stands: one second is too short on a busy machine."""


def wide(number: int) -> bytes:
    """A u128."""
    return number.to_bytes(16, "little")


def clock_account(slot: int = SLOT, unix_timestamp: int = UNIX) -> Account:
    """The sysvar: slot, start of the epoch, epoch, epoch of the next leaders, Unix time."""
    numbers = (slot, 0, 0, 0)
    data = b"".join(one.to_bytes(8, "little") for one in numbers) + unix_timestamp.to_bytes(8, "little", signed=True)
    return Account(SYSVAR, 1_169_280, data)


def pool_of(mints: tuple[str, str] = (WSOL, USDC), number: int = 1, data: bytes = ONLY_B, *changes: Any) -> bytes:
    """A recorded pool with other mints as token A and B, and vaults of its own."""
    owned = [(at, address(100 + 2 * number + index)) for index, at in enumerate(VAULTS_AT)]
    return patched(data, *zip(MINTS_AT, mints, strict=True), *owned, *changes)


def around(data: bytes, held: tuple[int, int] = (VAULT_AMOUNT, VAULT_AMOUNT)) -> dict[str, Account]:
    """What a pool names: its mints and its vaults."""
    accounts = {}
    for mint_at, vault_at, flag_at, amount in zip(MINTS_AT, VAULTS_AT, FLAGS_AT, held, strict=True):
        mint, program = key(data, mint_at), TOKEN_2022 if data[flag_at] else TOKEN
        accounts[mint] = mint_account(program)
        accounts[key(data, vault_at)] = token_account(mint, PROGRAM.pool_authority, amount, program=program)
    return accounts


def pool_account(data: bytes) -> Account:
    """A pool of the program."""
    return Account(PROGRAM.address, 8_630_400, data)


def chain_of(*pools: bytes, clock: Account | None = None, **others: Account) -> RecordedChain:
    """Shows these pools at `address(1)`, `address(2)` ..., and what belongs to them."""
    held: dict[str, Account] = {CLOCK: clock or clock_account()}
    for number, data in enumerate(pools, 1):
        held |= {address(number): pool_account(data), **around(data)}
    return RecordedChain(held, slot=SLOT)


def changed(chain: RecordedChain, changes: Mapping[str, Account | None]) -> RecordedChain:
    """The chain with other accounts at some addresses; None: with none."""
    held = {**chain.held, **{at: one for at, one in changes.items() if one is not None}}
    return RecordedChain({at: one for at, one in held.items() if changes.get(at, one) is not None}, slot=chain.slot)


def meteora(chain: RecordedChain, clock: Clock | None = None, node: str = "mainnet-beta", **options: Any) -> Meteora:
    """The venue on a recorded chain of the cluster `node`."""
    return Meteora(VenueContext(clock or ManualClock(), Tokens(KNOWN), chain, MeteoraOptions(**options), node))


def derived_vault(pool: str, mint: str) -> str:
    """Where the program keeps a token of a pool."""
    return derived(PROGRAM.address, b"token_vault", base58.decode(mint), base58.decode(pool))


async def ask(chain: RecordedChain, request: SwapRequest = SELL, **options: Any) -> Quote:
    """What a fresh venue quotes."""
    venue = meteora(chain, **options)
    try:
        return await venue.quote(request, DEADLINE)
    finally:
        await venue.aclose()
