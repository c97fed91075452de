"""The settings of `adapters/raydium.py`: where the program and its pools are. Defaults follow from the cluster."""

from pydantic import BaseModel, ConfigDict, Field, model_validator

from adapters.addresses import Address, Addresses
from adapters.clusters import RAYDIUM_CPMM, ClusterName


class RaydiumOptions(BaseModel):
    """Where the program and its pools are."""

    model_config = ConfigDict(frozen=True)

    cluster: ClusterName = Field(
        "mainnet-beta",
        description="`mainnet-beta`, `devnet`, `testnet` or `localnet`: whose addresses are the defaults",
    )
    program_id: Address = Field("", description="address of the CPMM program; empty: the cluster's")
    amm_configs: Addresses = Field(
        (), description="configs whose pools are looked for where a node does not search; empty: the cluster's"
    )
    pools: Addresses = Field((), description="the only pools to trade with; empty: all that are found")
    pool_max_age_ms: int = Field(600_000, ge=0, le=86_400_000, description="how long found pools are remembered (ms)")
    quote_ttl_ms: int = Field(10_000, ge=1, le=600_000, description="how long a Raydium quote holds (ms)")

    @model_validator(mode="after")
    def _known(self) -> "RaydiumOptions":
        if not self.program_id and self.cluster not in RAYDIUM_CPMM:
            raise ValueError(f"no deployment on {self.cluster} is known: set DEXEXEC_RAYDIUM_PROGRAM_ID")
        return self

    @property
    def program(self) -> str:
        """The program's address."""
        return self.program_id or RAYDIUM_CPMM[self.cluster].program

    @property
    def configs(self) -> tuple[str, ...]:
        """Those given, or those of the cluster; a program of one's own has none of these."""
        return self.amm_configs or (() if self.program_id else RAYDIUM_CPMM[self.cluster].configs)
