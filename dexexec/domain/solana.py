"""Solana's values as plain data: what an adapter builds a transaction from, and what a node returns about accounts.

Addresses are base58 text, so nothing here needs a Solana library; the engine compiles instructions to a message.
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

    The engine adds the compute budget, a memo that makes the bytes unique and, if the order closes the token account
    that it empties, the token program's CloseAccount for it at the end. It compiles the message for the wallet that
    pays, and signs it. An adapter builds as if the wallet had no account for wrapped SOL: it opens the associated one,
    pays lamports to it, syncs and closes it. If the wallet has one, the engine keeps it open, and pays less to it if
    the order may spend its balance.

    `signers` are other accounts that must sign: the venue's own, which signs in `Venue.cosign`. `lookup_tables` are
    addresses of lookup tables with accounts of the instructions: they are read from the chain and used if the
    transaction does not fit without them.
    """

    instructions: tuple[Instruction, ...]
    blockhash: Blockhash
    signers: tuple[str, ...] = ()
    lookup_tables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """An account as a node returns it."""

    owner: str
    lamports: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Accounts:
    """Accounts read in one answer, as of `slot`: `found` is in the order of the request, None for a missing account."""

    slot: int
    found: tuple[Account | None, ...]


@dataclass(frozen=True, slots=True)
class AccountFilters:
    """A filter for a program's accounts: those with `size` bytes of data that have, for each (offset, bytes) of
    `matches`, these bytes at that offset. Nodes accept at most three, of at most 128 bytes each."""

    size: int
    matches: tuple[tuple[int, bytes], ...] = ()

    def suits(self, account: Account) -> bool:
        """Whether the account matches."""
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
    """A token account: how many base units of `mint` it holds, and the mint's decimals."""

    address: str
    mint: str
    amount: int
    decimals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """A simulation of a transaction, by a node or `local`, in this process. `units` are compute units used; `error` is
    the runtime's reason if it would fail, with `failure` if an instruction caused it. `after` has the requested
    accounts by address as they would be afterwards; a closed account is None."""

    slot: int
    units: int
    error: str | None = None
    failure: ProgramFailure | None = None
    logs: tuple[str, ...] = ()
    after: Mapping[str, Account | None] = field(default_factory=dict)
    local: bool = False
