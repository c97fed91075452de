"""Settings that all venues of `adapters/pools/venue.py` share. Whatever is left empty follows from the cluster."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from dexexec_adapters.solana.addresses import Address, Addresses
from dexexec_adapters.solana.clusters import ClusterName


class PoolOptions(BaseModel):
    """Where a venue's program and its pools are, and how old may be what is known of them."""

    model_config = ConfigDict(frozen=True)
    configs_field: ClassVar[str]
    """Which field names configs: each program has its own word for them."""

    cluster: ClusterName = Field(
        "",
        description="cluster whose addresses are the defaults: `mainnet-beta`, `devnet`, `testnet`, or `localnet` to"
        " settle there; unset: the node's",
    )
    program_id: Address = Field("", description="address of the program; unset: the cluster's")
    pools: Addresses = Field((), description="the only pools to trade with, comma-separated; unset: all that are found")
    pool_max_age_ms: int = Field(600_000, ge=0, le=86_400_000, description="how long found pools are cached (ms)")
    quote_ttl_ms: int = Field(10_000, ge=1, le=600_000, description="how long a quote holds (ms)")
    quote_max_slots: int = Field(
        32, ge=0, le=1_000, description="how many slots a quote may be older than the transaction's blockhash"
    )

    @property
    def pool_configs(self) -> tuple[str, ...]:
        """Configs of the program, whose pools are looked at where a node does not search; empty: the cluster's."""
        found: tuple[str, ...] = getattr(self, self.configs_field)
        return found
