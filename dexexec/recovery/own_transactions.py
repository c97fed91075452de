"""Recognises our transactions on chain: those that our wallet paid for and signed, with one memo in our name.

A node could invent a transaction or its memo, but not our signature over its bytes. A stranger can send a transaction
that names our wallet and has any memo, but cannot make our wallet pay for it.
"""

from dexexec.domain.attempt_id import Memo, read_memo
from dexexec.domain.recovered_orders import UNKNOWN_VENUE
from dexexec.domain.transaction_bytes import split
from dexexec.recovery.chain_comparison import Venues
from dexexec.settlement.solana.message import Message, Program
from dexexec.settlement.solana.transaction import is_signed, parse_recorded


def read_own(payload: bytes, wallet: str, venues: Venues) -> tuple[Memo, str] | None:
    """The memo of a transaction, and its venue (`UNKNOWN_VENUE` if its programs do not identify one); None for a
    transaction of another wallet."""
    try:
        parts = split(payload)
        parsed = parse_recorded(parts.message)
    except ValueError:
        return None
    if parsed.payer != wallet or len(parts.signatures) != len(parsed.signers):
        return None
    # The payer's signature is the first.
    if not is_signed(parts.message, wallet, parts.signatures[0]):
        return None
    calls = parsed.calls(Program.MEMO, Program.MEMO_1)
    memos = [memo for call in calls if (memo := _memo(call.data)) is not None]
    # The guard signs exactly one memo of this form, so this service did not make a transaction with two.
    return (memos[0], _venue(parsed, venues)) if len(memos) == 1 else None


def _memo(data: bytes) -> Memo | None:
    try:
        return read_memo(data.decode())
    except UnicodeDecodeError:
        return None


def _venue(message: Message, venues: Venues) -> str:
    called = {instruction.program for instruction in message.instructions}
    names = [name for name, programs in venues.items() if programs & called]
    return names[0] if len(names) == 1 else UNKNOWN_VENUE
