"""The transfer fee of a Token-2022 mint (`extension/transfer_fee/mod.rs` of the token program). Pure.

The token program withholds it from what a transfer moves: the receiver gets less than the sender pays.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

from dexexec_adapters.solana.layout import U16, U64, Pubkey, Table, after

BASIS_POINTS = 10_000


class TransferFee(NamedTuple):
    """`bps` of the amount, rounded up, and at most `most` base units."""

    bps: int
    most: int

    def of(self, amount: int) -> int:
        """What is withheld of a transfer of `amount`."""
        return min(-(-amount * self.bps // BASIS_POINTS), self.most)

    def before(self, received: int) -> int:
        """The transfer of which exactly `received` arrives. It may be more than a token account can hold."""
        if self.bps == 0 or received == 0:
            return received
        capped = received + self.most
        # All of it is withheld but what exceeds the limit.
        if self.bps == BASIS_POINTS:
            return capped
        return min(-(-received * BASIS_POINTS // (BASIS_POINTS - self.bps)), capped)


NO_FEE = TransferFee(0, 0)


@dataclass(frozen=True, slots=True)
class TransferFees:
    """A mint's fee, and the one that replaces it from the epoch `begin` on."""

    older: TransferFee
    newer: TransferFee
    begin: int

    def at(self, epoch: int) -> TransferFee:
        """The fee of transfers in an epoch."""
        return self.newer if epoch >= self.begin else self.older


class _Fee(NamedTuple):
    epoch: U64
    maximum_fee: U64
    transfer_fee_basis_points: U16


class _Config(NamedTuple):
    config_authority: Pubkey
    withdraw_withheld_authority: Pubkey
    older: Annotated[_Fee, after(8)]  # after the withheld amount
    newer: _Fee


_CONFIG = Table(_Config)
CONFIG_SIZE = _CONFIG.size


def read_config(body: bytes) -> TransferFees:
    """The fees in the extension TransferFeeConfig, of `CONFIG_SIZE` bytes. Raises `ValueError` for an impossible
    one."""
    config = _CONFIG.decode(body)
    older, newer = (TransferFee(fee.transfer_fee_basis_points, fee.maximum_fee) for fee in (config.older, config.newer))
    highest = max(older.bps, newer.bps)
    if highest > BASIS_POINTS:
        raise ValueError(f"a transfer fee of {highest} bps is impossible")
    return TransferFees(older, newer, config.newer.epoch)
