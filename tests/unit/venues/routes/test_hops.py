"""A swap through a third token pays on less than it expects, and only that bounds the first pool."""

import pytest

from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.token import USDC, WSOL
from dexexec.venues.routes.hops import through
from tests.support.pool_depths import depth_of

HOP = "HopMint"
FIRST = [depth_of("small", 10**9, 10**9), depth_of("deep", 10**13, 10**13)]
SECOND = [depth_of("other", 10**13, 2 * 10**13)]


def request_of(mode: Mode) -> SwapRequest:
    return SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**9, mode=mode, slippage_bps=50)


def test_what_the_second_pool_is_paid_is_what_the_first_one_must_give() -> None:
    one, two = through(FIRST, SECOND, request_of(Mode.EXACT_IN), HOP, tolerance_bps=5)
    assert (one.depth.pool, two.depth.pool) == ("deep", "other")
    assert one.quote.amount_in == 10**9
    assert one.quote.min_out == two.quote.amount_in == one.quote.amount_out * 9_995 // 10_000
    assert two.quote.min_out == two.quote.amount_out * 9_950 // 10_000


def test_an_exact_output_buys_a_little_more_of_the_third_token_than_it_needs() -> None:
    one, two = through(FIRST, SECOND, request_of(Mode.EXACT_OUT), HOP, tolerance_bps=5)
    assert two.quote.amount_out == 10**9
    assert one.quote.amount_out == two.quote.max_in == -(-two.quote.amount_in * 10_005 // 10_000)
    assert one.quote.max_in == -(-one.quote.amount_in * 10_050 // 10_000)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("first", "second"), [([], SECOND), (FIRST, []), ([depth_of("dust", 10, 1)], SECOND)])
def test_without_both_halves_there_is_no_way(first: list, second: list, mode: Mode) -> None:  # type: ignore[type-arg]
    assert through(first, second, request_of(mode), HOP, tolerance_bps=5) == ()


def test_without_tolerance_all_of_it_is_paid_on() -> None:
    one, two = through(FIRST, SECOND, request_of(Mode.EXACT_IN), HOP, tolerance_bps=0)
    assert one.quote.amount_out == two.quote.amount_in
