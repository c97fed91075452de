"""The settings of how clients connect: through which proxies, and with TLS. `Settings` includes them."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic_settings import NoDecode

IpNetwork = IPv4Network | IPv6Network


class ConnectionSettings(BaseModel):
    """Whom to believe about a client's address, and the certificate of this service."""

    trust_proxy: bool = Field(
        False,
        description="take the client's address from X-Forwarded-For, from any address that connects; only behind a"
        " proxy that sets it and that clients cannot avoid",
    )
    trusted_proxies: Annotated[tuple[IpNetwork, ...], NoDecode] = Field(
        (),
        description="proxies' addresses or networks, comma-separated, such as `127.0.0.1,10.1.0.0/16`: X-Forwarded-For"
        " is read only from them, from its end to the first other address",
    )

    tls_cert: Path | None = Field(
        None, description="PEM file with the certificate of this service and its chain: https and wss on the port"
    )
    tls_key: Path | None = Field(
        None, description="PEM file with the certificate's key, which only its owner may read; both are watched"
    )

    @field_validator("tls_cert", "tls_key", mode="before")
    @classmethod
    def _check_path(cls, value: object) -> object:
        # The content in place of the path must not be repeated by whoever cannot open such a file.
        if isinstance(value, str) and ("-----" in value or "\n" in value or "\0" in value):
            raise ValueError("it must be the path of a file, and not its content")
        return value

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("DEXEXEC_TLS_CERT and DEXEXEC_TLS_KEY belong together: set both of them, or none")
        return self

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _read_networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        networks = []
        for entry in (part.strip() for part in value.split(",")):
            if entry:
                networks.append(_network(entry))
        return tuple(networks)

    @property
    def behind_proxy(self) -> bool:
        """Whether clients may come through a proxy."""
        return self.trust_proxy or bool(self.trusted_proxies)


def _network(text: str) -> IpNetwork:
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(
            "each proxy must be an address or a network such as 10.1.0.0/16, whose bits behind the prefix are zero"
        ) from None
    if network.prefixlen == 0:
        # Every address would be a proxy, and the client's then the first one, which the client itself can write.
        raise ValueError("a network of all addresses trusts every client: name the proxies' own addresses")
    return network
