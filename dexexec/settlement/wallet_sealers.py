"""The sealers of each wallet: the default one, and those that have a name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dexexec.domain.handout import client_address
from dexexec.settlement.sealing import ClientSignedSealer, Sealer, SwapSimulator
from dexexec.settlement.signer_errors import SignerError, SignerTrouble


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletSealers:
    """What signs and what simulates with one wallet, by network. Without a key there is no sealer."""

    sealers: Mapping[str, Sealer]
    simulators: Mapping[str, SwapSimulator]

    def trouble(self) -> SignerError | None:
        """The outage because of which nothing can be signed on any network now, or None."""
        # A signer is the same on all networks, except for the simulated chain, whose key is always here.
        troubles = [sealer.trouble() for sealer in self.sealers.values()]
        return next(iter(troubles), None) if all(troubles) else None


Clients = Callable[[str], Mapping[str, ClientSignedSealer]]
"""Makes the sealers of a client's own wallet, by network."""


def no_clients(_: str) -> Mapping[str, ClientSignedSealer]:
    """Where no network has wallets."""
    return {}


@dataclass(frozen=True, slots=True)
class Wallets:
    """All wallets of a process, and those of `clients`, which sign for themselves."""

    default: WalletSealers
    named: Mapping[str, WalletSealers] = field(default_factory=dict)
    clients: Clients = no_clients

    def of(self, name: str | None) -> WalletSealers:
        """The wallet with a name; None: the default one. Raises `SignerError` if this process has no such wallet."""
        if name is None:
            return self.default
        if (address := client_address(name)) is not None:
            sealers = self.clients(address)
            return WalletSealers(sealers=sealers, simulators=sealers)
        if name not in self.named:
            # An order may outlive a change of the settings. It must not be paid by another wallet, nor be lost.
            raise SignerError(
                SignerTrouble.NOT_CONFIGURED, f"this worker has no wallet named {name}: add it to DEXEXEC_WALLETS again"
            )
        return self.named[name]
