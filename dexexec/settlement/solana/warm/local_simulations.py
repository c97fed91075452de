"""Simulates with what is in memory: watched accounts, programs that were read before, the cluster's features.

Nothing is requested while a transaction is simulated. What is missing is noted and fetched in the background; the
caller lets a node simulate in the meantime.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dexexec.clock import Clock
from dexexec.domain.solana import Account, Accounts, Simulation
from dexexec.settlement.solana.rpc.methods import MAX_ACCOUNTS
from dexexec.settlement.solana.warm.features import CLOCK, AccountReader, epoch_of, read_features
from dexexec.settlement.solana.warm.local_simulator import (
    BUILTIN,
    SYSVARS,
    LocalSimulator,
    LocalTransaction,
    NotLocalError,
    Obstacle,
    is_program,
    read_transaction,
)
from dexexec.settlement.solana.warm.program_library import ProgramLibrary
from dexexec.settlement.solana.warm.programs import LoadedProgram
from dexexec.venue import BadAnswer, VenueError

Programs = frozenset[tuple[str, str]]
"""The programs that a transaction may call: each one's address and the hash of its code."""
RETRY_SECONDS = 5.0
"""Seconds between two attempts to read the features."""


class Memory(Protocol):
    """The watched accounts."""

    def recall(self, addresses: Sequence[str]) -> Accounts | None:
        """The accounts from memory, all as of one slot; None if one of them is not there. They stay watched."""

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """The accounts, from a node if need be; they are watched from then on. Raises `VenueError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRun:
    """A local simulation, and what it rests on: the accounts by address, as of the simulation's slot."""

    simulation: Simulation
    programs: Programs
    accounts: Mapping[str, Account | None]

    def same_state(self, other: "LocalRun") -> bool:
        """Whether both rest on the same accounts, apart from the clock."""
        return self.programs == other.programs and _without_clock(self.accounts) == _without_clock(other.accounts)


class LocalSimulations:
    """Simulates on the accounts in `memory`. `nodes` show the features; `run` reads them, and again in each epoch."""

    def __init__(self, memory: Memory, library: ProgramLibrary, nodes: AccountReader, clock: Clock) -> None:
        self._memory = memory
        self._library = library
        self._nodes = nodes
        self._clock = clock
        self._simulator: LocalSimulator | None = None
        self._features_wanted = asyncio.Event()
        self._features_wanted.set()
        self._missing: set[str] = set()
        self._reading: asyncio.Task[None] | None = None

    def simulate(self, payload: bytes, watched: Sequence[str]) -> LocalRun:
        """Simulates a transaction, signed or not, with its effects on `watched`. Raises `NotLocalError`, and
        `ValueError` for bytes that are not a transaction."""
        transaction = read_transaction(payload)
        programs = self._known_programs(transaction)
        accounts, slot = self._accounts(transaction, watched, programs)
        # Code before accounts before features: each of them is fetched in the background as soon as it is missed.
        simulator = self._current(accounts)
        if not all(simulator.has(program) for program in programs.values()):
            # A panic of the runtime unloads everything.
            self._library.changed.set()
            raise NotLocalError(Obstacle.PROGRAM, "code of the transaction is not loaded yet")
        simulation = simulator.simulate(transaction, watched, accounts, slot, programs.values())
        identities = frozenset(program.identity for program in programs.values())
        return LocalRun(simulation=simulation, programs=identities, accounts=accounts)

    async def run(self) -> None:
        """Keeps features and code current, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_features())
                group.create_task(self._load_programs())
        finally:
            if self._reading is not None:
                self._reading.cancel()

    async def _follow_features(self) -> None:
        while True:
            await self._features_wanted.wait()
            try:
                features = await read_features(self._nodes)
            except VenueError:
                await self._clock.sleep(RETRY_SECONDS)
                continue
            self._simulator = LocalSimulator(features)
            self._features_wanted.clear()
            self._library.changed.set()

    async def _load_programs(self) -> None:
        """Loads what was read, before an order needs it."""
        while True:
            await self._library.changed.wait()
            self._library.changed.clear()
            for program in self._library.programs():
                if self._simulator is not None and not self._simulator.has(program):
                    try:
                        self._simulator.load(program)
                    except NotLocalError as error:
                        self._library.reject(program, str(error))
                    # Each takes some milliseconds, in which nothing else runs: orders come in between.
                    await asyncio.sleep(0)

    def _known_programs(self, transaction: LocalTransaction) -> dict[str, LoadedProgram]:
        """The programs that the transaction calls, and others that it names and that are known, by address."""
        called = {*transaction.called} - BUILTIN
        named = called | {address for address in transaction.addresses if address in self._library}
        # All are looked for before the first missing one ends this, so that one order is enough to read them all.
        found = {address: self._library.find(address) for address in sorted(named)}
        for address, program in found.items():
            if program is None:
                raise NotLocalError(Obstacle.PROGRAM, f"the code of {address} is not known")
        return {address: program for address, program in found.items() if program is not None}

    def _accounts(
        self, transaction: LocalTransaction, watched: Sequence[str], programs: Mapping[str, LoadedProgram]
    ) -> tuple[dict[str, Account | None], int]:
        """What the transaction reads and writes, by address, with the slot. Code is no part of it, unless it is
        `watched`: a message may name a program as writable, which the runtime ignores."""
        code = BUILTIN | programs.keys()
        read = (address for address in transaction.addresses if address not in code)
        wanted = tuple(dict.fromkeys((*read, *watched, *SYSVARS)))
        shown = self._memory.recall(wanted)
        if shown is None:
            self._read_later(wanted)
            raise NotLocalError(Obstacle.COLD, "an account of the transaction is not in memory")
        accounts = dict(zip(wanted, shown.found, strict=True))
        # Programs that others call are named like any account. From the next time on they are among the known ones.
        others = [address for address, account in accounts.items() if address not in code and is_program(account)]
        for address in others:
            self._library.find(address)
        if others:
            raise NotLocalError(Obstacle.PROGRAM, f"the code of {others[0]} is not known")
        return accounts, shown.slot

    def _current(self, accounts: Mapping[str, Account | None]) -> LocalSimulator:
        """The runtime with the features of the present epoch: features are activated when an epoch begins."""
        if self._simulator is None:
            raise NotLocalError(Obstacle.COLD, "the cluster's features are not known yet")
        try:
            epoch = epoch_of(accounts[CLOCK])
        except BadAnswer as error:
            raise NotLocalError(Obstacle.COLD, str(error)) from error
        if epoch != self._simulator.features.epoch:
            self._features_wanted.set()
            raise NotLocalError(Obstacle.COLD, "a new epoch has begun, and its features are not known yet")
        return self._simulator

    def _read_later(self, addresses: Sequence[str]) -> None:
        """Has the accounts read and watched, in the background."""
        self._missing.update(addresses)
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_missing())

    async def _read_missing(self) -> None:
        while self._missing:
            # Removed before the request: what is missed while it runs is read after it.
            page = sorted(self._missing)[:MAX_ACCOUNTS]
            self._missing.difference_update(page)
            try:
                await self._memory.accounts(page)
            except VenueError:
                return  # the next transaction that needs them tries again


def _without_clock(accounts: Mapping[str, Account | None]) -> dict[str, Account | None]:
    return {address: account for address, account in accounts.items() if address != CLOCK}
