"""A venue that quotes and builds wrong things, drawn anew for each call."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dexexec.domain.quote import Quote
from dexexec.domain.solana import SwapInstructions
from dexexec.domain.swap import Blockhash, FailedOnChain, Landed, ProgramFailure, UnsignedSwap
from dexexec.venue import Network, Slippage, VenueError

NONSENSE = "a NUL \0, a lone \ud800, and " + "much more " * 1_000


class Greed(Slippage):
    """An error with a code of its own making."""

    code = "no \0 code"


class Lies:
    """`share` of a venue's answers are wrong. `tempting`: also quotes that are too good to be true, which an order is
    then held to until its deadline."""

    def __init__(self, rng: random.Random, share: float, *, tempting: bool = True) -> None:
        self._rng, self._share, self._tempting = rng, share, tempting

    def due(self) -> bool:
        """Whether the next thing is to be wrong."""
        return self._rng.random() < self._share

    def quote(self, quote: Quote) -> Any:
        """The quote, or a wrong one, or an unexpected error."""
        if not self.due():
            return quote
        if self._rng.random() < 0.2:
            raise self._rng.choice((KeyError(NONSENSE), Greed(NONSENSE), ZeroDivisionError(), VenueError()))
        temptations: tuple[dict[str, Any], ...] = (
            {"amount_out": 3 * quote.amount_out, "min_out": 3 * quote.min_out},
            {"amount_in": quote.amount_in // 3, "max_in": quote.max_in // 3},
        )
        changes: dict[str, Any] = self._rng.choice((
            *(temptations if self._tempting else ()),
            {"min_out": 0}, {"max_in": 2**64 - 1}, {"amount_out": -1}, {"amount_out": 2**80},
            {"fee": -(10**9)}, {"network_fee": None}, {"network_fee": -(10**12)}, {"fee": 0.5},
            {"price_impact_ppm": "none"}, {"expires_at_ms": 0}, {"venue": "another"}, {"route": NONSENSE},
            {"request": replace(quote.request, amount=quote.request.amount + 1)}, {"raw": {"x": object()}},
        ))  # fmt: skip
        return replace(quote, **changes)

    def build(self, built: Any, blockhash: Blockhash) -> Any:
        """What was built, or something wrong."""
        if not self.due():
            return built
        stretched = replace(blockhash, last_valid_height=blockhash.last_valid_height - 10**6)
        wrong: list[Callable[[], Any]] = [
            lambda: None,
            lambda: b"bytes",
            lambda: UnsignedSwap(b"\xff\x00", blockhash),
            lambda: SwapInstructions((), blockhash),
            lambda: replace(built, blockhash=stretched),
            lambda: replace(built, blockhash=Blockhash("another", blockhash.last_valid_height)),
        ]
        if self._rng.random() < 0.2:
            raise self._rng.choice((RuntimeError(NONSENSE), Greed(NONSENSE)))
        return self._rng.choice(wrong)()

    def explain(self, failure: ProgramFailure) -> Any:
        """Anything but what it means."""
        if self._rng.random() < 0.5:
            raise RuntimeError(NONSENSE)
        return self._rng.choice((None, NONSENSE, object(), Greed(NONSENSE), VenueError))

    def network(self, right: str) -> str:
        """The network, or another one."""
        return self._rng.choice((Network.SOLANA, "moon", "")) if self.due() else right

    def outcome(self, *_: Any, **__: Any) -> Any:
        """What became of a swap, if the engine still called this: any answer."""
        landed, failed = (
            Landed({}, 0, 1, finalized=True),
            FailedOnChain(code="lie", detail="lie", fee=0, slot=1, finalized=True),
        )
        return [self._rng.choice((landed, failed))]
