"""What a normal client notices of each attack: its p99 meanwhile, as a multiple of its p99 without one.

Times are only compared with each other, in one run on one machine. Each attack is bounded in connections, bytes and
time. `python -m tests.attacks` has the absolute figures.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.attacks.attacker import ATTACKS, MANY
from tests.attacks.client import NormalClient, Phase
from tests.support.service.process import Launcher, say

RATE = 15.0
"""Orders per second of the normal client, each of which it also reads."""
MOST = 200.0
"""The largest p99 under an attack, in p99s without one. Without the limits that it tests an attack takes the client's
answers away, or lets them wait for seconds: thousands of times."""
ROUNDS = 3
"""Times that an attack is measured again, if something else on the machine was in the way."""
SHORT = [
    *("many-idle", "slow-headers", "slow-bodies", "slow-handshakes"),
    *("large-headers", "endless-headers", "large-bodies", "endless-bodies", "deep-json"),
    *("guessed-ids", "spoofed-addresses"),
    *("bombs", "fragments", "pings"),
]


class Attacker:
    """A process that runs attacks by name."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, name: str) -> dict[str, int]:
        """One attack; what it counted."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{name}\n".encode())
        line = await self._process.stdout.readline()
        assert line, f"the attacker has ended in {name}"
        return dict(json.loads(line))

    async def measured(self, name: str, client: NormalClient) -> tuple[Phase, dict[str, int]]:
        """What the client saw of an attack, and what the attack counted."""
        attack: asyncio.Task[dict[str, int]] = asyncio.create_task(self.run(name))
        under = await client.run_until(attack)
        return under, await attack


@asynccontextmanager
async def attacker(port: int, seconds: float) -> AsyncIterator[Attacker]:
    command = (sys.executable, "-m", "tests.attacks.attacker", str(port), str(seconds))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        yield Attacker(process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


async def compare(launcher: Launcher, names: list[str], seconds: float, token: str = "") -> None:
    process = launcher.start(DEXEXEC_LOG_FORMAT="json", DEXEXEC_REQUIRE_KEYS="1" if token else "0")
    port = int(
        (await asyncio.to_thread(lambda: process.url)).rpartition(":")[2]
    )  # where keys are required, /readyz too
    client = NormalClient(port, RATE, token)
    await client.fill(50)
    calm = (await client.run(2 * seconds)).p99()
    async with attacker(port, seconds) as attacks:
        for name in names:
            await check(attacks, client, name, calm)
    await client.close()
    assert "lost its lease" not in process.err
    assert "Traceback" not in process.err


async def check(attacks: Attacker, client: NormalClient, name: str, calm: float) -> None:
    for left in reversed(range(ROUNDS)):
        under, counted = await attacks.measured(name, client)
        ratio = under.p99() / calm
        say(f"{name:20} p99 x{ratio:6.1f} {under.line()} {counted}")
        if ratio <= MOST and not under.failures:
            break
        assert left, f"{name}: {ratio:.0f} times the p99 without an attack, failures {under.failures}"
    assert counted["connections"] >= (MANY if name == "many-idle" else 1), "the attack had not enough descriptors"
    assert not counted.get("sockets that compress"), "a bomb needs compression, which is not offered"


@pytest.mark.alone
@pytest.mark.gen_test(timeout=100)
async def test_a_normal_client_is_served_during_every_attack(launcher: Launcher) -> None:
    await compare(launcher, SHORT, 0.8)


@pytest.mark.alone
@pytest.mark.gen_test(timeout=100)
async def test_guessed_keys_take_nothing_from_a_client_with_a_key(launcher: Launcher) -> None:
    made = launcher.start("keys", "create", "client", "--scope", "trade", "--json")
    assert await asyncio.to_thread(made.wait) == 0, made.err
    await compare(launcher, ["guessed-keys"], 0.8, json.loads(made.out)["token"])


@pytest.mark.long
@pytest.mark.gen_test(timeout=1_000)
async def test_a_normal_client_is_served_during_every_long_attack(launcher: Launcher) -> None:
    await compare(launcher, list(ATTACKS), 10.0)
