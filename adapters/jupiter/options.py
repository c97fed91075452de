"""The settings of the venue `jupiter`."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from dexexec_adapters.solana.addresses import Address
from dexexec_adapters.solana.clusters import ClusterName

PUBLIC_URL = "https://api.jup.ag/swap/v1"
"""Jupiter's own server, which trades on mainnet-beta."""
KEYLESS_PER_MINUTE = 30
FREE_PER_MINUTE = 60
"""What Jupiter allows without a key, and with one that costs nothing (its portal's page on rate limits, 2026)."""
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


def _checked_url(text: str) -> str:
    parts = urlsplit(text)
    is_private = parts.scheme == "http" and parts.hostname in _LOCAL_HOSTS
    # The key is in a header of each request, so it must not be readable on the way.
    if not parts.hostname or not (parts.scheme == "https" or is_private):
        raise ValueError("must be an https:// address, or http:// on this machine")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("must have no user, query or fragment: the key has a setting of its own")
    return text.rstrip("/")


def _names(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class JupiterOptions(BaseModel):
    """How the API is reached, which routes it may choose, and how long its quotes may be used."""

    model_config = ConfigDict(frozen=True)

    cluster: ClusterName = Field(
        "",
        description="`mainnet-beta`, or `localnet` to settle there with a server of its own; unset: the node's",
    )
    program_id: Address = Field("", description="address of Jupiter's program; unset: the cluster's")
    api_url: Annotated[str, AfterValidator(_checked_url)] = Field(
        PUBLIC_URL, description="base address of the swap API, version 1"
    )
    api_key: SecretStr | None = Field(None, description="key of Jupiter's portal; unset: keyless")
    requests_per_minute: int | None = Field(
        None,
        ge=2,
        le=60_000,
        description="requests to the API per minute, of this process; unset: 30 without a key, 60 with one",
    )
    max_accounts: int = Field(48, ge=8, le=64, description="about how many accounts a route may have")
    only_direct_routes: bool = Field(False, description="whether only routes of a single hop are used")
    shared_accounts: bool = Field(
        True,
        description="whether tokens go through accounts of Jupiter's, so that the programs of pools never get the"
        " wallet's signature; few new pools cannot do that",
    )
    dexes: Names = Field((), description="the only markets that routes may use, by Jupiter's names, comma-separated")
    exclude_dexes: Names = Field((), description="markets that routes may not use, comma-separated")
    quote_ttl_ms: int | None = Field(
        None, ge=1, le=600_000, description="how long a quote holds (ms); unset: as long as its slots take"
    )
    quote_max_slots: int = Field(
        32,
        ge=0,
        le=1_000,
        description="how many slots a quote may be older than the newest block when its transaction is built",
    )

    @property
    def budget(self) -> int:
        """Requests per minute."""
        return self.requests_per_minute or (KEYLESS_PER_MINUTE if self.api_key is None else FREE_PER_MINUTE)
