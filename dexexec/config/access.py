"""The settings of who may send requests. `Settings` includes them."""

from typing import Annotated, Protocol

from pydantic import BaseModel, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from dexexec.config.host_names import ANY, is_loopback, normal_host, split_authority, split_origin


class AccessSettings(BaseModel):
    """The keys, hosts and origins that are served."""

    require_keys: bool | None = Field(
        None,
        description="whether each request needs an API key; unset: unless only this machine can reach the service, by"
        " DEXEXEC_HOST, DEXEXEC_ALLOWED_HOSTS and the settings of proxies",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="host names of this service besides localhost and its listening address, such as a proxy's,"
        " comma-separated; `*.dex.example` for all names below it, `*` for any",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="origins whose web pages may use this service besides its own, comma-separated; `*` for any"
    )

    page: bool = Field(
        True, description="show people who open `/` in a browser the page; `false`: links as JSON, for all"
    )
    api_key: SecretStr | None = Field(
        None,
        description="API key with which the commands of this program, such as `demo`, and `dexexec.client` reach a"
        " service that requires one",
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


class Exposure(Protocol):
    """The settings on which it depends who can reach the service."""

    @property
    def host(self) -> str:
        """The address that it listens on."""

    @property
    def behind_proxy(self) -> bool:
        """Whether clients may come through a proxy."""

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """Its other names."""

    @property
    def require_keys(self) -> bool | None:
        """Whether each request needs a key; None: it depends on the others."""


def keys_required(settings: Exposure) -> bool:
    """Whether each request needs an API key."""
    return bool(exposed_by(settings)) if settings.require_keys is None else settings.require_keys


def exposed_by(settings: Exposure) -> str:
    """The setting by which more than the programs of this machine may reach the service; empty without one."""
    if not is_loopback(normal_host(settings.host)):
        return "DEXEXEC_HOST"
    # A proxy on this machine connects from it, for clients from anywhere; and so does a tunnel under another name.
    if settings.behind_proxy:
        return "DEXEXEC_TRUST_PROXY or DEXEXEC_TRUSTED_PROXIES"
    names = [split_authority(name) for name in settings.allowed_hosts]
    if any(name is None or not is_loopback(name[0]) for name in names):
        return "DEXEXEC_ALLOWED_HOSTS"
    return ""
