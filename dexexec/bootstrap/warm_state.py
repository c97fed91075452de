"""Assembles the warm state of a chain of Solana: what orders need of it, kept in memory."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from dexexec.clock import Clock
from dexexec.config.solana import SolanaSettings
from dexexec.domain.rent import ReadRent
from dexexec.observe.observer import Observer
from dexexec.settlement.solana.rpc import Localnet, RpcChain
from dexexec.settlement.solana.warm.account_watch import AccountWatch
from dexexec.settlement.solana.warm.ready_values import ReadyValues
from dexexec.settlement.solana.warm.warm_chain import WarmChain, WarmLocalnet


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmState:
    """The chain that answers from memory where it may, the cluster's rent, what keeps them warm while it runs, and the
    watched accounts; None if there are to be none."""

    chain: WarmChain
    rent: ReadRent
    background: list[Callable[[], Coroutine[Any, Any, None]]]
    watch: AccountWatch | None


def warm_state(chain: RpcChain, settings: SolanaSettings, clock: Clock, observer: Observer) -> WarmState:
    """Put the warm state before the nodes of `chain`."""
    background: list[Callable[[], Coroutine[Any, Any, None]]] = []
    watch = None
    if settings.watch_accounts:
        limit = settings.watch_accounts
        watch = AccountWatch(chain, clock, observer, limit=limit, stale_slots=settings.stale_slots)
        background.append(watch.run)
    accounts = watch.accounts if watch else None
    ready = ReadyValues(chain, clock, slot_seconds=lambda: chain.pace.slot_seconds)
    background.append(ready.run)
    if isinstance(chain, Localnet):
        warm: WarmChain = WarmLocalnet(chain, accounts=accounts, blockhash=ready.blockhash)
    else:
        warm = WarmChain(chain, accounts=accounts, blockhash=ready.blockhash)
    return WarmState(chain=warm, rent=ready.rent, background=background, watch=watch)
