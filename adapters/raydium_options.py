"""The settings of `adapters/raydium.py`."""

from pydantic import Field

from adapters.addresses import Addresses
from adapters.pool_options import PoolOptions


class RaydiumOptions(PoolOptions):
    """Where the CPMM program and its pools are."""

    configs_field = "amm_configs"
    amm_configs: Addresses = Field(
        (),
        description="configs, by comma, whose pools are tried where a node does not search; unset: the cluster's",
    )
