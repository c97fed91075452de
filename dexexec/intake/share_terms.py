"""An amount that is a share of the balance, and `closeAccount`: which other fields they fit.

Beside `order_terms` at the start of an order's way. What the wallet holds is read when the order is executed.
"""

from dataclasses import replace

from dexexec.domain.order import U64_MAX
from dexexec.domain.quote import BPS, Mode
from dexexec.domain.share import share_text
from dexexec.domain.terms import OrderType, Terms
from dexexec.domain.token import WSOL, Token
from dexexec.intake.field_types import Amount, Flag
from dexexec.intake.order_fields import OrderFields
from dexexec.intake.price_bounds import LIMIT_PRICE, MIN_OUT

CLOSE_ACCOUNT = Flag(
    name="closeAccount",
    description="Close the token account that the order empties, in the same transaction: its rent comes back.",
)
_KINDS = (OrderType.MARKET, OrderType.LIMIT)
"""Types whose orders are one swap of the balance. The amount of the others bounds what several swaps may spend."""
_FIXED = 'a number of tokens such as "0.01"'


def nominal_amount(token: Token) -> int:
    """Base units that stand for a share until the balance is read: one token. It never becomes an order's amount."""
    return min(int(10**token.decimals), U64_MAX)


def with_share(
    terms: Terms | None,
    fields: OrderFields,
    amount: Amount | None,
    *,
    mode: Mode | None,
    order_type: OrderType | None,
    spent: Token | None,
    no_balances: str,
) -> Terms | None:
    """The terms with the share and the wish to close the account; records the fields that do not fit. `spent` is the
    token that the order spends, and `no_balances` the reason if wallets have none."""
    share_bps = amount.share_bps if amount else None
    close_account = CLOSE_ACCOUNT.read(fields)
    if share_bps is not None:
        _check_share(fields, mode, order_type, no_balances)
    if close_account:
        _check_closing(fields, share_bps, mode=mode, order_type=order_type, spent=spent, no_balances=no_balances)
    if share_bps is None and not close_account:
        return terms
    return replace(terms or Terms(), share_bps=share_bps, close_account=close_account)


def _check_share(fields: OrderFields, mode: Mode | None, order_type: OrderType | None, no_balances: str) -> None:
    if mode is Mode.EXACT_OUT:
        fields.wrong("amount", "is a share of what is spent, which exactOut leaves open", f"{_FIXED}, or mode exactIn")
    elif order_type is not None and order_type not in _KINDS:
        fields.wrong("amount", f"is a share of the balance, which does not fit the type {order_type}", _FIXED)
    elif no_balances:
        fields.wrong("amount", f"is a share of the balance, and {no_balances}", _FIXED)
    # An amount, for a swap whose size the client does not know yet; a price fits any size. Reported once: it may be
    # wrong for the mode or the type already.
    if MIN_OUT in fields.given and all(problem.field != MIN_OUT for problem in fields.problems):
        fields.wrong(MIN_OUT, "does not fit a share of the balance", '"type": "limit" with limitPrice')
    if LIMIT_PRICE in fields.given and order_type is OrderType.MARKET:
        fields.wrong(LIMIT_PRICE, "does not fit a market order for a share of the balance", 'also "type": "limit"')


def _check_closing(
    fields: OrderFields,
    share_bps: int | None,
    *,
    mode: Mode | None,
    order_type: OrderType | None,
    spent: Token | None,
    no_balances: str,
) -> None:
    problem = ""
    expected = "no closeAccount"
    if order_type is not None and order_type not in _KINDS:
        problem = f"does not fit the type {order_type}"
    elif mode is Mode.EXACT_OUT:
        problem, expected = "does not fit exactOut, which leaves open what is spent", "mode exactIn"
    elif spent is not None and spent.mint == WSOL:
        problem = "does not fit an order that spends SOL, which is in the wallet itself"
    elif share_bps is not None and share_bps < BPS:
        problem = f"does not fit {share_text(share_bps)} of the balance, which leaves the account in use"
        expected = '"amount": "all", or the whole balance as a number'
    elif no_balances:
        problem = f"is not possible: {no_balances}"
    if problem:
        fields.wrong(CLOSE_ACCOUNT.name, problem, expected)
