"""`GET /openapi.json` and `GET /asyncapi.json`: the contract, for tools."""

from functools import cache

from dexexec.api.contract.asyncapi import asyncapi
from dexexec.api.contract.openapi import openapi
from dexexec.api.handler import JSON, ApiHandler, encode


@cache
def openapi_bytes() -> bytes:
    """The OpenAPI document as JSON."""
    # Encoded once: it is the same for every client, and has a hundred times the size of an order.
    return encode(openapi())


@cache
def asyncapi_bytes() -> bytes:
    """The AsyncAPI document as JSON."""
    return encode(asyncapi())


class OpenApiHandler(ApiHandler):
    """`GET /openapi.json`."""

    def get(self) -> None:
        """The HTTP routes, in OpenAPI 3.1."""
        self.answer_bytes(openapi_bytes(), JSON)

    head = get


class AsyncApiHandler(ApiHandler):
    """`GET /asyncapi.json`."""

    def get(self) -> None:
        """The messages of the WebSocket, in AsyncAPI 3.0."""
        self.answer_bytes(asyncapi_bytes(), JSON)

    head = get
