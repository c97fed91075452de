"""What is pinned stays watched until something else is pinned in its place."""

from dexexec.settlement.solana.warm.watched import KEPT_SECONDS, WatchedAccounts

LATER = 2 * KEPT_SECONDS


def test_pinned_accounts_stay_and_others_leave() -> None:
    watched = WatchedAccounts(10)
    assert watched.pin("wallets", ["a", "b", "a"], 0.0) == ["a", "b"]
    watched.admit(["c"], [None], 0.0)
    assert watched.expire(LATER) == ["c"]
    assert [address for address in ("a", "b", "c") if address in watched] == ["a", "b"]


def test_what_is_pinned_in_the_place_of_others_lets_them_leave() -> None:
    """Arrays follow the price of a pool, and those that it has left would fill the memory otherwise."""
    watched = WatchedAccounts(10)
    watched.pin("wallets", ["a"], 0.0)
    assert watched.pin("pools", ["b", "c"], 0.0) == ["b", "c"]
    assert watched.pin("pools", ["c", "d"], LATER) == ["d"]
    assert watched.expire(LATER) == ["b"]
    assert watched.pin("pools", [], LATER) == []
    assert watched.expire(2 * LATER) == ["c", "d"]
    assert "a" in watched


def test_beyond_the_limit_nothing_is_pinned_or_pushes_pinned_accounts_out() -> None:
    watched = WatchedAccounts(2)
    assert watched.pin("pools", ["a", "b", "c"], 0.0) == ["a", "b"]
    assert watched.admit(["d"], [None], LATER) == ([], [])
    assert len(watched) == 2
