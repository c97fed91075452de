"""`python -m dexexec keys`: on an empty Postgres too, with the key on standard output and nowhere else."""

import io
import json
from typing import Any

import pytest

from dexexec.bootstrap.servers import Servers
from dexexec.cli import keys
from dexexec.cli.main import parser
from dexexec.config.settings import Settings
from dexexec.domain.api_token import parse_token
from dexexec.errors import StartupError
from dexexec.store import Address, connect
from dexexec.store.api_keys import ApiKeyTable
from tests.support.parts import open_database


async def command(address: Address, text: str, **settings: Any) -> tuple[int, str, str]:
    """Its exit code, and what it prints: on standard output, and on standard error."""
    options = parser().parse_args(["keys", *text.split()])
    out, notes = io.StringIO(), io.StringIO()
    servers = Servers(address, "", ())
    code = await keys.run(options, servers, Settings(_env_file=None, **settings), out, notes)
    return code, out.getvalue(), notes.getvalue()


async def test_a_key_is_printed_once_and_stored_as_a_digest(database_address: Address) -> None:
    code, out, notes = await command(database_address, "create desk --scope trade,read --expires 90d")
    token = parse_token(out.removesuffix("\n"))
    assert code == 0
    assert token is not None
    assert "desk (read, trade) is valid until" in notes
    assert token.secret not in notes
    with connect(database_address) as connection:
        tables = connection.execute("SELECT api_keys::text, api_key_secrets::text FROM api_keys, api_key_secrets")
        assert token.secret not in str(tables.fetchall())
    listed = await command(database_address, "list")
    assert listed[0] == 0
    assert token.secret not in listed[1]
    assert f"dx_{token.id}_..." in listed[1]


async def test_the_list_has_states_and_uses_for_people_and_programs(database_address: Address) -> None:
    made = [await command(database_address, f"create {name} --scope trade --json") for name in ("one", "two")]
    used = parse_token(json.loads(made[0][1])["token"])
    assert used is not None
    async with open_database(database_address) as database:
        await ApiKeyTable(database, lambda *_: None).mark_used({used.id: 0.0})
    assert (await command(database_address, "revoke two"))[0] == 0
    found = json.loads((await command(database_address, "list --all --json"))[1])
    assert [(key["name"], key["scopes"], bool(key["revokedAt"]), bool(key["lastUsedAt"])) for key in found] == [
        ("one", ["trade"], False, True),
        ("two", ["trade"], True, False),
    ]
    assert [key["secrets"][0]["valid"] for key in found] == [True, False]
    shown = (await command(database_address, "list --all"))[1]
    assert [line.split()[:3] for line in shown.splitlines()[1:]] == [
        ["one", "trade", "valid"],
        ["two", "trade", "revoked"],
    ]
    assert "two" not in (await command(database_address, "list"))[1]


async def test_a_name_is_free_again_once_its_key_is_revoked(database_address: Address) -> None:
    await command(database_address, "create desk --scope trade")
    with pytest.raises(StartupError, match="there is a key desk already"):
        await command(database_address, "create desk --scope trade")
    assert (await command(database_address, "revoke desk"))[0] == 0
    assert (await command(database_address, "revoke desk"))[0] == 1
    assert (await command(database_address, "create desk --scope trade"))[0] == 0


async def test_a_rotation_prints_another_secret_and_only_of_a_key_that_exists(database_address: Address) -> None:
    _, first, _ = await command(database_address, "create desk --scope trade")
    code, second, notes = await command(database_address, "rotate desk --keep 2h")
    assert (code, parse_token(second.strip()) is not None, second != first) == (0, True, True)
    assert "2:00:00" in notes
    assert (await command(database_address, "rotate nobody"))[:2] == (1, "")
    secrets = json.loads((await command(database_address, "list --json"))[1])[0]["secrets"]
    assert [secret["expiresAt"] is None for secret in secrets] == [False, True]


async def test_an_expired_key_is_prolonged_without_reviving_its_former_secret(database_address: Address) -> None:
    await command(database_address, "create desk --scope trade --expires 0s")
    with pytest.raises(StartupError, match="--expires"):
        await command(database_address, "rotate desk")
    assert (await command(database_address, "rotate desk --keep 2h --expires 30d"))[0] == 0
    secrets = json.loads((await command(database_address, "list --json"))[1])[0]["secrets"]
    assert [secret["valid"] for secret in secrets] == [False, True]


async def test_a_key_of_an_open_service_comes_with_a_word_about_that(database_address: Address) -> None:
    assert "DEXEXEC_REQUIRE_KEYS=1" in (await command(database_address, "create a --scope read"))[2]
    assert (
        "DEXEXEC_REQUIRE_KEYS" not in (await command(database_address, "create b --scope read", require_keys=True))[2]
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("create", "NAME"),
        ("create desk", "--scope"),
        ("create desk --scope fly", "read, trade, admin"),
        ("create desk --scope trade,", "read, trade, admin"),
        ("create -x --scope trade", "NAME"),
        ("create a/b --scope trade", "1 to 64 letters"),
        (f"create {'a' * 65} --scope trade", "1 to 64 letters"),
        ("create desk --scope trade --expires 90", "such as 90d"),
        ("create desk --scope trade --expires -1d", "expected one argument"),
        ("create desk --scope trade --expires 99999w", "such as 90d"),
        ("rotate desk --keep soon", "such as 90d"),
        ("", "ACTION"),
    ],
)
def test_bad_options_are_refused_with_what_would_be_right(
    text: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["keys", *text.split()])
    assert problem in capsys.readouterr().err
