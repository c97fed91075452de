"""A swap of two token transfers, as plain values of which a test changes one: the message and its effects.

Our wallet pays 100 of one mint to the venue's vault, and the vault pays 50 of another to us; our account for the second
is opened on the way. The order allows at most 100 and at least 49.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from dexexec.domain import base58
from dexexec.domain.funds import PriorityFee, Tip
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.rent import Rent
from dexexec.domain.solana import Account, AccountMeta, Instruction
from dexexec.domain.swap import Blockhash
from dexexec.domain.token import WSOL
from dexexec.domain.transaction_bytes import split
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.solana.checker import Price
from dexexec.settlement.solana.guard.message_rules import GuardRules, Proposal, check, check_message
from dexexec.settlement.solana.lookup_table import LookupTable
from dexexec.settlement.solana.message import (
    Message,
    Program,
    Version,
    compute_unit_limit,
    compute_unit_price,
    memo,
)
from dexexec.settlement.solana.transaction import associated_token_account, compile_message, parse_message
from tests.support.attempts import RECORD, an_attempt


def message_of(transaction: bytes) -> Message:
    """The message of a signed transaction."""
    return parse_message(split(transaction).message)


VERSION: ContextVar[Version] = ContextVar("version", default=Version.V0)
"""The version of the messages that the guard is given."""
LOOKED_UP: ContextVar[bool] = ContextVar("looked_up", default=False)
"""Whether they take from a lookup table all accounts that may be in one."""


@contextmanager
def compiled_as(version: Version, *, looked_up: bool = False) -> Iterator[None]:
    """Compiles the swaps inside the block in this version, with a lookup table if it is `looked_up`."""
    token = VERSION.set(version)
    table_token = LOOKED_UP.set(looked_up)
    try:
        yield
    finally:
        VERSION.reset(token)
        LOOKED_UP.reset(table_token)


def table_of(*steps: Instruction, at: str = "table") -> LookupTable:
    """A lookup table with all accounts of instructions."""
    addresses = dict.fromkeys(meta.address for step in steps for meta in step.accounts)
    return LookupTable(address(at), tuple(addresses), slot=1)


def address(name: str) -> str:
    """An address for a name: always the same, without a known key."""
    return base58.encode(hashlib.sha256(name.encode()).digest())


WALLET, VENUE, VAULT_IN, VAULT_OUT, ATTACKER = (address(f"{n}") for n in ("wallet", "venue", "in", "out", "attacker"))
MINT_IN, MINT_OUT, OTHER_MINT, POOL_PROGRAM = (address(f"{n}") for n in ("mint in", "mint out", "mint 3", "pool"))
OURS_IN, OURS_OUT, OURS_OTHER, WRAPPED = (
    associated_token_account(WALLET, mint) for mint in (MINT_IN, MINT_OUT, OTHER_MINT, WSOL)
)
MAX_IN, MIN_OUT = 100, 49
CLUSTER_RENT = Rent(6_960)
RENT = CLUSTER_RENT.exempt(165)
SOL = 1_000_000_000
BLOCKHASH = Blockhash(address("blockhash"), 150)
RULES = GuardRules(max_priority_fee=1_000)
DEADLINE = 10.0

State = Mapping[str, Account | None]


def quote(mint_in: str = MINT_IN, mint_out: str = MINT_OUT, max_in: int = MAX_IN, min_out: int = MIN_OUT) -> Quote:
    """What the order allows."""
    return Quote(
        venue="acme",
        request=SwapRequest(mint_in=mint_in, mint_out=mint_out, amount=max_in, mode=Mode.EXACT_IN, slippage_bps=200),
        amount_in=max_in,
        amount_out=min_out + 1,
        min_out=min_out,
        max_in=max_in,
        fee=0,
        fee_mint=mint_in,
        network_fee=10_000,
        price_impact_ppm=0,
        expires_at_ms=0,
        context_slot=0,
        route=(),
    )


def fixed(price: int) -> Price:
    """A priority fee that is always the same."""

    async def same(addresses: Sequence[str]) -> PriorityFee:
        return PriorityFee(price, price)

    return same


def call(program: str, data: bytes, *accounts: str, signers: Sequence[str] = ()) -> Instruction:
    """An instruction that may write to all its accounts."""
    return Instruction(program, tuple(AccountMeta(one, one in signers, True) for one in accounts), data)


def transfer(source: str, target: str, authority: str, amount: int) -> Instruction:
    """SPL Transfer."""
    return call(Program.TOKEN, b"\x03" + amount.to_bytes(8, "little"), source, target, authority, signers=[authority])


def transfer_checked(source: str, mint: str, target: str, authority: str, amount: int) -> Instruction:
    """SPL TransferChecked, of a mint with 6 decimals."""
    data = b"\x0c" + amount.to_bytes(8, "little") + b"\x06"
    return call(Program.TOKEN, data, source, mint, target, authority, signers=[authority])


def token(data: bytes, *accounts: str, program: str = Program.TOKEN) -> Instruction:
    """Any token instruction that our wallet signs."""
    return call(program, data, *accounts, signers=[WALLET])


def pay(source: str, target: str, lamports: int) -> Instruction:
    """A system transfer."""
    return call(Program.SYSTEM, b"\x02\0\0\0" + lamports.to_bytes(8, "little"), source, target, signers=[source])


def open_account(funder: str, owner: str, mint: str, form: bytes = b"\x01") -> Instruction:
    """The associated token program's CreateIdempotent, or another form of it."""
    at = associated_token_account(owner, mint)
    accounts = (funder, at, owner, mint, Program.SYSTEM, Program.TOKEN)
    return call(Program.ASSOCIATED_TOKEN, form, *accounts, signers=[funder])


def token_account(
    mint: str,
    amount: int = 0,
    owner: str = WALLET,
    *,
    delegate: tuple[str, int] | None = None,
    close_authority: str | None = None,
    state: int = 1,
    lamports: int | None = None,
    program: str = Program.TOKEN,
    extra: bytes = b"",
) -> Account:
    """A token account, in the layout of the token programs; of wrapped SOL its lamports are rent and amount."""

    def option(value: str | None) -> bytes:
        return bytes(36) if value is None else b"\x01\0\0\0" + base58.decode(value)

    native = mint == WSOL
    data = base58.decode(mint) + base58.decode(owner) + amount.to_bytes(8, "little")
    data += option(delegate[0] if delegate else None) + bytes([state])
    data += (b"\x01\0\0\0" + RENT.to_bytes(8, "little")) if native else bytes(12)
    data += (delegate[1] if delegate else 0).to_bytes(8, "little") + option(close_authority)
    assert len(data) == 165
    return Account(program, RENT + amount * native if lamports is None else lamports, data + extra)


def wallet_account(lamports: int) -> Account:
    """A plain account of the system program."""
    return Account(Program.SYSTEM, lamports, b"")


ATTEMPT = an_attempt()
MEMO = ATTEMPT.memo(RECORD)
STEPS = (
    compute_unit_limit(200_000),
    compute_unit_price(1_000),
    open_account(WALLET, WALLET, MINT_OUT),
    transfer(OURS_IN, VAULT_IN, WALLET, 100),
    transfer_checked(VAULT_OUT, MINT_OUT, OURS_OUT, VENUE, 50),
    memo(MEMO),
)
FEE = 10_000 + 200
"""Two signatures, and 200,000 units for 1,000 micro-lamports each."""
BEFORE: State = {
    WALLET: wallet_account(SOL),
    OURS_IN: token_account(MINT_IN, 1_000),
    OURS_OUT: None,
    VAULT_IN: token_account(MINT_IN, 10_000, VENUE),
    VAULT_OUT: token_account(MINT_OUT, 10_000, VENUE),
    MINT_OUT: Account(Program.TOKEN, RENT, bytes(82)),
    VENUE: wallet_account(SOL),
}
AFTER: State = {
    **BEFORE,
    WALLET: wallet_account(SOL - FEE - RENT),
    OURS_IN: token_account(MINT_IN, 900),
    OURS_OUT: token_account(MINT_OUT, 50),
    VAULT_IN: token_account(MINT_IN, 10_100, VENUE),
    VAULT_OUT: token_account(MINT_OUT, 9_950, VENUE),
}


@dataclass(frozen=True)
class Swap:
    """The good swap; a test replaces single fields. An account that is not in `before` or `after` does not exist,
    unless it is `hidden`: then its data cannot be read."""

    steps: tuple[Instruction, ...] = STEPS
    before: State = field(default_factory=lambda: BEFORE)
    after: State = field(default_factory=lambda: AFTER)
    quote: Quote = field(default_factory=quote)
    payer: str = WALLET
    cosigners: frozenset[str] = frozenset({VENUE})
    programs: frozenset[str] = frozenset({POOL_PROGRAM})
    hidden: frozenset[str] = frozenset()
    spend_wrapped: bool = True
    closes: str = ""
    rent: Rent = CLUSTER_RENT
    now: float = 0.0
    tip: Tip | None = None
    rules: GuardRules = RULES

    def and_step(self, *steps: Instruction) -> "Swap":
        """More instructions."""
        return replace(self, steps=self.steps + steps)

    def and_before(self, **accounts: Account | None) -> "Swap":
        """Other accounts before, by the name of their constant in this module; they stay as they are."""
        named = {globals()[name]: account for name, account in accounts.items()}
        return replace(self, before={**self.before, **named}, after={**named, **self.after, **named})

    def and_after(self, **accounts: Account | None) -> "Swap":
        """Other accounts after."""
        return replace(self, after={**self.after, **{globals()[name]: one for name, one in accounts.items()}})

    def proposal(self) -> Proposal:
        """As the guard is given it."""
        tables = (table_of(*self.steps),) if LOOKED_UP.get() else ()
        compiled = compile_message(self.payer, self.steps, BLOCKHASH.hash, VERSION.get(), tables=tables)
        message = parse_message(compiled, tables=tables)
        before = {one: self.before.get(one) for one in message.writable if one not in self.hidden}
        return Proposal(
            message=message,
            quote=self.quote,
            wallet=WALLET,
            wrapped=WRAPPED,
            cosigners=self.cosigners,
            programs=self.programs,
            memo=MEMO,
            before=before,
            rent=self.rent,
            spend_wrapped=self.spend_wrapped,
            closes=self.closes,
            tip=self.tip,
        )

    def check_message(self) -> None:
        """The guard's first look."""
        check_message(self.rules, self.proposal())

    def check(self) -> None:
        """The guard's whole look."""
        proposal = self.proposal()
        after = {one: self.after.get(one) for one in proposal.message.writable if one not in self.hidden}
        check(self.rules, proposal, after, proposal.charge, now=self.now, deadline=DEADLINE)


def rule_of(swap: Swap) -> Rule | None:
    """The rule that the guard refuses it by, None if it does not."""
    try:
        swap.check()
    except GuardError as error:
        return error.rule
    return None
