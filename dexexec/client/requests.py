"""Requests that are repeated until they are answered: after a lost answer, and when the service or its limits have no
room. Requests without `once` may be repeated: orders have an Idempotency-Key, changes a version."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from dexexec.client.answers import read_json
from dexexec.client.errors import ClientError, NoAnswerError
from dexexec.client.fields import Json
from dexexec.client.http_transport import Answer, HttpTransport
from dexexec.client.problem_document import json_object, read_problem
from dexexec.client.problems import (
    HaltedError,
    ProblemError,
    QueueFullError,
    ReadsBusyError,
    TooManyConnectionsError,
    VenuesUnavailableError,
)
from dexexec.client.retry import Random, Tries
from dexexec.client.service_url import path_part

OnRetry = Callable[[str, float], None]


class Sending(Protocol):
    """Sends a request of the client, as `Requests.send` does; `timeout` None means the client's own limit (seconds)."""

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        timeout: float | None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        on_refusal: Callable[[ProblemError], None] | None = None,
        on_retry: OnRetry | None = None,
        once: bool = False,
    ) -> tuple[Json, Mapping[str, str]]:
        """The JSON object and the headers of a successful answer."""


TRY_SECONDS = 10.0
"""The longest time that one try of a request may take."""
LEAST_TRY_SECONDS = 1.0
NOTHING_DONE = (HaltedError, QueueFullError, ReadsBusyError, TooManyConnectionsError, VenuesUnavailableError)
"""Refusals over 500 that come before anything is done."""


def may_have_acted(method: str, problem: ProblemError) -> bool:
    """Whether a request that was answered with this may have had its effect."""
    if problem.http_status < 500 or isinstance(problem, NOTHING_DONE):
        return False
    # Of a POST the service names the order if it may have been stored. A cancel may always have been.
    return method != "POST" or problem.code != "unavailable" or problem.order_id is not None


class Requests:
    """Sends requests. `on_retry` is for requests that have none of their own: it is called with the reason of each
    repetition and the seconds until then."""

    def __init__(self, transport: HttpTransport, *, random: Random, on_retry: OnRetry | None = None) -> None:
        self._transport = transport
        self._random = random
        self._on_retry = on_retry

    async def send(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        on_refusal: Callable[[ProblemError], None] | None = None,
        on_retry: OnRetry | None = None,
        once: bool = False,
    ) -> tuple[Json, Mapping[str, str]]:
        """The JSON object and the headers of a successful answer, within so many seconds.

        Raises `ProblemError` for a refusal and `NoAnswerError` without an answer; `uncertain` is true if a try may
        have had its effect. `on_refusal` sees every refusal, also those after which the request is repeated. With
        `once` nothing is sent again after a try that may have had its effect.
        """
        loop = asyncio.get_running_loop()
        least = min(LEAST_TRY_SECONDS, seconds / 2)
        tries = Tries(deadline=loop.time() + seconds, random=self._random, least_seconds=least)
        key = (headers or {}).get("Idempotency-Key")
        # Ends by an answer, a refusal that a repetition does not change, or the deadline.
        while True:
            now = loop.time()
            error: ClientError
            try:
                answer = await self._transport.exchange(
                    method,
                    path,
                    seconds=min(TRY_SECONDS, tries.deadline - now),
                    query=query,
                    headers=headers,
                    body=body,
                )
                return self._success(answer)
            except ProblemError as problem:
                if on_refusal is not None:
                    on_refusal(problem)
                error = problem
                tries.uncertain |= may_have_acted(method, problem)
                next_at = tries.next_at(loop.time(), retry_after=problem.retry_after) if problem.retryable else None
            except NoAnswerError as lost:
                error = lost
                tries.uncertain |= lost.uncertain
                next_at = tries.next_at(loop.time())
            # Also on a refusal: an earlier try, whose answer was lost, may have been accepted.
            error.uncertain = tries.uncertain
            error.idempotency_key = key
            if next_at is None or (once and tries.uncertain):
                raise error
            pause = max(0.0, next_at - loop.time())
            if (report := on_retry or self._on_retry) is not None:
                report(str(error), pause)
            await asyncio.sleep(pause)

    async def readiness(self, seconds: float) -> Json:
        """The answer of `/readyz`, tried once. Raises `ProblemError` and `NoAnswerError`."""
        answer = await self._transport.exchange("GET", "/readyz", seconds=seconds)
        body = json_object(answer.body)
        # 503 is an ordinary answer here. Only this service answers with a list of what is missing.
        if answer.status in {200, 503} and "missing" in body:
            return body
        raise read_problem(answer.status, answer.headers, answer.body)

    def _success(self, answer: Answer) -> tuple[Json, Mapping[str, str]]:
        if not 200 <= answer.status < 300:
            raise read_problem(answer.status, answer.headers, answer.body)
        return read_json(answer.body), answer.headers


def order_path(order_id: str) -> str:
    """The path of an order."""
    return f"/api/orders/{path_part(order_id)}"


def was_replayed(headers: Mapping[str, str]) -> bool:
    """Whether an earlier request did it."""
    return headers.get("idempotent-replayed") == "true"
