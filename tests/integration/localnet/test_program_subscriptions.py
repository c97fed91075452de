"""`programSubscribe` notifies of each changed account that matches, at its commitment, until it is unsubscribed."""

from pathlib import Path
from typing import Any

from solders.pubkey import Pubkey

from dexexec.domain.token import USDC
from dexexec.settlement.solana.transaction import associated_token_account
from dexexec_adapters.solana.spl import TOKEN
from tests.support.localnet.in_process import InProcessLocalnet, run_localnet
from tests.support.localnet.sockets import Socket, socket_of

OF_USDC = [{"dataSize": 165}, {"memcmp": {"offset": 0, "bytes": USDC}}]


async def subscribe(socket: Socket, commitment: str, filters: Any, **options: Any) -> int:
    """Subscribes to the token program."""
    options = {"encoding": "base64", "commitment": commitment, "filters": filters, **options}
    number: int = (await socket.call("programSubscribe", TOKEN, options))["result"]
    return number


async def receive(net: InProcessLocalnet, amount: int, owner: Pubkey, mint: str = USDC) -> str:
    """The address of the owner's token account, which then holds `amount`."""
    await net.rpc("localnet_fund", str(owner), mint, 6, amount)
    return associated_token_account(str(owner), mint)


async def test_a_changed_account_is_notified_at_the_commitment_and_not_before(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, socket_of(net) as socket:
        number = await subscribe(socket, "confirmed", OF_USDC)
        address = await receive(net, 5, Pubkey.new_unique())
        landed = net.ledger.blocks.tip.slot
        await net.advance(2)
        message = await socket.read()
        assert (message["method"], message["params"]["subscription"]) == ("programNotification", number)
        result = message["params"]["result"]
        assert (result["context"]["slot"], result["value"]["pubkey"]) == (landed, address)
        options = {"encoding": "base64", "commitment": "confirmed"}
        assert result["value"]["account"] == (await net.rpc("getAccountInfo", address, options))["value"]


async def test_every_change_is_notified_as_processed_and_nothing_twice(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, socket_of(net) as socket:
        await subscribe(socket, "processed", OF_USDC, dataSlice={"offset": 64, "length": 8})
        owner = Pubkey.new_unique()
        for amount in (5, 9):
            address = await receive(net, amount, owner)
            await receive(net, 1, Pubkey.new_unique(), str(Pubkey.new_unique()))
            value = (await socket.read())["params"]["result"]["value"]
            assert (value["pubkey"], value["account"]["space"]) == (address, 165)
        await net.advance(3)
        # The next message is the answer: neither a block nor the other mint's account was notified.
        assert (await socket.call("programSubscribe", "none"))["error"]["code"] == -32602


async def test_an_ended_subscription_and_a_filter_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, socket_of(net) as socket:
        number = await subscribe(socket, "processed", OF_USDC)
        assert (await socket.call("programUnsubscribe", number))["result"] is True
        assert (await socket.call("programUnsubscribe", number))["error"]["message"] == "Invalid subscription id."
        await receive(net, 5, Pubkey.new_unique())
        refused = await socket.call("programSubscribe", TOKEN, {"filters": [{"size": 1}]})
        assert "size is not a filter" in refused["error"]["message"]
