"""`python -m dexexec keys create` and `keys policy`: the limits of a key, from options and files."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from dexexec.bootstrap.servers import Servers
from dexexec.cli import keys
from dexexec.cli.main import parser
from dexexec.config.settings import Settings
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import StartupError
from dexexec.store import Address


async def command(address: Address, *arguments: str) -> tuple[int, str]:
    """Its exit code, and what it prints to standard output."""
    out, notes = io.StringIO(), io.StringIO()
    options = parser().parse_args(["keys", *arguments])
    code = await keys.run(options, Servers(address, "", ()), Settings(_env_file=None), out, notes)
    return code, out.getvalue()


async def shown(address: Address, name: str = "desk") -> Any:
    """The policy as the command shows it."""
    code, text = await command(address, "policy", name, "--show")
    assert code == 0
    return json.loads(text)


async def test_a_key_is_made_with_the_limits_of_its_options(database_address: Address) -> None:
    arguments = [
        "create", "desk", "--scope", "trade", "--max-per-order", "SOL=1000000000", "--max-per-order", f"{USDC}=5",
        "--max-per-day", "sol=18446744073709551615", "--mints", "SOL, usdc", "--venues", "raydium,meteora",
        "--kinds", "market,limit", "--max-slippage-bps", "30", "--max-price-impact-bps", "100", "--open-orders", "10",
        "--sockets", "2", "--requests-per-second", "2.5", "--wallets", "default",
    ]  # fmt: skip
    assert (await command(database_address, *arguments))[0] == 0
    assert await shown(database_address) == {
        "requestsPerSecond": 2.5,
        "openOrders": 10,
        "sockets": 2,
        "maxPerOrder": {WSOL: "1000000000", USDC: "5"},
        "maxPerDay": {WSOL: "18446744073709551615"},
        "mints": sorted([WSOL, USDC]),
        "venues": ["meteora", "raydium"],
        "kinds": ["limit", "market"],
        "maxSlippageBps": 30,
        "maxPriceImpactBps": 100,
        "wallets": ["default"],
    }


async def test_options_change_single_limits_and_a_file_replaces_all(database_address: Address, tmp_path: Path) -> None:
    await command(database_address, "create", "desk", "--scope", "trade", "--open-orders", "10", "--sockets", "2")
    await command(database_address, "policy", "desk", "--open-orders", "3", "--kinds", "limit")
    assert await shown(database_address) == {"openOrders": 3, "sockets": 2, "kinds": ["limit"]}
    await command(database_address, "policy", "desk", "--unlimited", "sockets", "--unlimited", "maxPerDay")
    assert await shown(database_address) == {"openOrders": 3, "kinds": ["limit"]}
    file = tmp_path / "policy.json"
    file.write_text('{"venues": []}')
    code, text = await command(database_address, "policy", "desk", "--set", str(file), "--sockets", "1", "--json")
    assert (code, json.loads(text)) == (0, {"venues": [], "sockets": 1})
    assert await shown(database_address) == {"venues": [], "sockets": 1}
    assert json.loads((await command(database_address, "policy", "desk"))[1]) == {"venues": [], "sockets": 1}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--max-per-day", "DOGE=5"], "maxPerDay.DOGE is not a mint"),
        (["--max-per-day", "SOL=0.5"], "base units"),
        (["--kinds", "stop"], "kinds has stop: one of market"),
        (["--open-orders", "-1"], "openOrders is -1: an integer from 0"),
        (["--set", "no-such-file"], "cannot be read from no-such-file: No such file"),
    ],
)
async def test_an_invalid_limit_changes_nothing_and_is_named(
    database_address: Address, arguments: list[str], problem: str
) -> None:
    await command(database_address, "create", "desk", "--scope", "trade", "--sockets", "2")
    with pytest.raises(StartupError, match=problem):
        await command(database_address, "policy", "desk", *arguments)
    assert await shown(database_address) == {"sockets": 2}


@pytest.mark.parametrize("text", ["{", "[]", '{"maxPerorder": {}}'])
async def test_a_file_that_is_no_policy_is_refused(database_address: Address, tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy.json"
    file.write_text(text)
    with pytest.raises(StartupError, match=r"is not|did you mean maxPerOrder\?"):
        await command(database_address, "create", "desk", "--scope", "trade", "--policy", str(file))
    assert (await command(database_address, "policy", "desk"))[0] == 1, "no key was made"
