"""Cancels orders for the messages of a WebSocket, and answers over its outbox."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from uuid import UUID

from dexexec.api import websocket_messages
from dexexec.api.caller import Caller
from dexexec.api.cancel_selection import read_selection
from dexexec.api.handler import Api
from dexexec.api.orders import cancelled_all_json, too_late
from dexexec.api.websocket_messages import BadMessageError, Cancel, CancelAll
from dexexec.domain.api_key import Scope
from dexexec.domain.cancellation import TooLate
from dexexec.domain.stream_error import StreamErrorCode
from dexexec.errors import InvalidQueryError, PartlyCancelledError, ScopeMissingError, UnavailableError


class SocketCancels:
    """The cancels of one socket. `send` sends a message, `refuse` an error."""

    def __init__(self, api: Api, *, send: Callable[[bytes], None], refuse: Callable[[BadMessageError], None]) -> None:
        self._api = api
        self._send = send
        self._refuse = refuse
        self._running: set[asyncio.Task[None]] = set()

    def run(self, command: Cancel | CancelAll, caller: Caller) -> None:
        """Execute a message of a caller whose key may trade."""
        one = command.order_id if isinstance(command, Cancel) else None
        try:
            caller.require(Scope.TRADE)
        except ScopeMissingError as error:
            self._refuse(BadMessageError(StreamErrorCode.SCOPE_MISSING, str(error), one))
            return
        match command:
            case Cancel():
                self._start(self._cancel(command.order_id, caller))
            case CancelAll():
                self._start(self._cancel_all(command.given, caller))

    def _start(self, cancelling: Coroutine[object, object, None]) -> None:
        # A task, as the socket must go on while Postgres is slow. The budget of messages bounds how many there are.
        task = asyncio.create_task(cancelling)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _cancel(self, order_id: UUID, caller: Caller) -> None:
        """Cancel an order and answer. It goes on if the socket closes meanwhile: the client has asked for it."""
        try:
            answer = await self._api.cancelling.cancel(order_id, caller.sees)
        except UnavailableError as error:
            text = f"the order may be cancelled: send it again ({error})"
            self._refuse(BadMessageError(StreamErrorCode.UNAVAILABLE, text, order_id))
            return
        if answer is None:
            self._refuse(BadMessageError(StreamErrorCode.ORDER_NOT_FOUND, "there is no such order", order_id))
        elif isinstance(answer, TooLate):
            self._refuse(BadMessageError(StreamErrorCode.TOO_LATE, str(too_late(answer)), order_id))
        else:
            self._send(websocket_messages.cancelled(order_id, answer.seq))

    async def _cancel_all(self, given: Mapping[str, object], caller: Caller) -> None:
        """Cancel all orders of a selection and answer. It goes on if the socket closes meanwhile."""
        try:
            selection = read_selection(given, self._api.settings.token_list())
            answer = await self._api.cancelling.cancel_all(replace(selection, owner=caller.sees))
        except InvalidQueryError as error:
            problems = "; ".join(f"{one.field} {one.problem}: {one.expected}" for one in error.fields)
            self._refuse(BadMessageError(StreamErrorCode.INVALID_SELECTION, problems))
        except PartlyCancelledError as error:
            self._refuse(BadMessageError(StreamErrorCode.UNAVAILABLE, str(error)))
        else:
            self._send(websocket_messages.cancelled_all(cancelled_all_json(answer)))
