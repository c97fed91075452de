"""Requests to Jupiter's swap API over HTTP. What it answers is bounded here, and checked in `answers` and `route`."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from pydantic import SecretStr
from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.simple_httpclient import HTTPTimeoutError, SimpleAsyncHTTPClient

from dexexec.venue import BadAnswer, NoRoute, RateLimited, Timeout, Unreachable
from dexexec_adapters.jupiter.budget import RequestBudget

MOST_BYTES = 256 * 1024
"""Of an answer. A route of 64 accounts with its instructions is below 32 KiB."""
MOST_REQUESTS = 16
"""Requests at the same time."""
MOST_TEXT = 200
"""Characters of an error that are passed on."""
NO_ROUTE = frozenset({
    "COULD_NOT_FIND_ANY_ROUTE",
    "NO_ROUTES_FOUND",
    "ROUTE_PLAN_DOES_NOT_CONSUME_ALL_THE_AMOUNT",
    "TOKEN_NOT_TRADABLE",
    "MARKET_NOT_FOUND",
    "CIRCULAR_ARBITRAGE_IS_DISABLED",
})  # fmt: skip
"""The API's codes for swaps that it cannot do."""


class JupiterApi:
    """The API at `url`, within `budget`. The key is sent, and never shown."""

    def __init__(self, url: str, key: SecretStr | None, budget: RequestBudget) -> None:
        self._url = url
        self._headers = {"Accept": "application/json"}
        if key is not None:
            self._headers["x-api-key"] = key.get_secret_value()
        self._budget = budget
        self._client: SimpleAsyncHTTPClient | None = None

    async def quote(self, parameters: Mapping[str, str], seconds: float) -> dict[str, Any]:
        """The answer to `GET /quote`. Raises `VenueError`."""
        # A quote that cannot be built is worth nothing, so one request stays for that.
        self._budget.take(keep=1)
        return await self._fetch(HTTPRequest(f"{self._url}/quote?{urlencode(parameters)}"), seconds)

    async def instructions(self, body: Mapping[str, object], seconds: float) -> dict[str, Any]:
        """The answer to `POST /swap-instructions`. Raises `VenueError`."""
        self._budget.take()
        request = HTTPRequest(f"{self._url}/swap-instructions", method="POST", body=json.dumps(body))
        request.headers["Content-Type"] = "application/json"
        return await self._fetch(request, seconds)

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    async def _fetch(self, request: HTTPRequest, seconds: float) -> dict[str, Any]:
        request.headers.update(self._headers)
        request.connect_timeout = request.request_timeout = seconds
        # A redirect would take the key to another server, and a compressed answer has no bound.
        request.follow_redirects = request.decompress_response = False
        if self._client is None:
            self._client = SimpleAsyncHTTPClient(
                force_instance=True, max_clients=MOST_REQUESTS, max_body_size=MOST_BYTES
            )
        try:
            response = await self._client.fetch(request, raise_error=False)
        except HTTPTimeoutError:
            raise Timeout("Jupiter's API did not answer in time") from None
        except (HTTPClientError, OSError, ValueError) as error:
            # Its text is about the connection. The request, which has the key, is not part of it.
            raise Unreachable(f"Jupiter's API cannot be reached: {type(error).__name__}") from None
        return self._read(response)

    def _read(self, response: HTTPResponse) -> dict[str, Any]:
        if response.code == 429:
            self._budget.refused(_seconds(response.headers.get("Retry-After", "")))
            raise RateLimited("Jupiter's API refused the request as too many")
        if response.code in (401, 403):
            raise Unreachable("Jupiter's API refused the key: set DEXEXEC_JUPITER_API_KEY to one of its portal")
        if response.code >= 500:
            raise Unreachable(f"Jupiter's API failed with status {response.code}")
        try:
            answer = json.loads(response.body)
        except (ValueError, RecursionError):
            raise BadAnswer(f"Jupiter's API answered status {response.code} without JSON") from None
        if not isinstance(answer, dict):
            raise BadAnswer("Jupiter's API answered with something else than an object")
        if response.code != 200 or "error" in answer or "errorCode" in answer:
            raise _refusal(answer, response.code)
        self._budget.succeeded()
        return answer


def _refusal(answer: Mapping[str, object], status: int) -> NoRoute | BadAnswer:
    code = str(answer.get("errorCode", ""))[:MOST_TEXT]
    text = str(answer.get("error", ""))[:MOST_TEXT]
    if code in NO_ROUTE:
        return NoRoute(f"Jupiter has no route: {text or code}")
    return BadAnswer(f"Jupiter's API refused the request with status {status}: {code} {text}")


def _seconds(text: str) -> float | None:
    """The seconds of a Retry-After header, None for anything else."""
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 6 else None
