"""The settings of who may send requests. `Settings` includes them."""

from typing import Annotated

from pydantic import BaseModel, Field, field_validator
from pydantic_settings import NoDecode

from dexexec.config.host_names import ANY, split_authority, split_origin


class AccessSettings(BaseModel):
    """The hosts and origins that are served."""

    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="host names of this service besides localhost and its listening address, such as a proxy's,"
        " comma-separated; `*.dex.example` for all names below it, `*` for any",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="origins whose web pages may use this service besides its own, comma-separated; `*` for any"
    )

    @field_validator("allowed_hosts", "allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("allowed_hosts")
    @classmethod
    def _check_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(entry == ANY or split_authority(entry) for entry in value):
            raise ValueError("each host must be a name or an address, with a port or without, and no https:// or path")
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(entry in {ANY, "null"} or ("*" not in entry and split_origin(entry.rstrip("/"))) for entry in value):
            raise ValueError("each origin must be a scheme and a host such as https://app.example, without a path")
        return value
