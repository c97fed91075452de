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
