"""What clients get while signing is halted: over HTTP, on their sockets and from the health check."""

import json
from datetime import UTC, datetime

from dexexec.api.caller import Caller
from dexexec.domain.api_key import Scope
from dexexec.domain.halt import EVERYBODY, Halt
from tests.support.halting import watched
from tests.support.running_api import ORDER, document, running_service
from tests.support.streaming import memory_record, open_stream_setup

SINCE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ALL = Halt(EVERYBODY, SINCE, "prices look wrong")
OWN = Halt(7, SINCE)


async def test_while_everybody_is_halted_a_new_order_is_refused_and_a_dry_run_is_taken() -> None:
    async with running_service(halts=await watched(ALL)) as service:
        answer = await service.post()
        found = document(answer, 503, "halted")
        assert found["detail"] == ALL.detail
        assert answer.headers["Retry-After"] == "5"
        assert service.store.created == []
        assert (await service.post({**ORDER, "dryRun": True})).code == 202


async def test_the_halt_of_another_key_refuses_nothing() -> None:
    async with running_service(halts=await watched(OWN)) as service:
        assert (await service.post()).code == 202


async def test_the_health_check_is_degraded_by_a_halt_and_still_200() -> None:
    async with running_service(halts=await watched(ALL)) as service:
        answer = await service.ask("GET", "/readyz")
        found = json.loads(answer.body)
        assert (answer.code, found["status"], found["missing"]) == (200, "degraded", [])
        assert found["causes"] == {"halted": ALL.detail}
    async with running_service(halts=await watched(OWN, Halt(8, SINCE))) as service:
        found = json.loads((await service.ask("GET", "/readyz")).body)
        assert found["causes"] == {"halted": "signing is halted for 2 of the keys"}, "without their names"


async def test_open_sockets_get_a_notice_when_a_halt_begins_and_when_it_ends(redis_url: str, redis_prefix: str) -> None:
    async with memory_record() as record, open_stream_setup(record, redis_url, redis_prefix) as setup:
        everyone, own, other = [await setup.api.connect() for _ in range(3)]
        for socket, owner in zip(setup.api.sockets[1:], (7, 8), strict=True):
            socket.caller = Caller(owner=owner, name="", scopes=frozenset({Scope.TRADE}))
        setup.api.registry.report_halt(OWN, began=True)
        setup.api.registry.report_halt(ALL, began=True)
        setup.api.registry.report_halt(ALL, began=False)
        begun = {"notice": {"code": "halted", "message": ALL.detail}}
        ended = {"notice": {"code": "resumed", "message": "signing goes on"}}
        mine = {"notice": {"code": "halted", "message": OWN.detail}}
        assert [await everyone.hear() for _ in range(3)] == [mine, begun, ended]
        assert [await own.hear() for _ in range(3)] == [mine, begun, ended]
        assert [await other.hear() for _ in range(2)] == [begun, ended]
