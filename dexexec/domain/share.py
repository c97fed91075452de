"""An amount that is a share of the wallet's balance: `all`, or a percentage such as `50%`. Exact, in base units.

A share is in bps of the balance, so that a percentage has at most two decimals. The amount is rounded down: a share is
never more than the balance, and all of it is exactly the balance.
"""

import re
from collections.abc import Mapping
from decimal import Decimal

from dexexec.domain.amount import AmountError, JsonNumber
from dexexec.domain.order import NewOrder, Order
from dexexec.domain.quote import BPS, min_out

ALL = "all"
EXPECTED = '"all", or a percentage above 0 and up to 100 with at most two decimals, such as "50%"'
_PERCENT = re.compile(r"(0|[1-9][0-9]{0,2})(\.[0-9]{1,2})?%", re.ASCII)
_ALMOST = re.compile(r"(all|max|maximum|everything|[^%]*%\s*)", re.IGNORECASE)
"""What was meant as a share, in a notation that is not accepted."""
_PERCENT_BPS = 100


def read_share(text: str) -> int | None:
    """The share (bps) that `text` names; None if it is not meant as one. Raises `AmountError` for an invalid share."""
    if isinstance(text, JsonNumber):
        return None
    if text == ALL:
        return BPS
    if not _PERCENT.fullmatch(text):
        if _ALMOST.fullmatch(text.strip()):
            raise AmountError("is not a valid share of the balance", EXPECTED)
        return None
    bps = int(Decimal(text.removesuffix("%")) * _PERCENT_BPS)
    if not 0 < bps <= BPS:
        raise AmountError("is zero" if bps == 0 else "is more than 100%", EXPECTED)
    return bps


def share_text(bps: int) -> str:
    """The one notation of a share: `all` for the whole balance, otherwise the percentage without trailing zeros."""
    if bps == BPS:
        return ALL
    percent = Decimal(bps) / _PERCENT_BPS
    return f"{percent.normalize():f}%"


def amount_text(order: NewOrder | Order) -> str:
    """The order's amount as clients see it: a number of tokens, or a share of the balance."""
    share_bps = order.terms.share_bps if order.terms else None
    return format(order.amount, "f") if share_bps is None else share_text(share_bps)


def posted_terms(amount: Decimal, terms: Mapping[str, object]) -> dict[str, object]:
    """The amount and the stored terms of an order as fields of a body, where a share of the balance is the amount."""
    others = {name: value for name, value in terms.items() if name != "shareBps"}
    share_bps = terms.get("shareBps")
    return {"amount": format(amount, "f") if share_bps is None else share_text(int(str(share_bps))), **others}


def share_of(available: int, bps: int) -> int:
    """The base units of a share of `available`, rounded down."""
    return available * bps // BPS


def quote_for(first_quote: tuple[int, int], amount: int) -> tuple[int, int]:
    """The first quote (base units in and out) at the same price for `amount`, to compare a fill with it."""
    quoted_in, quoted_out = first_quote
    return amount, quoted_out * amount // quoted_in


def least_received(first_quote: tuple[int, int], amount: int, slippage_bps: int) -> int:
    """The least to receive for `amount`, at the price of the first quote (base units in and out) less the slippage.

    Each round of an order for a share may have another amount. The bound that the first quote fixed is then the same
    price for the new amount, never a worse one.
    """
    quoted_in, quoted_out = first_quote
    # From the first quote each time, and rounded up: from the bound of the round before, rounding would add up.
    return -(-min_out(quoted_out, slippage_bps) * amount // quoted_in)
