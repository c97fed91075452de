"""Prints quotes, the best first: side by side on a terminal, one line per venue in a pipe, or JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dexexec.cli.quote_comparison import beside_aggregator
from dexexec.domain.quote import BPS, Mode, Quote, SwapRequest
from dexexec.domain.token import WSOL, Token, Tokens, from_base_units
from dexexec.execution.event_detail import PRICE, promise
from dexexec.settlement.solana.funds import amount_text
from dexexec.venue import Network
from dexexec.venues.router import Answer, Routing

LABEL_WIDTH, COLUMN_WIDTH = 13, 24
"""The width of the labels, and the least width of a venue's column, in characters."""
LABELS = (
    "At worst",
    "Price",
    "Venue fee",
    "Network fee",
    "Impact",
    "Slot",
    "Holds for",
    "Pool",
    "Settles on",
    "Why not",
)
PPM_PER_PERCENT = 10_000
NO_VALUE = "-"
FEE_NOTE = "The network fee excludes the priority fee, which is only known when a swap is built."


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotes:
    """A request and the quotes at Unix time `now_ms`. `places` maps each venue to the network it settles on. `tokens`
    are those with a symbol; `unnamed` are tokens of the pair that only exist on the chain."""

    request: SwapRequest
    sell: Token
    buy: Token
    tokens: Tokens
    routing: Routing
    places: Mapping[str, str]
    now_ms: int
    unnamed: tuple[Token, ...] = ()

    @property
    def answers(self) -> list[Answer]:
        """The answers: ranked quotes first, the best at the top, then venues without a quote."""
        places = {quote.venue: place for place, quote in enumerate(self.routing.ranking)}
        return sorted(self.routing.answers, key=lambda answer: places.get(answer.venue, len(places)))

    @property
    def best(self) -> str:
        """The venue that an order would use; empty if no venue can fill it."""
        return self.routing.ranking[0].venue if self.routing.ranking else ""

    @property
    def exact_in(self) -> bool:
        """Whether the sold amount is fixed."""
        return self.request.mode is Mode.EXACT_IN

    def price(self, quote: Quote) -> str:
        """How many bought tokens one sold token yields, after the venue's fee."""
        shift = self.sell.decimals - self.buy.decimals
        price = PRICE.divide(Decimal(quote.amount_out), Decimal(quote.amount_in)).scaleb(shift)
        return format(price.normalize(), "f")


def quotes_json(quotes: Quotes) -> str:
    """One JSON object. Amounts are strings of base units; fields are named as in an order's events."""
    request = quotes.request
    document = {
        "sellMint": request.mint_in,
        "buyMint": request.mint_out,
        "sellDecimals": quotes.sell.decimals,
        "buyDecimals": quotes.buy.decimals,
        "mode": request.mode,
        "amount": str(request.amount),
        "slippageBps": request.slippage_bps,
        "best": quotes.best or None,
        **_comparison_json(quotes.routing),
        "quotes": [_answer_json(quotes, answer) for answer in quotes.answers],
    }
    return json.dumps(document, indent=2)


def _comparison_json(routing: Routing) -> dict[str, object]:
    """The best venue beside the aggregator, if it has a quote too."""
    found = beside_aggregator(routing)
    return {} if found is None else {"besideJupiter": {"venue": found.venue, "bps": format(found.bps, "f")}}


def _answer_json(quotes: Quotes, answer: Answer) -> dict[str, object]:
    common: dict[str, object] = {
        "venue": answer.venue,
        "settlesOn": quotes.places[answer.venue],
        "selected": answer.venue == quotes.best,
        "elapsedMs": answer.elapsed_ms,
    }
    quote = answer.quote
    if quote is None:
        return {**common, "reason": answer.code, "detail": answer.detail}
    return {
        **common,
        "price": quotes.price(quote),
        **promise(quote, quotes.tokens),
        **({"reason": answer.code, "detail": answer.detail} if answer.code else {}),
        "expiresInMs": max(0, quote.expires_at_ms - quotes.now_ms),
    }


def write_quotes(quotes: Quotes, out: TextIO) -> None:
    """Print the quotes for people."""
    console = Console(file=out, highlight=False)
    # `isatty` too: rich believes FORCE_COLOR and similar variables even when the output is a pipe.
    if out.isatty() and console.is_terminal and not console.is_dumb_terminal:
        _write_tables(quotes, console)
    else:
        _write_lines(quotes, out)


def headline(quotes: Quotes) -> str:
    """The request in one sentence."""
    fixed = quotes.sell if quotes.exact_in else quotes.buy
    amount = f"{from_base_units(quotes.request.amount, fixed.decimals)} {fixed.symbol}"
    bound = f"slippage at most {format(Decimal(quotes.request.slippage_bps) / 100, 'f')} %"
    if quotes.exact_in:
        return f"Sell {amount} for {quotes.buy.symbol}, {bound}"
    return f"Buy {amount} with {quotes.sell.symbol}, {bound}"


def notes(quotes: Quotes) -> list[str]:
    """Notes below the table: about fees, missing quotes, an aggregator's quote and unnamed tokens."""
    real = any(quotes.places[quote.venue] != Network.SIMULATED for quote in quotes.routing.ranking)
    lines = [FEE_NOTE] if real else []
    lines += [] if quotes.routing.ranking else ["No venue can fill this swap."]
    comparison = beside_aggregator(quotes.routing)
    lines += [comparison.text] if comparison else []
    lines += [
        f"To trade {token.symbol}, add it to the settings: DEXEXEC_TOKENS={token.mint}:SYMBOL:{token.decimals}"
        for token in quotes.unnamed
    ]
    return lines


def rows(quotes: Quotes, answer: Answer) -> dict[str, str]:
    """The cells of a venue's column by label. Every label is present; its text may be empty."""
    quote = answer.quote
    first = "Receives" if quotes.exact_in else "Pays"
    values = dict.fromkeys((first, *LABELS), "")
    values["Settles on"] = quotes.places[answer.venue]
    if quote is None:
        return {**values, "Why not": f"{answer.code}: {answer.detail}"}
    likely, worst = (quote.amount_out, quote.min_out) if quotes.exact_in else (quote.amount_in, quote.max_in)
    open_token = quotes.buy if quotes.exact_in else quotes.sell
    return {
        **values,
        first: amount_text(likely, open_token.mint, open_token),
        "At worst": amount_text(worst, open_token.mint, open_token),
        "Price": f"{quotes.price(quote)} {quotes.buy.symbol}/{quotes.sell.symbol}",
        "Venue fee": amount_text(quote.fee, quote.fee_mint, quotes.tokens.get(quote.fee_mint)),
        "Network fee": amount_text(quote.network_fee, WSOL, quotes.tokens.get(WSOL)),
        "Impact": f"{format((Decimal(quote.price_impact_ppm) / PPM_PER_PERCENT).normalize(), 'f')} %",
        "Slot": str(quote.context_slot),
        "Holds for": f"{max(0, quote.expires_at_ms - quotes.now_ms) / 1000:.1f} s",
        "Pool": pools_text(quote),
        "Why not": f"{answer.code}: {answer.detail}" if answer.code else "",
    }


def pools_text(quote: Quote) -> str:
    """The pool, or the parts of a swap over several: `60.00 % venue POOL` side by side, `venue POOL, then` in a row."""
    if not quote.legs:
        return " ".join(quote.route)
    if quote.via:
        return ", then ".join(f"{leg.venue} {leg.pool}" for leg in quote.legs)
    shares = (Decimal(leg.amount_in * BPS // quote.amount_in) / 100 for leg in quote.legs)
    return ", ".join(f"{share} % {leg.venue} {leg.pool}" for share, leg in zip(shares, quote.legs, strict=True))


def _write_tables(quotes: Quotes, console: Console) -> None:
    """Print one column per venue, in as many tables as the width of the terminal requires."""
    console.print(Text(headline(quotes), style="bold"))
    answers = quotes.answers
    fit = max(1, (console.width - LABEL_WIDTH) // (COLUMN_WIDTH + 2))
    for begin in range(0, len(answers), fit):
        console.print()
        console.print(_table(quotes, answers[begin : begin + fit]))
    for note in notes(quotes):
        console.print(Text(f"\n{note}", style="dim"), soft_wrap=True)


def _table(quotes: Quotes, answers: Sequence[Answer]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", width=LABEL_WIDTH - 2, style="dim")
    for answer in answers:
        best = answer.venue == quotes.best
        header = Text(answer.venue, style="bold green" if best else "bold" if answer.quote else "yellow")
        table.add_column(header.append("  best") if best else header, overflow="fold", min_width=COLUMN_WIDTH)
    columns = [rows(quotes, answer) for answer in answers]
    for label in columns[0]:
        if any(values[label] for values in columns):
            table.add_row(label, *(Text(values[label]) for values in columns))
    return table


def _write_lines(quotes: Quotes, out: TextIO) -> None:
    """Print one complete line per venue, which programs such as `grep` can use."""
    rows_by_answer = [(answer, rows(quotes, answer)) for answer in quotes.answers]
    lines = [("VENUE", "BEST", *(label.upper() for label in rows_by_answer[0][1]))]
    for answer, values in rows_by_answer:
        best = "yes" if answer.venue == quotes.best else NO_VALUE
        lines.append((answer.venue, best, *(value or NO_VALUE for value in values.values())))
    out.write(f"{headline(quotes)}\n")
    write_aligned(lines, out)
    out.writelines(f"{note}\n" for note in notes(quotes))


def write_aligned(lines: Sequence[Sequence[str]], out: TextIO) -> None:
    """Print lines of cells in aligned columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        out.write("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")
