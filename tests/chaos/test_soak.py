"""The short form of the soak. tests/chaos/README.md describes the long form and how to repeat a seed."""

import asyncio
import random

import pytest

from dexexec.venue import Network
from tests.chaos.soak import soak
from tests.support.service.process import say

SECONDS = 12.0


@pytest.mark.timeout(400)
@pytest.mark.parametrize("network", [Network.LOCALNET, Network.SIMULATED])
def test_orders_that_arrive_while_everything_is_killed_all_end_and_none_twice(network: str) -> None:
    """Promises 2, 3 and 5 to 10, from a seed that a failure prints; on real transactions, or simulated ones."""
    seed = random.randrange(2**32)
    say(f"seed {seed}")
    report = asyncio.run(soak(seed, SECONDS, network))
    say(report.text())
    assert report.clean
    assert report.orders > 50
