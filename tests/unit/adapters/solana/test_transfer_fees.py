"""The transfer fee of Token-2022: what is withheld, and what must be sent so that an amount arrives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec_adapters.curves.integers import U64_MAX
from dexexec_adapters.solana.transfer_fees import NO_FEE, TransferFee, TransferFees

amounts = st.integers(0, U64_MAX) | st.integers(0, 100_000)
fees = st.builds(TransferFee, st.integers(0, 10_000), st.integers(0, U64_MAX) | st.integers(0, 1_000))


@pytest.mark.parametrize(
    ("fee", "amount", "withheld"),
    [
        (TransferFee(0, 0), 10**9, 0),
        (TransferFee(250, U64_MAX), 1_000, 25),
        (TransferFee(250, U64_MAX), 1_001, 26),  # rounded up
        (TransferFee(250, 24), 1_000, 24),
        (TransferFee(1, U64_MAX), 1, 1),
        (TransferFee(10_000, U64_MAX), 7, 7),
        (TransferFee(10_000, 3), 7, 3),
        (TransferFee(250, U64_MAX), 0, 0),
    ],
)
def test_a_share_is_withheld_rounded_up_and_up_to_a_limit(fee: TransferFee, amount: int, withheld: int) -> None:
    assert fee.of(amount) == withheld


@given(fees, amounts)
def test_what_is_sent_for_an_amount_delivers_exactly_it(fee: TransferFee, received: int) -> None:
    sent = fee.before(received)
    assert sent - fee.of(sent) == received


@given(fees, st.integers(1, U64_MAX))
def test_less_would_deliver_less(fee: TransferFee, received: int) -> None:
    less = fee.before(received) - 1
    assert less - fee.of(less) < received


@given(fees, amounts)
def test_no_more_than_the_amount_is_withheld(fee: TransferFee, amount: int) -> None:
    assert 0 <= fee.of(amount) <= amount


def test_the_newer_fee_begins_with_its_epoch() -> None:
    fees = TransferFees(TransferFee(100, 5), TransferFee(200, 6), begin=10)
    assert [fees.at(epoch).bps for epoch in (0, 9, 10, 11)] == [100, 100, 200, 200]


def test_without_a_fee_everything_arrives() -> None:
    assert (NO_FEE.of(U64_MAX), NO_FEE.before(U64_MAX)) == (0, U64_MAX)
