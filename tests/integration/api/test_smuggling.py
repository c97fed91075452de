"""One request in, one answer out: nginx and the service find the end of every request in the same place."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

from tests.support.nginx import PUBLIC_NAME, Nginx, needs_nginx, nginx
from tests.support.running_api import Service, running_service
from tests.support.smuggling import LAST, PAIRS, SMUGGLED, Answered, conversation

VICTIM = b"GET /healthz HTTP/1.1\r\nHost: dex.example\r\nX-Request-Id: victim-%d\r\n\r\n"


def seen(service: Service) -> list[str]:
    """The path of every request that the service answered, from its debug log; of unreadable ones an empty one."""
    return [
        str(call.kwargs.get("path", ""))
        for call in service.log.calls
        if call.args[0] in {"request served", "request refused"}
    ]


def of_service(answer: Answered) -> bool:
    """Whether the service gave an answer, and not nginx. HTTP/0.9 shows no headers, and 426 comes from the WebSocket,
    which Tornado's own handler replaces here."""
    return answer.status in {0, 426} or "X-Request-Id" in answer.headers


@asynccontextmanager
async def attacked() -> AsyncIterator[Service]:
    async with running_service(allowed_hosts=(PUBLIC_NAME,), trusted_proxies="127.0.0.1", log_level="debug") as service:
        yield service


async def check(service: Service, port: int, through: Callable[[Answered], bool]) -> dict[str, list[int]]:
    """Send every pair; the statuses of its answers. `through` is whether an answer is the service's own."""
    statuses = {}
    for number, (name, payload) in enumerate(PAIRS.items()):
        before = len(seen(service))
        answers = await conversation(port, payload + LAST)
        statuses[name] = [answer.status for answer in answers]
        new = seen(service)[before:]
        assert len(new) == sum(map(through, answers)), (name, statuses[name], new)
        assert not any("smuggled" in path for path in new), (name, new)
        assert 1 <= len(answers) <= 2, (name, statuses[name])
        # The next client gets its own answer, on a connection to the service that the proxy may have kept.
        victim = (VICTIM + LAST) % number
        mine, _ = await conversation(port, victim)
        assert (mine.status, mine.headers["X-Request-Id"]) == (200, f"victim-{number}"), name
    return statuses


async def test_without_a_proxy_every_request_has_one_answer() -> None:
    async with attacked() as service:
        statuses = await check(service, service.port, lambda _: True)
        for name in ("CL.TE", "TE.CL", "two lengths that differ", "two Hosts", "folded first", "bare carriage returns"):
            assert statuses[name] == [400], name


@needs_nginx
async def test_nginx_and_the_service_agree_on_every_request() -> None:
    async with attacked() as service:
        with ExitStack() as stack:
            url = f"http://127.0.0.1:{service.port}"
            proxy: Nginx = await asyncio.to_thread(stack.enter_context, nginx(url))
            port = int(proxy.url.rpartition(":")[2])
            await check(service, port, of_service)
            # Two requests of one client are two requests: what is above is no artefact of a proxy that closes early.
            [first, second, _] = await conversation(port, SMUGGLED + SMUGGLED + LAST)
            assert [first.status, second.status] == [404, 404]
            await asyncio.to_thread(proxy.stop)
