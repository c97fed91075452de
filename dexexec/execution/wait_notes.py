"""Records what an order waits for, so that clients and operators can read it. It decides nothing."""

import contextlib

from dexexec.domain.wait_reason import Waiting
from dexexec.errors import UnavailableError
from dexexec.execution.job import Job
from dexexec.observe.observer import Observer
from dexexec.observe.untrusted_text import clean
from dexexec.store import Store, WaitNote


class WaitNotes:
    """Writes wait reasons to `store`."""

    def __init__(self, store: Store, observer: Observer) -> None:
        self._store = store
        self._observer = observer

    async def write(self, job: Job, waiting: Waiting) -> None:
        """Record the reason. Nothing happens while Postgres is unavailable: the next change is recorded again."""
        with contextlib.suppress(UnavailableError):
            await self._store.note(
                WaitNote(
                    order_id=job.order.id, claim=job.order.claim, reason=waiting.reason, detail=clean(waiting.detail)
                )
            )

    async def report(self, job: Job, waiting: Waiting) -> None:
        """Record the reason, and log it if it is another one than before."""
        if waiting.reason is not job.waits_for:
            job.waits_for = waiting.reason
            self._observer.order_waiting(job.order.id, waiting)
        await self.write(job, waiting)
