"""The settings of swaps over several pools. `Settings` includes them."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator
from pydantic_settings import NoDecode

from dexexec.domain.token import USDC, WSOL, looks_like_mint


class RouteSettings(BaseModel):
    """How an order may be divided over pools, or go through another token."""

    routes: Literal["all", "single"] = Field(
        "all",
        description="`all`: divide swaps over pools, or send them through another token; `single`: one pool each",
    )
    hop_mints: Annotated[tuple[str, ...], NoDecode] = Field(
        (WSOL, USDC), description="mints of the tokens that a swap may go through, comma-separated"
    )
    hop_tolerance_bps: int = Field(
        5,
        ge=0,
        le=1_000,
        description="of what the first pool is expected to give, the part that is not swapped on (bps)",
    )

    @field_validator("hop_mints", mode="before")
    @classmethod
    def _read_hop_mints(cls, value: object) -> object:
        mints = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        if isinstance(mints, list | tuple) and (wrong := [mint for mint in mints if not looks_like_mint(str(mint))]):
            raise ValueError(f"{wrong[0]!r} is not the address of a mint")
        return mints
