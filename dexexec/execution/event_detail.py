"""Quotes and fills as clients see them in events: JSON values, amounts of base units as strings, a price to read."""

from decimal import ROUND_DOWN, Context, Decimal

from dexexec.domain.bound import Bound
from dexexec.domain.event import Detail
from dexexec.domain.funds import Shortfall
from dexexec.domain.order import NewOrder, Order, Side
from dexexec.domain.quote import BPS, Fill, Mode, Quote
from dexexec.domain.token import WSOL, Tokens
from dexexec.execution.size_suggestion import SuggestedSize
from dexexec.settlement.solana.funds import amount_text
from dexexec.venues.router import Answer, Routing, net_amount

PRICE = Context(prec=10, rounding=ROUND_DOWN)
"""Ten digits are plenty to read; amounts are what counts."""


class Presenter:
    """Knows the tokens' decimals."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def answers(self, order: NewOrder | Order, routing: Routing) -> list[dict[str, object]]:
        """Every venue's answer, the best first, then the others by rank, then those without a quote: each with the
        reason why it lost."""
        places = {quote.venue: place for place, quote in enumerate(routing.ranking)}
        best = routing.ranking[0] if routing.ranking else None
        ordered = sorted(routing.answers, key=lambda answer: places.get(answer.venue, len(places)))
        return [self._answer(order, answer, best) for answer in ordered]

    def quote(self, order: NewOrder | Order, quote: Quote) -> dict[str, object]:
        """What a quote promises."""
        return {"price": self.price(order, quote.amount_in, quote.amount_out), **promise(quote)}

    def fill(self, order: Order, fill: Fill, quoted: Detail) -> dict[str, object]:
        """What really moved; how much worse that is, in bps, than the order's first quote and than the one that it was
        built from, `quoted` (as `quote` gave it; empty for an attempt that came back from the chain); and the order's
        bound. What is not known is left out."""
        told: dict[str, object] = {
            "price": self.price(order, fill.amount_in, fill.amount_out),
            "amountIn": str(fill.amount_in),
            "amountOut": str(fill.amount_out),
            "networkFee": str(fill.fee),
            "slot": fill.slot,
        }
        venue = (int(str(quoted["amountIn"])), int(str(quoted["amountOut"]))) if quoted else None
        if bound := order.bound or _bound(quoted):
            told |= {"minOut": str(bound.min_out), "maxIn": str(bound.max_in)}
        if first := order.first_quote or venue:
            told |= _beside("quoted", "slippageBps", order.mode, fill, first)
        if venue:
            told |= _beside("venueQuoted", "venueSlippageBps", order.mode, fill, venue)
        return told

    def size(self, order: Order, found: SuggestedSize | None) -> str:
        """What size an order that is too large could have, in words."""
        if found is None:
            return "no size was found that is within it"
        swap = order.swap
        mint = swap.mint_in if order.mode is Mode.EXACT_IN else swap.mint_out
        return f"{amount_text(found.amount, mint, self._tokens.get(mint))} would be within it, as {found.venue} quotes"

    def shortfall(self, found: Shortfall) -> str:
        """What the wallet lacks because of other attempts in flight, in a sentence."""
        mint = found.mint or WSOL
        can, reserved, needed = (
            amount_text(units, mint, self._tokens.get(mint)) for units in (found.balance, found.reserved, found.needed)
        )
        orders = "1 order" if found.orders == 1 else f"{found.orders} orders"
        return f"{needed} are needed, and of the {can} that the wallet can spend {orders} in flight may take {reserved}"

    def within_bounds(self, order: Order, fill: Fill, quoted: Detail) -> bool:
        """Whether a fill keeps the order's bound, and what its quote, if that is known, bound the venue to."""
        bounds = [bound for bound in (order.bound, _bound(quoted)) if bound is not None]
        return all(bound.holds(fill.amount_in, fill.amount_out) for bound in bounds)

    def price(self, order: NewOrder | Order, amount_in: int, amount_out: int) -> str | None:
        """Output-mint tokens per input-mint token of the order's pair, whichever side: USDC per SOL for SOL/USDC."""
        base, counter = (amount_in, amount_out) if order.side is Side.BUY else (amount_out, amount_in)
        base_token, counter_token = self._tokens.get(order.input_mint), self._tokens.get(order.output_mint)
        if base_token is None or counter_token is None or not base:
            return None
        shift = base_token.decimals - counter_token.decimals
        return format((PRICE.divide(Decimal(counter), Decimal(base)).scaleb(shift)).normalize(), "f")

    def _answer(self, order: NewOrder | Order, answer: Answer, best: Quote | None) -> dict[str, object]:
        told: dict[str, object] = {"venue": answer.venue, "elapsedMs": answer.elapsed_ms, "selected": False}
        if answer.quote is None:
            return {**told, "reason": answer.code, "detail": answer.detail}
        told |= {**self.quote(order, answer.quote), "net": str(net_amount(answer.quote))}
        if answer.code:
            return {**told, "reason": answer.code, "detail": answer.detail}
        if best is None or answer.quote is best:
            return {**told, "selected": True}
        behind = abs(net_amount(best) - net_amount(answer.quote))
        worse = "less received" if order.mode is Mode.EXACT_IN else "more paid"
        bps = Decimal(behind * BPS * 100 // max(1, net_amount(best))) / 100
        detail = f"{behind} base units {worse} than {best.venue} ({bps} bps)"
        return {**told, "reason": "worse-price" if behind else "equal-price", "detail": detail}


def slippage_bps(mode: Mode, fill: Fill, quoted_in: int, quoted_out: int) -> str:
    """How much worse than quoted a fill is, rounded up to hundredths of a bps; negative when it is better."""
    exact_in = mode is Mode.EXACT_IN
    lost, of = (quoted_out - fill.amount_out, quoted_out) if exact_in else (fill.amount_in - quoted_in, quoted_in)
    return format(Decimal(-(-lost * BPS * 100 // max(1, of))) / 100, "f")


def promise(quote: Quote) -> dict[str, object]:
    """What a quote promises, but for its price: that takes the order's point of view."""
    return {
        "amountIn": str(quote.amount_in),
        "amountOut": str(quote.amount_out),
        "minOut": str(quote.min_out),
        "maxIn": str(quote.max_in),
        "fee": str(quote.fee),
        "feeMint": quote.fee_mint,
        "networkFee": str(quote.network_fee),
        "priceImpactBps": format(Decimal(quote.price_impact_ppm) / 100, "f"),
        "route": list(quote.route),
        "contextSlot": quote.context_slot,
    }


def _bound(quoted: Detail) -> Bound | None:
    return Bound(int(str(quoted["minOut"])), int(str(quoted["maxIn"]))) if quoted else None


def _beside(quoted: str, slippage: str, mode: Mode, fill: Fill, amounts: tuple[int, int]) -> dict[str, object]:
    """A fill beside quoted amounts, under these names."""
    amount_in, amount_out = amounts
    return {
        f"{quoted}In": str(amount_in),
        f"{quoted}Out": str(amount_out),
        slippage: slippage_bps(mode, fill, amount_in, amount_out),
    }
