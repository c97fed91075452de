"""Simulations in this process on a localnet: equal to the node's, and left to it where they cannot be."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from solders.pubkey import Pubkey

from dexexec.clock import SystemClock
from dexexec.domain.simulation_mode import SimulationMode
from dexexec.domain.solana import Accounts, Instruction, Simulation
from dexexec.domain.token import WSOL
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.solana.checker import SwapChecker
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.guard.pinned_programs import Pins
from dexexec.settlement.solana.message import MAX_UNITS, Program, compute_unit_limit, memo
from dexexec.settlement.solana.transaction import assemble, compile_message, parse_message
from dexexec.settlement.solana.warm.features import CLOCK
from dexexec.settlement.solana.warm.local_simulations import LocalSimulations
from dexexec.settlement.solana.warm.local_simulator import NotLocalError, Obstacle
from dexexec.settlement.solana.warm.program_library import ProgramLibrary
from dexexec.settlement.solana.warm.programs import HEADER_BYTES, code_account
from dexexec.settlement.solana.warm.simulation_choice import SimulationChoice, SimulationsDifferError
from dexexec.settlement.solana.warm.spot_check import Outcome, SpotChecks, difference
from tests.support.attempts import an_attempt
from tests.support.localnet.local_simulation import LedgerMemory, ProgramLog, local_simulations, simulate_locally
from tests.support.localnet.sealing_setup import PROGRAM, SealingSetup, sealing_setup
from tests.support.parts import running
from tests.support.swap_transactions import MIN_OUT, call, open_account, pay, transfer

CO_SIGNER = str(Pubkey.new_unique())


def transaction(at: SealingSetup, *steps: Instruction) -> tuple[bytes, tuple[str, ...]]:
    """An unsigned transaction, and the accounts that it may write to."""
    message = compile_message(at.wallet, (compute_unit_limit(MAX_UNITS), *steps), str(Pubkey.default()))
    parsed = parse_message(message)
    return assemble(message, parsed.signers, {}), parsed.writable


async def both(at: SealingSetup, local: LocalSimulations, *steps: Instruction) -> tuple[Simulation, Simulation]:
    payload, writable = transaction(at, *steps)
    here = (await simulate_locally(local, payload, writable)).simulation
    return here, await at.chain.simulate(payload, writable)


def approve(at: SealingSetup) -> Instruction:
    data = b"\x04" + (7).to_bytes(8, "little")
    return call(Program.TOKEN, data, at.own_account(at.mint_in), at.vault, at.wallet, signers=[at.wallet])


CASES: dict[str, Callable[[SealingSetup], tuple[Instruction, ...]]] = {
    "an honest swap": lambda at: at.honest(),
    "wrapped SOL that is opened, filled and closed": lambda at: (
        open_account(at.wallet, at.wallet, WSOL),
        pay(at.wallet, at.own_account(WSOL), 10**9),
        call(Program.TOKEN, b"\x11", at.own_account(WSOL)),
        call(Program.TOKEN, b"\x09", at.own_account(WSOL), at.wallet, at.wallet, signers=[at.wallet]),
    ),
    "a delegate": lambda at: (approve(at),),
    "a memo that a co-signer signs": lambda at: (*at.honest(), memo("order", CO_SIGNER)),
    "more tokens than there are": lambda at: (at.pays(10**9),),
    "more lamports than there are": lambda at: (pay(at.wallet, at.vault, 10**15),),
    "an account without rent": lambda at: (pay(at.wallet, CO_SIGNER, 1),),
    "a wallet that would keep too little": lambda at: (pay(at.wallet, at.vault, 10**10 - 10_001),),
    "tokens of an account that does not exist": lambda at: (
        transfer(at.own_account(WSOL), at.venue_account(WSOL), at.wallet, 1),
    ),
    "an account that exists already": lambda at: (
        Instruction(Program.ASSOCIATED_TOKEN, open_account(at.wallet, at.wallet, at.mint_in).accounts, b"\0"),
    ),
    "an unknown instruction": lambda at: (call(Program.TOKEN, b"\xfe", at.own_account(at.mint_in)),),
    "an account of another owner": lambda at: (
        call(Program.TOKEN, b"\x09", at.venue_account(at.mint_in), at.wallet, at.wallet, signers=[at.wallet]),
    ),
    "too few compute units": lambda at: (*at.honest(), *(memo("x" * 60) for _ in range(3)), compute_unit_limit(9_000)),
    "a budget instruction that does not exist": lambda at: (Instruction(Program.COMPUTE_BUDGET, (), b"\x09"),),
}


async def test_a_simulation_here_shows_what_the_nodes_does_success_and_failure_word_for_word(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at, local_simulations(at.net, at.chain) as local:
        failed = 0
        for name, steps in CASES.items():
            here, there = await both(at, local, *steps(at))
            assert difference(here, there) == "", name
            assert here.slot == there.slot
            assert here.local
            failed += here.error is not None
        assert failed >= 8


class LaterEpochs(LedgerMemory):
    """Memory whose clock may be in a later epoch than the node's."""

    epochs_later = 0

    def recall(self, addresses: Sequence[str]) -> Accounts | None:
        """As `LedgerMemory`."""
        shown = super().recall(addresses)
        if not self.epochs_later or shown is None or CLOCK not in addresses:
            return shown
        found = list(shown.found)
        clock = found[addresses.index(CLOCK)]
        assert clock is not None
        epoch = int.from_bytes(clock.data[16:24], "little") + self.epochs_later
        data = clock.data[:16] + epoch.to_bytes(8, "little") + clock.data[24:]
        found[addresses.index(CLOCK)] = replace(clock, data=data)
        return replace(shown, found=tuple(found))


class FalseCode:
    """Nodes that show the code of the memo program as that of the token program."""

    def __init__(self, at: SealingSetup) -> None:
        self.chain = at.chain
        self.node_count = 1
        memo_program = at.net.ledger.account(Pubkey.from_string(Program.MEMO), at.net.ledger.blocks.tip)
        assert memo_program is not None
        self.elf = bytes(memo_program.data)

    async def accounts_everywhere(self, addresses: Sequence[str]) -> dict[str, Accounts]:
        shown = await self.chain.accounts_everywhere(addresses)
        token_program = (await self.chain.accounts([Program.TOKEN])).found[0]
        assert token_program is not None
        if code_account(token_program) not in addresses:
            return shown
        return {name: self._instead(accounts) for name, accounts in shown.items()}

    async def account_heads(self, addresses: Sequence[str], size: int) -> Accounts:
        return await self.chain.account_heads(addresses, size)

    def _instead(self, accounts: Accounts) -> Accounts:
        program, code = accounts.found
        assert code is not None
        return replace(accounts, found=(program, replace(code, data=code.data[:HEADER_BYTES] + self.elf)))


class WithChoice:
    """The chain, with the choice as its simulation."""

    def __init__(self, on: "Chosen") -> None:
        self._on = on

    def __getattr__(self, name: str) -> Any:
        return getattr(self._on.at.chain, name)

    async def simulate(self, transaction: bytes, watched: Sequence[str]) -> Simulation:
        found = await self._on.choice.simulate(transaction, watched)
        return replace(found, **self._on.changes) if found.local else found


@dataclass
class Chosen:
    """A choice between both ways on a localnet."""

    at: SealingSetup
    local: LocalSimulations
    library: ProgramLibrary
    checks: SpotChecks
    choice: SimulationChoice
    log: ProgramLog
    memory: "LaterEpochs"
    changes: dict[str, Any] = field(default_factory=dict)

    def checker(self, **options: Any) -> SwapChecker:
        """Checks with the choice, and with the node what that refuses; `options` are those of `SwapChecker`."""
        rules = GuardRules(0, pins=Pins({"pool": frozenset({PROGRAM})}))
        node = self.at.chain
        return SwapChecker(WithChoice(self), self.at.wallet, rules, SystemClock(), rent=node.rent, node=node, **options)

    async def simulate(self, *steps: Instruction) -> Simulation:
        payload, writable = transaction(self.at, *steps)
        return await self.choice.simulate(payload, writable)

    async def until_local(self, *steps: Instruction) -> Simulation:
        """Simulates until it is done here: features and programs are read, and a comparison has agreed."""
        async with asyncio.timeout(20):
            while not (found := await self.simulate(*steps)).local:
                await asyncio.sleep(0.01)
        return found

    async def until_closed(self, *steps: Instruction) -> list[Simulation]:
        """Simulates until a comparison has differed. Returns what was simulated."""
        shown = []
        async with asyncio.timeout(20):
            while not self.checks.closed():
                with suppress(SimulationsDifferError):
                    shown.append(await self.simulate(*steps))
                await asyncio.sleep(0.01)
        return shown


@asynccontextmanager
async def chosen(
    folder: Path, mode: SimulationMode = SimulationMode.LOCAL, *, false_code: bool = False
) -> AsyncIterator[Chosen]:
    async with sealing_setup(folder) as at:
        log = ProgramLog()
        clock = SystemClock()
        library = ProgramLibrary(FalseCode(at) if false_code else at.chain, clock, log)
        memory = LaterEpochs(at.net.ledger)
        local = LocalSimulations(memory, library, at.chain, clock)
        checks = SpotChecks(log)
        choice = SimulationChoice(
            mode,
            node=at.chain.simulate,
            local=local,
            checks=checks,
            clock=clock,
            meter=log,
            share=0.0,
            draw=lambda: 0.0,
        )
        async with running(library.run(), local.run(), choice.run()):
            yield Chosen(at, local, library, checks, choice, log, memory)


async def test_after_the_first_comparison_the_node_is_not_requested_any_more(tmp_path: Path) -> None:
    async with chosen(tmp_path) as on:
        assert not (await on.simulate(*on.at.honest())).local
        await on.until_local(*on.at.honest())
        before = on.at.chain.simulated
        assert (await on.simulate(*on.at.honest())).local
        assert on.at.chain.simulated == before
        assert on.checks.counts[Outcome.DIFFER] == 0
        assert {why for where, why in on.log.kinds("simulated") if where == "node"} >= {"program", "unproven"}


async def test_false_code_is_found_by_the_first_comparison_and_nothing_is_simulated_with_it(tmp_path: Path) -> None:
    """All nodes show the code of the memo program as that of the token program."""
    async with chosen(tmp_path, false_code=True) as on:
        for found in await on.until_closed(*on.at.honest()):
            assert (found.local, found.error) == (False, None)
        assert not (await on.simulate(*on.at.honest())).local
        assert len(on.log.kinds("differs")) == 1
        assert on.log.kinds("simulated")[-1] == ("node", "closed")


async def test_where_both_must_agree_nothing_is_signed_while_they_differ(tmp_path: Path) -> None:
    async with chosen(tmp_path, SimulationMode.BOTH, false_code=True) as on:
        await on.until_closed(*on.at.honest(), memo("order"))
        checker = on.checker()
        unsigned = await on.at.build(*on.at.honest())
        until = SystemClock().monotonic() + 60
        with pytest.raises(SimulationsDifferError):
            await checker.check(on.at.venue, on.at.quote(), unsigned, until, an_attempt())


async def test_what_a_simulation_here_refuses_is_refused_only_if_the_node_refuses_it_too(tmp_path: Path) -> None:
    """The code here was agreed upon, and then takes more than it did: a false one for which the node is right."""
    async with chosen(tmp_path) as on:
        at = on.at
        await on.until_local(*at.honest(), memo("order"))
        unsigned = await at.build(*at.honest())
        until = SystemClock().monotonic() + 60
        checked = await on.checker().check(at.venue, at.quote(), unsigned, until, an_attempt())
        assert checked.prepared.local
        for wrong in (
            {"error": "the transaction failed: InsufficientFundsForFee", "after": {}},
            {"after": {at.wallet: None}},
        ):
            on.changes = wrong
            checked = await on.checker().check(at.venue, at.quote(), unsigned, until, an_attempt())
            assert not checked.prepared.local, "checked once more, with the node's answers only"
        on.changes = {}
        greedy = await at.build(at.opens(), at.pays(), at.gets(MIN_OUT - 1))
        with pytest.raises(GuardError) as refused:
            await on.checker().check(at.venue, at.quote(), greedy, until, an_attempt())
        assert refused.value.rule is Rule.RECEIVED


async def test_an_ordinary_swap_reads_no_reservations(tmp_path: Path) -> None:
    """They are checked by the statement that records the attempt, and cost the way to it none of its own."""
    reads = 0

    async def reserved(wallet: str, slot: int) -> dict[str, int]:
        nonlocal reads
        reads += 1
        return {}

    async with chosen(tmp_path) as on:
        await on.until_local(*on.at.honest(), memo("order"))
        before = on.at.chain.simulated
        unsigned = await on.at.build(*on.at.honest())
        until = SystemClock().monotonic() + 60
        checked = await on.checker(reserved=reserved).check(on.at.venue, on.at.quote(), unsigned, until, an_attempt())
        assert (checked.prepared.local, reads, on.at.chain.simulated - before) == (True, 0, 0)
        assert checked.spending.amounts(), "and the record reserves what it may take"


async def test_in_a_new_epoch_nothing_is_simulated_before_its_features_are_read(tmp_path: Path) -> None:
    async with chosen(tmp_path) as on:
        await on.until_local(*on.at.honest())
        on.memory.epochs_later = 1
        payload, writable = transaction(on.at, *on.at.honest())
        with pytest.raises(NotLocalError, match="new epoch") as cold:
            on.local.simulate(payload, writable)
        assert cold.value.obstacle is Obstacle.COLD
        on.memory.epochs_later = 0
        await on.until_local(*on.at.honest())


async def test_what_is_no_program_is_left_to_the_node(tmp_path: Path) -> None:
    async with chosen(tmp_path) as on:
        call_of_a_mint = call(on.at.mint_in, b"", on.at.wallet)
        async with asyncio.timeout(20):
            while not on.log.kinds("unusable"):
                found = await on.simulate(call_of_a_mint)
                assert (found.local, found.error is None) == (False, False)
                await asyncio.sleep(0.01)
        assert on.log.kinds("unusable") == [(on.at.mint_in, f"the loader {Program.TOKEN} is not supported")]
