"""The settings of `adapters/meteora/venue.py`."""

from pydantic import Field

from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.solana.addresses import Addresses


class MeteoraOptions(PoolOptions):
    """Where the DAMM v2 program and its pools are."""

    configs_field = "configs"
    configs: Addresses = Field(
        (),
        description="configs, by comma, whose pools are tried where a node does not search; unset: the cluster's",
    )
