"""Which of several quotes is best: by what is received, or paid, after the venue's fee and the network's cost. Pure."""

from collections.abc import Sequence

from dexexec.domain.quote import Mode, Quote
from dexexec.domain.token import WSOL


def network_cost(quote: Quote) -> int:
    """Network fee and tip in base units of the ranked token: the output for exact in, the input for exact out. Rounded
    up.

    They are in lamports, so they can only be converted if one side of the swap is SOL. Otherwise it is 0.
    """
    request = quote.request
    lamports = quote.network_fee + quote.tip
    counted, other = (
        (request.mint_out, request.mint_in) if request.mode is Mode.EXACT_IN else (request.mint_in, request.mint_out)
    )
    if counted == WSOL:
        return lamports
    if other == WSOL:
        price_of_counted, price_of_other = (
            (quote.amount_out, quote.amount_in)
            if request.mode is Mode.EXACT_IN
            else (quote.amount_in, quote.amount_out)
        )
        # The quote's own price converts it: the difference to a market price is far below the differences of quotes.
        return -(-lamports * price_of_counted // price_of_other)
    return 0


def net_amount(quote: Quote) -> int:
    """The amount by which quotes are ranked: received (exact in) or paid (exact out), including the network cost."""
    cost = network_cost(quote)
    return quote.amount_out - cost if quote.request.mode is Mode.EXACT_IN else quote.amount_in + cost


def rank(quotes: Sequence[Quote]) -> tuple[Quote, ...]:
    """The quotes, best first."""
    if not quotes:
        return ()
    # The sort is stable, so equal quotes keep the order in which the venues are configured.
    return tuple(sorted(quotes, key=net_amount, reverse=quotes[0].request.mode is Mode.EXACT_IN))
