"""`python -m dexexec halt` and `resume`, with no service running."""

import io
import json
from argparse import ArgumentTypeError, Namespace
from typing import Any

import pytest

from dexexec.bootstrap.servers import Servers
from dexexec.cli import halt
from dexexec.errors import StartupError
from dexexec.store import Address, Database
from tests.support.parts import open_database

KEY = "INSERT INTO api_keys (name, scopes) VALUES ('desk', '{trade}') RETURNING id"


async def command(address: Address, name: str, **given: Any) -> tuple[int, str]:
    """Its exit code, and what it prints."""
    out = io.StringIO()
    options = Namespace(**{"command": name, "key": None, "reason": "", "list": False, "json": False, **given})
    return await halt.run(options, Servers(address, "", ()), out), out.getvalue()


async def make_key(database: Database) -> int:
    async with database.connection() as connection:
        row = await (await connection.execute(KEY)).fetchone()
    assert row is not None
    return int(row[0])


async def test_everybody_and_one_key_are_halted_listed_and_resumed(database_address: Address) -> None:
    async with open_database(database_address) as database:
        await make_key(database)
        assert await command(database_address, "halt", list=True) == (0, "signing is halted for nobody\n")
        assert await command(database_address, "halt", key="desk") == (0, "signing is halted for the key desk\n")
        answer = await command(database_address, "halt", reason="prices look wrong")
        assert answer == (0, "signing is halted for everybody\n")
        code, text = await command(database_address, "halt", list=True)
        everybody, desk = text.splitlines()
        assert code == 1
        assert everybody.startswith("everybody ")
        assert everybody.endswith("prices look wrong")
        assert desk.startswith("desk ")
        assert await command(database_address, "resume") == (
            0,
            "signing goes on for everybody\nit is still halted for the key desk\n",
        )
        assert await command(database_address, "resume", key="desk") == (0, "signing goes on for the key desk\n")
        assert await command(database_address, "resume") == (0, "signing was not halted for everybody\n")


async def test_programs_get_json(database_address: Address) -> None:
    async with open_database(database_address) as database:
        await make_key(database)
        _, text = await command(database_address, "halt", key="desk", reason="why", json=True)
        halted = json.loads(text)
        assert halted | {"since": ""} == {"key": "desk", "since": "", "reason": "why", "complete": True}
        _, text = await command(database_address, "halt", list=True, json=True)
        assert json.loads(text) == [{"key": "desk", "since": halted["since"], "reason": "why"}]
        _, text = await command(database_address, "resume", json=True)
        assert json.loads(text) == {"key": None, "ended": False, "stillHalted": [{"key": "desk"}]}


async def test_an_unknown_key_is_named(database_address: Address) -> None:
    with pytest.raises(StartupError, match="no key has the name 'dessk'"):
        await command(database_address, "halt", key="dessk")


@pytest.mark.parametrize("text", ["two\nlines", "x" * 201, "\x1b[31m"])
def test_a_reason_is_one_printable_line(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        halt._reason(text)
