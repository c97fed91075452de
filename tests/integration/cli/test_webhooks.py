"""`python -m dexexec webhooks`, on Postgres: secrets are printed once, and failed deliveries are sent again."""

import io
import json
from typing import Any

import pytest

from dexexec.bootstrap.servers import Servers
from dexexec.cli import keys, webhooks
from dexexec.cli.main import parser
from dexexec.config.settings import Settings
from dexexec.store import Address, connect

URL = "https://hooks.example/secret-path"


async def command(address: Address, text: str, **settings: Any) -> tuple[int, str, str]:
    """Its exit code, and what it prints: on standard output, and on standard error."""
    options = parser().parse_args(["webhooks", *text.split()])
    out, notes = io.StringIO(), io.StringIO()
    code = await webhooks.run(options, Servers(address, "", ()), Settings(_env_file=None, **settings), out, notes)
    return code, out.getvalue(), notes.getvalue()


async def make_key(address: Address, name: str) -> None:
    options = parser().parse_args(["keys", "create", name, "--scope", "trade"])
    out = io.StringIO()
    assert await keys.run(options, Servers(address, "", ()), Settings(_env_file=None), out, io.StringIO()) == 0


async def test_a_secret_is_printed_once_and_the_url_is_not_in_the_list_for_people(database_address: Address) -> None:
    code, out, notes = await command(database_address, f"add books {URL} --statuses confirmed,failed")
    assert (code, out.startswith("whsec_"), len(out.splitlines())) == (0, True, 1)
    assert "all orders" in notes
    code, rotated, notes = await command(database_address, "rotate books --keep 2h")
    assert (code, rotated.startswith("whsec_"), rotated != out, "2:00:00" in notes) == (0, True, True, True)
    code, listed, _ = await command(database_address, "list")
    assert code == 0
    assert listed.splitlines()[1].split() == ["books", "hooks.example", "confirmed,failed", "ok", "0", "0"]
    [found] = json.loads((await command(database_address, "list --json"))[1])
    assert (found["url"], found["allOrders"], found["enabled"]) == (URL, True, True)
    assert "secret" not in found
    assert found["formerSecretUntil"] is not None


async def test_webhooks_of_one_name_are_named_with_their_key(database_address: Address) -> None:
    for key in ("one", "two"):
        await make_key(database_address, key)
        assert (await command(database_address, f"add books {URL} --key {key}"))[0] == 0
    assert (await command(database_address, f"add books {URL} --key two"))[::2] == (
        1,
        "There is a webhook of this name already: choose another name than books, or remove that webhook\n",
    )
    code, _, notes = await command(database_address, "remove books")
    assert (code, "--key" in notes) == (1, True)
    assert (await command(database_address, "remove books --key one"))[0] == 0
    assert [each["name"] for each in json.loads((await command(database_address, "list --json"))[1])] == ["books"]
    assert (await command(database_address, "list --key gone"))[::2] == (1, "there is no key gone\n")
    assert (await command(database_address, "remove other"))[::2] == (1, "there is no webhook other\n")


async def test_failed_deliveries_are_listed_and_sent_again(database_address: Address) -> None:
    made = json.loads((await command(database_address, f"add books {URL} --json"))[1])
    assert (await command(database_address, "failed books"))[:2] == (0, "")
    assert (await command(database_address, "resend books --failed"))[0] == 1
    with connect(database_address) as connection:
        for seq in (1, 2):
            connection.execute(
                "INSERT INTO webhook_deliveries"
                " (webhook, order_id, seq, type, payload, tries, give_up_at, failed_at, answer)"
                " VALUES (%s, %s, %s, 'order.confirmed', '{}', 9, now(), now(), 'HTTP 500: no')",
                (made["id"], made["id"], seq),
            )
    code, listed, _ = await command(database_address, "failed books --json")
    failed = json.loads(listed)
    assert (code, [each["seq"] for each in failed], {each["answer"] for each in failed}) == (
        1,
        [2, 1],
        {"HTTP 500: no"},
    )
    assert "HTTP 500: no" in (await command(database_address, "failed books"))[1]
    assert (await command(database_address, "resend books"))[0] == 2
    assert (await command(database_address, f"resend books {failed[0]['id']}"))[::2] == (
        0,
        "1 delivery is sent again\n",
    )
    assert [each["seq"] for each in json.loads((await command(database_address, "failed books --json"))[1])] == [1]
    assert json.loads((await command(database_address, "resend books --failed --json"))[1]) == {"resent": 1}
    assert (await command(database_address, "failed books"))[:2] == (0, "")


@pytest.mark.parametrize(
    "arguments",
    ["add Books https://hooks.example", "add books https://x.example --statuses done", "rotate books --keep 8d"],
)
async def test_invalid_arguments_are_refused(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(["webhooks", *arguments.split()])
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://hooks.example", "https://127.0.0.1/x", "https://u:p@hooks.example"])
async def test_a_target_that_is_not_allowed_is_refused(database_address: Address, url: str) -> None:
    code, out, notes = await command(database_address, f"add books {url}")
    assert (code, out, notes.startswith("the URL must")) == (1, "", True)
