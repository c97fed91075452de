"""Which orders are within a policy by themselves: what is compared, and how a refusal names it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from dexexec.domain.bound import Bound
from dexexec.domain.bracket import Bracket, Exit
from dexexec.domain.order import NewOrder, Side
from dexexec.domain.policy import NO_LIMITS, Policy
from dexexec.domain.policy_check import (
    Breach,
    attempted_trade,
    breaches,
    day_breach,
    most_spent,
    open_orders_breach,
    posted_trade,
)
from dexexec.domain.quote import Leg, Mode
from dexexec.domain.sniper_conditions import SniperConditions
from dexexec.domain.terms import OrderType, Terms, TimeInForce
from dexexec.domain.token import USDC, WSOL
from tests.support.attempts import claimed_order
from tests.support.parts import new_order
from tests.support.scripted import quote_of

OWN = 10_000_000


def broken(order: NewOrder, **limits: Any) -> list[tuple[str, str]]:
    """The field and the limit of each breach."""
    return [(breach.field, breach.policy) for breach in breaches(Policy(**limits), posted_trade(order))]


def posted(**changes: Any) -> NewOrder:
    return replace(new_order(), max_price_impact_bps=100, **changes)


def test_without_limits_everything_is_allowed() -> None:
    assert breaches(NO_LIMITS, posted_trade(replace(new_order(), max_price_impact_bps=None))) == []


def test_an_order_of_exactly_the_limit_is_within_it() -> None:
    assert broken(posted(), max_per_order={WSOL: OWN}) == []
    assert broken(posted(), max_per_order={WSOL: OWN - 1}) == [("amount", "maxPerOrder")]
    assert broken(posted(), max_per_order={USDC: 1}) == [], "it receives that token, and does not spend it"


def test_a_sell_spends_the_output_mint() -> None:
    sell = replace(new_order(side=Side.SELL, amount="5"), max_price_impact_bps=100)
    assert sell.swap.mint_in == USDC
    assert broken(sell, max_per_order={WSOL: 1}) == []
    assert broken(sell, max_per_order={USDC: 4_999_999}) == [("amount", "maxPerOrder")]
    assert broken(sell, mints=frozenset({USDC})) == [("inputMint", "mints")]
    assert broken(sell, mints=frozenset({WSOL})) == [("outputMint", "mints")]


def test_what_exact_out_spends_is_its_bound_and_without_one_not_known() -> None:
    exact_out = replace(new_order(mode=Mode.EXACT_OUT, amount="1.5"), max_price_impact_bps=100)
    assert most_spent(exact_out) is None
    assert broken(exact_out, max_per_order={WSOL: 1}) == []
    bounded = replace(exact_out, bound=Bound(1_500_000, 11_000_000))
    assert most_spent(bounded) == 11_000_000
    assert broken(bounded, max_per_order={WSOL: 10_999_999}) == [("amount", "maxPerOrder")]


def test_what_a_share_of_the_balance_spends_is_not_known() -> None:
    assert most_spent(posted(terms=Terms(share_bps=10_000))) is None


def test_more_than_a_whole_days_limit_never_fits() -> None:
    [breach] = breaches(Policy(max_per_day={WSOL: OWN - 1}), posted_trade(posted()))
    assert (breach.policy, breach.daily) == ("maxPerDay", False)


def test_the_rest_of_a_day_comes_back_on_the_next() -> None:
    policy = Policy(max_per_day={WSOL: 100})
    assert day_breach(policy, WSOL, 60, 40) is None
    assert day_breach(policy, USDC, 10**18, 10**18) is None
    breach = day_breach(policy, WSOL, 61, 40)
    assert breach is not None
    assert breach.daily
    assert breach.detail == (
        f"over the key's policy: maxPerDay is 100 base units of {WSOL}, given 40 beside 61 of other orders today"
    )


def test_open_orders_are_counted_before_the_new_one() -> None:
    assert open_orders_breach(Policy(open_orders=2), 1) is None
    assert open_orders_breach(Policy(open_orders=2), 2) is not None
    assert open_orders_breach(Policy(open_orders=0), 0) is not None
    assert open_orders_breach(NO_LIMITS, 10**9) is None


@pytest.mark.parametrize("kind", OrderType)
def test_a_kind_that_is_not_allowed_is_named(kind: OrderType) -> None:
    others = frozenset(OrderType) - {kind}
    assert broken(posted(type=kind), kinds=others) == [("type", "kinds")]
    assert broken(posted(type=kind), kinds=frozenset({kind})) == []


def test_a_bracket_needs_the_kinds_of_its_exits() -> None:
    """Otherwise its position would be left without a stop."""
    market = frozenset({OrderType.MARKET})
    stop = Exit(price=Decimal(140))
    plain = Terms(bracket=Bracket(stop=stop))
    limited = Terms(bracket=Bracket(stop=replace(stop, limit_price=Decimal(139))))
    target = Terms(bracket=Bracket(take_profit=Exit(price=Decimal(160)), stop=stop))
    assert broken(posted(terms=plain), kinds=market) == []
    assert broken(posted(terms=limited), kinds=market) == [("bracket.stop", "kinds")]
    assert broken(posted(terms=target), kinds=market) == [("bracket.takeProfit", "kinds")]
    limit_entry = posted(type=OrderType.LIMIT, terms=replace(plain, time_in_force=TimeInForce.GTC))
    assert broken(limit_entry, kinds=frozenset({OrderType.LIMIT})) == [("bracket.stop", "kinds")]


def test_slippage_and_price_impact_are_compared_and_no_limit_is_the_widest() -> None:
    assert broken(posted(slippage_bps=30), max_slippage_bps=30) == []
    assert broken(posted(slippage_bps=31), max_slippage_bps=30) == [("slippageBps", "maxSlippageBps")]
    assert broken(posted(), max_price_impact_bps=100) == []
    assert broken(posted(), max_price_impact_bps=99) == [("maxPriceImpactBps", "maxPriceImpactBps")]
    without = replace(posted(), max_price_impact_bps=None)
    assert broken(without, max_price_impact_bps=9_999) == [("maxPriceImpactBps", "maxPriceImpactBps")]


def test_wallets_and_the_venues_of_a_sniper() -> None:
    assert broken(posted(), wallets=frozenset({"default"})) == []
    assert broken(posted(), wallets=frozenset({"desk-2"})) == [("wallet", "wallets")]
    assert broken(posted(wallet="desk-2"), wallets=frozenset({"desk-2"})) == []
    sniper = posted(type=OrderType.SNIPER, terms=Terms(conditions=SniperConditions(venues=("raydium", "meteora"))))
    assert broken(sniper, venues=frozenset({"meteora"})) == []
    assert broken(sniper, venues=frozenset({"orca"})) == [("conditions.venues", "venues")]
    assert broken(posted(), venues=frozenset()) == [], "which venues are queried is decided when it is executed"


def test_every_broken_limit_is_reported() -> None:
    found = broken(
        posted(id=uuid4()), mints=frozenset(), kinds=frozenset(), max_slippage_bps=0, max_per_order={WSOL: 0}
    )
    assert [limit for _, limit in found] == ["kinds", "mints", "mints", "maxPerOrder", "maxSlippageBps"]


def test_a_breach_says_what_is_allowed_and_what_was_given() -> None:
    breach = Breach(field="slippageBps", policy="maxSlippageBps", limit="30", given="50")
    assert breach.detail == "over the key's policy: maxSlippageBps is 30, given 50"


def test_every_pool_and_token_of_a_swap_over_several_pools_must_be_allowed() -> None:
    hop = "Hop" * 11
    legs = (
        Leg(venue="one", pool="p", mint_in=WSOL, mint_out=hop, amount_in=1, amount_out=1),
        Leg(venue="two", pool="q", mint_in=hop, mint_out=USDC, amount_in=1, amount_out=1),
    )
    quote = replace(quote_of("hops", posted().swap, 1), legs=legs)
    trade = attempted_trade(claimed_order(), quote)

    def broken_by(**limits: Any) -> list[tuple[str, str]]:
        return [(breach.policy, breach.given) for breach in breaches(Policy(**limits), trade)]

    assert broken_by(venues=frozenset({"hops", "one", "two"})) == []
    assert broken_by(venues=frozenset({"hops", "one"})) == [("venues", "two")]
    assert broken_by(mints=frozenset({WSOL, USDC})) == [("mints", hop)]
    assert broken_by(mints=frozenset({WSOL, USDC, hop})) == []
