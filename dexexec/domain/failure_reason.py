"""Why an order can fail or expire: the documented codes of `failureReason`."""

from enum import StrEnum


class FailureReason(StrEnum):
    """A documented `failureReason`. Solana's other transaction errors keep their own names in the same style."""

    # The answers of venues; `dexexec.venue` has an error for each.
    NO_ROUTE = "no-route"
    UNSUPPORTED = "unsupported"
    SLIPPAGE = "slippage"
    QUOTE_EXPIRED = "quote-expired"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    RATE_LIMITED = "rate-limited"
    BAD_ANSWER = "bad-answer"
    VENUE_ERROR = "venue-error"  # any other error of an adapter
    QUARANTINED = "quarantined"  # its program was upgraded, and its quotes are not confirmed yet
    # The wallet and its token accounts.
    INSUFFICIENT_FUNDS = "insufficient-funds"
    ACCOUNT_FROZEN = "account-frozen"
    TOKEN_RESTRICTED = "token-restricted"  # noqa: S105 - the code of an error, not a secret
    ACCOUNT_CHANGED = "account-changed"
    # The order's own limits.
    PRICE_IMPACT = "price-impact"
    PRICE_RANGE = "price-range"  # the price is better than the range in which its slices are swapped
    NO_SLICE_FILLED = "no-slice-filled"  # a recurring order's slices were all missed or cancelled
    CONDITION = "condition"  # a sniper's
    DEADLINE = "deadline"
    GROUP_HELD = "group-held"  # another order of its group was filled, or its swap may still land
    GROUP_FILLED = "group-filled"  # cancelled, since another order of its group was filled
    # The transaction.
    COMPUTE_EXCEEDED = "compute-exceeded"
    PROGRAM_ERROR = "program-error"
    ATTEMPT_EXPIRED = "attempt-expired"
    GUARD = "guard"  # it must not be signed
    # The service.
    SIGNER = "signer"  # the wallet's signer gave no signature
    HALTED = "halted"  # signing was halted until its deadline
    POLICY = "policy"  # it would break a limit of its key
    POISONED = "poisoned"  # too many workers crashed while they executed the order
    RECORD_LOST = "record-lost"  # Postgres lost the order, and nothing was swapped
    DUPLICATE = "duplicate"  # an order that Postgres had lost has the same Idempotency-Key
