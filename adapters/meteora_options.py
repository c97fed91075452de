"""The settings of `adapters/meteora.py`."""

from pydantic import Field

from adapters.addresses import Addresses
from adapters.pool_options import PoolOptions


class MeteoraOptions(PoolOptions):
    """Where the DAMM v2 program and its pools are."""

    configs_field = "configs"
    configs: Addresses = Field(
        (),
        description="configs, by comma, whose pools are tried where a node does not search; unset: the cluster's",
    )
