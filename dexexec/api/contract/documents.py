"""`GET /openapi.json`, `GET /asyncapi.json` and `GET /docs`: the contract, for tools and for people.

What they show is made of the models of all answers. These are imported with the first request: they take a fifth of the
whole start, and most processes never show them.
"""

import asyncio
from functools import cache

from dexexec.api.handler import JSON, ApiHandler, encode

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@cache
def openapi_bytes() -> bytes:
    """The OpenAPI document as JSON."""
    from dexexec.api.contract.openapi import openapi  # noqa: PLC0415

    # Encoded once: it is the same for every client, and has a hundred times the size of an order.
    return encode(openapi())


@cache
def asyncapi_bytes() -> bytes:
    """The AsyncAPI document as JSON."""
    from dexexec.api.contract.asyncapi import asyncapi  # noqa: PLC0415

    return encode(asyncapi())


@cache
def page_bytes() -> bytes:
    """Both documents as a page."""
    from dexexec.api.contract.page import page  # noqa: PLC0415

    return page()


class OpenApiHandler(ApiHandler):
    """`GET /openapi.json`."""

    async def get(self) -> None:
        """The HTTP routes, in OpenAPI 3.1."""
        # On a thread, since the first time takes a tenth of a second, in which orders would wait.
        self.answer_bytes(await asyncio.to_thread(openapi_bytes), JSON)

    head = get


class AsyncApiHandler(ApiHandler):
    """`GET /asyncapi.json`."""

    async def get(self) -> None:
        """The messages of the WebSocket, in AsyncAPI 3.0."""
        self.answer_bytes(await asyncio.to_thread(asyncapi_bytes), JSON)

    head = get


class DocsHandler(ApiHandler):
    """`GET /docs`."""

    async def get(self) -> None:
        """The page."""
        content = await asyncio.to_thread(page_bytes)
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.answer_bytes(content, "text/html; charset=utf-8")

    head = get
