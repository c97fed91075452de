"""Limits of keys over HTTP and on sockets: what is refused, with which answer, and what a limit leaves alone."""

import json
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from dexexec.api.key_limits import KeyLimits
from dexexec.broker.rate_limiter import RateLimiter
from dexexec.broker.socket_leases import SocketLeases
from dexexec.clock import SystemClock
from dexexec.domain.policy import Policy
from dexexec.domain.terms import OrderType
from tests.support.fakes.keys import MemoryKeys
from tests.support.parts import open_redis
from tests.support.running_api import ORDER, document, running_service
from tests.support.streaming import memory_record, open_stream_setup
from tests.support.waiting import until


async def test_an_order_over_a_limit_is_refused_with_the_limit_and_what_was_given() -> None:
    keys = MemoryKeys(SystemClock())
    limited = keys.create("limited", policy=Policy(kinds=frozenset({OrderType.LIMIT}), max_slippage_bps=10))
    free = keys.create("free")
    async with running_service(keys=keys) as service:
        answer = await service.post({**ORDER, "slippageBps": 11}, Authorization=f"Bearer {limited}")
        found = document(answer, 403, "policy")
        assert (found["policy"], found["limit"], found["given"]) == ("kinds", "limit", "market")
        assert found["errors"] == [
            {"field": "type", "problem": "is market", "expected": "kinds: limit"},
            {"field": "slippageBps", "problem": "is 11", "expected": "maxSlippageBps: 10"},
        ]
        assert service.store.created == []
        assert (await service.post({**ORDER, "slippageBps": 11}, Authorization=f"Bearer {free}")).code == 202


async def test_a_default_that_is_over_a_limit_becomes_the_limit() -> None:
    keys = MemoryKeys(SystemClock())
    token = keys.create("limited", policy=Policy(max_slippage_bps=10, max_price_impact_bps=20))
    async with running_service(keys=keys) as service:
        assert (await service.post(Authorization=f"Bearer {token}")).code == 202
        [order] = service.store.created
        assert (order.slippage_bps, order.max_price_impact_bps) == (10, 20)


async def test_requests_are_counted_over_two_processes(redis_url: str, redis_prefix: str) -> None:
    keys, clock = MemoryKeys(SystemClock()), SystemClock()
    # Five in ten seconds and more: the test is over long before the window is.
    token, other = keys.create("slow", policy=Policy(requests_per_second=0.05)), keys.create("other")
    async with open_redis(redis_url) as client:
        windows = RateLimiter(client, redis_prefix, "process")
        limits = KeyLimits(windows, SocketLeases(client, redis_prefix, "process", clock), clock)
        async with running_service(keys=keys, limits=limits) as one, running_service(keys=keys, limits=limits) as two:
            authorized = {"Authorization": f"Bearer {token}"}
            assert (await one.ask("GET", "/healthz", headers=authorized)).code == 200
            refused = await two.ask("GET", "/healthz", headers=authorized)
            document(refused, 429, "too-many-requests")
            assert 1 <= int(refused.headers["Retry-After"]) <= 20
            assert (await two.ask("GET", "/healthz", headers={"Authorization": f"Bearer {other}"})).code == 200


async def test_no_more_sockets_than_allowed_whichever_way_the_key_is_sent(redis_url: str, redis_prefix: str) -> None:
    keys, clock = MemoryKeys(SystemClock()), SystemClock()
    token = keys.create("one", policy=Policy(sockets=1))
    async with (
        open_redis(redis_url) as client,
        memory_record() as record,
        open_stream_setup(
            record,
            redis_url,
            redis_prefix,
            keys=keys,
            limits=KeyLimits(
                RateLimiter(client, redis_prefix, "p"), SocketLeases(client, redis_prefix, "p", clock), clock
            ),
        ) as setup,
    ):
        first = await setup.api.connect(Authorization=f"Bearer {token}")
        with pytest.raises(HTTPClientError) as caught:
            await setup.api.connect(Authorization=f"Bearer {token}")
        assert caught.value.response is not None
        found = json.loads(caught.value.response.body)
        assert (caught.value.code, found["policy"], found["limit"]) == (403, "sockets", "1")
        late = await setup.api.connect()
        await late.say({"type": "auth", "token": token})
        refused: Any = await late.hear()
        assert refused["error"]["message"] == "over the key's policy: sockets is 1, given 2 at once"
        first.connection.close()

        async def connected() -> bool:
            try:
                await setup.api.connect(Authorization=f"Bearer {token}")
            except HTTPClientError:
                return False
            return True

        await until(connected, pause=0.02)
