"""Formats quotes and fills for events: JSON values, with amounts in base units as strings and a readable price."""

from decimal import ROUND_DOWN, Context, Decimal
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from dexexec.domain.balance import SpendableBalance
from dexexec.domain.bound import Bound
from dexexec.domain.event import Detail
from dexexec.domain.funds import Shortfall
from dexexec.domain.order import NewOrder, Order, Side
from dexexec.domain.quote import BPS, Fill, Leg, Mode, Quote
from dexexec.domain.rate import rate_at
from dexexec.domain.share import amount_text as amount_text_of
from dexexec.domain.share import quote_for
from dexexec.domain.token import WSOL, Token, Tokens
from dexexec.execution.size_suggestion import SuggestedSize
from dexexec.settlement.solana.funds import amount_text
from dexexec.venue import Unsupported
from dexexec.venues.ranking import net_amount
from dexexec.venues.router import Answer, Routing

PRICE = Context(prec=10, rounding=ROUND_DOWN)
"""Ten digits are enough to read. Nothing is calculated from a price: amounts are exact."""


class NotChosen(StrEnum):
    """Why an acceptable quote was not chosen."""

    WORSE_PRICE = "worse-price"
    EQUAL_PRICE = "equal-price"


class Amounts(NamedTuple):
    """Base units that a quote or a fill exchanges."""

    amount_in: int
    amount_out: int


class Presenter:
    """Formats for orders in these tokens, whose decimals it needs."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def answers(self, order: NewOrder | Order, routing: Routing) -> list[dict[str, object]]:
        """Every venue's answer with the reason why it was not chosen: acceptable quotes by rank, then the others."""
        ranks = {quote.venue: rank for rank, quote in enumerate(routing.ranking)}
        best = routing.ranking[0] if routing.ranking else None
        ordered = sorted(routing.answers, key=lambda answer: ranks.get(answer.venue, len(ranks)))
        return [self._answer(order, answer, best) for answer in ordered]

    def quote(self, order: NewOrder | Order, quote: Quote) -> dict[str, object]:
        """The amounts and the price of a quote."""
        return {"price": self.price(order, quote.amount_in, quote.amount_out), **promise(quote, self._tokens)}

    def fill(self, order: Order, fill: Fill, quoted: Detail) -> dict[str, object]:
        """What a swap moved, the order's bound, and the slippage in bps: against the order's first quote, and against
        the one that the swap was built from. That is `quoted`, as `quote` formats it; it is empty for an attempt that
        was restored from the chain."""
        detail: dict[str, object] = {
            "price": self.price(order, fill.amount_in, fill.amount_out),
            "amountIn": str(fill.amount_in),
            "amountOut": str(fill.amount_out),
            "networkFee": str(fill.fee),
            "slot": fill.slot,
        }
        built_from = Amounts(int(str(quoted["amountIn"])), int(str(quoted["amountOut"]))) if quoted else None
        bound = _bound_of(order, quoted)
        if bound:
            detail |= {"minOut": str(bound.min_out), "maxIn": str(bound.max_in)}
        # An order that was restored from the chain has no first quote.
        first = Amounts(*first_quote) if (first_quote := first_quote_of(order, fill)) else built_from
        if first:
            detail |= _slippage("quoted", "slippageBps", order.mode, fill, first)
        if built_from:
            detail |= _slippage("venueQuoted", "venueSlippageBps", order.mode, fill, built_from)
        return detail

    def size(self, order: Order, suggested: SuggestedSize | None) -> str:
        """A sentence with the size that an order could have that is too large."""
        if suggested is None:
            return "no smaller size within the limit was found"
        swap = order.swap
        mint = swap.mint_in if order.mode is Mode.EXACT_IN else swap.mint_out
        amount = amount_text(suggested.amount, mint, self._tokens.get(mint))
        return f"{amount} would be within the limit, by a quote of {suggested.venue}"

    def shortfall(self, shortfall: Shortfall) -> str:
        """A sentence with what the wallet lacks because of other open attempts."""
        mint = shortfall.mint or WSOL
        token = self._tokens.get(mint)
        needed = amount_text(shortfall.needed, mint, token)
        balance = amount_text(shortfall.balance, mint, token)
        reserved = amount_text(shortfall.reserved, mint, token)
        orders = "1 other order" if shortfall.orders == 1 else f"{shortfall.orders} other orders"
        return f"{needed} are needed; the wallet can spend {balance}, of which {orders} may still take {reserved}"

    def nothing_to_spend(self, order: Order, spendable: SpendableBalance) -> str:
        """A sentence with what the wallet holds, and why an order for a share of it has nothing to spend."""
        mint = order.swap.mint_in
        token = self._tokens.get(mint)
        sentence = f"the wallet's account {spendable.account} holds {amount_text(spendable.balance, mint, token)}"
        if spendable.reserved:
            sentence += f", of which other orders may still take {amount_text(spendable.reserved, mint, token)}"
        if spendable.kept:
            sentence += f", and {amount_text(spendable.kept, mint, token)} must stay for fees and rent"
        return f"{sentence}: {amount_text_of(order)} of it comes to nothing"

    def within_bounds(self, order: Order, fill: Fill, quoted: Detail) -> bool:
        """Whether a fill keeps the order's bound, and the bound that its transaction carried, if that is known."""
        bounds = [bound for bound in (_bound_of(order, quoted), _bound(quoted)) if bound is not None]
        return all(bound.holds(fill.amount_in, fill.amount_out) for bound in bounds)

    def price(self, order: NewOrder | Order, amount_in: int, amount_out: int) -> str | None:
        """Output-mint tokens per input-mint token of the order's pair, for both sides: USDC per SOL for SOL/USDC."""
        # A sell swaps the pair's output mint for its input mint.
        base, counter = (amount_in, amount_out) if order.side is Side.BUY else (amount_out, amount_in)
        base_decimals = self._decimals(order, order.input_mint)
        counter_decimals = self._decimals(order, order.output_mint)
        if base_decimals is None or counter_decimals is None or not base:
            return None
        shift = base_decimals - counter_decimals
        return format((PRICE.divide(Decimal(counter), Decimal(base)).scaleb(shift)).normalize(), "f")

    def _decimals(self, order: NewOrder | Order, mint: str) -> int | None:
        token = self._tokens.get(mint)
        if token is not None:
            return token.decimals
        # A sniper's mint need not be configured: its decimals came with the trigger.
        return order.terms.mint_decimals if order.terms is not None and mint == order.output_mint else None

    def rate_at(self, order: Order, price: Decimal) -> Fraction:
        """The rate of the order's swap at a price of its pair. Raises `Unsupported` for a token that is not known."""
        base, counter = self._tokens.get(order.input_mint), self._tokens.get(order.output_mint)
        if base is None or counter is None:
            raise Unsupported("the decimals of the order's tokens are not known here: add them to DEXEXEC_TOKENS")
        return rate_at(price, order.side, input_decimals=base.decimals, output_decimals=counter.decimals)

    def _answer(self, order: NewOrder | Order, answer: Answer, best: Quote | None) -> dict[str, object]:
        view: dict[str, object] = {"venue": answer.venue, "elapsedMs": answer.elapsed_ms, "selected": False}
        if answer.quote is None:
            return {**view, "reason": answer.code, "detail": answer.detail}
        view |= {**self.quote(order, answer.quote), "net": str(net_amount(answer.quote))}
        if answer.code:
            return {**view, "reason": answer.code, "detail": answer.detail}
        if best is None or answer.quote is best:
            return {**view, "selected": True}
        difference = abs(net_amount(best) - net_amount(answer.quote))
        worse = "less received" if order.mode is Mode.EXACT_IN else "more paid"
        # In hundredths, so that two decimals remain of the integer division.
        bps = Decimal(difference * BPS * 100 // max(1, net_amount(best))) / 100
        detail = f"{difference} base units {worse} than {best.venue} ({bps} bps)"
        reason = NotChosen.WORSE_PRICE if difference else NotChosen.EQUAL_PRICE
        return {**view, "reason": reason, "detail": detail}


def first_quote_of(order: Order, fill: Fill) -> tuple[int, int] | None:
    """The order's first quote, to compare a fill with it. An order for a share of the balance may have had another
    amount then: it is compared at the same price."""
    # Without the conversion, a larger balance would look like a better price.
    if order.share_bps is None or order.first_quote is None:
        return order.first_quote
    return quote_for(order.first_quote, fill.amount_in)


def slippage_bps(mode: Mode, fill: Fill, quoted: Amounts) -> str:
    """How much worse than quoted a fill is, rounded up to hundredths of a bps; negative when it is better."""
    if mode is Mode.EXACT_IN:
        loss, base = quoted.amount_out - fill.amount_out, quoted.amount_out
    else:
        loss, base = fill.amount_in - quoted.amount_in, quoted.amount_in
    # Two minus signs round up: a loss is never reported as smaller than it was.
    return format(Decimal(-(-loss * BPS * 100 // max(1, base))) / 100, "f")


def promise(quote: Quote, tokens: Tokens) -> dict[str, object]:
    """A quote without its price, which depends on the order's side. Legs have prices of the given tokens."""
    return {
        "amountIn": str(quote.amount_in),
        "amountOut": str(quote.amount_out),
        "minOut": str(quote.min_out),
        "maxIn": str(quote.max_in),
        "fee": str(quote.fee),
        "feeMint": quote.fee_mint,
        "networkFee": str(quote.network_fee),
        **({"tip": str(quote.tip)} if quote.tip else {}),
        "priceImpactBps": format(Decimal(quote.price_impact_ppm) / 100, "f"),
        "route": list(quote.route),
        "contextSlot": quote.context_slot,
        **({"legs": [_leg(quote, leg, tokens) for leg in quote.legs]} if quote.legs else {}),
    }


def _leg(quote: Quote, leg: Leg, tokens: Tokens) -> dict[str, object]:
    """A part of a swap over several pools. `shareBps` is its part of what all legs sell of its token, and `price` how
    many tokens it gives for one, unless the decimals are not known."""
    total = sum(other.amount_in for other in quote.legs if other.mint_in == leg.mint_in)
    sold, bought = tokens.get(leg.mint_in), tokens.get(leg.mint_out)
    return {
        "venue": leg.venue,
        "pool": leg.pool,
        "mintIn": leg.mint_in,
        "mintOut": leg.mint_out,
        "amountIn": str(leg.amount_in),
        "amountOut": str(leg.amount_out),
        "shareBps": leg.amount_in * BPS // total,
        **({"price": _leg_price(leg, sold, bought)} if sold and bought else {}),
    }


def _leg_price(leg: Leg, sold: Token, bought: Token) -> str:
    price = PRICE.divide(Decimal(leg.amount_out), Decimal(leg.amount_in)).scaleb(sold.decimals - bought.decimals)
    return format(price.normalize(), "f")


def _bound(quoted: Detail) -> Bound | None:
    return Bound(int(str(quoted["minOut"])), int(str(quoted["maxIn"]))) if quoted else None


def _bound_of(order: Order, quoted: Detail) -> Bound | None:
    """The order's bound for the attempt that was built from `quoted`."""
    # The bound in the record is that of the last round, which may have had another share to spend. An earlier attempt
    # carried the bound for its own amount.
    own = _bound(quoted)
    return own or order.bound if order.share_bps is not None else order.bound or own


def _slippage(prefix: str, slippage_field: str, mode: Mode, fill: Fill, quoted: Amounts) -> dict[str, object]:
    """The quoted amounts under names with this prefix, and the slippage against them."""
    return {
        f"{prefix}In": str(quoted.amount_in),
        f"{prefix}Out": str(quoted.amount_out),
        slippage_field: slippage_bps(mode, fill, quoted),
    }
