"""The rules of the guard by name, and the error that names the one that a transaction breaks."""

from enum import StrEnum
from typing import ClassVar

from dexexec.domain.failure_reason import FailureReason
from dexexec.venue import VenueError


class Rule(StrEnum):
    """A rule that every transaction must keep before it is signed."""

    BOUND = "bound"  # the quote is no worse than the order's own bound
    DEADLINE = "deadline"  # the order's deadline is not past
    PAYER = "payer"  # our wallet pays the fee
    SIGNERS = "signers"  # only our wallet and the signers that the venue declared sign
    PROGRAMS = "programs"  # it calls only Solana's own programs and those pinned for the venue
    UNTRADED = "untraded-account"  # of our token accounts, only those of the traded mints can change
    MEMO = "memo"  # exactly one memo has our prefix: the order's own
    COMPUTE = "compute-budget"  # one compute unit limit, and a priority fee under the cap
    SYSTEM = "system-instruction"  # our lamports only go to our own wrapped SOL, and to the tip
    TIP = "tip"  # one tip at most: the engine's own, to an account that the operator named, under the cap
    ASSOCIATED = "associated-account"  # our wallet only opens accounts of its own
    TOKEN = "token-instruction"  # noqa: S105 - the wallet authorises transfers and nothing else
    TRANSFER = "transfer"  # at most what the order spends is transferred, and nothing else
    CLOSE = "close"  # only wrapped SOL that it opens, and the account that the order empties and closes, to our wallet
    UNSEEN = "unseen"  # the simulation shows every account that can change
    WALLET = "wallet"  # our wallet stays a plain account of the system program
    OWNER = "owner"  # our token accounts keep their owner
    DELEGATE = "delegate"  # no delegate may move our tokens afterwards
    CLOSE_AUTHORITY = "close-authority"  # no other authority may close our accounts afterwards
    FROZEN = "frozen"  # our accounts are not frozen
    AUTHORITY = "authority"  # accounts of Solana's own programs that our wallet controls do not change
    WRAPPED = "wrapped-sol"  # at most the order's allowance of existing wrapped SOL is spent
    SPENT = "spent"  # at most max-in is spent
    RECEIVED = "received"  # at least min-out is received
    LAMPORTS = "lamports"  # other lamports pay only the fee and the rent of our own accounts


class GuardError(VenueError):
    """The guard refused a transaction. The order fails without a retry, and an operator should look at the venue."""

    code: ClassVar[str] = FailureReason.GUARD
    retryable: ClassVar[bool] = False

    def __init__(self, rule: Rule, detail: str) -> None:
        super().__init__(f"refused by the guard (rule {rule}): {detail}")
        self.rule = rule
