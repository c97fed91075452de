"""Health checks: whether this process is alive, and whether orders should be sent to it."""

from typing import ClassVar

from dexexec.api.handler import ApiHandler


class AliveHandler(ApiHandler):
    """`GET /healthz`: the process answers. Nothing else is checked: a restart would not bring Postgres back."""

    def get(self) -> None:
        """Always 200."""
        self.answer({"status": "alive"})

    head = get


class ReadyHandler(ApiHandler):
    """`GET /readyz`: whether an order posted now would be executed."""

    ordinary: ClassVar[frozenset[int]] = frozenset({503}) | ApiHandler.ordinary

    async def get(self) -> None:
        """200 if everything that an order needs is available, else 503; `missing` names the missing parts, `causes` the
        reasons. Also 200 while it is `degraded`: orders may have to wait, and requests are answered."""
        readiness = await self.api.readiness.answer()
        checks = {name: name not in readiness.causes for name in ("postgres", "redis", "worker")}
        checks |= dict.fromkeys(readiness.causes, False)
        if not readiness.ready:
            self.set_header("Retry-After", "1")
        answer = {
            "status": ("degraded" if readiness.degraded else "ready") if readiness.ready else "not ready",
            "checks": checks,
            "missing": list(readiness.causes),
            "causes": {**readiness.degraded, **readiness.causes},
            "ageMs": round((self.api.clock.monotonic() - readiness.at) * 1000),
        }
        self.answer(answer, status=200 if readiness.ready else 503)

    head = get
