"""Statistics over HTTP."""

import json

import pytest

from tests.support.running_api import document, running_service


@pytest.mark.parametrize(("query", "seconds"), [("", 10), ("?minutes=1", 1), ("?minutes=60", 40)])
async def test_buckets_fit_into_a_chart(query: str, seconds: int) -> None:
    async with running_service() as service:
        answer = await service.ask("GET", f"/api/stats{query}")
        found = json.loads(answer.body)
        assert (answer.code, found["bucketSeconds"], found["truncated"]) == (200, seconds, False)
        assert found["since"] < found["until"]


@pytest.mark.parametrize("query", ["minutes=0", "minutes=61", "minutes=1.5", "minutes=", "hours=1"])
async def test_a_bad_parameter_is_named(query: str) -> None:
    async with running_service() as service:
        found = document(await service.ask("GET", f"/api/stats?{query}"), 400, "invalid-query")
        assert [error["field"] for error in found["errors"]] == [query.partition("=")[0]]
