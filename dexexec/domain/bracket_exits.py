"""Arms a bracket: from an entry's fill to the orders of its take-profit and its stop. Pure.

The exits spend exactly what the entry received, the opposite way on the same pair. Their ids follow from the entry's,
so that arming a bracket twice arms it once.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from fractions import Fraction
from uuid import UUID

from dexexec.domain.bound import amount_at, bound_of
from dexexec.domain.bracket import Bracket, Exit, ExitRole
from dexexec.domain.child_id import child_id
from dexexec.domain.order import FOREVER_MS, U64_MAX, NewOrder, Side
from dexexec.domain.quote import BPS, Mode
from dexexec.domain.rate import price_at
from dexexec.domain.terms import OrderType, Terms, TimeInForce, TriggerWhen
from dexexec.domain.token import Token, from_base_units

BRACKET_GROUP = "bracket:"
"""The start of the names of groups that exits of brackets are in. Clients cannot use it."""
PRICE_DIGITS = 15
"""Significant digits of a price that is computed from a fill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledEntry:
    """A filled order that has a bracket, as far as its exits depend on it. The amounts are those of the fill, in base
    units."""

    id: UUID
    side: Side
    input: Token
    output: Token
    amount_in: int
    amount_out: int
    slippage_bps: int
    max_price_impact_bps: int | None
    client: str
    tag: str | None
    dry_run: bool

    @property
    def exit_side(self) -> Side:
        """The side of the exits."""
        return Side.SELL if self.side is Side.BUY else Side.BUY

    @property
    def received(self) -> Token:
        """The token that the entry received, and the exits spend."""
        return self.output if self.side is Side.BUY else self.input


def exit_id(entry: UUID, role: ExitRole) -> UUID:
    """The id of the exit's order: the same however often, and wherever, the bracket is armed."""
    return child_id(entry, role.value)


def exit_group(entry: UUID) -> str:
    """The group that ties the exits of an entry."""
    return f"{BRACKET_GROUP}{entry}"


def exits_of(entry: FilledEntry, bracket: Bracket) -> list[NewOrder]:
    """The orders of the exits: those that `bracket` has."""
    orders = []
    if bracket.take_profit is not None:
        orders.append(_take_profit(entry, bracket.take_profit))
    if bracket.stop is not None:
        orders.append(_stop(entry, bracket.stop))
    return orders


def _take_profit(entry: FilledEntry, leg: Exit) -> NewOrder:
    """A limit order: it is executed at its price or a better one."""
    price = _price_of(entry, leg, ExitRole.TAKE_PROFIT)
    terms = Terms(time_in_force=TimeInForce.GTC, limit_price=price)
    return _exit(entry, ExitRole.TAKE_PROFIT, OrderType.LIMIT, terms)


def _stop(entry: FilledEntry, leg: Exit) -> NewOrder:
    """A market order when it is triggered, with the bound of the quote that it gets then; or a limit order."""
    # An exit that buys spends the input mint: for it a falling price is the loss.
    when = TriggerWhen.BELOW if entry.exit_side is Side.BUY else TriggerWhen.ABOVE
    is_limit = leg.limit_price is not None
    terms = Terms(
        time_in_force=TimeInForce.GTC if is_limit else None,
        limit_price=leg.limit_price,
        trigger_price=_price_of(entry, leg, ExitRole.STOP),
        trigger_when=when,
    )
    return _exit(entry, ExitRole.STOP, OrderType.LIMIT if is_limit else OrderType.MARKET, terms)


def _price_of(entry: FilledEntry, leg: Exit, role: ExitRole) -> Decimal:
    """The exit's price on the pair, for both sides."""
    if leg.price is not None:
        return leg.price
    bps = leg.bps or 0
    kept = Fraction(BPS + bps if role is ExitRole.TAKE_PROFIT else BPS - bps, BPS)
    # The rate at which the exit returns that share of what the entry spent, for what the entry received.
    rate = Fraction(entry.amount_in, entry.amount_out) * kept
    decimals = {"input_decimals": entry.input.decimals, "output_decimals": entry.output.decimals}
    price = price_at(rate, entry.exit_side, **decimals)
    # Rounded towards the better price of the exit: a take-profit is never worth less than its bps.
    better = ROUND_CEILING if entry.exit_side is Side.BUY else ROUND_FLOOR
    with localcontext(prec=PRICE_DIGITS, rounding=better):
        rounded = Decimal(price.numerator) / Decimal(price.denominator)
        return Decimal(format(rounded.normalize(), "f"))


def _exit(entry: FilledEntry, role: ExitRole, order_type: OrderType, terms: Terms) -> NewOrder:
    amount = entry.amount_out
    bound = None
    if terms.limit_price is not None:
        scaled = Fraction(terms.limit_price) * Fraction(10) ** (entry.output.decimals - entry.input.decimals)
        sells = entry.exit_side is Side.SELL
        least = amount_at(scaled, amount, given_in_output=sells, mode=Mode.EXACT_IN)
        # A price that no amount can reach makes an order that rests until it is cancelled, not an error here.
        bound = bound_of(Mode.EXACT_IN, amount, min(least, U64_MAX))
    return NewOrder(
        id=exit_id(entry.id, role),
        side=entry.exit_side,
        amount=Decimal(from_base_units(amount, entry.received.decimals)),
        amount_base=amount,
        mode=Mode.EXACT_IN,
        input_mint=entry.input.mint,
        output_mint=entry.output.mint,
        slippage_bps=entry.slippage_bps,
        deadline_ms=FOREVER_MS,
        client=entry.client,
        bound=bound,
        bound_open=bound is None,
        max_price_impact_bps=entry.max_price_impact_bps,
        type=order_type,
        terms=terms,
        tag=entry.tag,
        dry_run=entry.dry_run,
        parent=entry.id,
        oco_group=exit_group(entry.id),
    )
