"""A transaction between its first compilation and its simulation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dexexec.domain.closing import Closing
from dexexec.domain.funds import Tip
from dexexec.domain.solana import Account, Accounts, Instruction
from dexexec.settlement.solana.bids import Bids, with_tip
from dexexec.settlement.solana.compiler import compute_budget
from dexexec.settlement.solana.guard.effect_rules import own_accounts
from dexexec.settlement.solana.lookup_table import LookupTable
from dexexec.settlement.solana.message import Message, network_fee
from dexexec.settlement.solana.transaction import compile_message, parse_message


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction before its simulation: its steps, its message, and the accounts that it may write to. `closing` is
    what it does with the emptied account, if the order wants that. `tables` are those that the message may use."""

    steps: tuple[Instruction, ...]
    message: bytes
    parsed: Message
    accounts: Accounts
    closing: Closing | None = None
    tables: tuple[LookupTable, ...] = ()

    def before(self) -> dict[str, Account | None]:
        """Returns the accounts by address."""
        return by_address(self.parsed.writable, self.accounts)


def finish(
    draft: Draft, units: int, price: int, *, signature_fee: int, bids: Bids, tip: Tip | None
) -> tuple[bytes, Message, Tip | None]:
    """Returns the message to sign: `draft` with a compute budget for `units` at `price`, and with the tip that its fee
    calls for. `tip` is the one in the draft."""
    steps = (*compute_budget(units, price), *draft.steps)
    parsed = draft.parsed
    tables = draft.tables
    message = compile_message(parsed.payer, steps, parsed.blockhash, parsed.version, tables=tables)
    final = parse_message(message, signature_fee, tables)
    if tip is None:
        return message, final, None
    due = replace(tip, lamports=bids.amount(network_fee(final)))
    if due != tip:
        # The fee has to be known before the share of it. The amount has no influence on the fee in turn.
        steps = with_tip(steps, parsed.payer, tip, due)
        message = compile_message(parsed.payer, steps, parsed.blockhash, parsed.version, tables=tables)
        final = parse_message(message, signature_fee, tables)
    return message, final, due


def contested(before: Mapping[str, Account | None], wallet: str, bids: Bids) -> list[str]:
    """Returns the accounts that others than `wallet` write to as well."""
    # Our own accounts are left out: there our last fee would be the market, and a high fee would keep itself up.
    # And what others pay to write to the account of a tip says nothing about the pools.
    left_out = {*own_accounts(before, wallet), *bids.accounts}
    return [address for address, account in before.items() if account is not None and address not in left_out]


def same_wallet(message: Message, earlier: Accounts, later: Accounts) -> bool:
    """Whether the accounts of the wallet that pays for `message` are equal in both."""
    # Only these: pools change with every block, and that is not the wallet's concern.
    before, after = (own_accounts(by_address(message.writable, read), message.payer) for read in (earlier, later))
    return before == after


def by_address(addresses: Sequence[str], accounts: Accounts) -> dict[str, Account | None]:
    """Returns the accounts of an answer by the addresses of its request."""
    return dict(zip(addresses, accounts.found, strict=True))
