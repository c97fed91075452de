"""The Python client against the real service: every method, a service that is killed while it follows, the examples."""

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from dexexec.client import (
    AsyncClient,
    Client,
    Event,
    Filters,
    LimitOrder,
    MarketOrder,
    OrderEndedError,
    ProblemError,
    Status,
    StreamError,
)
from dexexec.client.problems import (
    IdempotencyKeyReusedError,
    InvalidOrderError,
    NotRestingError,
    OrderNotFoundError,
    PositionUnknownError,
    TooLateError,
    VersionMismatchError,
)
from dexexec.client.webhook_problems import (
    InvalidWebhookError,
    WebhookDisabledError,
    WebhookNameTakenError,
    WebhookNotFoundError,
)
from dexexec.store import Address
from tests.conftest import Servers
from tests.support.databases import new_database
from tests.support.ports import free_port
from tests.support.service.client import Event as RawEvent
from tests.support.service.process import OURS, QUICK, Launcher, Process, say, servers_at
from tests.support.service.promise_checks import agree, check_promises

ROOT = Path(__file__).parents[2]
NOBODY = "01234567-89ab-7def-8123-456789abcdef"
FAR = "900"
"""A limit price that no mock reaches."""
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "CLIENT.md").read_text(), re.MULTILINE | re.DOTALL)
DEFAULT_URL = "http://127.0.0.1:3000"


@pytest.fixture(scope="module")
def service(servers: Servers) -> Iterator[Process]:
    """One service for all tests of this file but the one that kills it."""
    with new_database(servers.postgres) as address:
        settings = servers_at(address, servers.redis_url, f"client{os.getpid()}")
        with Launcher(**settings, **QUICK) as launcher:
            process = launcher.start()
            process.ready()
            yield process


async def test_an_order_is_placed_followed_read_and_explained(service: Process) -> None:
    async with AsyncClient(service.url) as client:
        placed = await client.place(MarketOrder("buy", Decimal("0.01"), tag="first"))
        assert not placed.replayed
        events = [event async for event in client.events(placed.order_id)]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert [event.final for event in events] == [False] * (len(events) - 1) + [True]
        assert events[-1].status == Status.CONFIRMED
        order = await client.get(placed.order_id)
        assert order.events == events
        assert (order.amount_in, order.tag, order.dry_run) == (10_000_000, "first", False)
        assert "Swapped 0.01 SOL" in (await client.explain(placed.order_id)).summary
        assert [event.seq async for event in client.events(placed.order_id, after_seq=2)] == [
            event.seq for event in events[2:]
        ]


async def test_waiting_ends_with_the_order_or_with_a_status(service: Process) -> None:
    async with AsyncClient(service.url) as client:
        order_id = (await client.place(MarketOrder("buy", "0.01"))).order_id
        final = await client.wait(order_id)
        assert (final.status, final.final) == ("confirmed", True)
        assert await client.wait(order_id, after_seq=final.seq) == final, "it had ended before"
        assert (await client.wait(order_id, {"submitted", "building"})).status == "building"
        with pytest.raises(OrderEndedError, match="it is confirmed") as caught:
            await client.wait(order_id, "cancelled")
        assert caught.value.event == final


async def test_a_key_stands_for_one_order_and_one_body(service: Process) -> None:
    async with AsyncClient(service.url) as client:
        first = await client.place(MarketOrder("buy", "0.01"), key="the same")
        again = await client.place(MarketOrder("buy", Decimal("0.010")), key="the same")
        assert (again.order_id, again.replayed) == (first.order_id, True)
        with pytest.raises(IdempotencyKeyReusedError):
            await client.place(MarketOrder("buy", "0.02"), key="the same")


async def test_an_order_that_rests_is_changed_and_cancelled(service: Process) -> None:
    async with AsyncClient(service.url) as client:
        order_id = (await client.place(LimitOrder("buy", "0.5", limit_price=FAR))).order_id
        resting = await client.wait(order_id, Status.WAITING)
        changed = await client.amend(order_id, version=resting.seq, limit_price=Decimal("950.5"))
        assert changed.changed["limitPrice"] == {"from": "900", "to": "950.5"}
        with pytest.raises(VersionMismatchError) as mismatch:
            await client.amend(order_id, version=resting.seq, amount="1")
        assert mismatch.value.about["seq"] == changed.seq
        cancelled = await client.cancel(order_id)
        assert not cancelled.replayed
        assert (await client.cancel(order_id)).replayed
        with pytest.raises(NotRestingError):
            await client.amend(order_id, version=None, amount="1")
        ended = (await client.place(MarketOrder("buy", "0.01"))).order_id
        await client.wait(ended)
        with pytest.raises(TooLateError) as late:
            await client.cancel(ended)
        assert late.value.about["orderStatus"] == "confirmed"


async def test_orders_are_listed_page_by_page_and_cancelled_together(service: Process) -> None:
    async with AsyncClient(service.url) as client:
        placed = [await client.place(LimitOrder("buy", "0.5", limit_price=FAR, tag="paged")) for _ in range(5)]
        ids = [one.order_id for one in placed]
        for order_id in ids:
            await client.wait(order_id, Status.WAITING)
        listed = [
            order.order_id async for order in client.list_all(Filters(status=Status.WAITING, tag="paged"), page_size=2)
        ]
        assert listed == ids[::-1]
        assert (await client.cancel_all("waiting", tag="paged")).cancelled == 5
        ended = Filters(status=["cancelled", "failed"], type="limit", dry_run=False, tag="paged", pair="SOL/USDC")
        page = await client.list(ended, limit=1, totals=True)
        assert (len(page.orders), page.orders[0].status) == (1, "cancelled")
        totals = page.data["totals"]
        assert isinstance(totals, dict)
        assert totals["orders"] == 5
        assert (await client.list(Filters(since="2100-01-01"))).orders == []


async def test_quotes_costs_and_venues_are_exact(service: Process) -> None:
    async with AsyncClient(service.url) as client:
        small, large = await client.quote(["1", Decimal(10)], side="sell", slippage_bps=10)
        assert (small.amount, small.amount_base, large.amount_base) == (Decimal(1), 1_000_000, 10_000_000)
        best = small.venues[0]
        assert best.venue == small.best
        assert best.amount_out is not None
        assert best.net is not None
        assert best.net < best.amount_out
        costs = await client.costs(group_by=["venue", "tag"], since="2026-01-01")
        assert sum(int(str(group["swaps"])) for group in costs.groups) == costs.total["swaps"]
        assert {venue.venue: venue.breaker for venue in await client.venues()} == {
            "mock-raydium": "closed",
            "mock-meteora": "closed",
        }
        assert (await client.ready())["missing"] == []


async def test_an_order_is_checked_and_the_service_shows_its_state(service: Process) -> None:
    async with AsyncClient(service.url) as client:
        before = (await client.list(limit=1)).orders
        good = await client.check(MarketOrder("buy", "0.01"))
        assert (good.ok, good.refusal) == (True, None)
        assert good.order is not None
        bad = await client.check({"side": "hold", "amount": "-1"})
        assert isinstance(bad.refusal, InvalidOrderError)
        assert [field.field for field in bad.refusal.fields] == ["side", "amount"]
        assert (await client.list(limit=1)).orders == before, "nothing is stored"
        await client.wait((await client.place(MarketOrder("buy", "0.01"))).order_id)
        overview = await client.overview()
        assert (overview.network["kind"], overview.keys_required) == ("simulated", False)
        assert overview.queue is not None
        assert [worker["alive"] for worker in overview.workers] == [True]
        stats = await client.stats(minutes=60)
        assert not stats.truncated
        assert sum(bucket.confirmed for bucket in stats.buckets) >= 1
        with pytest.raises(ProblemError, match="minutes"):
            await client.stats(minutes=61)


async def test_a_webhook_is_made_tested_changed_and_removed(service: Process) -> None:
    async with AsyncClient(service.url) as client:
        # A name that never resolves: what is sent fails.
        made = await client.webhooks.add("books", "https://hooks.invalid/secret", statuses=[Status.CONFIRMED])
        assert made.secret is not None
        assert "secret" not in repr(made)
        with pytest.raises(WebhookNameTakenError):
            await client.webhooks.add("books", "https://hooks.invalid/")
        with pytest.raises(InvalidWebhookError) as caught:
            await client.webhooks.add("Books", "ftp://hooks.invalid/")
        assert [field.field for field in caught.value.fields] == ["name", "url"]
        rotated = await client.webhooks.rotate(made.id, keep=timedelta(minutes=1))
        assert rotated.secret not in {None, made.secret}
        test = await client.webhooks.test(made.id)
        assert (test.type, test.order_id) == ("webhook.test", None)
        order_id = (await client.place(MarketOrder("buy", "0.01"))).order_id
        final = await client.wait(order_id)
        assert await client.webhooks.replay_order(made.id, order_id, from_seq=final.seq) <= 1
        page = await client.webhooks.deliveries(made.id, limit=1)
        assert (len(page.deliveries), page.next is not None) == (1, True)
        [older] = (await client.webhooks.deliveries(made.id, limit=1, before=page.next)).deliveries
        assert older.id < page.deliveries[0].id
        assert await client.webhooks.resend(made.id, [10**9]) == 0
        with pytest.raises(PositionUnknownError):
            await client.webhooks.replay_after(made.id, "1-0123456789abcdef")
        disabled = await client.webhooks.change(made.id, enabled=False)
        assert (disabled.enabled, disabled.disabled_why) == (False, "its owner disabled it")
        with pytest.raises(WebhookDisabledError):
            await client.webhooks.test(made.id)
        assert [each.id for each in await client.webhooks.list()] == [made.id]
        assert (await client.webhooks.get(made.id)).statuses == ["confirmed"]
        await client.webhooks.remove(made.id)
        with pytest.raises(WebhookNotFoundError):
            await client.webhooks.get(made.id)


def test_the_blocking_client_has_webhooks_too(service: Process) -> None:
    with Client(service.url) as client:
        made = client.webhooks.add("blocking", "https://hooks.invalid/", statuses=["failed"])
        assert client.webhooks.rotate(made.id).secret != made.secret
        client.webhooks.test(made.id)
        assert client.webhooks.deliveries(made.id).deliveries[0].type == "webhook.test"
        order_id = client.place(MarketOrder("buy", "0.01")).order_id
        assert client.webhooks.replay_order(made.id, order_id) >= 1
        client.webhooks.replay_after(made.id, "start")
        assert client.webhooks.resend(made.id, [10**9]) == 0
        assert not client.webhooks.change(made.id, enabled=False).enabled
        assert client.webhooks.list() == [client.webhooks.get(made.id)]
        client.webhooks.remove(made.id)
        assert client.check(MarketOrder("buy", "0.01")).ok
        assert client.overview().version
        assert client.stats().bucket_seconds > 0


async def test_refusals_name_every_field(service: Process) -> None:
    async with AsyncClient(service.url) as client:
        with pytest.raises(InvalidOrderError) as caught:
            await client.place({"side": "hold", "amount": "-1", "slipage": 3})
        assert [field.field for field in caught.value.fields] == ["slipage", "side", "amount"]
        with pytest.raises(OrderNotFoundError):
            await client.get(NOBODY)
        with pytest.raises(ProblemError, match="limit"):
            await client.list(limit=1_000)


async def test_one_bad_order_does_not_end_a_stream_of_many(service: Process) -> None:
    async with AsyncClient(service.url) as client:
        good = (await client.place(MarketOrder("buy", "0.01"))).order_id
        await client.wait(good)
        refused: list[ProblemError | StreamError] = []
        seen: list[Event] = []
        async with client.events({NOBODY: 0, good: 0}) as events:
            events.follow((await client.place(MarketOrder("buy", "0.01"))).order_id.upper())
            while True:
                try:
                    seen.append(await anext(events))
                except OrderNotFoundError as error:
                    refused.append(error)
                except StopAsyncIteration:
                    break
        assert [error.order_id for error in refused] == [NOBODY]
        assert sum(event.final for event in seen) == 2
        with pytest.raises(StreamError, match="after-seq-ahead"):
            await client.wait(good, after_seq=99)


async def test_a_cancelled_step_of_the_iteration_loses_no_event(service: Process) -> None:
    async with AsyncClient(service.url) as client:
        order_id = (await client.place(LimitOrder("buy", "0.5", limit_price=FAR))).order_id
        seen: list[int] = []
        async with client.events(order_id) as events:
            for turn in range(2_000):
                step = asyncio.ensure_future(anext(events, None))
                await asyncio.sleep(0)
                step.cancel()
                found = (await asyncio.gather(step, return_exceptions=True))[0]
                if isinstance(found, Event):
                    seen.append(found.seq)
                if turn == 1_000:
                    await client.cancel(order_id)
                await asyncio.sleep(0.0005)
            async for event in events:
                seen.append(event.seq)
        assert seen == list(range(1, seen[-1] + 1))
        assert seen[-1] >= 3


async def test_a_client_that_stops_to_read_loses_nothing(service: Process) -> None:
    async with AsyncClient(service.url) as client:
        placed = [await client.place(MarketOrder("buy", "0.01")) for _ in range(40)]
        async with client.events([one.order_id for one in placed]) as events:
            first = await anext(events)
            await asyncio.gather(*(client.wait(one.order_id) for one in placed))
            seen = [first, *[event async for event in events]]
        for one in placed:
            seqs = [event.seq for event in seen if event.order_id == one.order_id]
            assert seqs == list(range(1, len(seqs) + 1))
        assert sum(event.final for event in seen) == 40


def test_the_blocking_client_serves_many_threads(service: Process) -> None:
    with Client(service.url) as client, ThreadPoolExecutor(8) as threads:
        placed = list(threads.map(lambda n: client.place(MarketOrder("buy", f"0.0{n + 1}")), range(8)))
        finals = list(threads.map(lambda one: client.wait(one.order_id), placed))
        assert {event.status for event in finals} == {"confirmed"}
        with client.events([one.order_id for one in placed]) as events:
            seen = [(event.order_id, event.seq) for event in events]
            assert len(set(seen)) == len(seen)
            assert dict(events.positions) == {event.order_id: event.seq for event in finals}
        assert [order.order_id for order in client.list(limit=8).orders]
    with pytest.raises(RuntimeError, match="closed"):
        client.venues()
    client.close()


def test_the_blocking_client_leaves_no_thread_and_works_within_a_running_loop(service: Process) -> None:
    """As in a notebook, whose cells run on a loop already."""

    async def cell() -> int:
        with Client(service.url) as client:
            return len(client.venues())

    assert asyncio.run(cell()) == 2
    assert [thread.name for thread in threading.enumerate() if thread.name == "dexexec-client"] == []


def test_the_examples_of_the_document_run_as_they_are(service: Process, tmp_path: Path) -> None:
    assert len(EXAMPLES) >= 8
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    # One process for all of them, each in a namespace of its own: a start takes most of the time.
    program = "import json, sys\nfor text in json.load(sys.stdin):\n    print('-- next')\n    exec(text, {})\n"
    adapted = [example.replace("with Client()", f"with Client({service.url!r})") for example in EXAMPLES]
    adapted = [text.replace("AsyncClient()", f"AsyncClient({service.url!r})") for text in adapted]
    adapted = [text.replace(DEFAULT_URL, service.url).replace("dx_…", "dx_x") for text in adapted]
    assert all(service.url in text for text in adapted)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        input=json.dumps(adapted),
        capture_output=True,
        text=True,
        timeout=60,
        env=kept,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    printed = [part.strip() for part in done.stdout.split("-- next\n")[1:]]
    assert printed[0].startswith("confirmed 10000000 ")
    assert printed[4] == "True True"
    assert re.fullmatch(r"True [1-9]", printed[5])
    assert "amount" in printed[-1]


async def test_a_service_that_is_killed_and_started_again_costs_its_followers_no_event(
    launcher: Launcher, database_address: Address
) -> None:
    """kill -9 twice, while orders are placed and followed: every order once, and every event once and in order."""
    seed = random.randrange(2**32)
    say(f"seed {seed}")
    chance = random.Random(seed)
    port = str(free_port())
    slow = {"PORT": port, "DEXEXEC_MOCK_LATENCY_MS": "20", "DEXEXEC_MOCK_LANDING_MS": "300"}
    running = launcher.start(**slow)
    await asyncio.to_thread(running.ready)
    seen: dict[str, list[RawEvent]] = {}
    reasons: list[str] = []
    grown = asyncio.Condition()

    async with AsyncClient(f"http://127.0.0.1:{port}", timeout=60) as client, asyncio.timeout(50):

        async def trade(number: int) -> None:
            """Places one order after another, and follows each to its end."""
            for turn in range(4):
                placed = await client.place(MarketOrder("buy", f"0.0{number}1"), key=f"{number}-{turn}")
                events = seen.setdefault(placed.order_id, [])
                assert events == [], "another order has this id"
                async with client.events(placed.order_id, on_reconnect=reasons.append) as stream:
                    async for event in stream:
                        events.append(dict(event.data))
                        async with grown:
                            grown.notify_all()

        async with asyncio.TaskGroup() as group:
            for number in range(1, 6):
                group.create_task(trade(number))
            for least in (10, 30):
                async with grown:
                    await grown.wait_for(lambda: sum(map(len, seen.values())) >= least)  # noqa: B023
                await asyncio.sleep(chance.uniform(0, 0.2))
                running.kill()
                running = launcher.start(**slow)
                await asyncio.to_thread(running.ready)

    assert len(seen) == 20, "each key is one order"
    for events in seen.values():
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    say(f"{len(reasons)} sockets were cut while they followed an order")
    verdict = check_promises(database_address, list(seen))
    assert verdict.swaps == verdict.statuses["confirmed"]
    agree(seen, database_address)
