"""`accountSubscribe` notifies as an Agave node does, in both consensus modes, and misbehaves when a test sets that."""

import base64
from pathlib import Path
from typing import Any

import pytest
from solders.clock import Clock
from solders.pubkey import Pubkey

from dexexec.domain.token import USDC
from dexexec.localnet.blocks import Consensus
from dexexec.localnet.sysvars import CLOCK, SLOT_HASHES
from dexexec.settlement.solana.transaction import associated_token_account
from dexexec_adapters.solana.spl import TOKEN
from tests.support.localnet.in_process import SOL, InProcessLocalnet, pay, run_localnet
from tests.support.localnet.sockets import Socket, socket_of

both_modes = pytest.mark.parametrize("consensus", list(Consensus))


async def subscribe(socket: Socket, address: Pubkey, commitment: str = "processed") -> int:
    """The number of a new subscription."""
    options = {"encoding": "base64", "commitment": commitment}
    number: int = (await socket.call("accountSubscribe", str(address), options))["result"]
    return number


async def seen(socket: Socket) -> list[tuple[int, int, int]]:
    """What was notified: subscription, slot and lamports."""
    messages = await socket.notifications()
    assert {message["method"] for message in messages} <= {"accountNotification"}
    return [read(message["params"]) for message in messages]


def read(params: Any) -> tuple[int, int, int]:
    result = params["result"]
    return params["subscription"], result["context"]["slot"], result["value"]["lamports"]


@both_modes
async def test_an_account_is_notified_at_its_commitment_with_what_it_holds_there(
    tmp_path: Path, consensus: Consensus
) -> None:
    async with run_localnet(tmp_path, consensus=consensus) as net, socket_of(net) as socket:
        friend = Pubkey.new_unique()
        processed, finalized = [await subscribe(socket, friend, level) for level in ("processed", "finalized")]
        await net.client.request_airdrop(friend, SOL)
        landed = net.ledger.blocks.tip.slot
        assert await seen(socket) == [(processed, landed, SOL)]
        depth = 1 if consensus is Consensus.ALPENGLOW else 32
        await net.advance(depth - 1)
        assert await seen(socket) == []
        await net.advance(1)
        [message] = await socket.notifications()
        assert read(message["params"]) == (finalized, landed, SOL)
        there = (await net.rpc("getAccountInfo", str(friend), {"encoding": "base64"}))["value"]
        assert message["params"]["result"] == {"context": {"slot": landed}, "value": there}
        await net.advance(40)
        assert await seen(socket) == [], "what did not change is not notified again"


async def test_every_change_is_notified_also_the_end_of_an_account(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, socket_of(net) as socket:
        wallet, other = await net.funded(10 * SOL), Pubkey.new_unique()
        await subscribe(socket, wallet.pubkey())
        await net.land([pay(wallet, other, SOL)], wallet)
        await net.land([pay(wallet, other, 9 * SOL - 10_000)], wallet)
        [first, last] = await socket.notifications()
        assert read(first["params"])[2] == 9 * SOL - 5_000
        gone = {"lamports": 0, "data": ["", "base64"], "owner": "1" * 32, "executable": False}
        assert last["params"]["result"]["value"] == gone | {"rentEpoch": 0, "space": 0}


async def test_an_account_that_a_fork_sets_back_is_notified_with_its_old_value(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, socket_of(net) as socket:
        friend = Pubkey.new_unique()
        await net.client.request_airdrop(friend, SOL)
        await net.advance(40)
        numbers = [await subscribe(socket, friend, level) for level in ("processed", "confirmed", "finalized")]
        transaction = await net.client.request_airdrop(friend, 2 * SOL)
        slot = net.ledger.blocks.tip.slot
        await net.advance(2)
        assert await seen(socket) == [(numbers[0], slot, 3 * SOL), (numbers[1], slot, 3 * SOL)]
        undone = (await net.rpc("localnet_fork", 3))["unconfirmed"]
        assert undone == [str(transaction.value)]
        tip, confirmed = [(await net.rpc("getSlot", {"commitment": level})) for level in ("processed", "confirmed")]
        assert await seen(socket) == [(numbers[0], tip, SOL), (numbers[1], confirmed, SOL)]
        await net.advance(40)
        assert await seen(socket) == [], "it was never final"


async def test_with_alpenglow_a_fork_sets_back_only_what_is_not_final(tmp_path: Path) -> None:
    async with run_localnet(tmp_path, consensus=Consensus.ALPENGLOW) as net, socket_of(net) as socket:
        friend = Pubkey.new_unique()
        processed, confirmed = [await subscribe(socket, friend, level) for level in ("processed", "confirmed")]
        await net.client.request_airdrop(friend, SOL)
        slot = net.ledger.blocks.tip.slot
        await net.rpc("localnet_fork", 5)
        assert await seen(socket) == [(processed, slot, SOL), (processed, slot + 1, 0)]
        await net.client.request_airdrop(friend, SOL)
        await net.advance(1)
        assert await seen(socket) == [(processed, slot + 1, SOL), (confirmed, slot + 1, SOL)]
        await net.rpc("localnet_fork", 5)
        assert await seen(socket) == []


@both_modes
async def test_the_clock_comes_with_each_block_after_all_other_accounts(tmp_path: Path, consensus: Consensus) -> None:
    async with run_localnet(tmp_path, consensus=consensus) as net, socket_of(net) as socket:
        await net.advance(40)
        friend = Pubkey.new_unique()
        clock, balance = [await subscribe(socket, address, "confirmed") for address in (CLOCK, friend)]
        start = await net.rpc("getSlot", {"commitment": "confirmed"})
        for _ in range(3):
            await net.client.request_airdrop(friend, SOL)
            await net.advance(1)
        await net.advance(2)
        messages = [message["params"] for message in await socket.notifications()]
        slots = [message["result"]["context"]["slot"] for message in messages]
        assert slots == sorted(slots)
        times = [message["result"] for message in messages if message["subscription"] == clock]
        assert [time["context"]["slot"] for time in times] == list(range(start + 1, start + 6))
        assert [clock_in(time["value"]).slot for time in times] == list(range(start + 1, start + 6))
        for slot in {read(message)[1] for message in messages if message["subscription"] == balance}:
            of_slot = [message["subscription"] for message in messages if message["result"]["context"]["slot"] == slot]
            assert of_slot == [balance, clock]


def clock_in(account: Any) -> Clock:
    return Clock.from_bytes(base64.b64decode(account["data"][0]))


@pytest.mark.parametrize("commitment", ["processed", "confirmed", "finalized"])
async def test_sysvars_are_accounts_as_of_the_commitment(tmp_path: Path, commitment: str) -> None:
    async with run_localnet(tmp_path, now=lambda: 1_800_000_000) as net:
        await net.advance(40)
        options = {"encoding": "base64", "commitment": commitment}
        addresses = [str(CLOCK), str(SLOT_HASHES), "SysvarRent111111111111111111111111111111111"]
        addresses.append("SysvarEpochSchedu1e111111111111111111111111")
        found = await net.rpc("getMultipleAccounts", addresses, options)
        slot, [clock, hashes, rent, schedule] = found["context"]["slot"], found["value"]
        assert (clock_in(clock).slot, clock_in(clock).unix_timestamp) == (slot, 1_800_000_000)
        known = base64.b64decode(hashes["data"][0])
        assert int.from_bytes(known[:8], "little") == slot, "one for each earlier block"
        assert int.from_bytes(known[8:16], "little") == slot - 1
        assert (rent["space"], schedule["space"]) == (17, 33)
        parsed = await net.rpc("getMultipleAccounts", addresses, options | {"encoding": "jsonParsed"})
        kinds = [value["data"]["parsed"] for value in parsed["value"] if isinstance(value["data"], dict)]
        assert [kind["type"] for kind in kinds] == ["clock", "rent", "epochSchedule"]
        assert (kinds[0]["info"]["slot"], kinds[0]["info"]["unixTimestamp"]) == (slot, 1_800_000_000)
        assert (kinds[1]["info"]["burnPercent"], kinds[2]["info"]["slotsPerEpoch"]) == (50, 432_000)
        assert hashes["space"] == (await net.rpc("getAccountInfo", addresses[1], options))["value"]["space"]


async def test_an_ended_subscription_and_a_bad_address_are_refused(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, socket_of(net) as socket:
        friend = Pubkey.new_unique()
        number = await subscribe(socket, friend)
        assert (await socket.call("accountUnsubscribe", number))["result"] is True
        assert (await socket.call("accountUnsubscribe", number))["error"]["message"] == "Invalid subscription id."
        await net.client.request_airdrop(friend, SOL)
        assert await seen(socket) == []
        assert (await socket.call("accountSubscribe", "0"))["error"]["code"] == -32602
        assert (await socket.call("accountSubscribe", str(friend), {"encoding": "x"}))["error"]["code"] == -32602


async def test_data_that_are_too_long_for_base58_are_replaced_by_a_nodes_error(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, socket_of(net) as socket:
        owner = Pubkey.new_unique()
        address = associated_token_account(str(owner), USDC)
        for method, about in (("accountSubscribe", address), ("programSubscribe", TOKEN)):
            for options in ({}, {"encoding": "base58"}):
                await socket.call(method, about, options | {"commitment": "processed"})
        await net.rpc("localnet_fund", str(owner), USDC, 6, 5)
        error = "error: data too large for bs58 encoding"
        results = [message["params"]["result"]["value"] for message in await socket.notifications()]
        bodies = [value.get("account", value) for value in results if value.get("pubkey", address) == address]
        assert [body["data"] for body in bodies] == [error, [error, "base58"]] * 2
        assert {body["space"] for body in bodies} == {165}
        await net.advance(1)
        assert await net.rpc("getHealth") == "ok"


async def change(net: InProcessLocalnet, address: Pubkey) -> int:
    """Makes a block in which the account gets a SOL; returns its slot."""
    await net.advance(1)
    await net.client.request_airdrop(address, SOL)
    return net.ledger.blocks.tip.slot


async def test_a_subscription_can_be_dropped_without_a_notice_and_made_again(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, socket_of(net) as socket:
        friend, other = Pubkey.new_unique(), Pubkey.new_unique()
        dropped, kept = [await subscribe(socket, address) for address in (friend, other)]
        assert await net.rpc("localnet_dropSubscriptions", str(friend)) == 1
        assert await net.rpc("localnet_dropSubscriptions", str(friend)) == 0
        await change(net, friend)
        slot = await change(net, other)
        assert await seen(socket) == [(kept, slot, SOL)]
        assert (await socket.call("accountUnsubscribe", dropped))["error"]["code"] == -32600
        again = await subscribe(socket, friend)
        slot = await change(net, friend)
        assert await seen(socket) == [(again, slot, 2 * SOL)]


async def test_notifications_can_be_silenced_frozen_and_delayed_while_the_socket_answers(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, socket_of(net) as socket, socket_of(net, "/nodes/b") as elsewhere:
        friend, other = Pubkey.new_unique(), Pubkey.new_unique()
        first, second = [await subscribe(socket, address) for address in (friend, other)]
        number = await subscribe(elsewhere, friend)
        await net.set_faults(notifications={"silent": [str(friend)]})
        slots = [await change(net, address) for address in (friend, other)]
        assert await seen(socket) == [(second, slots[1], SOL)]
        await net.set_faults(notifications={"frozen": True})
        slots.append(await change(net, friend))
        assert await seen(socket) == []
        assert await seen(elsewhere) == [(number, slots[0], SOL), (number, slots[2], 2 * SOL)], "another node"
        await net.set_faults(notifications={"delay": 3})
        slots = [await change(net, friend) for _ in range(2)]
        await net.advance(1)
        assert await seen(socket) == []
        await net.advance(1)
        assert await seen(socket) == [(first, slots[0], 3 * SOL)]
        await net.set_faults()
        await net.advance(1)
        assert await seen(socket) == [(first, slots[1], 4 * SOL)], "late, once the fault has ended"


async def test_a_node_can_repeat_old_values_and_lie_about_slots(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, socket_of(net) as socket:
        friend = Pubkey.new_unique()
        number = await subscribe(socket, friend)
        await subscribe(socket, Pubkey.new_unique())
        slot = await change(net, friend)
        assert await seen(socket) == [(number, slot, SOL)]
        await net.set_faults(notifications={"replay": True})
        await net.advance(2)
        assert await seen(socket) == [(number, slot + 1, 0), (number, slot + 2, 0)]
        await net.set_faults(lies={"notifiedSlot": 1_000})
        slot = await change(net, friend)
        assert await seen(socket) == [(number, slot + 1_000, 2 * SOL)]


async def test_a_node_that_begins_to_lag_shows_nothing_until_its_view_goes_on(tmp_path: Path) -> None:
    async with run_localnet(tmp_path) as net, socket_of(net) as socket:
        friend = Pubkey.new_unique()
        number = await subscribe(socket, friend)
        slot = await change(net, friend)
        await net.set_faults(lag=3)
        later = await change(net, friend)
        assert await seen(socket) == [(number, slot, SOL)]
        await net.advance(2)
        assert await seen(socket) == []
        await net.advance(1)
        assert await seen(socket) == [(number, later, 2 * SOL)]
