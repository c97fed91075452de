"""Raydium CPMM accounts as a node shows them, from the recorded bytes, and a chain that shows exactly those."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dexexec.clock import Clock
from dexexec.domain import base58
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import Account, AccountFilters, Accounts, ProgramAccounts, Simulation
from dexexec.domain.swap import Accepted, Blockhash, NotSeen, SignedSwap, SubmitAnswer, SwapStatus
from dexexec.domain.token import KNOWN, Tokens
from dexexec.testing.clock import ManualClock
from dexexec.venue import VenueContext, VenueError
from dexexec_adapters.raydium.venue import Raydium, RaydiumOptions
from dexexec_adapters.solana.addresses import address_bytes
from dexexec_adapters.solana.clusters import RAYDIUM_CPMM
from dexexec_adapters.solana.keys import derived
from dexexec_adapters.solana.spl import TOKEN
from tests.vectors.accounts import load


@dataclass(frozen=True, slots=True)
class Program:
    """The program at an address, with the derived address that owns the vaults of all its pools."""

    address: str
    authority: str

    @classmethod
    def at(cls, address: str) -> "Program":
        """The program at `address`. Raises `ValueError` for an invalid address."""
        return cls(address, derived(address, b"vault_and_lp_mint_auth_seed"))

    def pool_of_config(self, config: str, mint_a: bytes, mint_b: bytes) -> str:
        """The address of the pair's pool from `config`, if it was created at the derived address."""
        return derived(self.address, b"pool", address_bytes(config), *sorted((mint_a, mint_b)))

    def accounts_of_pool(self, pool: str, mints: Sequence[bytes]) -> tuple[str, ...]:
        """The addresses of a pool's vaults and of its record of prices."""
        at = address_bytes(pool)
        vaults = (derived(self.address, b"pool_vault", at, mint) for mint in mints)
        return (*vaults, derived(self.address, b"observation", at))


PROGRAM = RAYDIUM_CPMM["mainnet-beta"].program
AUTHORITY = Program.at(PROGRAM).authority
[RECORD] = load("cpmm.json")
POOL_DATA, CONFIG_DATA = b64decode(RECORD["account_at_start"]), b64decode(RECORD["amm_config"])
VAULT_AMOUNTS: tuple[int, int] = tuple(RECORD["vaults_at_start"])
CONFIG_AT, VAULTS_AT, MINTS_AT, PROGRAMS_AT, OBSERVATION_AT = 8, (72, 104), (168, 200), (232, 264), 296
BLOCKHASH = Blockhash(base58.encode(bytes([7]) * 32), 150)


def address(number: int) -> str:
    """Some address."""
    return base58.encode(bytes([number]) * 32)


def key(data: bytes, at: int) -> str:
    """The address at an offset."""
    return base58.encode(data[at : at + 32])


POOL = address(1)
CONFIG = key(POOL_DATA, CONFIG_AT)
VAULT_0, VAULT_1 = (key(POOL_DATA, at) for at in VAULTS_AT)
MINT_0, MINT_1 = (key(POOL_DATA, at) for at in MINTS_AT)
SELL = SwapRequest(mint_in=MINT_0, mint_out=MINT_1, amount=10**9, mode=Mode.EXACT_IN, slippage_bps=50)
OPEN_MS = 1_800_000_000_000
"""A time at which the recorded pool is open."""


def patched(data: bytes, *changes: tuple[int, bytes | int | str]) -> bytes:
    """`data` with other bytes (or a u64, or an address) at some offsets."""
    changed = bytearray(data)
    for at, new in changes:
        part = new.to_bytes(8, "little") if isinstance(new, int) else new
        part = base58.decode(part) if isinstance(part, str) else part
        changed[at : at + len(part)] = part
    return bytes(changed)


def token_account(mint: str, owner: str, amount: int, *, state: int = 1, program: str = TOKEN) -> Account:
    """A token account without extensions."""
    data = base58.decode(mint) + base58.decode(owner) + amount.to_bytes(8, "little") + bytes(36) + bytes([state])
    return Account(program, 2_039_280, data.ljust(165, b"\0"))


def mint_account(program: str, *extensions: tuple[int, bytes]) -> Account:
    """A mint with extensions, if any."""
    data = (bytes(44) + bytes([6, 1])).ljust(82, b"\0")
    if extensions:
        data = data.ljust(165, b"\0") + b"\1"
        for kind, body in extensions:
            data += kind.to_bytes(2, "little") + len(body).to_bytes(2, "little") + body
    return Account(program, 1_461_600, data)


def pool_accounts(
    at: str, data: bytes = POOL_DATA, amounts: tuple[int, int] = VAULT_AMOUNTS, config: bytes = CONFIG_DATA
) -> dict[str, Account]:
    """A pool and all that belongs to it, by address."""
    accounts = {at: Account(PROGRAM, 5_324_400, data), key(data, CONFIG_AT): Account(PROGRAM, 2_533_440, config)}
    for vault, mint, program, amount in zip(VAULTS_AT, MINTS_AT, PROGRAMS_AT, amounts, strict=True):
        accounts[key(data, vault)] = token_account(key(data, mint), AUTHORITY, amount, program=key(data, program))
    return accounts


def pool_of(mints: tuple[str, str], number: int = 1, *changes: tuple[int, Any]) -> bytes:
    """The recorded pool with other mints (in any order), and vaults of its own."""
    first, second = sorted(mints, key=base58.decode)
    vaults = [(at, address(100 + 2 * number + index)) for index, at in enumerate(VAULTS_AT)]
    return patched(POOL_DATA, (168, first), (200, second), *vaults, *changes)


@dataclass
class RecordedChain:
    """Returns `held`, and records its calls. `searching` is what a search raises, if it does."""

    held: Mapping[str, Account]
    slot: int = 400_000_000
    searching: VenueError | None = None
    reading: VenueError | None = None
    read: list[tuple[str, ...]] = field(default_factory=list)
    searched: list[tuple[str, AccountFilters]] = field(default_factory=list)

    async def blockhash(self) -> Blockhash:
        """Always the same."""
        return BLOCKHASH

    async def submit(self, signed: SignedSwap) -> SubmitAnswer:
        """Taken."""
        return Accepted()

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        """None is known."""
        return [NotSeen(height=1, history=history, node="recorded") for _ in signatures]

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """As held."""
        self.read.append(tuple(addresses))
        if self.reading is not None:
            raise self.reading
        assert len(addresses) <= 100, "a node shows no more in one answer"
        return Accounts(self.slot, tuple(self.held.get(one) for one in addresses))

    async def program_accounts(self, program: str, filters: AccountFilters) -> ProgramAccounts:
        """Those of `held` that suit."""
        self.searched.append((program, filters))
        if self.searching is not None:
            raise self.searching
        found = {at: one for at, one in self.held.items() if one.owner == program and filters.suits(one)}
        return ProgramAccounts(self.slot, found)

    async def simulate(self, transaction: bytes, watched: Sequence[str]) -> Simulation:
        """Not recorded."""
        raise AssertionError("nothing is simulated here")


def raydium(chain: RecordedChain, clock: Clock | None = None, node: str = "mainnet-beta", **options: Any) -> Raydium:
    """The venue on a recorded chain of the cluster `node`."""
    return Raydium(VenueContext(clock or ManualClock(), Tokens(KNOWN), chain, RaydiumOptions(**options), node))


def venue_on(accounts: Mapping[str, Account], **options: Any) -> Raydium:
    """The venue on a chain of these accounts, while the recorded pool is open."""
    return raydium(RecordedChain(accounts), ManualClock(OPEN_MS), **options)


async def quoted(venue: Raydium, request: SwapRequest = SELL) -> Quote:
    """What the venue quotes within a second."""
    return await venue.quote(request, venue.context.clock.monotonic() + 1)
