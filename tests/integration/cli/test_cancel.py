"""`python -m dexexec cancel`: orders are cancelled in the record, with no service running."""

import io
from argparse import Namespace
from typing import Any
from uuid import uuid4

import pytest

from dexexec.bootstrap.servers import Servers
from dexexec.cli import cancel
from dexexec.domain.status import Status
from dexexec.domain.token import KNOWN, Tokens
from dexexec.errors import StartupError
from dexexec.store import Address
from tests.support.parts import open_store
from tests.support.prepared_orders import ROUTED, attempt, claimed_by, one_order, step
from tests.support.resting_rows import rest


async def command(address: Address, **given: Any) -> tuple[int, str]:
    """Its exit code, and what it prints."""
    out = io.StringIO()
    options = Namespace(**{"ids": [], "waiting": False, "all": False, "pair": None, "tag": None, **given})
    return await cancel.run(options, Servers(address, "", ()), Tokens(KNOWN), out), out.getvalue()


async def test_named_orders_are_cancelled_and_each_has_its_line(database_address: Address) -> None:
    async with open_store(database_address) as store:
        worker = await store.begin("w", 20)
        free, signed, missing = await one_order(store), await one_order(store), uuid4()
        claimed = await claimed_by(store, worker, signed)
        events = (*ROUTED, (Status.SUBMITTED, {}))
        assert await store.advance(step(claimed, 1, *events, venue="here", attempt=attempt(1, "signature")))
        assert await command(database_address, ids=[free]) == (0, f"{free}  cancelled\n")
        assert await command(database_address, ids=[free, signed, missing]) == (
            1,
            f"{free}  cancelled\n"
            f"{signed}  too late: attempt 1 is signed (open), the order goes on\n"
            f"{missing}  no such order\n",
        )
        await worker.end()


async def test_all_that_wait_are_cancelled_or_all_that_have_not_ended(database_address: Address) -> None:
    async with open_store(database_address) as store:
        rest(database_address.conninfo(), 3, tag="grid")
        rest(database_address.conninfo(), 2)
        await one_order(store)
        assert await command(database_address, waiting=True, pair="sol/usdc", tag="grid") == (0, "3 cancelled\n")
        assert await command(database_address, waiting=True) == (0, "2 cancelled\n")
        assert await command(database_address, all=True) == (0, "1 cancelled\n")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"waiting": True, "pair": "SOL-USDC"}, "--pair is not a pair: it must be the mints"),
        ({"all": True, "tag": "a b"}, "--tag is not a tag: it must be 1 to 64"),
        ({"ids": [uuid4()], "tag": "grid"}, "--tag has no meaning beside orders that are named"),
    ],
)
async def test_a_bad_option_is_one_line(database_address: Address, given: dict[str, Any], problem: str) -> None:
    with pytest.raises(StartupError, match=problem):
        await command(database_address, **given)
