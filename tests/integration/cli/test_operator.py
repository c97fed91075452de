"""The operator's commands on a real Postgres: the list, retry, release, dead letters, workers; and the venues of a
running service."""

import io
import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from dexexec.bootstrap.servers import Servers
from dexexec.cli import operator, orders
from dexexec.cli.main import parser
from dexexec.config.settings import Settings
from dexexec.domain.status import Status
from dexexec.errors import StartupError
from dexexec.store import Address
from tests.support.aged_orders import ArchiveSetup, open_retention
from tests.support.parts import open_store, running
from tests.support.prepared_orders import claimed_by, one_order, step, submitted
from tests.support.scripted_workers import ALIVE, LANDED, OpenScriptedWorkers

SETTINGS = Settings(_env_file=None)
CRASHED = "UPDATE orders SET claims = 40, due_at = clock_timestamp() + interval '1 h' WHERE id = %s"
POISONED = {"reason": "poisoned", "detail": "given up: 5 times in a row the worker crashed"}


async def command(address: Address, *arguments: str) -> tuple[int, str]:
    """Its exit code, and what it prints, as a person runs it."""
    options = parser().parse_args(arguments)
    out = io.StringIO()
    servers = Servers(address, "", ())
    if options.command == "workers":
        return await operator.list_workers(options, servers, out), out.getvalue()
    return await orders.run(options, servers, SETTINGS.token_list(), out), out.getvalue()


async def as_json(address: Address, *arguments: str, code: int = 0) -> Any:
    exit_code, text = await command(address, *arguments, "--json")
    assert exit_code == code
    return json.loads(text)


def ids(listed: Sequence[dict[str, Any]]) -> list[str]:
    return [one["orderId"] for one in listed]


async def test_orders_are_listed_with_filters_as_a_table_and_as_json(database_address: Address) -> None:
    async with open_store(database_address) as store:
        setup = ArchiveSetup(database_address, store)
        archived = await setup.failed(3)
        async with open_retention(database_address) as archiver:
            await archiver.round()
        sent = (await setup.submitted()).order.id
        new = await one_order(store)
        wanted = [str(one) for one in (new, sent, archived)]
        listed = await as_json(database_address, "orders")
        assert listed == {"orders": listed["orders"]}
        assert ids(listed["orders"]) == wanted
        assert "_cursor" not in listed["orders"][0]
        assert ids((await as_json(database_address, "orders", "--limit", "2"))["orders"]) == wanted[:2]
        failed = await as_json(database_address, "orders", "--status", "failed,expired", "--totals")
        assert ids(failed["orders"]) == [str(archived)]
        assert failed["totals"] == {"orders": 1, "byStatus": {"failed": 1}, "atLeast": False}
        assert ids((await as_json(database_address, "orders", "--reason", "no-route"))["orders"]) == [str(archived)]
        assert ids((await as_json(database_address, "orders", "--dry-run", "true"))["orders"]) == []
        code, text = await command(database_address, "orders", "--totals")
        lines = text.splitlines()
        assert (code, lines[0].split()[:3]) == (0, ["CREATED", "ORDER", "TYPE"])
        assert [line.split()[2] for line in lines[1:4]] == wanted
        assert "SOL/USDC" in lines[1]
        assert lines[-1] == "3 in all: 1 pending, 1 submitted, 1 failed"
        assert await command(database_address, "orders", "--tag", "none") == (0, "no order\n")
        for wrong, words in (
            (("--status", "done"), r"--status is not a status: it must be one of pending"),
            (("--pair", "SOL"), r"--pair is not a pair"),
            (("--dry-run", "perhaps"), r"--dry-run is not a boolean"),
            (("--key", "nobody"), r"no key has this name"),
        ):
            with pytest.raises(StartupError, match=words):
                await command(database_address, "orders", *wrong)


async def test_a_released_order_is_taken_up_again_and_its_former_worker_writes_nothing_more(
    scripted_workers: OpenScriptedWorkers, database_address: Address
) -> None:
    async with scripted_workers() as b:
        order_id = await b.post()
        hanging = await b.store.begin("hanging", 20)
        claimed = await claimed_by(b.store, hanging, order_id)
        await submitted(b.store, claimed, "the only attempt")
        [worker] = (await as_json(database_address, "workers"))["workers"]
        assert (worker["name"], worker["alive"], worker["orders"], worker["trouble"]) == ("hanging", True, 1, None)
        assert worker["oldestOrderAt"] is not None

        code, text = await command(database_address, "release", str(order_id))
        assert (code, text) == (0, f"{order_id}  released from hanging\n")
        ended = (Status.FAILED, {"reason": "no-route"})
        assert await b.store.advance(step(claimed, 4, ended, final=True, reason="no-route")) is None, "fenced off"
        answer = await as_json(database_address, "release", str(order_id), code=1)
        why = "no worker holds it: it is submitted"
        assert answer == {"released": [], "notReleased": [{"orderId": str(order_id), "reason": why}]}
        [worker] = (await as_json(database_address, "workers"))["workers"]
        assert worker["orders"] == 0

        await hanging.end()


async def test_an_order_that_is_released_from_a_running_worker_is_not_signed_again(
    scripted_workers: OpenScriptedWorkers, database_address: Address
) -> None:
    async with scripted_workers() as b:
        b.chain.statuses = [ALIVE]
        order_id = await b.post()
        async with running(b.worker().run(), b.sweeper().run()):
            await b.reached(order_id, Status.SUBMITTED)
            assert (await command(database_address, "release", str(order_id)))[0] == 0
            b.chain.statuses = [LANDED]
            events = await b.ended(order_id)
        assert [event.status for event in events].count(Status.SUBMITTED) == 1
        assert events[-1].status is Status.CONFIRMED
        answer = await as_json(database_address, "release", str(order_id), str(uuid4()), code=1)
        assert {one["reason"] for one in answer["notReleased"]} == {"it does not exist, or has ended"}


async def test_dead_letters_are_those_that_were_given_up_set_aside_or_crash_now(
    scripted_workers: OpenScriptedWorkers, database_address: Address
) -> None:
    async with scripted_workers() as b:
        assert await command(database_address, "dead-letters") == (0, "no order was given up\n")
        setup = ArchiveSetup(database_address, b.store)
        poisoned = []
        for _ in range(2):
            claimed = await setup.claimed()
            await setup.write(claimed, 1, (Status.FAILED, POISONED), final=True, reason="poisoned")
            poisoned.append(claimed.order.id)
        setup.age(2, poisoned[0])
        async with open_retention(database_address) as archiver:
            await archiver.round()
        b.chain.statuses = [ALIVE]
        aside, crashing, well = [await b.post() for _ in range(3)]
        async with running(b.worker().run()):
            for order_id in (aside, crashing, well):
                await b.reached(order_id, Status.SUBMITTED)
        setup.sql("UPDATE orders SET set_aside_at = clock_timestamp() WHERE id = %s", aside)
        setup.sql(CRASHED, crashing)
        letters = (await as_json(database_address, "dead-letters"))["orders"]
        states = {one["orderId"]: one["state"] for one in letters}
        assert states == {
            **{str(one): "poisoned" for one in poisoned},
            str(aside): "set-aside",
            str(crashing): "crashing",
        }
        by_id = {one["orderId"]: one for one in letters}
        for one in poisoned:
            assert by_id[str(one)]["lastCrash"]["detail"] == POISONED["detail"]
        assert by_id[str(crashing)]["crashes"] == 40
        assert by_id[str(crashing)]["lastCrash"]["detail"].startswith("after event 4 (submitted)")
        assert len((await command(database_address, "dead-letters", "--limit", "1"))[1].splitlines()) == 2

        stuck = (await as_json(database_address, "orders", "stuck", code=1))["orders"]
        assert set(ids(stuck)) == {str(aside), str(crashing)}
        assert await as_json(database_address, "retry", str(aside)) == {"retried": [str(aside)], "notRetried": []}
        again = await as_json(database_address, "orders", "retry", "--all")
        assert again == {"retried": [str(crashing)], "notRetried": []}
        other = await as_json(database_address, "retry", str(poisoned[1]), code=1)
        assert other == {"retried": [], "notRetried": [str(poisoned[1])]}


async def test_workers_show_who_is_gone_and_who_is_in_trouble(database_address: Address) -> None:
    async with open_store(database_address) as store:
        assert await command(database_address, "workers") == (1, "no worker is registered\n")
        troubled = await store.begin("troubled", 20)
        assert await troubled.renew("no node answers")
        setup = ArchiveSetup(database_address, store)
        gone = "INSERT INTO workers (name, lease_until) VALUES ('gone', clock_timestamp() + interval '20 s')"
        setup.sql(gone)
        code, text = await command(database_address, "workers")
        assert code == 1, "none of them can execute orders"
        rows = {line.split()[1]: line for line in text.splitlines()[1:]}
        assert "alive" in rows["troubled"]
        assert "no node answers" in rows["troubled"]
        assert "dead" in rows["gone"], "its lease goes on, and its session has ended"
        assert await troubled.renew()
        assert (await command(database_address, "workers"))[0] == 0
        await troubled.end()


def test_every_filter_of_the_list_is_an_option() -> None:
    from dexexec.api.list_query import PARAMETERS  # noqa: PLC0415
    from dexexec.cli.order_list import FILTERS  # noqa: PLC0415

    paging = {"limit", "cursor", "totals", "fields"}
    both_mints = {"inputMint", "outputMint"}
    assert {parameter.name for parameter in PARAMETERS} - paging - both_mints == set(FILTERS)
