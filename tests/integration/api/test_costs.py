"""`GET /api/costs` over HTTP: sums as they are stored, and refusals that name every bad parameter."""

import json
from datetime import UTC, datetime

import pytest

from dexexec.domain.cost import CostSum, MintSum
from dexexec.domain.token import USDC
from dexexec.store import CostQuery, CostReport, GroupBy
from tests.support.running_api import document, running_service

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
HUGE = 2**64


async def test_sums_arrive_with_every_digit() -> None:
    async with running_service() as service:
        total = CostSum(swaps=3, fees=HUGE, base_fees=HUGE, mints={USDC: MintSum(venue_fees=HUGE + 1, slippage=-7)})
        groups = [({GroupBy.VENUE: "pool", GroupBy.DAY: "2026-01-01"}, total)]
        service.store.cost_report = CostReport(
            until=JANUARY, more=True, groups=groups, total=total, groups_omitted=0, mints_omitted=False
        )
        answer = await service.ask("GET", "/api/costs?since=2025-12-31T23:00:00-01:00&groupBy=venue,day")
        assert answer.code == 200
        found = json.loads(answer.body)
        [group] = found["groups"]
        assert (group["venue"], group["day"], group["swaps"]) == ("pool", "2026-01-01", 3)
        assert (group["fees"], found["total"]["fees"]) == (str(HUGE), str(HUGE))
        assert group["mints"] == [{"mint": USDC, "venueFees": str(HUGE + 1), "slippage": "-7", "venueSlippage": "0"}]
        assert found["next"] == "2026-01-01T00:00:00.000000Z"
        assert service.store.cost_queries == [
            CostQuery(since=JANUARY, until=None, group_by=(GroupBy.VENUE, GroupBy.DAY))
        ]


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("since=yesterday", ["since"]),
        ("until=2026-01-01T00:00:00", ["until"]),
        ("since=2026-01-02&until=2026-01-01", ["until"]),
        ("groupBy=month", ["groupBy"]),
        ("groupBy=venue&groupBy=day", ["groupBy"]),
        ("by=venue&since=%FF&groupBy=", ["by", "since", "groupBy"]),
    ],
)
async def test_bad_parameters_are_400_and_each_is_named(query: str, fields: list[str]) -> None:
    async with running_service() as service:
        found = document(await service.ask("GET", f"/api/costs?{query}"), 400, "invalid-query")
        assert [error["field"] for error in found["errors"]] == fields
        assert all(error["expected"] for error in found["errors"])
        assert service.store.cost_queries == []


async def test_without_postgres_it_is_503() -> None:
    async with running_service() as service:
        service.store.switch.up = False
        document(await service.ask("GET", "/api/costs"), 503, "unavailable")
