"""Reads the code of programs from the cluster and notices upgrades, so that they can be executed here.

The code is read once, from all nodes, and kept only if they agree. From then on the first bytes of its accounts are
read every few seconds: an upgrade changes them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dexexec.clock import Clock
from dexexec.domain.solana import Account, Accounts
from dexexec.settlement.solana.warm.programs import HEADER_BYTES, LoadedProgram, code_account, read_program
from dexexec.venue import VenueError

CHECK_SECONDS = 2.0
"""Seconds between two looks for upgrades: one request for all programs in use."""
TRUSTED_SECONDS = 8.0
"""For how long after such a look a program is executed here: three looks may fail."""
RETRY_SECONDS = 30.0
"""Seconds before a program that could not be read is read again."""
UNUSED_SECONDS = 3_600.0
"""How long a program that no transaction names is kept and watched."""
MOST_PROGRAMS = 48
"""Programs that are kept. Each has two accounts, and a request reads 100."""
LEAST_AGREEING = 2
"""Nodes that must show the same code, where there are several."""


@runtime_checkable
class ProgramNodes(Protocol):
    """The nodes that programs are read from."""

    @property
    def node_count(self) -> int:
        """How many nodes there are."""

    async def accounts_everywhere(self, addresses: Sequence[str]) -> Mapping[str, Accounts]:
        """The accounts as each node shows them, by the node's name. Raises `VenueError`."""

    async def account_heads(self, addresses: Sequence[str], size: int) -> Accounts:
        """The accounts with the first `size` bytes of their data. Raises `VenueError`."""


class ProgramObserver(Protocol):
    """Receives what operators should see of programs."""

    def program_read(self, program: str, sha256: str, size: int) -> None:
        """A program was read and can be executed here."""

    def program_upgraded(self, program: str) -> None:
        """A program has new code, or none any more."""

    def program_unusable(self, program: str, why: str) -> None:
        """A program cannot be executed here; nodes simulate what calls it."""


@dataclass(slots=True)
class _Entry:
    """A program in use: when it was used last and when it was confirmed, and when it may be read again."""

    used_at: float
    program: LoadedProgram | None = None
    confirmed_at: float = 0.0
    read_again_at: float = 0.0
    trouble: str = ""


class ProgramLibrary:
    """The programs that transactions of the last hour called. Works while `run` runs."""

    def __init__(self, nodes: ProgramNodes, clock: Clock, observer: ProgramObserver) -> None:
        self._nodes = nodes
        self._clock = clock
        self._observer = observer
        self._entries: dict[str, _Entry] = {}
        self._wanted = asyncio.Event()
        self.changed = asyncio.Event()
        """Set when a program was read; who loads programs clears it."""

    def __contains__(self, address: str) -> bool:
        return address in self._entries

    def find(self, address: str) -> LoadedProgram | None:
        """Returns the program as it is deployed now; None if that is not known. Then it is read in the background."""
        now = self._clock.monotonic()
        entry = self._entries.get(address)
        if entry is None:
            self._add(address, now)
            return None
        entry.used_at = now
        is_trusted = entry.program is not None and now < entry.confirmed_at + TRUSTED_SECONDS
        return entry.program if is_trusted else None

    def programs(self) -> list[LoadedProgram]:
        """Returns all programs that are known."""
        return [entry.program for entry in self._entries.values() if entry.program is not None]

    def reject(self, program: LoadedProgram, why: str) -> None:
        """Records that the runtime does not load this code."""
        entry = self._entries.get(program.address)
        if entry is not None and entry.program is program:
            self._give_up(program.address, entry, why)

    async def run(self) -> None:
        """Reads what is wanted and looks for upgrades, until cancelled."""
        while True:
            self._wanted.clear()
            self._drop_unused()
            await self._look_for_upgrades()
            await self._read_wanted()
            wake = asyncio.ensure_future(self._wanted.wait())
            pause = asyncio.ensure_future(self._clock.sleep(CHECK_SECONDS))
            try:
                await asyncio.wait((wake, pause), return_when=asyncio.FIRST_COMPLETED)
            finally:
                wake.cancel()
                pause.cancel()

    def _add(self, address: str, now: float) -> None:
        if len(self._entries) >= MOST_PROGRAMS:
            oldest = min(self._entries, key=lambda one: self._entries[one].used_at)
            del self._entries[oldest]
        self._entries[address] = _Entry(now)
        self._wanted.set()

    def _drop_unused(self) -> None:
        now = self._clock.monotonic()
        for address, entry in list(self._entries.items()):
            if now >= entry.used_at + UNUSED_SECONDS:
                del self._entries[address]

    async def _look_for_upgrades(self) -> None:
        entries = [entry for entry in self._entries.values() if entry.program is not None]
        sources = [source for entry in entries if entry.program for source in entry.program.sources]
        if not sources:
            return
        # From before the request: what is upgraded while it runs was not seen.
        asked_at = self._clock.monotonic()
        try:
            found = (await self._nodes.account_heads(sources, HEADER_BYTES)).found
        except VenueError:
            return  # the nodes' troubles are logged where they are found; without a look the programs lose their trust
        shown = dict(zip(sources, found, strict=True))
        for entry in entries:
            if entry.program is None:
                continue
            if entry.program.is_marked_by([shown[source] for source in entry.program.sources]):
                # The code may have been read again while this request was on its way.
                entry.confirmed_at = max(entry.confirmed_at, asked_at)
            else:
                self._observer.program_upgraded(entry.program.address)
                # At once, and not when the new code is there: the old one must not be executed any more.
                entry.program = None
                entry.read_again_at = 0.0

    async def _read_wanted(self) -> None:
        for address, entry in list(self._entries.items()):
            if entry.program is not None or self._clock.monotonic() < entry.read_again_at:
                continue
            asked_at = self._clock.monotonic()
            try:
                program = await self._read(address)
            except (VenueError, ValueError) as error:
                self._give_up(address, entry, str(error))
            else:
                entry.program = program
                entry.confirmed_at = asked_at
                entry.trouble = ""
                self.changed.set()
                self._observer.program_read(address, program.sha256, len(program.elf))

    def _give_up(self, address: str, entry: _Entry, why: str) -> None:
        entry.program = None
        entry.read_again_at = self._clock.monotonic() + RETRY_SECONDS
        # One line, however often it is tried again.
        if entry.trouble != why:
            entry.trouble = why
            self._observer.program_unusable(address, why)

    async def _read(self, address: str) -> LoadedProgram:
        """Returns the program that all nodes show. Raises `ValueError`, `VenueError`."""
        [account] = await read_agreed(self._nodes, [address])
        if account is None:
            raise ValueError("the program does not exist")
        code = code_account(account)
        if code is None:
            return read_program(address, (address,), (account,))
        sources = (address, code)
        return read_program(address, sources, await read_agreed(self._nodes, sources))


async def read_agreed(nodes: ProgramNodes, addresses: Sequence[str]) -> tuple[Account | None, ...]:
    """The accounts that all nodes show, apart from their lamports. Raises `ValueError` if they do not agree, and
    `VenueError`."""
    shown = await nodes.accounts_everywhere(addresses)
    answers = list(shown.values())
    # Lamports may differ between slots, and anybody can send some. They do not change what is executed.
    contents = [tuple((one.owner, one.data) if one else None for one in answer.found) for answer in answers]
    if any(content != contents[0] for content in contents):
        raise ValueError(f"the nodes show different code: {', '.join(sorted(shown))}")
    # One node alone may be wrong about the code, and where there are others they can be asked.
    if len(answers) < min(LEAST_AGREEING, nodes.node_count):
        raise ValueError(f"only {', '.join(sorted(shown))} showed the code, and a second node must agree")
    return answers[0].found
