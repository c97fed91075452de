"""Blockhashes and chain positions are decoded; other shapes are refused."""

from typing import Any

import pytest
from solders.pubkey import Pubkey

from dexexec.domain.swap import Blockhash
from dexexec.settlement.solana.rpc.decode.blocks import ChainPosition, read_blockhash, read_position
from dexexec.settlement.solana.rpc.decode.values import DECODE_ERRORS

VENUE = str(Pubkey([4] * 32))
CONTEXT = {"apiVersion": "2.2.16", "slot": 341_197_933}


def test_a_blockhash_and_its_last_valid_height_are_of_one_answer() -> None:
    result = {"context": CONTEXT, "value": {"blockhash": VENUE, "lastValidBlockHeight": 319_337_180}}
    assert read_blockhash(result) == Blockhash(VENUE, 319_337_180, 341_197_933)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"blockhash": VENUE},
        {"blockhash": VENUE, "lastValidBlockHeight": None},
        {"blockhash": VENUE, "lastValidBlockHeight": "7"},
        {"blockhash": VENUE, "lastValidBlockHeight": -7},
        {"blockhash": VENUE, "lastValidBlockHeight": 7.0},
        {"blockhash": VENUE, "lastValidBlockHeight": 2**64},
        {"blockhash": VENUE, "lastValidBlockHeight": True},
        {"blockhash": None, "lastValidBlockHeight": 7},
        {"blockhash": VENUE[:-5], "lastValidBlockHeight": 7},
        {"blockhash": "0OIl", "lastValidBlockHeight": 7},
    ],
)
def test_a_blockhash_in_another_shape_is_refused(value: Any) -> None:
    with pytest.raises(DECODE_ERRORS):
        read_blockhash({"context": CONTEXT, "value": value})


@pytest.mark.parametrize(
    "result", [None, 7, [], {"absoluteSlot": 9}, {"absoluteSlot": 9, "blockHeight": None}, {"blockHeight": 7}]
)
def test_an_epoch_in_another_shape_is_refused(result: Any) -> None:
    assert read_position({"absoluteSlot": 9, "blockHeight": 7, "epoch": 0}) == ChainPosition(9, 7)
    with pytest.raises(DECODE_ERRORS):
        read_position(result)
