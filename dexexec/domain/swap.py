"""A swap on its way to the chain: unsigned, signed, and the chain's answers about it.

The answers have different types so that an unknown outcome cannot be taken for a failure: only a finalized
`FailedOnChain` and a `NotSeen` past the last valid height (with the whole history searched) prove that a swap has no
effect. An answer to a send and `Unavailable` prove nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dexexec.domain.network_cost import NetworkCost
from dexexec.domain.quote import Fill, SwapRequest

VALID_FOR = 150
"""For how many blocks after its own a blockhash is valid: the same on every cluster."""
SLOTS_PER_SECOND = 50.0
"""No chain is faster: an upper bound, not a measurement. Mainnet makes up to 5 slots per second, a fast localnet 25."""
ALLOWANCE = 1_024
"""Slots, in addition to what time allows, by which an honest node may move at once after it was behind. If two nodes
differ by more, one of them is wrong."""


@dataclass(frozen=True, slots=True)
class Blockhash:
    """A recent blockhash and the last block height at which a transaction that names it can land, from one answer.

    `slot` is the slot of the answer, 0 if the network has none. `age` is how many blocks may have come since then: 0
    unless it was kept for some time.
    """

    hash: str
    last_valid_height: int
    slot: int = 0
    age: int = field(default=0, compare=False)

    @property
    def newest_height(self) -> int:
        """Returns the height of the newest block, as far as known: it may be late, or some blocks too high."""
        return self.last_valid_height - VALID_FOR + self.age

    @property
    def newest_slot(self) -> int:
        """Returns the slot of the newest block in the same way; 0 if the network has none."""
        return self.slot + self.age if self.slot else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramFailure:
    """Which instruction of a transaction failed, and how: `program` is the one called there (base58), `custom` its own
    error number if it gave one, `text` the runtime's words. `origin` is the program that failed first, called by that
    one or itself; empty if unknown."""

    index: int
    program: str
    custom: int | None
    text: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class UnsignedSwap:
    """What an adapter built: the bytes to sign, and the blockhash in them."""

    message: bytes
    blockhash: Blockhash


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedSwap:
    """A signed swap, recorded before it is sent. The signature identifies it: the same bytes sent twice are one swap.

    It is sent and looked up only on `network`, which it was signed for; `genesis` is the hash of that chain's first
    block, if it has one. Both are empty in records from before they were stored.
    """

    signature: str
    payload: bytes
    last_valid_height: int
    network: str = ""
    genesis: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The node accepted the transaction. It may still never land."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A refusal, a timeout, a transport error: the swap may land or not."""

    detail: str


SubmitAnswer = Accepted | Unknown


@dataclass(frozen=True, slots=True)
class Landed:
    """The swap is on chain and succeeded.

    `moved` is the change of the wallet's balance of each mint, in base units; SOL counts as wrapped SOL, without the
    network fee and rent for the wallet's own accounts. `fee` is lamports paid to the network, `cost` its parts and the
    rent, None if the chain does not show them. `finalized`: it can no longer be undone.
    """

    moved: Mapping[str, int]
    fee: int
    slot: int
    finalized: bool
    cost: NetworkCost | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedOnChain:
    """The transaction is on chain and had no effect but its fee (lamports; `cost` has its parts, if known).
    `finalized`: that can no longer be undone, and the same bytes cannot land again. `failure` names the instruction
    that failed, if one did."""

    code: str
    detail: str
    fee: int
    slot: int
    finalized: bool
    failure: ProgramFailure | None = None
    cost: NetworkCost | None = None


@dataclass(frozen=True, slots=True)
class NotSeen:
    """The node does not have the signature."""

    height: int
    history: bool
    node: str
    slot: int = 0


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The node did not answer."""

    detail: str


SwapStatus = Landed | FailedOnChain | NotSeen | Unavailable


def fill_of(landed: Landed, request: SwapRequest) -> Fill:
    """The fill of a landed swap for `request`: from what moved, not from what was quoted."""
    spent = -landed.moved.get(request.mint_in, 0)
    received = landed.moved.get(request.mint_out, 0)
    return Fill(spent, received, landed.fee, landed.slot, landed.cost)


def past_expiry(answer: NotSeen, last_valid_height: int) -> bool:
    """Whether the node's finalized height is past the last one at which the transaction can land: if a search of its
    whole history does not find the transaction now, it never lands."""
    return answer.height > last_valid_height


def proves_expiry(answer: NotSeen, last_valid_height: int) -> bool:
    """Whether `answer` proves that a transaction can never land: a node searched its whole history for it, and that
    node's finalized height is past the last one at which it can land."""
    return answer.history and past_expiry(answer, last_valid_height)


def too_high(answer: NotSeen, last_valid_height: int, seconds: float) -> bool:
    """Whether a height is impossible `seconds` after a transaction with that last valid height was signed, because no
    chain moves that fast. This needs only the record, so it also works after a restart."""
    signed_at = last_valid_height - VALID_FOR
    elapsed = max(0.0, seconds)  # a clock that was set back must not make an honest height impossible
    return answer.height > signed_at + ALLOWANCE + SLOTS_PER_SECOND * elapsed
