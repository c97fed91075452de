"""Two questions an operator's machinery asks: does this process live, and should orders be sent to it."""

import asyncio
from typing import ClassVar

from dexexec.api.handler import ApiHandler
from dexexec.errors import UnavailableError

PROBE_SECONDS = 2.0
"""Shorter than what probes usually wait for an answer."""


class AliveHandler(ApiHandler):
    """`GET /healthz`: the process answers. Nothing else is looked at: restarting it would not bring Postgres back."""

    def get(self) -> None:
        """Always 200."""
        self.answer({"status": "alive"})

    head = get


class ReadyHandler(ApiHandler):
    """`GET /readyz`: whether an order posted now would be executed."""

    ordinary: ClassVar[frozenset[int]] = frozenset({503}) | ApiHandler.ordinary

    async def get(self) -> None:
        """200 when Postgres, Redis and a worker are there and it may sign, else 503; `missing` names what is not."""
        postgres, redis, worker, stopped = await asyncio.gather(
            self._postgres(), self._redis(), self._worker(), self._signing_stopped()
        )
        checks = {"postgres": postgres, "redis": redis, "worker": worker}
        if stopped:
            checks["chain-comparison"] = False
        missing = [name for name, there in checks.items() if not there]
        if missing:
            self.set_header("Retry-After", "1")
        answer = {"status": "not ready" if missing else "ready", "checks": checks, "missing": missing}
        self.answer(answer, status=503 if missing else 200)

    head = get

    async def _postgres(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self.api.history.ping()
        except (UnavailableError, TimeoutError):
            return False
        return True

    async def _redis(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self.api.queue.depth()
        except (UnavailableError, TimeoutError):
            return False
        return True

    async def _worker(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await self.api.history.worker_seen()
        except (UnavailableError, TimeoutError):
            return False

    async def _signing_stopped(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await self.api.history.signing_stopped()
        except (UnavailableError, TimeoutError):
            return False  # then Postgres is what is missing
