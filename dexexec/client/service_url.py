"""The address of the service, and the API key. The key is in no text: not in a repr, an error or a log."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

ENVIRONMENT_KEY = "DEXEXEC_API_KEY"
DEFAULT_URL = "http://127.0.0.1:3000"
MASK = "***"
WHERE = f"an API key is given as token= or {ENVIRONMENT_KEY}"


class ApiKey:
    """An API key, which only leaves in the header of a request."""

    __slots__ = ("_token",)

    def __init__(self, token: str) -> None:
        # A line break would be a header of its own, and an error of the HTTP library would show the key.
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError("the API key is empty, or has characters that no key has")
        self._token = token

    def __repr__(self) -> str:
        return f"ApiKey({MASK})"

    def headers(self) -> dict[str, str]:
        """The header that carries it."""
        return {"Authorization": f"Bearer {self._token}"}

    def mask(self, text: bytes) -> bytes:
        """`text` without the key, for an answer that repeats it."""
        return text.replace(self._token.encode(), MASK.encode())


def read_key(token: str | None) -> ApiKey | None:
    """The key that was given, else that of the environment, else None."""
    found = os.environ.get(ENVIRONMENT_KEY) if token is None else token
    return ApiKey(found) if found else None


@dataclass(frozen=True, slots=True)
class ServiceUrl:
    """The service's base address, as `http` or `https`, with a path if a proxy serves it below one."""

    base: str

    @classmethod
    def read(cls, url: str) -> "ServiceUrl":
        """Raises `ValueError` for what is no such address."""
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        # The text of these errors has no part of the URL: what is wrong in it may be a secret.
        if not usable or not url.isprintable() or " " in url:
            raise ValueError(f"the URL must look like {DEFAULT_URL}")
        # Addresses are in logs and errors, so neither may hold a secret.
        if "@" in parts.netloc:
            raise ValueError(f"the URL has a user or a password: {WHERE}")
        if parts.query or parts.fragment:
            raise ValueError(f"the URL has a query or a fragment: {WHERE}")
        return cls(url.rstrip("/"))

    @property
    def is_secure(self) -> bool:
        """Whether it is reached over TLS."""
        return self.base.startswith("https://")

    def http(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """The URL of a path."""
        return f"{self.base}{path}{'?' + urlencode(query) if query else ''}"

    def websocket(self, path: str) -> str:
        """The URL of a path for a WebSocket."""
        return self.base.replace("http", "ws", 1) + path


def path_part(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")
