"""Takes the transaction that a client has signed for its own wallet: `POST /api/orders/{id}/signed`.

Only the very message that was handed out is taken, with a valid signature. A worker then adds the co-signer's, records
the attempt and lands it.
"""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from dexexec.domain.handout import AwaitedOrder, Handout, SignedByClient, client_address, read_transaction
from dexexec.domain.transaction_bytes import split
from dexexec.errors import (
    FieldProblem,
    InvalidOrderError,
    OrderNotFoundError,
    UnavailableError,
)
from dexexec.intake.field_types import Text
from dexexec.intake.order_body import read_object
from dexexec.intake.order_fields import OrderFields
from dexexec.intake.signing_errors import NoSignatureAwaitedError, OtherTransactionError

ENQUEUE_SECONDS = 1.0
MOST_GROUPS = 1_365
"""Of four characters, in front of the last one. A transaction has at most 4,096 bytes."""
TRANSACTION = Text(
    name="transaction",
    description="The transaction of the order's last event, with your signature in the first place, base64.",
    pattern=rf"(?:[A-Za-z0-9+/]{{4}}){{0,{MOST_GROUPS}}}(?:[A-Za-z0-9+/]{{4}}|[A-Za-z0-9+/]{{3}}=|[A-Za-z0-9+/]{{2}}==)",
    expected="the signed transaction, base64",
    example="AgAAAA==",
)

Verify = Callable[[bytes, str, bytes], bool]
"""Whether a signature (last) is of an address over a message (first)."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The signature is kept for this attempt. `repeated`: it was before."""

    attempt: int
    repeated: bool = False


class SignableOrders(Protocol):
    """The part of `dexexec.store.Store` that is used here."""

    async def awaited(self, order_id: UUID, owner: int | None = None) -> AwaitedOrder | None:
        """An order that may wait for its client's signature; None if `owner` (None: any) has no such order."""

    async def keep_signature(self, order_id: UUID, message: bytes, signature: bytes) -> int | None:
        """Keep the signature of the newest transaction; None if that is another one by now."""


class DueOrders(Protocol):
    """The part of `dexexec.broker.queue.Queue` that is used here."""

    async def enqueue(self, order_ids: Sequence[UUID]) -> int:
        """Put orders on the queue."""


class ClientSigning:
    """Takes signatures. `verify` checks one."""

    def __init__(self, orders: SignableOrders, queue: DueOrders, verify: Verify) -> None:
        self._orders = orders
        self._queue = queue
        self._verify = verify

    async def sign(self, order_id: UUID, body: bytes, owner: int | None = None) -> Taken:
        """Take the transaction in `body` for an order of `owner` (None: of all).

        Raises `MalformedBodyError`, `OrderNotFoundError`, `InvalidOrderError`, `NoSignatureAwaitedError`,
        `OtherTransactionError`, and `UnavailableError`: the same request can be repeated then.
        """
        data = _read(body)
        # The record decides between this and a worker that hands out another transaction at the same moment.
        while True:
            order = await self._orders.awaited(order_id, owner)
            if order is None:
                raise OrderNotFoundError("no order has this id")
            if order.recorded is not None and _is_recorded(order.recorded, data):
                return Taken(order.recorded_n, repeated=True)
            handout = order.handout
            if handout is None:
                raise NoSignatureAwaitedError(_why_not(order), {"orderStatus": order.status.value})
            signed = self._checked(handout, client_address(order.wallet) or "", data)
            attempt = await self._orders.keep_signature(order_id, signed.message, signed.signature)
            if attempt is None:
                continue  # another transaction was handed out meanwhile, or the order has ended: the next look shows
            # Without Redis the sweeper finds the order, which is due now.
            with suppress(UnavailableError, TimeoutError):
                async with asyncio.timeout(ENQUEUE_SECONDS):
                    await self._queue.enqueue([order_id])
            return Taken(attempt, repeated=handout.signature == signed.signature)

    def _checked(self, handout: Handout, address: str, data: bytes) -> SignedByClient:
        signed = read_transaction(data, len(handout.signers))
        if signed is None:
            raise _invalid(f"is not a transaction with {len(handout.signers)} signatures")
        if signed.message != handout.message:
            raise OtherTransactionError(
                f"this is not the transaction of attempt {handout.n}, or it was changed: sign the one in `transaction`",
                {
                    "attempt": handout.n,
                    "transaction": b64encode(handout.transaction()).decode(),
                    "lastValidHeight": handout.last_valid_height,
                },
            )
        # Last, since it is the only expensive check.
        if not self._verify(signed.message, address, signed.signature):
            raise _invalid(f"has no valid signature of {address} in the first place")
        return signed


def _read(body: bytes) -> bytes:
    fields = OrderFields(read_object(body), (TRANSACTION.name,))
    text = TRANSACTION.read(fields)
    if text is None and TRANSACTION.name not in fields.given:
        fields.wrong(TRANSACTION.name, "is missing", TRANSACTION.expected)
    if text is None or fields.problems:
        raise InvalidOrderError(fields.problems)
    return b64decode(text, validate=True)


def _is_recorded(recorded: bytes, sent: bytes) -> bool:
    """Whether a client sent what became this transaction, which has the co-signer's signature beside the client's."""
    # The signatures behind the first differ: the client never had that of the co-signer.
    try:
        known = split(recorded)
    except ValueError:  # no transaction of Solana, so none that a client signs
        return False
    signed = read_transaction(sent, len(known.signatures))
    return signed == SignedByClient(known.signatures[0], known.message)


def _why_not(order: AwaitedOrder) -> str:
    if order.ended:
        return f"the order has ended: it is {order.status}"
    if client_address(order.wallet) is None:
        return "this order is signed by the service: only an order with `payer` is signed by its client"
    if order.recorded is not None:
        return "the order's transaction is signed already, and on its way"
    return "there is nothing to sign yet: wait for the event with `waitsFor` signature"


def _invalid(problem: str) -> InvalidOrderError:
    return InvalidOrderError([FieldProblem(TRANSACTION.name, problem, TRANSACTION.expected)])
