"""An amount that is a share of the wallet's balance: `all`, or a percentage such as `50%`. Exact, in base units.

A share is in bps of the balance, so that a percentage has at most two decimals. The amount is rounded down: a share is
never more than the balance, and all of it is exactly the balance.
"""

import re
from decimal import Decimal

from dexexec.domain.amount import AmountError, JsonNumber
from dexexec.domain.quote import BPS

ALL = "all"
EXPECTED = '"all", or a percentage above 0 and up to 100 with at most two decimals, such as "50%"'
_PERCENT = re.compile(r"(0|[1-9][0-9]{0,2})(\.[0-9]{1,2})?%")
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


def share_of(available: int, bps: int) -> int:
    """The base units of a share of `available`, rounded down."""
    return available * bps // BPS
