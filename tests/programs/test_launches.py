"""Snipers on the real programs: a launched pool is found over the WebSocket, and bought from once, at its own price."""

from pathlib import Path

import pytest

from tests.programs import dumps
from tests.programs.launch_latency import measure

pytestmark = [dumps.needed, pytest.mark.timeout(300)]


@pytest.mark.gen_test(timeout=250)
@pytest.mark.parametrize("venue", ["raydium", "meteora"])
async def test_every_launch_is_bought_from_once(tmp_path: Path, venue: str) -> None:
    found = await measure(3, venue, 0.1, 40, tmp_path)
    assert (found.confirmed, found.sends, len(found.to_send)) == (3, 3, 3)
