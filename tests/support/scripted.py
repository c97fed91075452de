"""A venue and a chain that follow a test's script, step by step."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from dexexec.clock import Clock
from dexexec.domain.quote import Mode, Quote, SwapRequest, max_in, min_out
from dexexec.domain.swap import (
    Accepted,
    Blockhash,
    NotSeen,
    SignedSwap,
    SubmitAnswer,
    SwapStatus,
    Unavailable,
    UnsignedSwap,
)
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.venue import Capabilities, Chain, Network, NoOptions, Venue, VenueContext

QuoteFunction = Callable[[SwapRequest], Awaitable[Quote]]

SELL_ONE_SOL = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=1_000_000_000, mode=Mode.EXACT_IN, slippage_bps=50)
BUY_ONE_SOL = SwapRequest(mint_in=USDC, mint_out=WSOL, amount=1_000_000_000, mode=Mode.EXACT_OUT, slippage_bps=50)
GONE = NotSeen(height=2**62, history=True, node="n", slot=2**62)


def quote_of(venue: str, request: SwapRequest, other_amount: int, **changes: object) -> Quote:
    """A quote that is in order: `other_amount` is what comes out (exact in) or goes in (exact out)."""
    exact_in = request.mode is Mode.EXACT_IN
    amount_in, amount_out = (request.amount, other_amount) if exact_in else (other_amount, request.amount)
    quote = Quote(
        venue=venue,
        request=request,
        amount_in=amount_in,
        amount_out=amount_out,
        min_out=min_out(amount_out, request.slippage_bps) if exact_in else amount_out,
        max_in=amount_in if exact_in else max_in(amount_in, request.slippage_bps),
        fee=1,
        fee_mint=request.mint_in,
        network_fee=5_000,
        price_impact_ppm=3,
        expires_at_ms=2**53,
        context_slot=1,
        route=("pool",),
    )
    return replace(quote, **changes)  # type: ignore[arg-type]


class ScriptedChain:
    """Returns the loaded answers in turn; the last one of each kind stays.

    A search of the whole history repeats the last answer; `earlier` has the answers for other signatures, by default
    that they are gone.
    """

    def __init__(self) -> None:
        self.earlier: dict[str, SwapStatus] = {}
        self.searched = 0
        self._last: SwapStatus = Unavailable("not told")
        self.submits: list[SubmitAnswer] = [Accepted()]
        self.statuses: list[SwapStatus] = [Unavailable("not told")]
        self.sent: list[SignedSwap] = []
        self.looked_up = 0

    async def blockhash(self) -> Blockhash:
        """Always the same."""
        return Blockhash("recent", 150)

    async def submit(self, signed: SignedSwap) -> SubmitAnswer:
        """The next answer."""
        self.sent.append(signed)
        return self.submits.pop(0) if len(self.submits) > 1 else self.submits[0]

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        """The next answer, or the last one from a search of the history."""
        others = [self.earlier.get(signature, GONE) for signature in signatures[1:]]
        if history:
            self.searched += 1
            return [self.earlier.get(signatures[0], self._last), *others]
        self.looked_up += 1
        self._last = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        found = (self._last, *others)
        return [replace(one, history=False) if isinstance(one, NotSeen) else one for one in found]


class ScriptedVenue(Venue[NoOptions]):
    """`on_quote` and `on_build` may be replaced; `asked` counts calls."""

    name = "scripted"
    capabilities = Capabilities(network=Network.SIMULATED)

    def __init__(self, name: str, clock: Clock, price: int = 150_000_000, chain: Chain | None = None) -> None:
        super().__init__(VenueContext(clock, Tokens(KNOWN), chain or ScriptedChain(), NoOptions()))
        self.name = name  # type: ignore[misc]
        self.price, self.asked, self.built = price, 0, 0
        self.on_quote: QuoteFunction = self._price
        self.on_build: Callable[[Quote], Awaitable[bytes]] = self._bytes

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        """As scripted."""
        self.asked += 1
        return await self.on_quote(request)

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> UnsignedSwap:
        """As scripted."""
        self.built += 1
        return UnsignedSwap(await self.on_build(quote), blockhash)

    async def _price(self, request: SwapRequest) -> Quote:
        return quote_of(self.name, request, self.price)

    async def _bytes(self, quote: Quote) -> bytes:
        return f"{self.name} {self.built}".encode()


async def forever(*_: object) -> Quote:
    """A hang."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


def raising(error: BaseException) -> Callable[..., Awaitable[Quote]]:
    """A function that fails with `error`."""

    async def fail(*_: object) -> Quote:
        raise error

    return fail
