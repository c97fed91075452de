"""The settings of orders that rest. `Settings` includes them."""

from pydantic import BaseModel, Field


class OrderKinds(BaseModel):
    """How resting orders are looked after."""

    oracle_interval_ms: int = Field(
        500,
        ge=10,
        le=60_000,
        description="how often the prices and times of resting orders are checked (ms)",
    )
    oracle: str | None = Field(
        None,
        description="reference price that must agree before an order is triggered: a name or `package.module:Class`;"
        " unset: none",
    )
    oracle_max_deviation_bps: int = Field(
        100, ge=1, le=10_000, description="how far venues and reference price may be apart to agree (bps)"
    )
    oracle_max_age_ms: int = Field(
        10_000, ge=100, le=3_600_000, description="how old the reference price may be to agree (ms)"
    )
