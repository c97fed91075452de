"""What carries a worker's orders on, put together as `dexexec.run` does it."""

import random
from collections.abc import Mapping

from dexexec.clock import Clock
from dexexec.domain.token import KNOWN, Tokens
from dexexec.observe import Observer
from dexexec.pipeline import Pipeline
from dexexec.presenting import Presenter
from dexexec.queue import Queue
from dexexec.rounds import Retries
from dexexec.router import Router
from dexexec.settlement.settle import Settlement
from dexexec.store import Store
from dexexec.venue import AnyVenue
from dexexec.watcher import FinalityWatcher


def pipeline_and_watcher(
    *,
    store: Store,
    queue: Queue,
    router: Router,
    settlement: Settlement,
    venues: Mapping[str, AnyVenue],
    retries: Retries,
    finality_ms: float,
    clock: Clock,
    observer: Observer,
    rng: random.Random,
    watching: Clock | None = None,
) -> tuple[Pipeline, FinalityWatcher]:
    """Both, for one worker. The watcher's clock is `watching`, if that is another one."""
    presenter = Presenter(Tokens(KNOWN))
    pipeline = Pipeline(
        store=store,
        router=router,
        settlement=settlement,
        venues=venues,
        presenter=presenter,
        retries=retries,
        max_price_impact_bps=1_000,
        finality_ms=finality_ms,
        funds_wait_ms=3_000,
        clock=clock,
        observer=observer,
        rng=rng,
    )
    watcher = FinalityWatcher(
        store=store,
        queue=queue,
        settlement=settlement,
        venues=venues,
        presenter=presenter,
        finality_ms=finality_ms,
        clock=watching or clock,
        observer=observer,
    )
    return pipeline, watcher
