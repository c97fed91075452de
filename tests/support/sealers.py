"""A sealer with its checker, for tests that need no other part of a network."""

from typing import Any

from dexexec.clock import Clock
from dexexec.settlement.solana.checker import SwapChecker
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.sealer import SolanaSealer
from dexexec.settlement.solana.wallet import Wallet
from dexexec.venue import SolanaChain


def solana_sealer(chain: SolanaChain, wallet: Wallet, rules: GuardRules, clock: Clock, **options: Any) -> SolanaSealer:
    """Signs with `wallet` what `rules` allow; `options` are those of `SwapChecker`."""
    return SolanaSealer(SwapChecker(chain, wallet.address, rules, clock, **options), wallet)
