"""The wallets that record and chain are compared for: those that are configured, and those that were."""

from typing import Any, cast

from dexexec.recovery.chain_comparison import WalletOnChain, with_former


def wallet(address: str, genesis: str = "here", name: str | None = None) -> WalletOnChain:
    unused: Any = None
    return WalletOnChain(genesis=genesis, address=address, chain=unused, read_own=cast("Any", unused), name=name)


def test_promise_3_a_wallet_that_was_removed_is_still_compared_on_its_chain() -> None:
    configured = [wallet("one"), wallet("two", name="desk-2"), wallet("one", "there")]
    compared = [("here", "one"), ("here", "gone"), ("there", "two"), ("another chain", "gone")]
    found = with_former(configured, compared)
    assert found[:3] == configured
    assert [(each.genesis, each.address, each.name) for each in found[3:]] == [
        ("here", "gone", None),
        ("there", "two", None),
    ]


def test_without_a_wallet_on_a_chain_there_is_nothing_to_read_it_by() -> None:
    assert with_former([], [("here", "gone")]) == []
