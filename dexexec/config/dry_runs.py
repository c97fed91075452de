"""The settings of dry runs: executing orders without a signature. `Settings` includes them."""

from typing import Self

from pydantic import BaseModel, Field, field_validator, model_validator

from dexexec.domain import base58

ADDRESS_BYTES = 32


class DryRuns(BaseModel):
    """Whether all orders run dry, and with which wallet."""

    dry_run: bool = Field(
        False, description="run every order dry: it is simulated on the chain, and nothing is signed or sent"
    )
    dry_run_wallet: str | None = Field(
        None,
        description="address of the wallet to simulate with; unset: that of SOLANA_WALLET_SECRET_KEY. Needs"
        " DEXEXEC_DRY_RUN, and no key is read",
    )

    @field_validator("dry_run_wallet")
    @classmethod
    def _check_address(cls, value: str | None) -> str | None:
        if value is not None and not _is_address(value):
            raise ValueError("it must be the address of a wallet: base58 of 32 bytes, and never its key")
        return value

    @model_validator(mode="after")
    def _check_wallet(self) -> Self:
        # An address alone cannot sign, so orders that are not dry could never be executed.
        if self.dry_run_wallet is not None and not self.dry_run:
            raise ValueError("DEXEXEC_DRY_RUN_WALLET needs DEXEXEC_DRY_RUN=1: an address cannot sign")
        return self


def _is_address(text: str) -> bool:
    try:
        return len(base58.decode(text)) == ADDRESS_BYTES
    except ValueError:
        return False
