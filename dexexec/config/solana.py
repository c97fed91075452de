"""The settings of the networks with real transactions. `Settings` includes them."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr

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

    def check_prices(self) -> None:
        """Raises `ValueError` if the lowest priority fee is over the highest."""
        if self.min_compute_price > self.max_compute_price:
            raise ValueError("DEXEXEC_MIN_COMPUTE_PRICE must not be more than DEXEXEC_MAX_COMPUTE_PRICE")
