"""The settings of `adapters/meteora/venue.py`."""

from pydantic import Field

from dexexec_adapters.pools.options import PoolOptions
from dexexec_adapters.solana.addresses import Addresses


class MeteoraOptions(PoolOptions):
    """Where the DAMM v2 program and its pools are."""

    configs_field = "configs"
    configs: Addresses = Field(
        (),
        description="configs whose pools are tried if a node cannot search, comma-separated; unset: the cluster's",
    )
