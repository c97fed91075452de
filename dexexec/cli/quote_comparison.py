"""Compares the best quote of the venues with that of an aggregator: the check that a person would do by hand."""

from dataclasses import dataclass
from decimal import Decimal

from dexexec.domain.quote import BPS, Mode
from dexexec.venues.ranking import net_amount
from dexexec.venues.router import Routing

AGGREGATOR = "jupiter"
"""The adapter whose quotes are routes over pools that other venues have too, and more."""
_STEP = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Comparison:
    """The best venue beside the aggregator, and by how many bps it nets more for the client: below 0, less."""

    venue: str
    bps: Decimal

    @property
    def text(self) -> str:
        """The comparison as a sentence."""
        if not self.bps:
            return f"The best of the other venues, {self.venue}, nets as much as {AGGREGATOR}."
        word = "more" if self.bps > 0 else "less"
        return f"The best of the other venues, {self.venue}, nets {abs(self.bps):f} bps {word} than {AGGREGATOR}."


def beside_aggregator(routing: Routing) -> Comparison | None:
    """Compares after the venue's fee and the network's cost, as quotes are ranked; None unless both sides have one."""
    theirs = next((quote for quote in routing.ranking if quote.venue == AGGREGATOR), None)
    ours = next((quote for quote in routing.ranking if quote.venue != AGGREGATOR), None)
    if theirs is None or ours is None or net_amount(theirs) <= 0:
        return None
    gain = net_amount(ours) - net_amount(theirs)
    # Of an exact output it is the input that is compared, and less of it is better.
    gain = gain if ours.request.mode is Mode.EXACT_IN else -gain
    return Comparison(ours.venue, (Decimal(gain * BPS) / net_amount(theirs)).quantize(_STEP).normalize() + 0)
