"""The best venue beside an aggregator: by how many bps it nets more, or less."""

from dataclasses import replace
from decimal import Decimal

import pytest

from dexexec.cli.quote_comparison import Comparison, beside_aggregator
from dexexec.domain.quote import Mode, Quote
from dexexec.domain.token import USDC, WSOL
from dexexec.venues.ranking import rank
from dexexec.venues.router import Routing
from tests.support.swap_transactions import quote


def of(venue: str, amount: int, mode: Mode = Mode.EXACT_IN, *, fee: int = 0) -> Quote:
    """A quote that receives `amount`, or pays it for an exact output."""
    exact_in = mode is Mode.EXACT_IN
    base = quote("mint in", "mint out")
    return replace(
        base,
        venue=venue,
        request=replace(base.request, mode=mode),
        amount_in=10**6 if exact_in else amount,
        amount_out=amount if exact_in else 10**6,
        network_fee=fee,
    )


def beside(*quotes: Quote) -> Comparison | None:
    return beside_aggregator(Routing((), rank(quotes)))


@pytest.mark.parametrize(
    ("ours", "mode", "bps", "words"),
    [
        (1_010_000, Mode.EXACT_IN, "100", "nets 100 bps more than jupiter"),
        (999_990, Mode.EXACT_IN, "-0.1", "nets 0.1 bps less than jupiter"),
        (1_000_000, Mode.EXACT_IN, "0", "nets as much as jupiter"),
        (990_000, Mode.EXACT_OUT, "100", "nets 100 bps more than jupiter"),
        (1_000_123, Mode.EXACT_OUT, "-1.23", "nets 1.23 bps less than jupiter"),
    ],
)
def test_the_best_other_venue_is_compared_in_bps(ours: int, mode: Mode, bps: str, words: str) -> None:
    worse = 1 if mode is Mode.EXACT_IN else 10**9
    found = beside(of("raydium", ours, mode), of("jupiter", 10**6, mode), of("meteora", worse, mode))
    assert found is not None
    assert (found.venue, found.bps) == ("raydium", Decimal(bps))
    assert words in found.text


def test_both_are_compared_after_the_networks_cost() -> None:
    one, other = (replace(of(name, 10**9, fee=fee)) for name, fee in (("raydium", 5_000), ("jupiter", 105_000)))
    sol = replace(one.request, mint_in=USDC, mint_out=WSOL)
    found = beside(replace(one, request=sol), replace(other, request=sol))
    assert found == Comparison("raydium", Decimal("1"))


def test_without_a_quote_on_either_side_nothing_is_compared() -> None:
    assert beside(of("raydium", 10**6)) is None
    assert beside(of("jupiter", 10**6)) is None
    assert beside() is None
