"""A node answers or is unavailable, in any state of its connection."""

import httpx2
import pytest

from dexexec.settlement.solana.rpc.methods import GENESIS_HASH
from dexexec.settlement.solana.rpc.node import Node
from dexexec.settlement.solana.rpc.node_errors import NodeUnavailableError


@pytest.mark.parametrize("error", [AttributeError("no attribute 'getpeername'"), OSError(107, "")])
async def test_a_connection_that_is_reset_just_as_it_is_made_is_one_that_broke_off(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library below lets these two errors through, where it reads the new connection's address."""

    async def reset(*_: object) -> None:
        raise error

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", reset)
    node = Node("http://node", "node", 1.0)
    with pytest.raises(NodeUnavailableError, match="broke off") as caught:
        await node.call(GENESIS_HASH)
    assert caught.value.sent
    await node.aclose()
