"""Swaps through a third token: one pool sells the input for it, another one sells it for the output. Pure.

Both are in one transaction, but the amounts in its instructions are fixed before it lands. So the second pool is paid a
little less than the first one is expected to give (`tolerance_bps`): if the price moves by less until then, both still
succeed, and what is left of the third token stays in the wallet. If it moves by more, neither happens.
"""

from collections.abc import Sequence
from dataclasses import replace

from dexexec.domain.depth import PoolDepth
from dexexec.domain.quote import Mode, SwapRequest, max_in, min_out
from dexexec.venues.routes.split import Part, priced


def through(
    first: Sequence[PoolDepth], second: Sequence[PoolDepth], request: SwapRequest, hop: str, tolerance_bps: int
) -> tuple[Part, ...]:
    """The two parts of the best way through the token `hop`: `first` are the pools that sell the input for it, `second`
    those that sell it for the output. Empty if there is none."""
    if request.mode is Mode.EXACT_IN:
        received = _best(first, replace(request, mint_out=hop))
        if received is None:
            return ()
        paid_on = min_out(received.quote.amount_out, tolerance_bps)
        sold = _best(second, replace(request, mint_in=hop, amount=paid_on)) if paid_on else None
        if sold is None:
            return ()
        # The first pool must give what the second one is paid, and not less by the order's whole slippage.
        return Part(received.depth, replace(received.quote, min_out=paid_on)), sold
    sold = _best(second, replace(request, mint_in=hop))
    if sold is None:
        return ()
    needed = max_in(sold.quote.amount_in, tolerance_bps)
    bought = _best(first, replace(request, mint_out=hop, amount=needed))
    if bought is None:
        return ()
    return bought, Part(sold.depth, replace(sold.quote, max_in=needed))


def _best(depths: Sequence[PoolDepth], request: SwapRequest) -> Part | None:
    parts = [Part(depth, quote) for depth in depths if (quote := priced(depth, request)) is not None]
    if not parts:
        return None
    return max(parts, key=lambda part: (part.quote.amount_out, -part.quote.amount_in))
