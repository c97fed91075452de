"""Assembles the warm state of a chain of Solana: what orders need of it, kept in memory."""

import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from dexexec.clock import Clock
from dexexec.config.solana import SolanaSettings
from dexexec.domain.rent import ReadRent
from dexexec.domain.simulation_mode import SimulationMode
from dexexec.observe.observer import Observer
from dexexec.settlement.solana.priority_fee import PriorityFeeEstimator
from dexexec.settlement.solana.rpc import Localnet, RpcChain
from dexexec.settlement.solana.warm.account_watch import AccountWatch
from dexexec.settlement.solana.warm.local_simulations import LocalSimulations
from dexexec.settlement.solana.warm.program_library import ProgramLibrary
from dexexec.settlement.solana.warm.ready_values import ReadyValues
from dexexec.settlement.solana.warm.simulation_choice import SimulationChoice
from dexexec.settlement.solana.warm.spot_check import SpotChecks
from dexexec.settlement.solana.warm.warm_chain import WarmChain, WarmLocalnet

Background = list[Callable[[], Coroutine[Any, Any, None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmState:
    """The chain that answers from memory where it may, the cluster's rent, and what keeps them warm while it runs.
    `watch` has the watched accounts, None if there are to be none; `library` and `checks` what is simulated here, None
    if nodes simulate."""

    chain: WarmChain
    rent: ReadRent
    background: Background
    watch: AccountWatch | None
    library: ProgramLibrary | None = None
    checks: SpotChecks | None = None


def warm_state(
    chain: RpcChain, settings: SolanaSettings, clock: Clock, observer: Observer, price: PriorityFeeEstimator
) -> WarmState:
    """Put the warm state before the nodes of `chain`. `price` learns early what a cold order may write to."""
    background: Background = []
    watch = library = checks = choice = None
    if settings.watch_accounts:
        limit = settings.watch_accounts
        watch = AccountWatch(
            chain, clock, observer, limit=limit, stale_slots=settings.stale_slots, expect_price=price.expect
        )
        background.append(watch.run)
    # Without accounts in memory there is nothing to simulate on.
    if watch is not None and settings.simulate is not SimulationMode.NODE:
        library = ProgramLibrary(chain, clock, observer)
        local = LocalSimulations(watch, library, chain, clock)
        checks = SpotChecks(observer)
        choice = SimulationChoice(
            settings.simulate,
            node=chain.simulate,
            local=local,
            checks=checks,
            clock=clock,
            meter=observer,
            share=settings.simulation_checks,
            draw=random.random,
        )
        background += [library.run, local.run, choice.run]
    ready = ReadyValues(
        chain,
        clock,
        slot_seconds=lambda: chain.pace.slot_seconds,
        newest_slot=lambda: watch.newest_slot if watch else 0,
    )
    background.append(ready.run)
    sources: dict[str, Any] = {
        "accounts": watch.accounts if watch else None,
        "blockhash": ready.blockhash,
        "simulate": choice.simulate if choice else None,
        "expect": watch.expect if watch else None,
        "read_ahead": watch.read_ahead if watch else None,
    }
    warm = WarmLocalnet(chain, **sources) if isinstance(chain, Localnet) else WarmChain(chain, **sources)
    return WarmState(chain=warm, rent=ready.rent, background=background, watch=watch, library=library, checks=checks)
