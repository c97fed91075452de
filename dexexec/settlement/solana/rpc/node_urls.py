"""Names of nodes that are safe to show, and the secrets in their URLs.

URLs of nodes hold keys in the path, the query, the user part or the first label of the host.
"""

import re
from urllib.parse import unquote, urlsplit

from dexexec.observe.redaction import masked_host

_MIN_SECRET_LENGTH = 6
"""Shorter parts, such as `v2` or `rpc`, are no keys, and replacing them would garble every message."""


def node_names(urls: list[str]) -> list[str]:
    """A name for each URL: the host without a key in its first label, and the port if it is given.

    Nodes with the same name get their place in the list as well. Raises `ValueError`, naming only the place, for a URL
    that is not a node's.
    """
    hosts = [_shown_address(url, place) for place, url in enumerate(urls, 1)]
    return [host if hosts.count(host) == 1 else f"{host} ({place})" for place, host in enumerate(hosts, 1)]


def url_secrets(url: str) -> list[str]:
    """The parts of a URL that may be keys, encoded and decoded, the longest first."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    pieces = re.split(r"[/?&=@:#;,]", f"{user}/{parts.path}?{parts.query}#{parts.fragment}")
    if parts.hostname and masked_host(parts.hostname) != parts.hostname:
        pieces.append(parts.hostname.partition(".")[0])
    # A node may repeat a key as it was sent or as it decoded it.
    secrets = {secret for piece in pieces for secret in (piece, unquote(piece)) if len(secret) >= _MIN_SECRET_LENGTH}
    # The longest first, so that a key is replaced as a whole and not only the part that another secret matches.
    return sorted(secrets, key=len, reverse=True)


def _shown_address(url: str, place: int) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        port = parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("http", "https"):
        raise ValueError(f"the address of node {place} must be http://HOST or https://HOST, with a port or path if any")
    host = f"[{host}]" if ":" in host else masked_host(host)
    return host if port is None else f"{host}:{port}"
