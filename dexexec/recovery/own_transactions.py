"""Which transactions on chain are ours: those that our wallet paid for and signed, with one memo in our name.

A node could make up a transaction, or its memo; what it cannot make is our signature over these very bytes. A stranger
can send us a transaction that names our wallet and carries whatever memo; what he cannot do is have us pay for it.
"""

from dexexec.domain.attempt_id import Memo, read_memo
from dexexec.domain.recovered_orders import UNKNOWN_VENUE
from dexexec.recovery.chain_comparison import Venues
from dexexec.settlement.solana.message import Message, Program
from dexexec.settlement.solana.transaction import SIGNATURE_BYTES, is_signed, parse_message


def read_own(payload: bytes, wallet: str, venues: Venues) -> tuple[Memo, str] | None:
    """What the memo of a transaction says, and the venue that it went to (`UNKNOWN_VENUE` where its programs do not
    tell); None for a transaction that is none of ours."""
    try:
        count = payload[0]
        signature, message = payload[1 : 1 + SIGNATURE_BYTES], payload[1 + SIGNATURE_BYTES * count :]
        parsed = parse_message(message)
    except (ValueError, IndexError):
        return None
    if parsed.payer != wallet or count != len(parsed.signers) or not is_signed(message, wallet, signature):
        return None
    memos = [memo for one in parsed.calls(Program.MEMO, Program.MEMO_1) if (memo := _memo(one.data)) is not None]
    return (memos[0], _venue(parsed, venues)) if len(memos) == 1 else None


def _memo(data: bytes) -> Memo | None:
    try:
        return read_memo(data.decode())
    except UnicodeDecodeError:
        return None


def _venue(message: Message, venues: Venues) -> str:
    called = {one.program for one in message.instructions}
    names = [name for name, programs in venues.items() if programs & called]
    return names[0] if len(names) == 1 else UNKNOWN_VENUE
