"""The settings of `adapters/raydium/venue.py`."""

from pydantic import Field

from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.solana.addresses import Addresses


class RaydiumOptions(PoolOptions):
    """Where the CPMM program and its pools are."""

    configs_field = "amm_configs"
    amm_configs: Addresses = Field(
        (),
        description="configs, by comma, whose pools are tried where a node does not search; unset: the cluster's",
    )
