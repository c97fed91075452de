"""What a client can do about an order that ended without a fill: one sentence for each failure reason."""

from collections.abc import Mapping
from types import MappingProxyType

from dexexec.domain.failure_reason import FailureReason

ADVICE: Mapping[FailureReason, str] = MappingProxyType(
    {
        FailureReason.NO_ROUTE: "Check inputMint and outputMint, or enable a venue that has a pool for them.",
        FailureReason.UNSUPPORTED: "Use another mode or pair, or enable a venue that supports this one.",
        FailureReason.SLIPPAGE: "Post it again later, or with a looser bound (slippageBps, minOut, maxIn, limitPrice).",
        FailureReason.QUOTE_EXPIRED: "Post it again; if this repeats, use a faster node.",
        FailureReason.TIMEOUT: "Post it again; if this repeats, raise DEXEXEC_QUOTE_TIMEOUT_MS.",
        FailureReason.UNREACHABLE: "Check the nodes of SOLANA_RPC_URL and /readyz, then post it again.",
        FailureReason.RATE_LIMITED: "Post it again later, or use a node with a higher request limit.",
        FailureReason.BAD_ANSWER: "Post it again; if this repeats, read the log and disable the venue.",
        FailureReason.VENUE_ERROR: "Read the detail; if it does not help, report it to the author of the adapter.",
        FailureReason.QUARANTINED: "Wait until simulated swaps confirm its quotes, or accept it: adapters accept NAME.",
        FailureReason.INSUFFICIENT_FUNDS: "Fund the wallet with the token in the detail, or post a smaller amount.",
        FailureReason.ACCOUNT_FROZEN: "Ask the token's issuer to thaw the account, or trade another token.",
        FailureReason.TOKEN_RESTRICTED: "The token forbids this transfer: trade another token.",
        FailureReason.ACCOUNT_CHANGED: "Post it again: an account was changed while the swap was built.",
        FailureReason.PRICE_IMPACT: "Post a smaller amount (the detail has one that fits), or raise maxPriceImpactBps.",
        FailureReason.PRICE_RANGE: "The price was better than the range: widen minPrice or maxPrice.",
        FailureReason.NO_SLICE_FILLED: "Post it again; catch-up (missed) makes slices up that an outage cost.",
        FailureReason.GROUP_HELD: "Look at the order that the detail names: it has or had a swap on its way.",
        FailureReason.GROUP_FILLED: "Nothing is to be done: the order in filledBy was filled, and cancelled this one.",
        FailureReason.CONDITION: "Read which condition no pool fulfilled, and post it again with another limit for it.",
        FailureReason.DEADLINE: "Post it again with a longer deadlineSeconds, or a later expiresAt if it rests.",
        FailureReason.COMPUTE_EXCEEDED: "Post it again; if this repeats, report it to the author of the adapter.",
        FailureReason.PROGRAM_ERROR: "Read the detail, and look the transaction up in an explorer.",
        FailureReason.ATTEMPT_EXPIRED: "Post it again; a higher DEXEXEC_MAX_COMPUTE_PRICE helps it to land.",
        FailureReason.GUARD: "Do not post it again: report the broken rule to the author of the venue's adapter.",
        FailureReason.SIGNER: "Check the signer of the order's wallet, and the log, then post it again.",
        FailureReason.HALTED: "Wait until the operator resumes signing (python -m dexexec resume), and post it again.",
        FailureReason.POLICY: "Post it again within the limit in the detail, or have the key's policy changed.",
        FailureReason.POISONED: "Look at the log for the crash, report it, and post the order again after an update.",
        FailureReason.RECORD_LOST: "Nothing was swapped: post the order again.",
        FailureReason.DUPLICATE: "Nothing is to be done: the order in duplicateOf has the swap.",
    }
)
OTHER = "Read the detail, and look the transaction up in an explorer."
"""For Solana's own transaction errors, which keep their names."""


def advice_for(reason: str) -> str:
    """What to do about an order that ended for `reason`, a documented code or one of Solana's."""
    return ADVICE[FailureReason(reason)] if reason in set(FailureReason) else OTHER
