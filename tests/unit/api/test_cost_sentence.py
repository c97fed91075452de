"""What an order cost is described in one sentence, with every lamport and base unit in its figures."""

from typing import Any

from dexexec.api.cost_sentence import cost_text
from dexexec.domain.cost import AttemptCost, CostSum
from dexexec.domain.network_cost import NetworkCost
from dexexec.domain.token import USDC, WSOL

NETWORK = NetworkCost(base_fee=5_000, priority_fee=700)


def amount(units: str, mint: str) -> str:
    return f"{units} {'SOL' if mint == WSOL else 'USDC'}"


def text(*attempts: AttemptCost, final: bool = True) -> str:
    total = CostSum()
    for attempt in attempts:
        total.add(attempt)
    cost: dict[str, Any] = {"final": final, **total.detail()}
    return cost_text(cost, amount)


def test_an_order_without_an_attempt_on_the_chain_has_no_such_sentence() -> None:
    assert text() == ""


def test_the_network_the_venue_and_the_slippage_are_named() -> None:
    landed = AttemptCost(
        landed=True, fee=5_700, network=NetworkCost(base_fee=5_000, priority_fee=700, rent_paid=9, rent_returned=4),
        venue_fee=25, venue_fee_mint=WSOL, slippage_mint=USDC, slippage=15, venue_slippage=-2,
    )  # fmt: skip
    assert text(landed, AttemptCost.of_failure(5_700, NETWORK)) == (
        "It cost 11400 lamports of network fees (10000 base, 1400 priority, 5700 of them for failed attempts);"
        " 9 lamports of rent for accounts of the wallet; 4 lamports of rent came back; 25 SOL of venue fees,"
        " which are inside the amounts; the fill was 15 USDC worse than the first quote"
        " and 2 USDC better than the executed one."
    )


def test_costs_that_may_still_grow_are_called_so_and_unknown_parts_are_left_out() -> None:
    assert text(AttemptCost(landed=True, fee=5_000), final=False) == "So far it cost 5000 lamports of network fees."
