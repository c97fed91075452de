"""A swap on the simulated chain, of which a test changes a part."""

from dataclasses import replace
from typing import Any

from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.token import USDC, WSOL


def simulated_swap(**changes: Any) -> SimulatedSwap:
    """By default one SOL for about 150 USDC."""
    swap = SimulatedSwap(
        venue="mock-raydium",
        mint_in=WSOL,
        mint_out=USDC,
        amount_in=10**9,
        amount_out=150_000_000,
        min_out=149_000_000,
        max_in=10**9,
        exact_in=True,
        payer="p",
        blockhash="",
        nonce="1",
        fee=5_000,
    )
    return replace(swap, **changes)
