"""`python -m dexexec adapters accept`, with no service running."""

import io
import json
from argparse import Namespace
from dataclasses import replace

import pytest

from dexexec.bootstrap.servers import Servers
from dexexec.cli import adapters
from dexexec.domain.program_version import Deployment
from dexexec.errors import StartupError
from dexexec.store import Address, ProgramVersions
from tests.support.parts import open_database

OLD = Deployment(venue="acme", program="program", sha256="0" * 64, mark="1", slot=10)
NEW = replace(OLD, sha256="1" * 64, mark="2", slot=20)


async def accept(address: Address, name: str, *, as_json: bool = False) -> tuple[int, str]:
    """Its exit code, and what it prints."""
    out = io.StringIO()
    options = Namespace(command="adapters", action="accept", name=name, json=as_json)
    return await adapters.accept(options, Servers(address, "", ()), out), out.getvalue()


async def test_a_quarantined_venue_is_accepted_once(database_address: Address) -> None:
    async with open_database(database_address) as database:
        record = ProgramVersions(database)
        await record.seen("genesis", OLD)
        assert await accept(database_address, "acme") == (1, "acme was not quarantined\n")
        await record.seen("genesis", NEW)
        answer = await accept(database_address, "acme")
        assert answer == (0, "acme trades again on program with the code 1111111111111111\n")
        assert await record.quarantines() == []
        assert await accept(database_address, "acme", as_json=True) == (1, '{"venue": "acme", "accepted": []}\n')


async def test_programs_get_json(database_address: Address) -> None:
    async with open_database(database_address) as database:
        record = ProgramVersions(database)
        await record.seen("genesis", OLD)
        await record.seen("genesis", replace(NEW, sha256="", slot=0))
    code, text = await accept(database_address, "acme", as_json=True)
    assert (code, json.loads(text)) == (0, {"venue": "acme", "accepted": [{"program": "program", "sha256": ""}]})


async def test_a_venue_of_which_no_program_is_known_is_an_error_that_says_so(database_address: Address) -> None:
    with pytest.raises(StartupError, match="no program of a venue 'radyium' is known"):
        await accept(database_address, "radyium")
