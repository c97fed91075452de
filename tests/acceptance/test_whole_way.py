"""The whole way of many orders at once: HTTP in, two venues, the simulated chain, Postgres, and a socket for each."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from itertools import chain, pairwise

import redis

from dexexec.domain.status import TRANSITIONS, Status
from dexexec.store import Address
from tests.conftest import Servers
from tests.support.service.client import Event, Http, Watch, http
from tests.support.service.process import Launcher, say
from tests.support.service.promise_checks import agree, check_promises, rows, unfinished
from tests.support.waiting import POLL, until

CLIENTS, ORDERS_EACH = 20, 10
DOCUMENTED = """
SELECT id,side,status,venue,tx_hash,failure_reason,created_at FROM orders ORDER BY created_at DESC LIMIT 10;
"""


async def test_200_orders_of_20_clients_all_end_and_every_event_is_seen(
    launcher: Launcher, database_address: Address
) -> None:
    seed = random.randrange(2**32)
    say(f"seed {seed}")
    troubles = {"DEXEXEC_MOCK_FAILURE_RATE": "0.1", "DEXEXEC_MOCK_SLIPPAGE_PPM": "7500"}
    service = launcher.start(**troubles, DEXEXEC_MOCK_SEED=str(seed), DEXEXEC_BREAKER_FAILURES="100")
    await asyncio.to_thread(service.ready)

    async def client(calls: Http, chance: random.Random) -> list[Watch]:
        """Posts its orders at once and follows each on a socket of its own."""
        wanted = [(chance.choice(["buy", "sell"]), f"{chance.uniform(0.01, 50):.6f}") for _ in range(ORDERS_EACH)]
        order_ids = await asyncio.gather(*(calls.accepted(service.url, amount, side) for side, amount in wanted))
        return await asyncio.gather(*(Watch(lambda: service.url).also([order_id]).run() for order_id in order_ids))

    async with http() as calls, asyncio.timeout(50):
        clients = await asyncio.gather(*(client(calls, random.Random(seed + n)) for n in range(CLIENTS)))
        watches = list(chain.from_iterable(clients))
        assert len(watches) == CLIENTS * ORDERS_EACH
        assert [watch.closes for watch in watches if watch.closes] == [], "no socket had to be opened twice"
        seen = {order_id: events for watch in watches for order_id, events in watch.events.items()}
        verdict = check_promises(database_address, list(seen))
        say(f"{dict(verdict.statuses)}, {verdict.swaps} swaps")
        agree(seen, database_address)
        for events in seen.values():
            check_history(events)
        assert verdict.statuses["confirmed"] > 150
        venues = Counter(events[-1]["venue"] for events in seen.values() if events[-1]["status"] == "confirmed")
        assert sorted(map(str, venues)) == ["mock-meteora", "mock-raydium"], "each must have been the best at times"
        await check_answers(calls, service.url, seen, database_address)
        refused = await calls.order(service.url, "all", "sell")
        assert (refused.status, "simulated chain" in str(refused.body["errors"])) == (422, True)
    assert service.stop() == 0


def check_history(events: list[Event]) -> None:
    """The events of one order, as a socket saw them."""
    statuses = [Status(str(event["status"])) for event in events]
    assert statuses[0] is Status.PENDING
    for before, after in pairwise(statuses):
        assert after in TRANSITIONS[before].values()
    assert [event["final"] for event in events] == [False] * (len(events) - 1) + [True]
    assert [event["at"] for event in events] == sorted(str(event["at"]) for event in events)
    routings = [(routing, after) for routing, after in pairwise(events) if "quotes" in routing]
    assert routings, events
    for routing, following in routings:
        quotes = routing["quotes"]
        assert isinstance(quotes, list)
        assert sorted(quote["venue"] for quote in quotes) == ["mock-meteora", "mock-raydium"]
        assert all(quote["reason"] and quote["detail"] for quote in quotes if not quote["selected"]), quotes
        chosen = [quote["venue"] for quote in quotes if quote["selected"]]
        assert chosen == ([following["venue"]] if following["status"] == "building" else [])
    if statuses[-1] is Status.CONFIRMED:
        assert statuses[-2] is Status.SUBMITTED
        assert events[-1]["txHash"] == events[-2]["txHash"]
    else:
        assert events[-1]["reason"]
        assert events[-1]["detail"]


async def check_answers(calls: Http, url: str, seen: dict[str, list[Event]], address: Address) -> None:
    """Postgres, the documented lookup and HTTP return the same as the sockets received."""
    newest = rows(address, DOCUMENTED)
    listed = (await calls.get(f"{url}/api/orders?limit=10")).body["orders"]
    assert isinstance(listed, list)
    assert len(newest) == 10
    for row, order in zip(newest, listed, strict=True):
        last = seen[str(row["id"])][-1]
        assert (
            (str(row["id"]), row["status"]) == (order["orderId"], order["status"]) == (last["orderId"], last["status"])
        )
        assert (row["side"], row["venue"], row["tx_hash"]) == (order["side"], order["venue"], order["txHash"])
        assert row["failure_reason"] == order["failureReason"]
        assert row["failure_reason"] == (None if last["status"] == "confirmed" else last["reason"])
        answer = await calls.get(f"{url}/api/orders/{row['id']}")
        assert answer.body["events"] == seen[str(row["id"])]
        attempts = answer.body["attempts"]
        assert isinstance(attempts, list)
        assert Counter(attempt["outcome"] for attempt in attempts)["landed"] == (last["status"] == "confirmed")


async def test_orders_per_minute_holds_for_two_workers_together(
    launcher: Launcher, servers: Servers, database_address: Address, redis_prefix: str
) -> None:
    limit, posted = 12, 60
    api = launcher.start("api")
    workers = [launcher.start("worker", DEXEXEC_ORDERS_PER_MINUTE=str(limit)) for _ in range(2)]
    await asyncio.to_thread(lambda: [worker.logged("worker started") for worker in workers])

    def started(count: int) -> bool:
        return posted - unstarted(database_address) >= count

    async with http() as calls, asyncio.timeout(50):
        order_ids = await asyncio.gather(*(calls.accepted(api.url) for _ in range(posted)))
        await until(lambda: started(limit), pause=POLL)
        await holds(lambda: started(limit + 1), seconds=2.0)
        with redis.Redis.from_url(servers.redis_url) as client:  # the minute passes
            [window] = client.keys(f"{{{redis_prefix}}}:rate:*")
            assert 0 < client.pttl(window) <= 60_000
            client.delete(window)
        await until(lambda: started(2 * limit), pause=POLL)
        await holds(lambda: started(2 * limit + 1), seconds=2.0)
    taken = rows(database_address, "SELECT id FROM orders WHERE version > 1")
    assert {str(row["id"]) for row in taken} <= set(order_ids)
    assert all(worker.running for worker in workers)


def unstarted(address: Address) -> int:
    return int(str(rows(address, "SELECT count(*) AS n FROM orders WHERE version = 1")[0]["n"]))


async def holds(broken: Callable[[], bool], seconds: float) -> None:
    """Fails when `broken` turns true within this time."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        assert not broken()
        await asyncio.sleep(POLL)


async def test_a_full_queue_refuses_what_it_does_not_keep_and_takes_orders_again_later(
    launcher: Launcher, database_address: Address
) -> None:
    api = launcher.start("api", DEXEXEC_MAX_QUEUE="30")
    url = await asyncio.to_thread(lambda: api.url)
    async with http() as calls, asyncio.timeout(50):
        answers = await asyncio.gather(*(calls.order(url) for _ in range(50)))
        kept = [str(answer.body["orderId"]) for answer in answers if answer.status == 202]
        refused = [answer for answer in answers if answer.status != 202]
        assert len(kept) == 30
        for answer in refused:
            assert (answer.status, answer.body["type"]) == (503, "/problems/queue-full")
            assert int(answer.headers["Retry-After"]) >= 1
        ready = await calls.get(f"{url}/readyz")
        assert (ready.status, ready.body["missing"]) == (503, ["worker"])
        launcher.start("worker")
        await Watch(lambda: url).also(kept).run()
        assert unfinished(database_address) == 0
        kept.append(await calls.accepted(url))
        await Watch(lambda: url).also(kept[-1:]).run()
    check_promises(database_address, kept)


async def test_a_client_that_posts_too_many_orders_gets_a_retry_after(
    launcher: Launcher, database_address: Address
) -> None:
    limited = {"DEXEXEC_CLIENT_ORDERS_PER_MINUTE": "10", "DEXEXEC_TRUST_PROXY": "true", "DEXEXEC_REQUIRE_KEYS": "0"}
    apis = [launcher.start("api", **limited) for _ in range(2)]
    urls = await asyncio.to_thread(lambda: [api.url for api in apis])
    async with http() as calls, asyncio.timeout(50):
        answers = await asyncio.gather(*(calls.order(urls[n % 2]) for n in range(25)))
        assert Counter(answer.status for answer in answers) == {202: 10, 429: 15}
        for answer in answers:
            if answer.status == 429:
                assert answer.body["type"] == "/problems/too-many-orders"
                assert 1 <= int(answer.headers["Retry-After"]) <= 60
        other = await calls.order(urls[0], **{"X-Forwarded-For": "203.0.113.9"})
        assert other.status == 202, "another client is not refused"
    assert len(rows(database_address, "SELECT id FROM orders")) == 11
