"""One quote and one list of instructions for a swap over several pools. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from dexexec.domain.quote import Leg, Mode, Quote, SwapRequest, max_in, min_out
from dexexec.domain.solana import Instruction, SwapInstructions
from dexexec.venues.routes.split import Part

SYSTEM = "11111111111111111111111111111111"
ASSOCIATED_TOKEN = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"  # noqa: S105 - a program's address
TOKEN = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105 - a program's address
_TRANSFER = b"\x02\0\0\0"
_CLOSE = b"\x09"
_SYNC_NATIVE = b"\x11"


def quote_of(parts: Sequence[Part], request: SwapRequest, venue: str, network_fee: int) -> Quote:
    """The quote of all parts together, whose bounds add up to the request's own. `network_fee` is in lamports."""
    exact_in = request.mode is Mode.EXACT_IN
    quotes = [part.quote for part in parts]
    paid = sum(quote.amount_in for quote in quotes if quote.request.mint_in == request.mint_in)
    received = sum(quote.amount_out for quote in quotes if quote.request.mint_out == request.mint_out)
    whole = Quote(
        venue=venue,
        request=request,
        amount_in=paid,
        amount_out=received,
        min_out=min_out(received, request.slippage_bps) if exact_in else request.amount,
        max_in=request.amount if exact_in else max_in(paid, request.slippage_bps),
        fee=_fee(quotes, request),
        fee_mint=request.mint_out,
        network_fee=network_fee,
        price_impact_ppm=_impact(quotes, request, paid),
        expires_at_ms=min(quote.expires_at_ms for quote in quotes),
        context_slot=min(quote.context_slot for quote in quotes),
        route=tuple(part.depth.pool for part in parts),
        legs=tuple(
            Leg(
                venue=part.depth.venue,
                pool=part.depth.pool,
                mint_in=quote.request.mint_in,
                mint_out=quote.request.mint_out,
                amount_in=quote.amount_in,
                amount_out=quote.amount_out,
            )
            for part, quote in zip(parts, quotes, strict=True)
        ),
    )
    return replace(whole, raw={"quotes": bounded(quotes, whole)})


def bounded(quotes: Sequence[Quote], whole: Quote) -> tuple[Quote, ...]:
    """The quotes of the parts, with bounds that together keep those of the `whole`, to the unit."""
    *others, last = quotes
    request = whole.request
    if last.request.mint_in != request.mint_in:  # through a third token: the first one pays, the last one receives
        first, *between = others
        first = replace(first, max_in=min(first.max_in, whole.max_in))
        return (first, *between, replace(last, min_out=max(last.min_out, whole.min_out)))
    # An order's bound may be closer to the quoted amounts than the slippage is. Each part gets its share of what is
    # left between them, so that none must do better than its pool quoted. The last one gets what rounding leaves.
    if request.mode is Mode.EXACT_IN:
        room = whole.amount_out - whole.min_out
        others = [
            replace(quote, min_out=quote.amount_out - room * quote.amount_out // whole.amount_out) for quote in others
        ]
        least = max(0, whole.min_out - sum(quote.min_out for quote in others))
        return (*others, replace(last, min_out=least))
    room = whole.max_in - whole.amount_in
    others = [replace(quote, max_in=quote.amount_in + room * quote.amount_in // whole.amount_in) for quote in others]
    return (*others, replace(last, max_in=whole.max_in - sum(quote.max_in for quote in others)))


def _fee(quotes: Sequence[Quote], request: SwapRequest) -> int:
    """The fees of all parts in the output token. Those in another one count as what they would have bought at the
    prices of the parts, rounded up."""
    total = 0
    for place, quote in enumerate(quotes):
        if quote.fee_mint == request.mint_out:
            total += quote.fee
            continue
        # The parts that sell this token: its own, and the next one if it was received here.
        fee = quote.fee
        for sold in (quote, *quotes[place + 1 :]):
            if sold.request.mint_in == quote.fee_mint or sold is not quote:
                fee = -(-fee * sold.amount_out // sold.amount_in)
                if sold.request.mint_out == request.mint_out:
                    break
        total += fee
    return total


def _impact(quotes: Sequence[Quote], request: SwapRequest, paid: int) -> int:
    """The price change by the whole swap: of parts side by side their mean by size, of parts in a row their sum."""
    if any(quote.request.mint_in != request.mint_in for quote in quotes):
        return sum(quote.price_impact_ppm for quote in quotes)
    return -(-sum(quote.price_impact_ppm * quote.amount_in for quote in quotes) // paid)


def instructions_of(built: Sequence[SwapInstructions], quotes: Sequence[Quote], payer: str) -> tuple[Instruction, ...]:
    """The instructions of all parts in one transaction.

    Each part opens, fills and closes token accounts as if it was alone. Together, an account is opened once; SOL is
    wrapped once, for all parts that sell it, and not at all for a part that sells what another one has bought; and the
    account for it is closed once, after the last swap.
    """
    steps: list[Instruction] = []
    closing: list[Instruction] = []
    wrapped = 0
    for part, quote in zip(built, quotes, strict=True):
        bought = any(quote.request.mint_in == before.request.mint_out for before in quotes)
        for step in part.instructions:
            if _closes_wrapped(step, payer):
                closing.append(step)
            elif _wraps(step, payer):
                wrapped += 0 if bought else int.from_bytes(step.data[4:], "little")
                steps += [] if bought else [step]
            elif step not in steps or not _repeatable(step):
                steps.append(step)
    if not wrapped:
        steps = [step for step in steps if not _counts_wrapped(step)]
    # The first transfer carries what all of them would.
    transfers = [place for place, step in enumerate(steps) if _wraps(step, payer)]
    if transfers:
        first, *others = transfers
        steps[first] = replace(steps[first], data=_TRANSFER + wrapped.to_bytes(8, "little"))
        steps = [step for place, step in enumerate(steps) if place not in others]
    return (*steps, *dict.fromkeys(closing))


def _closes_wrapped(step: Instruction, payer: str) -> bool:
    """Adapters close only accounts for wrapped SOL."""
    owner = [meta.address for meta in step.accounts[1:]]
    return step.program == TOKEN and step.data == _CLOSE and owner == [payer, payer]


def _wraps(step: Instruction, payer: str) -> bool:
    """Transfers lamports of the wallet, which adapters do only to its account for wrapped SOL."""
    transfers = step.program == SYSTEM and step.data[:4] == _TRANSFER and len(step.data) == 12
    return transfers and [meta.address for meta in step.accounts[:1]] == [payer]


def _counts_wrapped(step: Instruction) -> bool:
    """Makes lamports count that were transferred to an account for wrapped SOL."""
    return step.program == TOKEN and step.data == _SYNC_NATIVE


def _repeatable(step: Instruction) -> bool:
    """Whether once is enough: to open an account, and to count what was transferred to it before."""
    return step.program == ASSOCIATED_TOKEN or _counts_wrapped(step)
