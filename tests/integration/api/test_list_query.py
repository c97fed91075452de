"""`GET /api/orders` with its filters on a real server: how a query is read, and what is answered."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from dexexec.clock import SystemClock
from dexexec.domain.api_key import Scope
from dexexec.domain.cancellation import Pair
from dexexec.domain.order_filter import ALL_ORDERS, OrderFilter, OrderTotals
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.domain.token import USDC, WSOL
from tests.support.fakes.keys import MemoryKeys
from tests.support.running_api import document, running_service

DAY = datetime(2026, 1, 31, tzinfo=UTC)
ID = "01a20375-9296-7c99-b5c0-eef1ea8717b4"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ALL_ORDERS),
        ("status=failed", OrderFilter(statuses=frozenset({Status.FAILED}))),
        ("status=failed,expired", OrderFilter(statuses=frozenset({Status.FAILED, Status.EXPIRED}))),
        ("from=2026-01-31", OrderFilter(since=DAY)),
        ("to=2026-01-31T01:00:00%2B01:00", OrderFilter(until=DAY)),
        ("pair=SOL/USDC", OrderFilter(pair=Pair(WSOL, USDC))),
        (f"inputMint={USDC}&outputMint={WSOL}", OrderFilter(pair=Pair(USDC, WSOL))),
        ("venue=mock-raydium", OrderFilter(venue="mock-raydium")),
        ("reason=no-route", OrderFilter(reason="no-route")),
        ("type=limit", OrderFilter(type=OrderType.LIMIT)),
        ("dryRun=true", OrderFilter(dry_run=True)),
        ("dryRun=false", OrderFilter(dry_run=False)),
        ("tag=grid", OrderFilter(tag="grid")),
        (f"parent={ID}", OrderFilter(parent=UUID(ID))),
        ("ocoGroup=bracket:7", OrderFilter(oco_group="bracket:7")),
        ("wallet=desk-2", OrderFilter(wallet="desk-2")),
        ("key=bot", OrderFilter(owners=(3, 9))),
        ("tag=grid&status=waiting", OrderFilter(tag="grid", statuses=frozenset({Status.WAITING}))),
    ],
)
async def test_a_query_is_the_filter_of_the_list_and_of_its_totals(query: str, wanted: OrderFilter) -> None:
    async with running_service() as service:
        service.store.owners = {"bot": [3, 9]}
        service.store.totals = OrderTotals(by_status={Status.CONFIRMED: 10_000}, at_least=True)
        page = json.loads((await service.ask("GET", f"/api/orders?{query}&totals=true")).body)
        assert page["totals"] == {"orders": 10_000, "byStatus": {"confirmed": 10_000}, "atLeast": True}
        assert service.store.filters == [wanted, wanted]
        assert set(json.loads((await service.ask("GET", f"/api/orders?{query}")).body)) == {"orders", "next"}


EXPECTED_TIME = "a UTC day such as 2026-01-31, or a time with a zone such as 2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("query", "field", "wrong"),
    [
        ("status=failed,done", "status", "is not a status"),
        ("status=", "status", "is not a status"),
        ("from=yesterday", "from", "is not a day or a time with a zone"),
        ("from=2026-02-30", "from", "is not a day or a time with a zone"),
        ("to=2026-01-31T12:00:00", "to", "is not a day or a time with a zone"),
        ("from=2026-02-01&to=2026-02-01", "to", "is not after from"),
        ("pair=SOL", "pair", "is not a pair"),
        ("pair=SOL/NOPE", "pair", "has a token that is not known: NOPE"),
        (f"inputMint={USDC}", "outputMint", "is missing beside inputMint"),
        (f"outputMint={USDC}", "inputMint", "is missing beside outputMint"),
        (f"pair=SOL/USDC&inputMint={USDC}", "inputMint", "is given beside pair"),
        (f"inputMint=SOL&outputMint={USDC}", "inputMint", "is not a mint"),
        ("venue=", "venue", "is not the name of a venue"),
        ("venue=a%20b", "venue", "is not the name of a venue"),
        ("reason=No%20route", "reason", "is not a failureReason"),
        ("type=stop", "type", "is not a kind of order"),
        ("dryRun=yes", "dryRun", "is not a boolean"),
        ("tag=" + "x" * 65, "tag", "is not a tag"),
        ("parent=7", "parent", "is not an order's id"),
        ("ocoGroup=%00", "ocoGroup", "is not the name of a group"),
        ("wallet=../x", "wallet", "is not the name of a wallet"),
        ("key=nobody", "key", "is not the name of a key"),
        ("key=%00", "key", "is not the name of a key"),
        ("totals=1", "totals", "is not a boolean"),
        ("fields=", "fields", "has no field of this answer: "),
        ("fields=orderId,nope", "fields", "has no field of this answer: nope"),
        ("fields=events", "fields", "has no field of this answer: events"),
        ("tag=a&tag=b", "tag", "is given more than once"),
        ("until=2026-01-31", "until", "is not a parameter of this list"),
    ],
)
async def test_a_bad_filter_is_named_and_nothing_is_read(query: str, field: str, wrong: str) -> None:
    async with running_service() as service:
        found = document(await service.ask("GET", f"/api/orders?{query}"), 400, "invalid-query")
        assert field in [error["field"] for error in found["errors"]]
        [error] = [one for one in found["errors"] if one["field"] == field]
        assert error["problem"] == wrong
        assert error["expected"]
        assert service.store.listed == 0


async def test_every_bad_parameter_is_named_at_once() -> None:
    async with running_service() as service:
        answer = await service.ask("GET", "/api/orders?type=x&tag=%20&limit=0&nope=1")
        found = document(answer, 400, "invalid-query")
        assert {error["field"] for error in found["errors"]} == {"type", "tag", "limit", "nope"}


async def test_the_next_page_keeps_the_filter() -> None:
    async with running_service() as service:
        for _ in range(3):
            await service.post()
        given = f"status=pending&limit=2&pair=SOL/USDC&fields=orderId&from=2026-01-01T00:00:00%2B00:00&parent={ID}"
        answer = await service.ask("GET", f"/api/orders?{given}")
        link = answer.headers["Link"].partition(">")[0].removeprefix("<")
        cursor = {"cursor": [json.loads(answer.body)["next"]]}
        assert parse_qs(urlsplit(link).query) == {**parse_qs(given), **cursor}
        again: Any = json.loads((await service.ask("GET", link)).body)
        assert (len(again["orders"]), again["next"]) == (1, None)


async def test_fields_choose_what_an_order_has() -> None:
    async with running_service() as service:
        location = (await service.post()).headers["Location"]
        whole = await service.ask("GET", location)
        assert {"orderId", "seq", "waitingFor", "events"} < set(json.loads(whole.body))
        part = await service.ask("GET", f"{location}?fields=seq,waitingFor,children")
        assert json.loads(part.body) == {"seq": 1, "waitingFor": None}, "one that the order has not is absent"
        assert part.headers["ETag"] != whole.headers["ETag"]
        tag = {"If-None-Match": part.headers["ETag"]}
        assert (await service.ask("GET", f"{location}?fields=seq,waitingFor,children", headers=tag)).code == 304
        found = document(await service.ask("GET", f"{location}?fields=seq,sequence"), 400, "invalid-query")
        assert found["errors"][0]["problem"] == "has no field of this answer: sequence"
        found = document(await service.ask("GET", f"{location}?field=seq"), 400, "invalid-query")
        assert found["errors"][0]["expected"] == "did you mean fields?"


async def test_promise_18_a_list_shows_one_s_own_orders_and_only_an_admin_names_a_key() -> None:
    keys = MemoryKeys(SystemClock())
    async with running_service(keys=keys) as service:
        service.store.owners = {"own": [1], "other": [2]}
        own, _, admin = keys.create("own"), keys.create("other"), keys.create("admin", Scope.ADMIN)
        for query, token, owners in (
            ("", own, (1,)),
            ("", admin, ()),
            ("?key=other", admin, (2,)),
            ("?key=own&totals=true", admin, (1,)),
        ):
            service.store.filters.clear()
            answer = await service.ask("GET", f"/api/orders{query}", None, {"Authorization": f"Bearer {token}"})
            assert answer.code == 200
            assert {wanted.owners for wanted in service.store.filters} == {owners}
        for name in ("own", "other", "none"):
            answer = await service.ask("GET", f"/api/orders?key={name}", None, {"Authorization": f"Bearer {own}"})
            document(answer, 403, "scope-missing")
