"""What a failed instruction means where one of Solana's own programs refused it. For sealing and settlement; pure.

A venue's program passes on what a token program or the system program answered inside of it, so its number alone says
little: `ProgramFailure.origin` names the program that failed first, where the logs tell. A venue's own numbers are for
its adapter to explain (`Venue.explain`), and that comes first.
"""

from collections.abc import Mapping

from dexexec.domain.swap import ProgramFailure
from dexexec.settlement.solana.message import TOKEN_PROGRAMS, Program
from dexexec.venue import (
    AccountChanged,
    AccountFrozen,
    BadAnswer,
    ComputeExceeded,
    InsufficientFunds,
    TokenRestricted,
    VenueError,
)

INSUFFICIENT = 1
"""Too little, to the system program (`ResultWithNegativeLamports`) and the token programs (`InsufficientFunds`)."""

# `TokenError` of SPL Token and Token-2022 share their numbers up to 19; those above are Token-2022's alone.
_TOKEN_ERRORS: Mapping[int, VenueError] = {
    0: InsufficientFunds("a token account would have too few lamports to stay"),
    INSUFFICIENT: InsufficientFunds("a token account holds too little"),
    2: BadAnswer("the mint is none, or another one"),
    3: BadAnswer("a token account is of another mint"),
    4: AccountChanged("a token account belongs to somebody else"),
    6: AccountChanged("an account to be opened is in use already"),
    9: AccountChanged("a token account is not open, or was closed"),
    13: AccountChanged("a token account is in a state that does not allow it"),
    17: AccountFrozen("a token account is frozen"),
    18: BadAnswer("the mint has other decimals"),
    24: TokenRestricted("the token account is not approved for confidential transfers"),
    25: TokenRestricted("the token account takes no deposits"),
    31: BadAnswer("this token needs TransferChecked"),
    36: TokenRestricted("the receiving token account requires a memo right before the transfer"),
    37: TokenRestricted("the token cannot be transferred"),
    42: TokenRestricted("the CPI guard of the token account lets no program transfer from it"),
    44: TokenRestricted("the CPI guard of the token account lets no program close it"),
    45: TokenRestricted("the CPI guard of the token account lets no program name a delegate"),
    49: TokenRestricted("the token account takes confidential transfers only"),
    67: TokenRestricted("transfers of the token are paused by its issuer"),
}
_SYSTEM_ERRORS: Mapping[int, VenueError] = {
    0: AccountChanged("an account to be opened is in use already"),
    INSUFFICIENT: InsufficientFunds("an account has too few lamports"),
}
_RUNTIME_ERRORS: Mapping[str, VenueError] = {
    "ComputationalBudgetExceeded": ComputeExceeded("the compute unit limit was used up"),
    "InsufficientFunds": InsufficientFunds("an account has too few lamports"),
    "AccountNotRentExempt": InsufficientFunds("an account would have too few lamports to stay"),
    "UninitializedAccount": AccountChanged("an account is not open, or was closed"),
    "IllegalOwner": AccountChanged("an account belongs to another program or owner"),
    "InvalidAccountOwner": AccountChanged("an account belongs to another program or owner"),
    "AccountAlreadyInitialized": AccountChanged("an account to be opened is in use already"),
}
"""By the runtime's own names, which any program may answer; `ProgramFailedToComplete` says nothing of why."""


def explain(failure: ProgramFailure) -> VenueError | None:
    """What a failed instruction means, with the runtime's words; None if that is for its venue to say."""
    if failure.custom is None:
        meant = _RUNTIME_ERRORS.get(failure.text)
    else:
        origin = failure.origin or failure.program
        if origin == Program.ASSOCIATED_TOKEN and not failure.origin:
            origin = Program.SYSTEM  # it has one number of its own (0, a wrong owner) and passes on the others
        by_number = _TOKEN_ERRORS if origin in TOKEN_PROGRAMS else _SYSTEM_ERRORS if origin == Program.SYSTEM else {}
        meant = by_number.get(failure.custom)
    return type(meant)(f"{meant} ({failure.text})") if meant else None
