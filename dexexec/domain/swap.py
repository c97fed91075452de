"""A swap on its way to the chain: unsigned, signed, and what the chain says of it.

The answers are told apart by type so that nothing unknown can be taken for a failure: only a finalized `FailedOnChain`
and a `NotSeen` past the last valid height (with the whole history searched) prove that a swap has no effect. An answer
to a send and `Unavailable` prove nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dexexec.domain.quote import Fill, SwapRequest

VALID_FOR = 150
"""Blocks after its own in which a blockhash may be used: the same on every cluster."""
SLOTS_PER_SECOND = 50.0
"""No chain is faster: a bound and not a measure. Mainnet makes 5 slots in a second, a quick localnet 25."""
ALLOWANCE = 1_024
"""Slots, on top of what time allows, by which an honest node may move at once: it was behind and caught up. Of two
nodes that are further apart one is wrong."""


@dataclass(frozen=True, slots=True)
class Blockhash:
    """A recent blockhash and the last block height at which a transaction that names it can land, from one answer.

    `slot` is the one that the answer is of, 0 where the network has none.
    """

    hash: str
    last_valid_height: int
    slot: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramFailure:
    """Which instruction of a transaction failed, and how: `program` is the one that was called there (base58), `custom`
    its own error number if it gave one, `text` the runtime's words. `origin` is the program that failed first, called
    by that one or itself; empty where nobody tells."""

    index: int
    program: str
    custom: int | None
    text: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class UnsignedSwap:
    """What an adapter built: the bytes to sign and the blockhash they name."""

    message: bytes
    blockhash: Blockhash


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedSwap:
    """What is recorded before it is sent. The signature identifies the swap: the same bytes sent twice are one swap.

    `network` is the one that it was signed for, and the only one where it is sent and looked up; `genesis` is the hash
    of its first block, where there is one. Both are empty in records from before they were kept.
    """

    signature: str
    payload: bytes
    last_valid_height: int
    network: str = ""
    genesis: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The node took the transaction. It may still never land."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A refusal, a timeout, a transport error: the swap may or may not be on its way."""

    detail: str


SubmitAnswer = Accepted | Unknown


@dataclass(frozen=True, slots=True)
class Landed:
    """The swap is on chain and succeeded.

    `moved` is what the wallet holds more (or less, if negative) of each mint for it, in base units; SOL counts as
    wrapped SOL, and neither the network fee nor rent for accounts of its own is in it. `fee` is lamports paid to the
    network. `finalized`: nothing can undo it any more.
    """

    moved: Mapping[str, int]
    fee: int
    slot: int
    finalized: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedOnChain:
    """The transaction is on chain and had no effect but its fee (lamports). `finalized`: that cannot be undone, and
    the same bytes cannot land again. `failure` tells which instruction is to blame, where one is."""

    code: str
    detail: str
    fee: int
    slot: int
    finalized: bool
    failure: ProgramFailure | None = None


@dataclass(frozen=True, slots=True)
class NotSeen:
    """The node does not know the signature.

    `height` is the finalized height it was at before it looked, and `slot` the one its look-up was as of. `history`
    says whether its whole history was searched or only the recent statuses. `node` names who said so.
    """

    height: int
    history: bool
    node: str
    slot: int = 0


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The node could not be asked."""

    detail: str


SwapStatus = Landed | FailedOnChain | NotSeen | Unavailable


def fill_of(landed: Landed, request: SwapRequest) -> Fill:
    """What a landed swap brought for `request`: from what really moved, not from what was quoted."""
    spent, received = -landed.moved.get(request.mint_in, 0), landed.moved.get(request.mint_out, 0)
    return Fill(spent, received, landed.fee, landed.slot)


def past_expiry(answer: NotSeen, last_valid_height: int) -> bool:
    """Whether the node's finalized height is past the last one that would take the transaction: looked for in its whole
    history now, a transaction it does not know can never land."""
    return answer.height > last_valid_height


def proves_expiry(answer: NotSeen, last_valid_height: int) -> bool:
    """Whether `answer` proves that a transaction can never land: it was looked for in the whole history, by a node
    whose finalized height is past the last one that would take it."""
    return answer.history and past_expiry(answer, last_valid_height)


def too_high(answer: NotSeen, last_valid_height: int, seconds: float) -> bool:
    """Whether a height cannot be right `seconds` after a transaction with that last valid height was signed: no chain
    has come so far since. This holds against the record, and so after a restart too, when nothing else is known. A
    clock that was set back counts as no time."""
    return answer.height > last_valid_height - VALID_FOR + ALLOWANCE + SLOTS_PER_SECOND * max(0.0, seconds)
