"""The settings of `adapters/raydium/venue.py`."""

from pydantic import Field

from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.solana.addresses import Addresses


class RaydiumOptions(PoolOptions):
    """Where the CPMM program and its pools are."""

    configs_field = "amm_configs"
    amm_configs: Addresses = Field(
        (),
        description="configs whose pools are tried if a node cannot search, comma-separated; unset: the cluster's",
    )
