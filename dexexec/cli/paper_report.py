"""Formats the paper ledger: a table for people, or JSON with amounts in base units."""

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import groupby
from typing import TextIO

from dexexec.cli.quote_table import write_aligned
from dexexec.domain.event import timestamp
from dexexec.domain.paper import PaperLine, net_changes
from dexexec.domain.token import WSOL, Tokens
from dexexec.execution.event_detail import PRICE
from dexexec.settlement.solana.funds import amount_text

HEAD = ("tag", "pair", "side", "orders", "simulated", "spent", "received", "average price", "venue fees", "network fee")
NO_TAG = "(no tag)"
NO_VALUE = "-"
EMPTY = 'no such dry run has ended: post orders with "dryRun": true, or start the service with DEXEXEC_DRY_RUN=1\n'
NOTE = "Nothing of this was signed or sent. Venue fees are inside the amounts; network fees are not.\n"


def write_table(lines: Sequence[PaperLine], tokens: Tokens, out: TextIO) -> None:
    """Print a line for each tag, pair and side, and what each tag's wallet would hold more or less."""
    if not lines:
        out.write(EMPTY)
        return
    write_aligned([HEAD, *(_cells(line, tokens) for line in lines)], out)
    out.write("\n")
    for tag, of_tag in _by_tag(lines):
        changes = [_signed(units, mint, tokens) for mint, units in net_changes(of_tag).items() if units]
        fees = amount_text(sum(line.network_fee for line in of_tag), WSOL, tokens.get(WSOL))
        out.write(f"{tag or NO_TAG}: {', '.join(changes) or 'no fill'}; network fees {fees}\n")
    out.write(NOTE)


def as_json(lines: Sequence[PaperLine], tokens: Tokens) -> str:
    """The same as JSON. Amounts are strings, since they can exceed what a JSON number holds exactly."""
    return json.dumps(
        {
            "lines": [_line(line, tokens) for line in lines],
            "net": [
                {
                    "tag": tag,
                    "changes": {mint: str(units) for mint, units in net_changes(of_tag).items()},
                    "networkFee": str(sum(line.network_fee for line in of_tag)),
                }
                for tag, of_tag in _by_tag(lines)
            ],
        },
        indent=2,
    )


def _by_tag(lines: Sequence[PaperLine]) -> Iterator[tuple[str | None, list[PaperLine]]]:
    # The ledger is ordered by tag, so that equal tags are neighbours.
    for tag, of_tag in groupby(lines, key=lambda line: line.tag):
        yield tag, list(of_tag)


def _line(line: PaperLine, tokens: Tokens) -> dict[str, object]:
    return {
        "tag": line.tag,
        "inputMint": line.input_mint,
        "outputMint": line.output_mint,
        "side": line.side.value,
        "orders": _orders(line),
        "simulated": line.simulated,
        "failed": line.failed,
        "expired": line.expired,
        "cancelled": line.cancelled,
        "amountIn": str(line.amount_in),
        "amountOut": str(line.amount_out),
        "averagePrice": _price(line, tokens),
        "venueFees": {line.spent: str(line.venue_fee_in), line.received: str(line.venue_fee_out)},
        "networkFee": str(line.network_fee),
        "first": timestamp(line.first),
        "last": timestamp(line.last),
    }


def _cells(line: PaperLine, tokens: Tokens) -> tuple[str, ...]:
    fees = ((line.venue_fee_in, line.spent), (line.venue_fee_out, line.received))
    return (
        line.tag or NO_TAG,
        f"{_symbol(line.input_mint, tokens)}/{_symbol(line.output_mint, tokens)}",
        line.side.value,
        str(_orders(line)),
        str(line.simulated),
        amount_text(line.amount_in, line.spent, tokens.get(line.spent)),
        amount_text(line.amount_out, line.received, tokens.get(line.received)),
        _price(line, tokens) or NO_VALUE,
        " + ".join(amount_text(units, mint, tokens.get(mint)) for units, mint in fees if units) or NO_VALUE,
        amount_text(line.network_fee, WSOL, tokens.get(WSOL)),
    )


def _orders(line: PaperLine) -> int:
    return line.simulated + line.failed + line.expired + line.cancelled


def _price(line: PaperLine, tokens: Tokens) -> str | None:
    """The average price in tokens, with the digits of any price; None without a fill or without known decimals."""
    price = line.average_price
    base, counter = tokens.get(line.input_mint), tokens.get(line.output_mint)
    if price is None or base is None or counter is None:
        return None
    scaled = PRICE.divide(Decimal(price.numerator), Decimal(price.denominator)).scaleb(base.decimals - counter.decimals)
    return format(scaled.normalize(), "f")


def _signed(units: int, mint: str, tokens: Tokens) -> str:
    return f"{'+' if units > 0 else ''}{amount_text(units, mint, tokens.get(mint))}"


def _symbol(mint: str, tokens: Tokens) -> str:
    token = tokens.get(mint)
    return token.symbol if token else mint
