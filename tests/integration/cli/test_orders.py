"""`python -m dexexec orders`: what makes no progress is listed, and taken up again when it is retried."""

import io
from argparse import Namespace
from uuid import UUID, uuid4

from dexexec.bootstrap.servers import Servers
from dexexec.cli import orders
from dexexec.domain.status import Status
from dexexec.domain.token import Tokens
from dexexec.store import Address
from tests.support.parts import running
from tests.support.scripted_workers import ALIVE, LANDED, OpenScriptedWorkers


async def command(address: Address, action: str, *ids: UUID, everything: bool = False) -> tuple[int, str]:
    """Its exit code, and what it prints."""
    out = io.StringIO()
    options = Namespace(command="orders", action=action, ids=list(ids), all=everything, json=False)
    return await orders.run(options, Servers(address, "", ()), Tokens([]), out), out.getvalue()


async def test_what_an_earlier_version_set_aside_is_listed_retried_and_ends(
    scripted_workers: OpenScriptedWorkers, database_address: Address
) -> None:
    async with scripted_workers() as b:
        assert await command(database_address, "stuck") == (0, "no order is stuck\n")
        b.chain.statuses = [ALIVE]
        aside, crashing, well = [await b.post() for _ in range(3)]
        async with running(b.worker().run()):
            for order_id in (aside, crashing, well):
                await b.reached(order_id, Status.SUBMITTED)
        async with b.store._database.connection() as connection:
            await connection.execute("UPDATE orders SET set_aside_at = clock_timestamp() WHERE id = %s", (aside,))
            rests = "UPDATE orders SET claims = 40, due_at = clock_timestamp() + interval '1 h' WHERE id = %s"
            await connection.execute(rests, (crashing,))
        code, text = await command(database_address, "stuck")
        assert (code, len(text.splitlines())) == (1, 2)
        assert "set aside" in next(line for line in text.splitlines() if str(aside) in line)
        assert "40 crashes" in next(line for line in text.splitlines() if str(crashing) in line)

        b.chain.statuses = [LANDED]
        assert await command(database_address, "retry", aside) == (0, "1 order will be retried now\n")
        async with running(b.worker().run(), b.sweeper().run()):
            assert (await b.ended(aside))[-1].status is Status.CONFIRMED
            assert (await b.ended(well))[-1].status is Status.CONFIRMED
            assert await command(database_address, "retry", everything=True) == (0, "1 order will be retried now\n")
            assert (await b.ended(crashing))[-1].status is Status.CONFIRMED
        unknown = uuid4()
        code, text = await command(database_address, "retry", aside, unknown)
        assert code == 1
        assert text.count("the order does not exist or has ended") == 2
        assert await command(database_address, "stuck") == (0, "no order is stuck\n")
