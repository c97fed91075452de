"""The localnet that orders settle on: a process behind a proxy, with all its faults.

What happens to it is called trouble: one after the other to the process, and beside it one after the other to its
network.
A wallet with little in it signs for all workers, so that swaps which land late may find it empty and fail on chain.
"""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from solders.keypair import Keypair

from dexexec.domain.token import USDC
from dexexec.localnet.blocks import Consensus
from dexexec.localnet.sysvars import CLOCK
from tests.support.chaos.networks import Fault, suffering
from tests.support.chaos.proxy import Proxy, proxy
from tests.support.localnet.in_process import rpc
from tests.support.service.localnet import Funds, fund, settings_on, start_localnet
from tests.support.service.localnet_promise_checks import LocalnetChain
from tests.support.service.process import Launcher, Process

WALLET_FUNDS: Funds = {"": (9, 100 * 10**9), USDC: (6, 15_000 * 10**6)}
"""What the wallet is filled up to. A few orders can empty it."""
WRONG_ANSWERS = ["429", "503", "-32005", "-32002", "-32003", "-32602", "another", "garbage", "hang", "hangup"]
NODES = ("", "/nodes/two", "/nodes/three")
"""All in the one process, and each with faults of its own."""
FAR = 22_000_000
LIES: list[dict[str, object]] = [
    {"height": FAR},
    {"height": 300},
    {"height": -300},
    {"slotForHeight": True},
    {"height": FAR, "lastValidHeight": FAR, "slot": FAR},
    {"height": 400, "lastValidHeight": 400, "slot": 400},
    {"lastValidHeight": FAR},
    {"lastValidHeight": -120},
    {"slot": 5_000},
    {"slot": -40},
    {"finalized": True},
    {"failed": True, "finalized": True},
    {"genesis": "another"},
    {"notifiedSlot": 5_000},
    {"notifiedSlot": -40},
]
"""The lies of one of the nodes. The first four contradict its other answers, so all nodes may use them."""
CONTRADICTIONS = 4
NOTIFICATIONS: Mapping[str, dict[str, object]] = {
    "notifies of nothing": {"frozen": True},
    "notifies late": {"delay": 20},
    "repeats old values": {"replay": True},
    "keeps its clock to itself": {"silent": [str(CLOCK)]},
}
"""What it does to subscriptions, from which workers have their prices and balances."""
METHODS = [[], ["sendTransaction"], ["getSignatureStatuses"], ["getTransaction"], ["getLatestBlockhash"]]
LONGEST, PAUSE, QUIET = 4.0, 0.8, 10.0
"""Seconds: of one trouble, and at most between two of the process, and of the network."""
CONFIRMED, DEEPEST_FORK = 2, 24
"""Slots: a fork takes back something that was confirmed, and nothing that was final, which is after 32. In time the
deepest is as long as two slots of a real cluster, so that who looks now and then sees what is taken back."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One, as it was drawn: its name, and how it is made."""

    name: str
    make: Callable[[], Awaitable[None]]


class Localnet:
    """The process, started again on the same ledger whenever it was killed. Workers reach it through `way`."""

    def __init__(self, launcher: Launcher, folder: Path, way: Proxy) -> None:
        self._launcher, self._folder, self._way = launcher, folder, way
        self.faults: Counter[str] = Counter()
        self._process: Process | None = None
        self._consensus = Consensus.TOWER
        self._url = ""
        wallet = Keypair()
        self.wallet = str(wallet.pubkey())
        nodes = [f"http://127.0.0.1:{way.port}{node}" for node in NODES]
        self.settings = settings_on(",".join(nodes), wallet)

    @property
    def chain(self) -> LocalnetChain:
        """The oracle."""
        return LocalnetChain(self._url, self.wallet)

    async def start(self) -> None:
        """Start, or go on with the ledger that is there."""
        self._process, self._url = await start_localnet(self._launcher, self._folder, consensus=self._consensus)
        self._way.target = ("127.0.0.1", int(self._url.rpartition(":")[2]))

    async def top_up_wallet(self) -> None:
        """Let the wallet hold at least what it began with."""
        await fund(self._url, self.wallet, WALLET_FUNDS)

    async def heal(self) -> None:
        """No faults any more."""
        self._way.heal()
        await self._spoil(NODES, {})

    async def migrate(self) -> None:
        """Change to immediate finality, as the clusters did. Workers find out by themselves, or at their next start."""
        self._consensus = Consensus.ALPENGLOW
        await self._rpc("localnet_migrate")

    # Trouble

    async def suffer(self, seed: int, seconds: float) -> None:
        """One trouble after the other, for so long; which ones, and when, follows from the seed. In the middle the
        chain migrates, so that swaps settle under both consensus modes and while it changes."""
        begun = time.monotonic()
        over = begun + seconds
        async with asyncio.TaskGroup() as both:
            both.create_task(self._suffer_and_migrate(random.Random(f"{seed} process"), begun + seconds / 2, over))
            both.create_task(self._suffer(random.Random(f"{seed} network"), QUIET, over, self._of_the_network))

    async def _suffer_and_migrate(self, chance: random.Random, middle: float, over: float) -> None:
        await self._suffer(chance, PAUSE, middle, self._of_the_process)
        await self.migrate()
        await self._suffer(chance, PAUSE, over, self._of_the_process)

    async def _suffer(
        self, chance: random.Random, pause: float, over: float, draw: Callable[[random.Random], Trouble]
    ) -> None:
        while time.monotonic() < over:
            await asyncio.sleep(chance.uniform(0, pause))
            trouble = draw(chance)
            self.faults[f"localnet {trouble.name}"] += 1
            await trouble.make()

    def _of_the_process(self, chance: random.Random) -> Trouble:
        kinds = {
            self._wrong_answers: 5,
            self._lost: 4,
            self._behind: 2,
            self._forgetful: 2,
            self._notifications: 4,
            self._lies: 5,
            self._fork: 6,
            self._kill: 2,
            self._freeze: 2,
            self._filled: 2,
        }
        [kind] = chance.choices(list(kinds), list(kinds.values()))
        return kind(chance)

    def _wrong_answers(self, chance: random.Random) -> Trouble:
        answer = {
            "answer": chance.choice(WRONG_ANSWERS),
            "requests": chance.randint(1, 60),
            "methods": chance.choice(METHODS),
            "execute": chance.random() < 0.5,
        }
        return self._lasting(chance, f"answers {answer['answer']}", {"answers": [answer]})

    def _lost(self, chance: random.Random) -> Trouble:
        count, slots = chance.randint(1, 12), chance.randint(1, 80)
        if chance.random() < 0.5:
            return self._lasting(chance, "drops transactions", {"drop": count})
        return self._lasting(chance, "lands them late", {"late": {"transactions": count, "slots": slots}})

    def _behind(self, chance: random.Random) -> Trouble:
        return self._lasting(chance, "lags", {"lag": chance.randint(1, 60)})

    def _forgetful(self, chance: random.Random) -> Trouble:
        return self._lasting(chance, "forgets recent statuses", {"forgets": "recent"})

    def _notifications(self, chance: random.Random) -> Trouble:
        name = chance.choice(list(NOTIFICATIONS))
        return self._lasting(chance, name, {"notifications": NOTIFICATIONS[name]})

    def _lies(self, chance: random.Random) -> Trouble:
        place = chance.randrange(len(LIES) + 1)
        if place == len(LIES):
            return self._lasting(chance, "knows nothing", {"forgets": "all"}, nodes=[chance.choice(NODES)])
        lie = LIES[place]
        everyone = place < CONTRADICTIONS and chance.random() < 0.5
        nodes = NODES if everyone else [chance.choice(NODES)]
        return self._lasting(chance, f"lies about {' and '.join(lie)}", {"lies": lie}, nodes=nodes)

    def _lasting(
        self, chance: random.Random, name: str, faults: dict[str, object], nodes: Sequence[str] | None = None
    ) -> Trouble:
        """On `nodes`; unless given, on one of them or on all."""
        seconds = chance.uniform(0.2, LONGEST)
        if nodes is None:
            nodes = NODES if chance.random() < 0.5 else [chance.choice(NODES)]
        whom = "one node" if len(nodes) == 1 else "all nodes"

        async def make() -> None:
            await self._spoil(nodes, faults)
            await asyncio.sleep(seconds)
            await self._spoil(nodes, {})

        return Trouble(f"{whom}: {name}", make)

    def _fork(self, chance: random.Random) -> Trouble:
        depth = chance.randint(CONFIRMED + 1, DEEPEST_FORK)

        async def make() -> None:
            await self._rpc("localnet_fork", depth)

        return Trouble("forks", make)

    def _filled(self, _: random.Random) -> Trouble:
        return Trouble("wallet filled up", self.top_up_wallet)

    def _kill(self, chance: random.Random) -> Trouble:
        seconds = chance.uniform(0, 1.5)

        async def make() -> None:
            await asyncio.to_thread(self._running.kill)
            await asyncio.sleep(seconds)
            await self.start()

        return Trouble("killed", make)

    def _freeze(self, chance: random.Random) -> Trouble:
        seconds = chance.uniform(0.2, LONGEST)

        async def make() -> None:
            self._running.send(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                self._running.send(signal.SIGCONT)

        return Trouble("stopped", make)

    def _of_the_network(self, chance: random.Random) -> Trouble:
        fault, seconds = chance.choice(list(Fault)), chance.uniform(0.2, LONGEST)

        async def make() -> None:
            try:
                async with suffering(self._way, fault):
                    await asyncio.sleep(seconds)
            finally:
                self._way.heal()

        return Trouble(fault, make)

    @property
    def _running(self) -> Process:
        assert self._process is not None
        return self._process

    async def _spoil(self, nodes: Sequence[str], faults: dict[str, object]) -> None:
        """Set the faults of nodes; none ends them."""
        for node in nodes:
            await rpc(self._url.rstrip("/") + node, "localnet_setFaults", faults)

    async def _rpc(self, method: str, *params: object) -> object:
        found: object = await rpc(self._url, method, *params)
        return found


@asynccontextmanager
async def a_localnet(launcher: Launcher, folder: Path) -> AsyncIterator[Localnet]:
    """A healthy localnet, with a wallet that has funds. It ends with the test's processes."""
    async with proxy(("127.0.0.1", 9)) as way:
        localnet = Localnet(launcher, folder, way)
        await localnet.start()
        await localnet.top_up_wallet()
        yield localnet
