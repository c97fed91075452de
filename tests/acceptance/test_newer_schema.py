"""An older program that meets the tables of a newer one: each role and command refuses, and changes nothing."""

import argparse
import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import redis

from dexexec.backup.record_copy import back_up
from dexexec.cli.main import parser
from dexexec.store import Address
from tests.conftest import Servers
from tests.support.databases import all_rows
from tests.support.parts import open_database
from tests.support.service.forked_commands import run_commands

NEWER = "9999_newer.sql"
WITHOUT_RECORD = frozenset({
    "adapters check", "adapters list", "bench", "demo", "localnet", "quote", "venues", "wallet", "wallet new",
})  # fmt: skip
"""Commands that open no record of orders: they need none, make one of their own, or request what a service answers."""
GROUPS = frozenset({"adapters", "keys", "webhooks"})
"""Names that are no commands without a second word."""
ARGUMENTS = {
    "id": "01a20375-9296-7c99-b5c0-eef1ea8717b4",
    "ids": "01a20375-9296-7c99-b5c0-eef1ea8717b4",
    "name": "desk",
    "url": "https://desk.example/events",
    "deliveries": "1",
    "--scope": "trade",
    "file": "record.backup",
}
"""A value for each argument that commands require, by its name."""
REMEDY = ("Postgres at ", f"newer dexexec ({NEWER})", "start the newer one", "restore the backup from before it")
RESTORING = ("only restored into an empty schema", "PG_SCHEMA")
"""What a restore notices before it looks at whose tables these are."""


def commands(of: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, list[str]]]:
    """Every command below a parser, and the words that run it."""
    required: list[str] = []
    below: list[tuple[str, list[str]]] = []
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, one in action.choices.items():
                below += commands(one, (*words, name))
        elif not action.option_strings:
            required.append(ARGUMENTS.get(action.dest, f"?{action.dest}"))
        elif action.required:
            required += [action.option_strings[0], ARGUMENTS.get(action.option_strings[0], "?")]
    yield " ".join(words), [*words, *required]
    yield from below


@contextmanager
def newer_tables(address: Address) -> Iterator[None]:
    """As if a newer program had migrated the record. Nothing else in it may change meanwhile."""
    with psycopg.connect(address.conninfo(), autocommit=True) as connection:
        connection.execute("INSERT INTO schema_migrations (name) VALUES (%s)", (NEWER,))
        before = all_rows(address)
        yield
        assert all_rows(address) == before, "a command wrote something"
        connection.execute("DELETE FROM schema_migrations WHERE name = %s", (NEWER,))


async def test_every_role_and_command_that_opens_the_record_refuses_that_of_a_newer_program(
    database_address: Address, servers: Servers, given: dict[str, str], redis_prefix: str, tmp_path: Path
) -> None:
    found = {name: words for name, words in commands(parser()) if name not in GROUPS}
    assert found.keys() >= WITHOUT_RECORD, "a command that is gone"
    opening = {name: words for name, words in found.items() if name not in WITHOUT_RECORD}
    assert {"", "api", "worker", "migrate", "backup", "restore"} <= opening.keys()
    opening["backup"][-1] = "another.backup"
    async with open_database(database_address) as database:
        await back_up(database, tmp_path / ARGUMENTS["file"], lambda _: None)
    with newer_tables(database_address):
        ended = await asyncio.to_thread(run_commands, list(opening.values()), given, tmp_path)
    for name, command in zip(opening, ended, strict=True):
        shown = f"{name}: {command}"
        assert (command.exit_code, command.out) == (2, ""), shown
        assert len(command.err.splitlines()) == 1, shown
        assert command.err.startswith("dexexec: "), shown
        assert all(words in command.err for words in (RESTORING if name == "restore" else REMEDY)), shown
    assert sorted(path.suffix for path in tmp_path.glob("*.backup*")) == [".backup"], "no other file"  # noqa: ASYNC240
    with redis.Redis.from_url(servers.redis_url) as client:
        assert client.keys(f"*{redis_prefix}*") == [], "a command wrote something"
