"""A transaction between its first compilation and its simulation."""

from collections.abc import Sequence
from dataclasses import dataclass

from dexexec.domain.closing import Closing
from dexexec.domain.solana import Account, Accounts, Instruction
from dexexec.settlement.solana.guard.effect_rules import own_accounts
from dexexec.settlement.solana.message import Message


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction before its simulation: its steps, its message, and the accounts that it may write to. `closing` is
    what it does with the emptied account, if the order wants that."""

    steps: tuple[Instruction, ...]
    message: bytes
    parsed: Message
    accounts: Accounts
    closing: Closing | None = None

    def before(self) -> dict[str, Account | None]:
        """Returns the accounts by address."""
        return by_address(self.parsed.writable, self.accounts)


def same_wallet(message: Message, earlier: Accounts, later: Accounts) -> bool:
    """Whether the accounts of the wallet that pays for `message` are equal in both."""
    # Only these: pools change with every block, and that is not the wallet's concern.
    before, after = (own_accounts(by_address(message.writable, read), message.payer) for read in (earlier, later))
    return before == after


def by_address(addresses: Sequence[str], accounts: Accounts) -> dict[str, Account | None]:
    """Returns the accounts of an answer by the addresses of its request."""
    return dict(zip(addresses, accounts.found, strict=True))
