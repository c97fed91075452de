"""The events of an order on a real chain: why it failed, and the priority fee that it offers."""

from solders.account import Account
from solders.pubkey import Pubkey

from dexexec.domain.funds import PriorityFee
from dexexec.domain.order import NewOrder, Side
from dexexec.domain.token import USDC
from dexexec.settlement.solana.transaction import associated_token_account
from tests.support.localnet.settlement_setup import FINAL
from tests.support.localnet.worker_setup import LONG_MS, OpenWorkers, WorkerSetup
from tests.support.orders_on_servers import statuses_of
from tests.support.parts import new_order


def sells_dollars() -> NewOrder:
    return new_order(side=Side.SELL, amount="2", deadline_ms=LONG_MS)


async def freeze(b: WorkerSetup, owner: str) -> str:
    """The issuer freezes the USDC account of an owner; returns the account's address."""
    address = Pubkey.from_string(associated_token_account(owner, USDC))
    runtime = b.at.net.ledger._runtime
    account = runtime.account(address)
    assert account is not None
    runtime.put(address, Account(account.lamports, account.data[:108] + b"\x02" + account.data[109:], account.owner))
    await b.at.advance(FINAL)
    return str(address)


async def test_a_frozen_account_is_a_reason_of_its_own_and_not_tried_again(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        frozen = await freeze(b, b.at.wallet.address)
        order_id = await b.post(sells_dollars())
        async with b.working():
            assert statuses_of(await b.ended(order_id)) == ["pending", "routing", "building", "failed"]
        view = await b.view(order_id)
        assert (view["failureReason"], view["attempts"]) == ("account-frozen", [])
        assert f"our account {frozen}" in view["events"][-1]["detail"]


async def test_a_frozen_vault_counts_for_the_venue_and_not_for_our_accounts(open_workers: OpenWorkers) -> None:
    async with open_workers() as b:
        await freeze(b, b.at.pool)
        order_id = await b.post(sells_dollars())
        async with b.working():
            await b.ended(order_id)
        view = await b.view(order_id)
        assert (view["failureReason"], view["attempts"]) == ("account-frozen", [])
        assert "our account" not in view["events"][-1]["detail"]


async def test_submitted_has_the_priority_fee_and_whether_the_cap_binds(
    open_workers: OpenWorkers,
) -> None:
    async with open_workers() as b:

        async def capped(addresses: object) -> PriorityFee:
            return PriorityFee(price=7, cap=7, market=5_000)

        b.at.sealer._checker._price = capped
        order_id = await b.post(sells_dollars())
        async with b.working():
            await b.settled(order_id)
        view = await b.view(order_id)
        reported = {"price": 7, "cap": 7, "market": 5_000, "capped": True}
        [submitted] = [event for event in view["events"] if event["status"] == "submitted"]
        assert submitted["priorityFee"] == view["attempts"][0]["quote"]["priorityFee"] == reported
        prepared = submitted["preparedFrom"]
        assert prepared == view["attempts"][0]["quote"]["preparedFrom"]
        assert (prepared["simulated"], prepared["blockhashAgeSlots"]) == ("node", 0)
        assert prepared["slot"] > 0
