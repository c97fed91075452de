"""The consensus of a test's localnet: named by the test where it decides something, in turn elsewhere.

What settles must do so under both, and running each test twice would cost too much. So a test that does not depend on
the consensus gets one by its name: about half of them each, and the same one in every run.
"""

import os
from zlib import crc32

from dexexec.localnet.blocks import Consensus

FORCED = "TEST_CONSENSUS"
"""An environment variable that replaces the turn, to run everything under one consensus."""


def in_turn() -> Consensus:
    """The consensus of the running test."""
    if forced := os.environ.get(FORCED):
        return Consensus(forced)
    test, _, _ = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")
    return list(Consensus)[crc32(test.encode()) % len(Consensus)]
