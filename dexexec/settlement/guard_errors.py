"""The guard's rules by name, and the error that says which one a transaction breaks."""

from enum import StrEnum
from typing import ClassVar

from dexexec.domain.failure_reason import FailureReason
from dexexec.venue import VenueError


class Rule(StrEnum):
    """What the guard holds a transaction to."""

    BOUND = "bound"  # the quote is no worse than the order's own bound
    DEADLINE = "deadline"  # the order's deadline is not past
    PAYER = "payer"  # our wallet pays the fee
    SIGNERS = "signers"  # nobody else signs but whom the venue declared
    PROGRAMS = "programs"  # only Solana's own programs and those that are pinned for the venue are called
    UNTRADED = "untraded-account"  # no token account of ours can change but those of the mints that are traded
    MEMO = "memo"  # of memos that begin with our name there is one: the order's own
    COMPUTE = "compute-budget"  # one limit, and a price under the cap
    SYSTEM = "system-instruction"  # our lamports only go to our own wrapped SOL
    ASSOCIATED = "associated-account"  # our wallet only opens accounts of its own
    TOKEN = "token-instruction"  # noqa: S105 - the wallet authorises transfers and nothing else
    TRANSFER = "transfer"  # only what the order spends is transferred, and not more
    CLOSE = "close"  # only wrapped SOL of ours that was opened on the way is closed, to ourselves
    UNSEEN = "unseen"  # the simulation shows every account that can change
    WALLET = "wallet"  # our wallet stays a plain account of the system program
    OWNER = "owner"  # no token account of ours changes hands
    DELEGATE = "delegate"  # nobody may move our tokens afterwards
    CLOSE_AUTHORITY = "close-authority"  # nobody else may close our accounts afterwards
    FROZEN = "frozen"  # no account of ours is frozen
    AUTHORITY = "authority"  # nothing of Solana's own programs in which our wallet has a say can change
    WRAPPED = "wrapped-sol"  # of SOL that was wrapped before goes at most what the order may take of it
    SPENT = "spent"  # at most max-in is spent
    RECEIVED = "received"  # at least min-out is received
    LAMPORTS = "lamports"  # besides, only the fee and the rent of accounts of our own


class GuardError(VenueError):
    """The guard refused to have a transaction signed: not a matter of trying again, somebody should look."""

    code: ClassVar[str] = FailureReason.GUARD
    retryable: ClassVar[bool] = False

    def __init__(self, rule: Rule, detail: str) -> None:
        super().__init__(f"refused by the guard (rule {rule}): {detail}")
        self.rule = rule
