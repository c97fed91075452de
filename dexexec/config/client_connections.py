"""The settings of how clients connect: through which proxies. `Settings` includes them."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import BaseModel, Field, field_validator
from pydantic_settings import NoDecode

IpNetwork = IPv4Network | IPv6Network


class ConnectionSettings(BaseModel):
    """Whom to believe about a client's address."""

    trust_proxy: bool = Field(
        False,
        description="take the client's address from X-Forwarded-For, from whatever address a connection comes; only"
        " behind a proxy that sets it and that nobody can go around",
    )
    trusted_proxies: Annotated[tuple[IpNetwork, ...], NoDecode] = Field(
        (),
        description="proxies' addresses or networks, comma-separated, such as `127.0.0.1,10.1.0.0/16`: X-Forwarded-For"
        " is read only from them, from its end to the first address that is none of them",
    )

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
