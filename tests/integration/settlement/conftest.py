"""Both ways of simulating: what the guard lets pass and refuses must not depend on where a swap was simulated."""

import pytest

from tests.support.localnet import local_simulation
from tests.support.localnet.local_simulation import Way


@pytest.fixture(params=list(Way))
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    """Runs a test with the node's simulation, and with the one of this process."""
    monkeypatch.setattr(local_simulation, "way", request.param)
    return Way(request.param)
