"""Settings that all venues with on-chain pools share. Empty settings take their values from the cluster."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from dexexec_adapters.solana.addresses import Address, Addresses
from dexexec_adapters.solana.clusters import ClusterName

CONFIGS_SETTING: Any = Field(
    (), description="configs whose pools are tried if a node cannot search, comma-separated; unset: the cluster's"
)
"""The setting for a program's configs. Each venue declares it under its program's name for them."""


class PoolOptions(BaseModel):
    """The addresses of a venue's program and pools, and how long its data may be used."""

    model_config = ConfigDict(frozen=True)
    configs_field: ClassVar[str] = ""
    """The name of the field that is `CONFIGS_SETTING`, for a program that has configs."""

    cluster: ClusterName = Field(
        "",
        description="cluster whose addresses are the defaults: `mainnet-beta`, `devnet`, `testnet`, or `localnet` to"
        " settle there; unset: the node's",
    )
    program_id: Address = Field("", description="address of the program; unset: the cluster's")
    pools: Addresses = Field((), description="the only pools to trade with, comma-separated; unset: all that are found")
    pool_max_age_ms: int = Field(600_000, ge=0, le=86_400_000, description="how long found pools are cached (ms)")
    quote_ttl_ms: int | None = Field(
        None, ge=1, le=600_000, description="how long a quote holds (ms); unset: as long as its slots take"
    )
    quote_max_slots: int = Field(
        32,
        ge=0,
        le=1_000,
        description="how many slots a quote may be older than the newest block when its transaction is built",
    )

    @property
    def pool_configs(self) -> tuple[str, ...]:
        """The configs whose pools are tried if a node cannot search. Empty: the cluster's."""
        configs: tuple[str, ...] = getattr(self, self.configs_field, ())
        return configs
