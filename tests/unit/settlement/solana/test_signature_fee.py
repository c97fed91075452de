"""What a cluster charges per signature is read from it, and used wherever a message's fee counts."""

import pytest

from dexexec.domain.rent import Rent
from dexexec.settlement.solana.message import network_fee
from dexexec.settlement.solana.signature_fee import MOST, SignatureFee
from dexexec.settlement.solana.spendable import lamports_kept
from dexexec.settlement.solana.transaction import compile_message, parse_message
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable
from tests.support.swap_transactions import BLOCKHASH, STEPS, WALLET


class Nodes:
    """Nodes that return these fees one after the other; None: unknown."""

    def __init__(self, *fees: int | Unreachable | None) -> None:
        self.fees = list(fees)

    async def signature_fee(self) -> int | None:
        fee = self.fees.pop(0)
        if isinstance(fee, Unreachable):
            raise fee
        return fee


async def test_the_last_fee_that_a_node_returned_counts() -> None:
    fee = SignatureFee(Nodes(7_000, None, MOST + 1, Unreachable("away"), 0), ManualClock())
    assert fee() == 5_000, "until a node has returned it"
    await fee.read()
    assert fee() == 7_000
    for _ in range(2):
        await fee.read()
        assert fee() == 7_000, "unknown, or not to be believed"
    with pytest.raises(Unreachable):
        await fee.read()
    assert fee() == 7_000
    await fee.read()
    assert fee() == 0


def test_a_message_costs_what_the_cluster_charges() -> None:
    message = compile_message(WALLET, STEPS, BLOCKHASH.hash)
    assert network_fee(parse_message(message)) == 2 * 5_000 + 200
    assert network_fee(parse_message(message, 7_000)) == 2 * 7_000 + 200


def test_a_sale_of_all_sol_keeps_what_the_signatures_cost() -> None:
    rent = Rent(5_080)
    assert lamports_kept(0, rent, 7_000) - lamports_kept(0, rent, 5_000) == 2 * 2_000
