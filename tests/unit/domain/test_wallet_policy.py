"""The policies of wallets beside those of keys."""

from dexexec.domain.policy import NO_LIMITS, Policy
from dexexec.domain.token import USDC, WSOL
from dexexec.domain.wallet_policy import WalletPolicies, tightest, wallet_number


def test_a_wallets_number_is_negative_fits_its_column_and_stays_the_same() -> None:
    names = ["default", "desk-1", "desk-2", "", *(f"w{n}" for n in range(500))]
    numbers = [wallet_number(name) for name in names]
    assert all(-(2**31) <= number < 0 for number in numbers)
    assert len(set(numbers)) == len(names)
    assert wallet_number("desk-2") == -1396709896, "another number would forget what was spent today"


def test_the_policy_of_the_default_wallet_is_that_of_orders_that_name_none() -> None:
    policy = Policy(max_slippage_bps=10)
    policies = WalletPolicies({"default": policy})
    assert policies.of(None) is policies.of("default") is policy
    assert policies.of("desk-2") is None
    assert policies.numbered("desk-2") == {}
    assert policies.numbered(None) == {wallet_number("default"): policy}


def test_together_two_policies_allow_what_both_do() -> None:
    one = Policy(max_per_order={WSOL: 5, USDC: 1}, mints=frozenset({WSOL, USDC}), max_slippage_bps=50, open_orders=3)
    other = Policy(max_per_order={WSOL: 4}, mints=frozenset({WSOL}), venues=frozenset({"a"}), max_price_impact_bps=9)
    both = tightest(one, other)
    assert both.max_per_order == {WSOL: 4, USDC: 1}
    assert (both.mints, both.venues) == (frozenset({WSOL}), frozenset({"a"}))
    assert (both.max_slippage_bps, both.max_price_impact_bps, both.open_orders) == (50, 9, 3)
    assert tightest(one, NO_LIMITS) == one
