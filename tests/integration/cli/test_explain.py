"""`dexexec explain` and `GET /api/orders/{id}/explain` on real Postgres: the same explanation of the same order."""

import io
import json
from argparse import Namespace
from uuid import uuid4

from dexexec.bootstrap.servers import Servers
from dexexec.cli import explain
from dexexec.domain.status import Status
from dexexec.domain.token import KNOWN, Tokens
from dexexec.store import Address
from tests.support.parts import running
from tests.support.scripted_workers import OpenScriptedWorkers


async def command(address: Address, order_id: object, *, as_json: bool = False) -> tuple[int, str]:
    """Its exit code, and what it prints."""
    out = io.StringIO()
    options = Namespace(id=order_id, json=as_json)
    return await explain.run(options, Servers(address, "", ()), Tokens(KNOWN), out), out.getvalue()


async def test_an_order_that_was_swapped_is_explained_from_the_record(
    scripted_workers: OpenScriptedWorkers, database_address: Address
) -> None:
    async with scripted_workers() as b:
        order_id = await b.post()
        async with running(b.worker().run()):
            assert (await b.ended(order_id))[-1].status is Status.CONFIRMED
        code, text = await command(database_address, order_id)
        assert code == 0
        assert text.startswith(f"{order_id}  confirmed\nSwapped ")
        assert " won: " in text
        assert "Attempt 1 landed" in text
        code, text = await command(database_address, order_id, as_json=True)
        assert json.loads(text)["orderId"] == str(order_id)
        missing = uuid4()
        assert await command(database_address, missing) == (1, f"{missing}: no such order\n")
