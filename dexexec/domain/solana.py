"""Solana's own values, as plain data: what an adapter builds a transaction of, and what a node shows of accounts.

Addresses are base58 text, so that nothing here needs a Solana library; the engine compiles instructions to a message.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dexexec.domain.swap import Blockhash, ProgramFailure


@dataclass(frozen=True, slots=True)
class AccountMeta:
    """An account that an instruction touches."""

    address: str
    signer: bool = False
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Instruction:
    """One call of a program."""

    program: str
    accounts: tuple[AccountMeta, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class SwapInstructions:
    """A swap as an adapter builds it for Solana: its instructions in order, with min-out and max-in inside.

    The engine adds the compute budget and what makes the bytes unlike any other order's, compiles a version 0 message
    for the wallet that pays, and signs it. An adapter builds as if the wallet had no account for wrapped SOL: it opens
    the associated one, pays lamports to it, syncs and closes it. Where there is one, the engine keeps it open and pays
    less to it if the order may spend what it holds.

    `signers` are other accounts that must sign: the venue's own, which is asked to (`Venue.cosign`).
    """

    instructions: tuple[Instruction, ...]
    blockhash: Blockhash
    signers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """An account as a node shows it."""

    owner: str
    lamports: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Accounts:
    """Accounts read in one answer: `found` is in the order asked, None where there is no account, as of `slot`."""

    slot: int
    found: tuple[Account | None, ...]


@dataclass(frozen=True, slots=True)
class AccountFilters:
    """Which of a program's accounts are wanted: those of `size` bytes of data that have, for each (offset, bytes) of
    `matches`, these bytes there. Nodes take at most three, of at most 128 bytes each."""

    size: int
    matches: tuple[tuple[int, bytes], ...] = ()

    def suits(self, account: Account) -> bool:
        """Whether it is one of those."""
        return len(account.data) == self.size and all(
            account.data[offset : offset + len(wanted)] == wanted for offset, wanted in self.matches
        )


@dataclass(frozen=True, slots=True)
class ProgramAccounts:
    """Accounts of a program by address, as of `slot`."""

    slot: int
    found: Mapping[str, Account]


@dataclass(frozen=True, slots=True)
class TokenBalance:
    """A token account of somebody: how many base units of `mint` it holds, and the mint's decimals."""

    address: str
    mint: str
    amount: int
    decimals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What a node says a transaction would do now. `units` are compute units used; `error` is the runtime's word for
    why it would fail, with `failure` if an instruction is to blame. `after` has the accounts that were asked for as
    they would be, by address; an account that would be gone is None."""

    slot: int
    units: int
    error: str | None = None
    failure: ProgramFailure | None = None
    logs: tuple[str, ...] = ()
    after: Mapping[str, Account | None] = field(default_factory=dict)
