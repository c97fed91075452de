"""Explains failures of Solana's own programs. For sealing and settlement; pure.

A venue's program passes on the error number of a token program or the system program that it called.
`ProgramFailure.origin` names the program that failed first, if the logs show it. A venue's own numbers are explained by
its adapter (`Venue.explain`), which is called first.
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
"""Too little: of the system program (`ResultWithNegativeLamports`) and the token programs (`InsufficientFunds`)."""

# `TokenError` of SPL Token and Token-2022 share their numbers up to 19; those above are Token-2022's alone.
_TOKEN_ERRORS: Mapping[int, VenueError] = {
    0: InsufficientFunds("a token account would have too few lamports to stay open"),
    INSUFFICIENT: InsufficientFunds("a token account holds too little"),
    2: BadAnswer("the mint is invalid, or another one"),
    3: BadAnswer("a token account is of another mint"),
    4: AccountChanged("a token account belongs to another owner"),
    6: AccountChanged("an account to be opened is in use already"),
    9: AccountChanged("a token account is not open, or was closed"),
    11: AccountChanged("the account to be closed still holds tokens"),
    13: AccountChanged("a token account is in a state that does not allow it"),
    17: AccountFrozen("a token account is frozen"),
    18: BadAnswer("the mint has other decimals"),
    24: TokenRestricted("the token account is not approved for confidential transfers"),
    25: TokenRestricted("the token account takes no deposits"),
    31: BadAnswer("this token needs TransferChecked"),
    35: TokenRestricted("the account to be closed holds withheld transfer fees"),
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
    "AccountNotRentExempt": InsufficientFunds("an account would have too few lamports to stay open"),
    "UninitializedAccount": AccountChanged("an account is not open, or was closed"),
    "IllegalOwner": AccountChanged("an account belongs to another program or owner"),
    "InvalidAccountOwner": AccountChanged("an account belongs to another program or owner"),
    "AccountAlreadyInitialized": AccountChanged("an account to be opened is in use already"),
}
"""By the runtime's own names, which any program may return. `ProgramFailedToComplete` is missing: it names no cause."""


def explain(failure: ProgramFailure) -> VenueError | None:
    """Returns the meaning of a failed instruction with the runtime's words; None if only its venue can explain it."""
    if failure.custom is None:
        meant = _RUNTIME_ERRORS.get(failure.text)
    else:
        origin = failure.origin or failure.program
        if origin == Program.ASSOCIATED_TOKEN and not failure.origin:
            # It has one number of its own (0, a wrong owner), and passes on those of the system program.
            origin = Program.SYSTEM
        by_number = _TOKEN_ERRORS if origin in TOKEN_PROGRAMS else _SYSTEM_ERRORS if origin == Program.SYSTEM else {}
        meant = by_number.get(failure.custom)
    return type(meant)(f"{meant} ({failure.text})") if meant else None
