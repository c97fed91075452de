"""Signature statuses are decoded; other shapes are refused."""

from typing import Any

import pytest

from dexexec.settlement.solana.rpc.decode.statuses import ReportedStatus, ReportedStatuses, read_statuses
from dexexec.settlement.solana.rpc.decode.values import DECODE_ERRORS

CONTEXT = {"apiVersion": "2.2.16", "slot": 341_197_933}


def test_statuses_have_the_state_of_each_signature_and_its_slot() -> None:
    known = {"confirmationStatus": "finalized", "confirmations": None, "err": None, "slot": 48, "status": {"Ok": None}}
    fresh = {"confirmationStatus": "processed", "confirmations": 0, "err": "x", "slot": 72, "status": {"Err": "x"}}
    result = {"context": CONTEXT, "value": [known, None, fresh]}
    assert read_statuses(result, 3) == ReportedStatuses(
        341_197_933, (ReportedStatus(48, 2, False), None, ReportedStatus(72, 0, True))
    )


@pytest.mark.parametrize(
    "value", [None, 5, [], [None, None], [7], ["x"], [{"slot": 1}], [{"slot": 1, "confirmationStatus": None}]]
)
def test_statuses_in_another_shape_or_number_are_refused(value: Any) -> None:
    with pytest.raises(DECODE_ERRORS):
        read_statuses({"context": CONTEXT, "value": value}, 1)
