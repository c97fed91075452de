"""The contract's harness for venues on chain: their accounts as recorded, of each kind of pool."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from dexexec.domain.solana import Account
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.testing.clock import ManualClock
from dexexec.testing.harness import ChainSetup, Condition, Harness
from dexexec.venue import Venue
from dexexec_adapters.meteora.venue import Meteora
from dexexec_adapters.meteora_dlmm.venue import MeteoraDlmm
from dexexec_adapters.orca.venue import Orca
from dexexec_adapters.raydium.venue import Raydium
from dexexec_adapters.raydium_amm.venue import RaydiumAmm
from dexexec_adapters.raydium_clmm.venue import RaydiumClmm
from dexexec_adapters.solana.chain_clock import CLOCK
from tests.support import meteora_accounts as at
from tests.support import meteora_dlmm_accounts as dlmm
from tests.support import orca_accounts as whirlpool
from tests.support import raydium_amm_accounts as amm
from tests.support import raydium_clmm_accounts as clmm
from tests.support.orca_accounts import WhirlpoolRecord
from tests.support.raydium_accounts import (
    CONFIG_DATA,
    MINTS_AT,
    PROGRAMS_AT,
    RecordedChain,
    address,
    key,
    mint_account,
    patched,
    pool_accounts,
    pool_of,
)
from tests.support.whirlpool_pools import FEE

OLD = pool_of((WSOL, USDC), 1, (373, 1))
WITH_CREATOR = pool_of((WSOL, USDC), 1, (373, 1), (389, b"\x02\x01"))


def _cpmm(*pools: bytes, config: bytes = CONFIG_DATA) -> Callable[[], RecordedChain]:
    accounts: dict[str, Account] = {}
    for number, data in enumerate(pools, 1):
        accounts |= pool_accounts(address(number), data, config=config)
        accounts |= {
            key(data, mint): mint_account(key(data, program))
            for mint, program in zip(MINTS_AT, PROGRAMS_AT, strict=True)
        }
    accounts[CLOCK] = at.clock_account()
    return lambda: RecordedChain(accounts)


def _damm(*pools: bytes) -> Callable[[], RecordedChain]:
    return lambda: at.chain_of(*pools)


def _dlmm(*names: str) -> Callable[[], RecordedChain]:
    records = [dlmm.deeper(dlmm.RECORDS[name], 1_000) for name in names]
    accounts = [dlmm.pool_accounts(record, number) for number, record in enumerate(records, 1)]
    return lambda: dlmm.chain_of(*accounts)


RECORDED: Mapping[type[Venue[Any]], Mapping[str, Callable[[], RecordedChain]]] = {
    Raydium: {
        "before-creators": _cpmm(OLD),
        "creator-fee": _cpmm(WITH_CREATOR, config=patched(CONFIG_DATA, (108, 500))),
        "several": _cpmm(OLD, pool_of((WSOL, USDC), 2, (373, 1))),
    },
    RaydiumAmm: {
        "swap-only": lambda: amm.chain_of(amm.pool_accounts(address(1), taken=(10**9, 10**6))),
        "several": lambda: amm.chain_of(
            amm.pool_accounts(address(1)), amm.pool_accounts(address(2), (10**12, 10**13), (USDC, WSOL), status=7)
        ),
    },
    RaydiumClmm: {
        "deep": lambda: clmm.chain_of(clmm.ClmmAccounts()),
        "close-ticks": lambda: clmm.chain_of(clmm.ClmmAccounts(pool=clmm.CLOSE)),
        "several": lambda: clmm.chain_of(clmm.ClmmAccounts(), clmm.ClmmAccounts(at=address(2), pool=clmm.CLOSE)),
    },
    Meteora: {
        "both-fees": _damm(at.pool_of(data=at.BOTH_FEES)),
        "compounding": _damm(at.pool_of((USDC, WSOL), data=at.COMPOUNDING)),
        "dynamic-fee": _damm(at.pool_of(data=at.DYNAMIC)),
        "range": _damm(at.pool_of(data=at.RANGE)),
        "several": _damm(at.pool_of(data=at.LINEAR), at.pool_of(number=2, data=at.EXPONENTIAL), at.pool_of(number=3)),
    },
    MeteoraDlmm: {
        **{name: _dlmm(name) for name in ("plain", "volatile", "only-y", "orders", "far", "far-below")},
        "several": _dlmm("gapped", "gapped"),
    },
    Orca: {
        "fixed-fee": lambda: whirlpool.chain_of(WhirlpoolRecord()),
        "adaptive-fee": lambda: whirlpool.chain_of(WhirlpoolRecord(adaptive_fee=FEE)),
        "several": lambda: whirlpool.chain_of(
            WhirlpoolRecord(dynamic=(0, 5_632)), WhirlpoolRecord(spacing=8, vaults=(address(181), address(182)))
        ),
    },
}
"""Venue -> kind of pools -> a fresh chain that shows them."""


@dataclass(frozen=True)
class RecordedHarness(Harness):
    """Each run has a fresh chain from `chain`, of mainnet. Nothing settles there."""

    chain: Callable[[], RecordedChain] = field(kw_only=True)

    @asynccontextmanager
    async def chain_setup(self, condition: Condition) -> AsyncIterator[ChainSetup]:
        """A fresh chain."""
        yield ChainSetup(
            clock=ManualClock(), chain=self.chain(), sealer=SimulatedSealer(SimulatedSigner()), cluster="mainnet-beta"
        )
