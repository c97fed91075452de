"""The settings of metrics, health checks and rolling restarts. `Settings` includes them."""

from pydantic import BaseModel, Field


class OperationsSettings(BaseModel):
    """What operators and their tools read, and how a process announces its stop."""

    metrics: bool = Field(True, description="count what happens, for `/metrics`")
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port for `/metrics`, `/healthz` and `/readyz` without a key; 0 picks a free one; unset: `/metrics`"
        " is on the main port",
    )
    metrics_host: str = Field("127.0.0.1", description="address of that port; let only monitoring reach it")
    lame_duck_seconds: float = Field(
        0.0,
        ge=0,
        le=600,
        description="how long after SIGTERM `/readyz` answers 503 while everything goes on; then the port closes (s)",
    )
