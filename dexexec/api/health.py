"""Health checks: whether this process is alive, and whether orders should be sent to it."""

from typing import ClassVar

from dexexec.api.handler import ApiHandler
from dexexec.api.readiness import Answer
from dexexec.clock import Clock

ALIVE = {"status": "alive"}
PARTS = ("postgres", "redis", "worker")


class AliveHandler(ApiHandler):
    """`GET /healthz`: the process answers. Nothing else is checked: a restart would not bring Postgres back."""

    def get(self) -> None:
        """Always 200."""
        self.answer(ALIVE)

    head = get


class ReadyHandler(ApiHandler):
    """`GET /readyz`: whether an order posted now would be executed."""

    ordinary: ClassVar[frozenset[int]] = frozenset({503}) | ApiHandler.ordinary

    async def get(self) -> None:
        """200 if everything that an order needs is available, else 503; `missing` names the missing parts, `causes` the
        reasons. Also 200 while it is `degraded`: orders may have to wait, and requests are answered."""
        document, status = ready_answer(await self.api.readiness.answer(), self.api.clock)
        if status == 503:
            self.set_header("Retry-After", "1")
        self.answer(document, status=status)

    head = get


def ready_answer(readiness: Answer, clock: Clock) -> tuple[dict[str, object], int]:
    """The body of `/readyz` and its status."""
    checks = {name: name not in readiness.causes for name in PARTS}
    checks |= dict.fromkeys(readiness.causes, False)
    document: dict[str, object] = {
        "status": ("degraded" if readiness.degraded else "ready") if readiness.ready else "not ready",
        "checks": checks,
        "missing": list(readiness.causes),
        "causes": {**readiness.degraded, **readiness.causes},
        "ageMs": round((clock.monotonic() - readiness.at) * 1000),
    }
    return document, 200 if readiness.ready else 503
