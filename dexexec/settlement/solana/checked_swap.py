"""What checking a swap gives: the transaction that may be signed, and what is known of its effects."""

from dataclasses import dataclass

from dexexec.domain.closing import Closing
from dexexec.domain.funds import PriorityFee, Spending, Tip
from dexexec.domain.prepared_from import PreparedFrom
from dexexec.domain.quote import Fill
from dexexec.settlement.solana.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSwap:
    """A transaction that the guard allows to sign: its message as bytes and as values, its priority fee and tip, what
    it may take from the wallet, what the simulation moved, what it was prepared from, and what it does with the account
    that the order asks to close."""

    message: bytes
    parsed: Message
    priority_fee: PriorityFee
    spending: Spending
    fill: Fill
    prepared: PreparedFrom
    closing: Closing | None = None
    tip: Tip | None = None
