"""A rolling restart behind nginx: of 200 requests per second, none fails while one of two services is replaced."""

import asyncio
import json
import signal
import urllib.request
from collections import Counter

import pytest

from dexexec.store import Address
from tests.support.nginx import PUBLIC_NAME, needs_nginx, nginx
from tests.support.ports import free_port
from tests.support.raw_http import exchange
from tests.support.service.client import PATH
from tests.support.service.process import Launcher, status
from tests.support.service.promise_checks import rows, unfinished
from tests.support.waiting import until

pytestmark = needs_nginx

BODY = b'{"side": "buy", "amount": "0.01"}'
INTERVAL = 0.005
"""Seconds between two requests."""
AT_ONCE = 8
"""Requests that are on their way at most: the processes that start and stop need the machine as well."""
POSTS_EVERY = 7
"""Odd, since nginx sends the requests to both services in turns: each is to get new orders."""
BEHIND = {
    "DEXEXEC_ALLOWED_HOSTS": PUBLIC_NAME,
    "DEXEXEC_TRUST_PROXY": "true",
    "DEXEXEC_REQUIRE_KEYS": "0",  # what a stranger may do is tested elsewhere
    # Longer than the test may last: a second signal ends the wait when nginx is done, as in the documents.
    "DEXEXEC_LAME_DUCK_SECONDS": "300",
}


class SteadyLoad:
    """Requests at a steady rate, each on a connection of its own: new orders, and reads of those before."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._running: set[asyncio.Task[None]] = set()
        self.answers: Counter[str] = Counter()
        self.orders: list[str] = []

    async def run(self) -> None:
        """Send until cancelled."""
        number = 0
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while True:
            # On a machine that is too slow for the rate, more would be refused for their number alone.
            await until(lambda: len(self._running) < AT_ONCE, 60, pause=INTERVAL)
            task = asyncio.create_task(self._send(number))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            number += 1
            await asyncio.sleep(max(0.0, begun + number * INTERVAL - loop.time()))

    async def finish(self) -> None:
        """Wait for the last answers."""
        await asyncio.gather(*self._running)

    async def _send(self, number: int) -> None:
        posts = number % POSTS_EVERY == 0 or not self.orders
        try:
            if posts:
                headers = {"Content-Type": "application/json", "Idempotency-Key": f"load-{number}"}
                answer = await exchange(self._url + PATH, "POST", BODY, headers, seconds=60)
                if answer.status == 202:
                    self.orders.append(str(json.loads(answer.body)["orderId"]))
            else:
                answer = await exchange(f"{self._url}/api/orders/{self.orders[-1]}", seconds=60)
            self.answers[f"{'POST' if posts else 'GET'} {answer.status}"] += 1
        except (OSError, TimeoutError) as error:
            self.answers[f"{'POST' if posts else 'GET'} {type(error).__name__}"] += 1


def accepted(url: str) -> bool:
    """Whether the process at this URL has accepted orders itself."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=20) as answer:  # noqa: S310 - http, to ourselves
        return b'dexexec_orders_accepted_total{kind="market"}' in answer.read()


@pytest.mark.alone
@pytest.mark.gen_test(timeout=110)
async def test_promise_27_no_request_fails_while_one_of_two_services_is_replaced(
    launcher: Launcher, database_address: Address
) -> None:
    ports = [str(free_port()) for _ in range(2)]
    old, _ = services = [launcher.start(PORT=port, **BEHIND) for port in ports]
    for service in services:
        await asyncio.to_thread(service.ready)
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    with nginx(*urls) as proxy:
        load = SteadyLoad(proxy.url)
        sending = asyncio.create_task(load.run())
        await until(lambda: len(load.orders) >= 20, 60, pause=0.05)

        old.send(signal.SIGTERM)
        await until(lambda: asyncio.to_thread(lambda: status(f"{urls[0]}/readyz") == 503), 60, pause=0.05)
        assert status(f"{urls[0]}/healthz") == 200, "it goes on until the port closes"
        await asyncio.to_thread(proxy.leave_out, urls[0])
        old.send(signal.SIGTERM)  # nginx is done: no need to wait any longer
        assert await asyncio.to_thread(old.wait, 60) == 0

        new = launcher.start(PORT=ports[0], **BEHIND)
        await asyncio.to_thread(new.ready)
        await asyncio.to_thread(proxy.leave_out)
        await until(lambda: asyncio.to_thread(accepted, urls[0]), 60, pause=0.05)
        sending.cancel()
        await load.finish()

    assert set(load.answers) == {"POST 202", "GET 200"}, load.answers
    await until(lambda: not unfinished(database_address), 60, pause=0.1)
    statement = "SELECT id::text FROM orders WHERE status = 'confirmed'"
    assert {row["id"] for row in rows(database_address, statement)} == set(load.orders)
    assert len(set(load.orders)) == load.answers["POST 202"]
