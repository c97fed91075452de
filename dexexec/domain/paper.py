"""The paper ledger: what dry runs would have traded, summed by the client's tag, the pair and the side. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from dexexec.domain.order import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperLine:
    """The dry runs of one tag (None: without one), pair and side that ended between `first` and `last`.

    `simulated` of them have a fill; amounts and fees are the sums of those, in base units, and `network_fee` is
    lamports. `venue_fee_in` and `venue_fee_out` are what venues kept of the spent and of the received token; both are
    inside the amounts already.
    """

    tag: str | None
    side: Side
    input_mint: str
    output_mint: str
    simulated: int
    failed: int
    expired: int
    cancelled: int
    amount_in: int
    amount_out: int
    network_fee: int
    venue_fee_in: int
    venue_fee_out: int
    first: datetime
    last: datetime

    @property
    def spent(self) -> str:
        """The mint that `amount_in` counts."""
        return self.input_mint if self.side is Side.BUY else self.output_mint

    @property
    def received(self) -> str:
        """The mint that `amount_out` counts."""
        return self.output_mint if self.side is Side.BUY else self.input_mint

    @property
    def average_price(self) -> Fraction | None:
        """The price of all fills together: base units of the pair's output mint per base unit of its input mint, for
        both sides. None without a fill."""
        base, counter = (
            (self.amount_in, self.amount_out) if self.side is Side.BUY else (self.amount_out, self.amount_in)
        )
        return Fraction(counter, base) if base else None


def net_changes(lines: Iterable[PaperLine]) -> Mapping[str, int]:
    """What the wallet would hold more or less of each mint, in base units. Network fees are not included."""
    net: dict[str, int] = {}
    for line in lines:
        net[line.spent] = net.get(line.spent, 0) - line.amount_in
        net[line.received] = net.get(line.received, 0) + line.amount_out
    return net
