"""A sealer with its checker, for tests that need no other part of a network."""

from typing import Any

from dexexec.clock import Clock
from dexexec.domain.rent import Rent
from dexexec.observe.observer import Observer, make_logger
from dexexec.settlement.sealing import ClientSignedSealer
from dexexec.settlement.solana.checker import SwapChecker
from dexexec.settlement.solana.client_sealer import ClientSealer
from dexexec.settlement.solana.co_signer import CoSigner
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.limited_signer import LimitedSigner
from dexexec.settlement.solana.sealer import SolanaSealer
from dexexec.settlement.solana.signer import LocalSigner, Signer
from dexexec.settlement.solana.spending import Reservations
from dexexec.settlement.solana.wallet import Wallet
from dexexec.settlement.wallet_sealers import Clients
from dexexec.venue import Network, SolanaChain
from tests.support.message_versions import compiler

SIGN_SECONDS = 10.0
MAX_PRICE = 1_000_000
RENT = Rent(6_960)


async def chain_rent() -> Rent:
    """The rent of a localnet."""
    return RENT


def limited(signer: Signer, clock: Clock, *, seconds: float = SIGN_SECONDS) -> LimitedSigner:
    """The signer with the engine's limits, for a wallet named `desk`."""
    return LimitedSigner(signer, "desk", seconds=seconds, clock=clock, observer=Observer(make_logger("critical")))


def solana_sealer(
    chain: SolanaChain, wallet: Wallet | Signer, rules: GuardRules, clock: Clock, **options: Any
) -> SolanaSealer:
    """Signs with `wallet` what `rules` allow; `options` are those of `SwapChecker`."""
    signer = LocalSigner(wallet) if isinstance(wallet, Wallet) else wallet
    checker = SwapChecker(
        chain, signer.address, rules, clock, **{"compiler": compiler(), "rent": chain_rent, **options}
    )
    return SolanaSealer(checker, limited(signer, clock))


def client_sealers(chain: SolanaChain, clock: Clock, reserved: Reservations) -> Clients:
    """The sealers of clients that sign for themselves on a localnet."""
    co_signer = CoSigner(b"secret of the record")

    def make(address: str) -> dict[str, ClientSignedSealer]:
        checker = SwapChecker(
            chain,
            address,
            GuardRules(MAX_PRICE),
            clock,
            rent=chain_rent,
            reserved=reserved,
            co_signer=co_signer.address,
            compiler=compiler(),
        )
        return {Network.LOCALNET: ClientSealer(checker, co_signer)}

    return make
