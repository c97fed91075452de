"""Orders whose transaction the client signs, on a localnet: swapped once, by a recorded attempt, or not at all."""

import asyncio
import json
from base64 import b64decode, b64encode
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from dexexec.bootstrap.api_half import is_signature_of
from dexexec.domain.cancellation import Cancelled
from dexexec.domain.handout import client_wallet
from dexexec.domain.order import NewOrder
from dexexec.domain.status import Status
from dexexec.domain.swap import VALID_FOR
from dexexec.domain.transaction_bytes import join, split
from dexexec.errors import InvalidOrderError, OrderNotFoundError
from dexexec.intake.client_signing import ClientSigning, Taken
from dexexec.intake.signing_errors import NoSignatureAwaitedError, OtherTransactionError
from dexexec.settlement.solana.message import Version
from dexexec.settlement.solana.transaction import parse_message
from dexexec.settlement.solana.wallet import Wallet
from tests.support.localnet.worker_setup import LONG_MS, OpenWorkers, WorkerSetup
from tests.support.parts import new_order
from tests.support.swap_transactions import compiled_as
from tests.support.waiting import until

MINE, OTHERS = 1, 2


def order_of(b: WorkerSetup, **changes: Any) -> NewOrder:
    """An order that the wallet of the test pays, which the service has no key of."""
    return replace(new_order(deadline_ms=LONG_MS), wallet=client_wallet(b.at.wallet.address), **changes)


def signing(b: WorkerSetup) -> ClientSigning:
    return ClientSigning(b.store, b.queue, is_signature_of)


async def handed_out(b: WorkerSetup, order_id: UUID, other_than: bytes = b"") -> bytes:
    """The transaction that the order waits for, as its client sees it."""
    found: list[bytes] = []

    async def look() -> bool:
        events = (await b.store.events_after([(order_id, 0)]))[order_id]
        shown = [b64decode(str(event.detail["transaction"])) for event in events if "transaction" in event.detail]
        found[:] = [one for one in shown[-1:] if one != other_than]
        return bool(found)

    await until(look, pause=0.02)
    return found[0]


def signed(wallet: Wallet, transaction: bytes) -> bytes:
    """The transaction with the client's signature in its first place."""
    parts = split(transaction)
    return join(parts.message, [wallet.sign(parts.message), *parts.signatures[1:]])


def body(transaction: bytes) -> bytes:
    return json.dumps({"transaction": b64encode(transaction).decode()}).encode()


@pytest.mark.parametrize("version", Version)
async def test_promise_3_what_the_client_signs_is_landed_once_and_nothing_before(
    open_workers: OpenWorkers, version: Version
) -> None:
    with compiled_as(version):
        await is_landed_once(open_workers, version)


async def is_landed_once(open_workers: OpenWorkers, version: Version) -> None:
    async with open_workers() as b, b.working():
        order_id = await b.post(order_of(b))
        transaction = await handed_out(b, order_id)
        message = parse_message(split(transaction).message)
        assert message.version is version
        assert (message.payer, len(message.signers)) == (b.at.wallet.address, 3), "client, co-signer, venue"
        view = await b.view(order_id)
        assert (view["status"], view["waitingFor"]["reason"], view["attempts"]) == ("waiting", "signature", [])
        # The client has everything that it signs, and still nothing that could land.
        with_its_own = signed(b.at.wallet, transaction)
        assert await b.at.swaps() == []
        assert await signing(b).sign(order_id, body(with_its_own)) == Taken(1)
        await b.settled(order_id)
        landed = await b.executed_once(order_id)
        assert landed["attempts"][0]["attempt"] == 1
        # The answer may have been lost, so the same request is the same answer.
        assert await signing(b).sign(order_id, body(with_its_own)) == Taken(1, repeated=True)
        with pytest.raises(NoSignatureAwaitedError, match="it is confirmed"):
            await signing(b).sign(order_id, body(transaction))


async def test_only_the_very_transaction_with_a_valid_signature_is_taken(open_workers: OpenWorkers) -> None:
    async with open_workers() as b, b.working():
        order_id = await b.post(order_of(b, owner=MINE))
        transaction = await handed_out(b, order_id)
        changed = transaction[:-1] + bytes([transaction[-1] ^ 1])
        taking = signing(b)
        with pytest.raises(OrderNotFoundError):
            await taking.sign(order_id, body(signed(b.at.wallet, transaction)), OTHERS)
        with pytest.raises(OtherTransactionError) as refused:
            await taking.sign(order_id, body(signed(b.at.wallet, changed)), MINE)
        assert b64decode(str(refused.value.about["transaction"])) == transaction
        with pytest.raises(InvalidOrderError, match="has no valid signature"):
            await taking.sign(order_id, body(transaction), MINE)
        with pytest.raises(InvalidOrderError, match="is not a transaction with 3 signatures"):
            await taking.sign(order_id, body(b"\x01" + transaction[1:]), MINE)
        for other in (b"{}", b'{"transaction": 7}', b'{"transaction": "A"}', b'{"transaction": "AAAA", "n": 1}'):
            with pytest.raises(InvalidOrderError):
                await taking.sign(order_id, other, MINE)
        assert (await b.view(order_id))["attempts"] == []
        assert await b.at.swaps() == []


async def test_a_transaction_that_nobody_signs_expires_and_a_new_one_is_handed_out(open_workers: OpenWorkers) -> None:
    async with open_workers() as b, b.working():
        order_id = await b.post(order_of(b))
        first = await handed_out(b, order_id)
        await b.at.advance(VALID_FOR + 10)
        await until(lambda: make_due(b, order_id, first), pause=0.05)
        second = await handed_out(b, order_id, other_than=first)
        with pytest.raises(OtherTransactionError):
            await signing(b).sign(order_id, body(signed(b.at.wallet, first)))
        assert await signing(b).sign(order_id, body(signed(b.at.wallet, second))) == Taken(1)
        await b.settled(order_id)
        await b.executed_once(order_id)


async def make_due(b: WorkerSetup, order_id: UUID, first: bytes) -> bool:
    """Let a worker look at the order now, and not in five seconds; whether it has handed out another transaction."""
    async with b.store._database.connection() as connection:
        await connection.execute("UPDATE orders SET due_at = clock_timestamp() WHERE id = %s", (order_id,))
    await b.again(order_id)
    events = (await b.store.events_after([(order_id, 0)]))[order_id]
    shown = [event.detail["transaction"] for event in events if "transaction" in event.detail]
    return b64decode(str(shown[-1])) != first


async def test_cancelling_wins_until_the_attempt_is_recorded(open_workers: OpenWorkers) -> None:
    async with open_workers() as b, b.working():
        order_id = await b.post(order_of(b))
        transaction = await handed_out(b, order_id)
        assert isinstance(await b.store.cancel(order_id), Cancelled)
        with pytest.raises(NoSignatureAwaitedError, match="it is cancelled"):
            await signing(b).sign(order_id, body(signed(b.at.wallet, transaction)))
        assert await b.at.swaps() == []


async def test_promise_3_a_signature_that_comes_while_no_worker_lives_is_landed_by_the_next_one(
    open_workers: OpenWorkers,
) -> None:
    async with open_workers() as b:
        async with b.working():
            order_id = await b.post(order_of(b))
            transaction = await handed_out(b, order_id)
        await asyncio.gather(*(signing(b).sign(order_id, body(signed(b.at.wallet, transaction))) for _ in range(3)))
        async with b.working(), b.working():
            await b.settled(order_id)
            await b.executed_once(order_id)
        assert (await b.view(order_id))["status"] == Status.CONFIRMED
