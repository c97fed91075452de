"""`POST /api/orders/check`: what posting an order would answer. Nothing is stored, reserved or counted."""

from dexexec.api import problems
from dexexec.api.client_address import client_address
from dexexec.api.handler import ApiHandler
from dexexec.api.orders import read_order
from dexexec.errors import RequestError
from dexexec.store.orders import first_detail


class CheckHandler(ApiHandler):
    """`POST /api/orders/check`."""

    async def post(self) -> None:
        """The order as it would be stored, or the problem document with which it would be refused: both with 200, since
        a form checks while a person types, and a browser logs every other status as an error."""
        # Orders that are posted go first: somebody may check on every key press.
        turn = self.api.refusals.turn(client_address(self.request, self.api.settings))
        if turn is not None:
            await turn
        try:
            order = read_order(self.api, self.request, self.request_id, self.caller)
            self.api.intake.check(order, self.caller.policy)
        except RequestError as error:
            self.answer({"ok": False, "problem": problems.document(error, self.request_id)})
            return
        # The event that the order would begin with: one source of this text, so that the two cannot differ.
        detail = first_detail(order)
        detail.pop("requestId", None)
        self.answer({"ok": True, "order": detail})
