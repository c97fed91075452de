"""A small load on the running service that continues while its servers fail."""

import asyncio
from collections.abc import Iterable
from uuid import uuid4

from tests.support.service.client import Http
from tests.support.waiting import POLL, until

CLIENTS = 5
KEY = "Idempotency-Key"


class Posters:
    """Clients, each of which posts one order after the other, with a pause (seconds) between two. `keys` are the
    Idempotency-Keys of those that were accepted, `unknown` are orders whose answer was that they may or may not
    have been stored."""

    def __init__(self, calls: Http, url: str, pause: float = 0.0) -> None:
        self._calls, self._url, self._pause = calls, url, pause
        self.accepted: list[str] = []
        self.keys: dict[str, str] = {}
        self.unknown: list[str] = []
        self.refused = 0
        self._tasks = [asyncio.create_task(self._post()) for _ in range(CLIENTS)]
        self._over = asyncio.Event()

    async def accept_more(self, count: int) -> None:
        """Wait until so many more are accepted."""
        enough = len(self.accepted) + count
        await until(lambda: len(self.accepted) >= enough, pause=POLL)

    async def are_refused(self) -> None:
        """Wait until one is."""
        await until(lambda: self.refused > 0, pause=POLL)

    async def stop(self) -> None:
        """Post no more, and wait for the last answers."""
        self._over.set()
        await asyncio.gather(*self._tasks)

    async def post_again(self, order_ids: Iterable[str]) -> dict[str, str]:
        """The orders that are answered to these when they are posted again with their keys."""
        answers = {one: await self._calls.order(self._url, **{KEY: self.keys[one]}) for one in order_ids}
        assert {answer.status for answer in answers.values()} <= {202}, answers
        return {one: str(answer.body["orderId"]) for one, answer in answers.items()}

    async def _post(self) -> None:
        while not self._over.is_set():
            key = uuid4().hex
            answer = await self._calls.order(self._url, **{KEY: key})
            assert answer.status in {202, 503}, answer
            if answer.status == 202:
                self.accepted.append(order_id := str(answer.body["orderId"]))
                self.keys[order_id] = key
                await asyncio.sleep(self._pause)
                continue
            self.refused += 1
            self.unknown += [str(answer.body["orderId"])] if "orderId" in answer.body else []
            await asyncio.sleep(POLL)
