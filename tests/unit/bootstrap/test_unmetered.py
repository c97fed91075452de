"""Which venues are quoted again and again: those that do not count their quotes."""

from dexexec.bootstrap.quoting import unmetered
from dexexec.testing.clock import ManualClock
from tests.support.jupiter_venues import venue
from tests.support.raydium_accounts import RecordedChain, raydium

URL = "http://localhost/swap/v1"


def test_a_venue_that_counts_its_quotes_is_left_out_unless_there_is_no_other() -> None:
    chain = RecordedChain({})
    jupiter, pools = venue(chain, URL, ManualClock()), raydium(chain)
    assert jupiter.capabilities.metered
    assert not pools.capabilities.metered
    assert unmetered([jupiter, pools]) == [pools]
    assert unmetered([jupiter]) == [jupiter]
