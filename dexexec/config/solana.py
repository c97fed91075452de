"""The settings of the networks with real transactions. `Settings` includes them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from dexexec.domain import base58
from dexexec.domain.simulation_mode import SimulationMode


class SolanaSettings(BaseModel):
    """How the chain is read, and how transactions are paid for, sent and followed."""

    allow_mainnet: bool = Field(False, description="let venues settle on mainnet, with real money")
    min_compute_price: int = Field(
        0, ge=0, le=2**53, description="lowest priority fee per compute unit (millionths of a lamport)"
    )
    max_compute_price: int = Field(
        1_000_000, ge=0, le=2**53, description="highest priority fee per compute unit (millionths of a lamport)"
    )
    rpc_requests_per_second: float | None = Field(
        None,
        ge=0.1,
        le=100_000,
        description="requests per second to all nodes of a chain together; unset: what Solana's public nodes allow,"
        " no limit for others; a node that answers 429 gets fewer",
    )
    compute_price_rise_bps: int = Field(
        5_000,
        ge=0,
        le=1_000_000,
        description="how much higher the priority fee of each further attempt of an order is (bps), up to"
        " DEXEXEC_MAX_COMPUTE_PRICE",
    )
    tip_accounts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="accounts of block builders or sender services that get a tip, comma-separated, one for each"
        " attempt; unset: no tips",
    )
    tip_lamports: int = Field(0, ge=0, le=10**9, description="tip for each transaction (lamports)")
    tip_share_bps: int = Field(
        0, ge=0, le=100_000, description="tip as a share of the network fee (bps), where that is more"
    )
    max_tip_lamports: int = Field(
        1_000_000, ge=0, le=10**9, description="highest tip (lamports): the guard signs nothing with more"
    )
    send_urls: SecretStr | None = Field(
        None,
        description="endpoints that only take transactions, comma-separated: each transaction goes to them as well as"
        " to the nodes; they get nothing else",
    )
    send_at_once: bool = Field(
        True, description="send to all endpoints together; false: to the best node first, to the others within a slot"
    )
    sends_per_second: float | None = Field(
        None,
        ge=0.1,
        le=100_000,
        description="transactions per second to each endpoint; first sends wait for their turn, repeated ones are left"
        " out; unset: no limit of its own",
    )
    finality_seconds: float | None = Field(
        None,
        ge=0.05,
        le=600,
        description="how often a confirmed order is looked up until it is finalized (s); unset: every ten slots",
    )
    spend_wrapped_sol: bool = Field(
        True, description="let sales of SOL use SOL that the wallet had wrapped before, if its other SOL is not enough"
    )

    transaction_version: Literal["auto", "0", "1"] = Field(
        "auto",
        description="version of the transactions that are built: `0`, `1` (larger; not every cluster executes it), or"
        " `auto`: 1 for what does not fit into 0, where the cluster executes it",
    )
    watch_accounts: int = Field(
        500,
        ge=0,
        le=10_000,
        description="accounts (pools, wallets) that are kept in memory by subscriptions to a node, so that orders need"
        " not wait for it; 0: none",
    )
    stale_slots: int = Field(
        32,
        ge=4,
        le=100,
        description="slots after which an account in memory that was neither reported nor read again is not used",
    )
    simulate: SimulationMode = Field(
        SimulationMode.LOCAL,
        description="where transactions are simulated before they are signed: `local` in this process where its"
        " programs and accounts are known, else by a node; `node`; `both`, which must agree",
    )
    simulation_checks: float = Field(
        0.05, ge=0, le=1, description="share of the local simulations that are compared with a node's in the background"
    )
    program_dumps: Path | None = Field(
        None, description="folder with dumps of the venues' programs, for `bench` and tests; the service needs none"
    )

    @field_validator("tip_accounts", mode="before")
    @classmethod
    def _split_tip_accounts(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("tip_accounts")
    @classmethod
    def _are_addresses(cls, accounts: tuple[str, ...]) -> tuple[str, ...]:
        for place, account in enumerate(accounts, 1):
            if not _is_address(account):
                raise ValueError(f"entry {place} is not an address: 32 bytes in base58")
        return accounts

    def check_prices(self) -> None:
        """Raises `ValueError` if the lowest priority fee is over the highest, or tips do not fit together."""
        if self.tip_lamports > self.max_tip_lamports:
            raise ValueError("DEXEXEC_TIP_LAMPORTS must not be more than DEXEXEC_MAX_TIP_LAMPORTS")
        if (self.tip_lamports or self.tip_share_bps) and not self.tip_accounts:
            raise ValueError("DEXEXEC_TIP_LAMPORTS and DEXEXEC_TIP_SHARE_BPS need DEXEXEC_TIP_ACCOUNTS")
        if self.min_compute_price > self.max_compute_price:
            raise ValueError("DEXEXEC_MIN_COMPUTE_PRICE must not be more than DEXEXEC_MAX_COMPUTE_PRICE")


def _is_address(text: str) -> bool:
    try:
        return len(base58.decode(text)) == 32
    except ValueError:
        return False
