"""Which transactions on chain are our own: paid and signed by our wallet, with one memo in our name."""

import pytest

from dexexec.domain.attempt_id import Memo
from dexexec.domain.recovered_orders import UNKNOWN_VENUE
from dexexec.recovery.own_transactions import read_own
from dexexec.settlement.solana.wallet import Wallet
from tests.support.attempts import RECORD, an_attempt
from tests.support.own_transactions import OTHER_PROGRAM, for_older_memo_program, swap, unsigned
from tests.support.swap_transactions import POOL_PROGRAM

WALLET, STRANGER = Wallet(b"w" * 32), Wallet(b"s" * 32)
ATTEMPT = an_attempt()
TEXT = ATTEMPT.memo(RECORD)
VENUES = {"pool": frozenset({POOL_PROGRAM}), "other": frozenset({OTHER_PROGRAM})}


def read(payload: bytes) -> tuple[Memo, str] | None:
    return read_own(payload, WALLET.address, VENUES)


def test_our_transaction_is_read_with_its_memo_and_the_venue_that_has_the_program() -> None:
    assert read(swap(WALLET, TEXT)) == (Memo(ATTEMPT, RECORD), "pool")
    assert read(swap(WALLET, TEXT, program=OTHER_PROGRAM)) == (Memo(ATTEMPT, RECORD), "other")
    assert read(swap(WALLET, "a venue's words", TEXT)) == (Memo(ATTEMPT, RECORD), "pool")
    assert read(for_older_memo_program(WALLET, TEXT)) == (Memo(ATTEMPT, RECORD), UNKNOWN_VENUE)


def test_a_venue_that_does_not_follow_from_its_programs_is_unknown() -> None:
    both = {"one": frozenset({POOL_PROGRAM}), "two": frozenset({POOL_PROGRAM})}
    assert read_own(swap(WALLET, TEXT), WALLET.address, both) == (Memo(ATTEMPT, RECORD), UNKNOWN_VENUE)
    assert read_own(swap(WALLET, TEXT), WALLET.address, {}) == (Memo(ATTEMPT, RECORD), UNKNOWN_VENUE)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(swap(STRANGER, TEXT, names=[WALLET.address]), id="a stranger's that names our wallet"),
        pytest.param(unsigned(swap(WALLET, TEXT)), id="one that a node made up"),
        pytest.param(swap(WALLET, TEXT).replace(str(ATTEMPT.order_id).encode(), b"0" * 36), id="with a changed memo"),
        pytest.param(swap(WALLET), id="without a memo"),
        pytest.param(swap(WALLET, "something else"), id="with another memo"),
        pytest.param(swap(WALLET, TEXT, an_attempt().memo(RECORD)), id="with two of them"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x01" + bytes(64), id="no message"),
        pytest.param(swap(WALLET, TEXT)[:-1], id="cut off"),
        pytest.param(b"\x00" + swap(WALLET, TEXT)[65:], id="without signatures"),
    ],
)
def test_no_other_transaction_is_our_own(payload: bytes) -> None:
    assert read(payload) is None
