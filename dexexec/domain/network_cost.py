"""What one transaction cost its wallet, as the chain shows it: fee, tip and rent, in lamports."""

from dataclasses import dataclass

LAMPORTS_PER_SIGNATURE = 5_000
"""The base fee of every Solana cluster, for each signature of a transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCost:
    """What a transaction cost its wallet, in lamports. Rent is what the wallet's own token accounts hold more or less
    than before, beside wrapped SOL: it comes back when such an account is closed. `tip` is what the wallet transferred
    to a block builder or sender service."""

    base_fee: int
    priority_fee: int = 0
    rent_paid: int = 0
    rent_returned: int = 0
    tip: int = 0

    @property
    def fee(self) -> int:
        """The whole fee."""
        return self.base_fee + self.priority_fee


def split_fee(fee: int, signatures: int) -> NetworkCost:
    """A fee with its priority part: what exceeds the base fee for that many signatures. No rent."""
    base = min(fee, LAMPORTS_PER_SIGNATURE * signatures)
    return NetworkCost(base_fee=base, priority_fee=fee - base)
