"""Finds out who sends a request: by the API key in its headers.

Every refusal of a key is the same answer, byte by byte; only the log has the reason.
"""

from typing import Protocol
from urllib.parse import unquote

from tornado.httputil import HTTPHeaders, HTTPServerRequest

from dexexec.access.key_ring import Accepted, Refusal, Refused
from dexexec.api.caller import OPEN, Caller
from dexexec.api.problems import KeyInUrlError
from dexexec.domain.api_token import PATTERN
from dexexec.errors import UnauthorizedError

SCHEME = "bearer"
PROTOCOL = "dexexec.v1"
"""The sub-protocol of the WebSocket that a client offers together with its key."""
KEY_PROTOCOL = "dexexec.bearer."
"""Begins the sub-protocol that holds the key. Browsers can send no other header with a WebSocket."""
HOW = "send a valid API key: Authorization: Bearer dx_..., made with `python -m dexexec keys create`"


class RefusedKeyError(UnauthorizedError):
    """The key is missing, or one of the reasons of `Refusal` applies. Only the log gets `why` and the key's `name`."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(HOW)
        self.why = refused.why
        self.name = refused.name


class Keys(Protocol):
    """The part of `dexexec.access.key_ring.KeyRing` that is used here."""

    async def identify(self, text: str) -> Accepted | Refused:
        """The key of a token. Raises `UnavailableError`."""


class Authentication:
    """Admits callers by their keys. Without `required`, callers without a key are admitted too, as `OPEN`."""

    def __init__(self, keys: Keys | None = None, *, required: bool = False) -> None:
        if required and keys is None:
            raise ValueError("no key can be recognised without a key ring")
        self._keys = keys
        self.required = required

    async def caller(self, request: HTTPServerRequest) -> Caller:
        """Who sends the request. Raises `UnauthorizedError`, `KeyInUrlError` and `UnavailableError`."""
        check_url(request)
        token = bearer_token(request.headers, self.required)
        if token is None:
            if self.required:
                raise RefusedKeyError(Refused(Refusal.MISSING))
            return OPEN
        return await self.identify(token)

    async def socket_caller(self, request: HTTPServerRequest) -> Caller | None:
        """Who opens the WebSocket; None if its first message must have the key. Raises as `caller` does."""
        check_url(request)
        token = bearer_token(request.headers, self.required)
        if token is None:
            token = protocol_token(request.headers)
        if token is not None:
            return await self.identify(token)
        return None if self.required else OPEN

    async def identify(self, token: str) -> Caller:
        """The holder of a key. Raises `UnauthorizedError` and `UnavailableError`."""
        if self._keys is None:
            return OPEN
        found = await self._keys.identify(token)
        if isinstance(found, Refused):
            raise RefusedKeyError(found)
        key = found.key
        return Caller(owner=key.owner, name=key.name, scopes=key.scopes, policy=key.policy, secret_id=found.secret_id)


def check_url(request: HTTPServerRequest) -> None:
    """Raises `KeyInUrlError`. A key in a URL is refused even if it is valid, since clients would come to rely on it."""
    # Also in the path and in percent-encoding: what matters is that the text is in the logs of proxies.
    if PATTERN.search(unquote(str(request.uri))):
        raise KeyInUrlError("send the key in the Authorization header, and rotate this one: URLs are logged on the way")


def bearer_token(headers: HTTPHeaders, required: bool) -> str | None:
    """The token in the Authorization header; None without one.

    Where no key is required, only a token of our form counts: the header may be meant for a proxy in front of
    the service, which lets it pass.
    """
    # A second header might be read by a proxy as the first one is here, or the other way round.
    given = headers.get_list("Authorization")
    if not given:
        return None
    scheme, _, token = given[0].partition(" ")
    token = token.strip()
    plain = len(given) == 1 and scheme.lower() == SCHEME
    if not required:
        return token if plain and token.startswith("dx_") else None
    return token if plain else ""


def protocol_token(headers: HTTPHeaders) -> str | None:
    """The token among the sub-protocols that a WebSocket client offers."""
    for offered in protocols(headers):
        if offered.startswith(KEY_PROTOCOL):
            return offered.removeprefix(KEY_PROTOCOL)
    return None


def protocols(headers: HTTPHeaders) -> list[str]:
    """The sub-protocols that a WebSocket client offers."""
    return [part.strip() for part in headers.get("Sec-WebSocket-Protocol", "").split(",") if part.strip()]
