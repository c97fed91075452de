"""What carries a worker's orders on, put together as `dexexec.bootstrap.service` does it."""

import random
from collections.abc import Mapping

from dexexec.broker.queue import Queue
from dexexec.clock import Clock
from dexexec.domain.halt import NO_HALTS
from dexexec.domain.token import KNOWN, Tokens
from dexexec.execution.event_detail import Presenter
from dexexec.execution.finality_watcher import FinalityWatcher
from dexexec.execution.halted_orders import Halts
from dexexec.execution.pipeline import Pipeline
from dexexec.execution.policy_book import PolicyBook
from dexexec.execution.retry_policy import RetryPolicy
from dexexec.execution.watched_orders import WatchedOrders
from dexexec.failpoints import NO_FAILPOINTS, Failpoints
from dexexec.observe.observer import Observer
from dexexec.settlement.settlement import Settlement
from dexexec.store import Store
from dexexec.venue import AnyVenue
from dexexec.venues.router import Router


def pipeline_and_watcher(
    *,
    store: Store,
    queue: Queue,
    router: Router,
    settlement: Settlement,
    venues: Mapping[str, AnyVenue],
    retry_policy: RetryPolicy,
    finality_ms: float,
    clock: Clock,
    observer: Observer,
    rng: random.Random,
    watching: Clock | None = None,
    dry_run: bool = False,
    halts: Halts = NO_HALTS,
    failpoints: Failpoints = NO_FAILPOINTS,
) -> tuple[Pipeline, FinalityWatcher]:
    """Both, for one worker. The watcher's clock is `watching`, if that is another one."""
    presenter = Presenter(Tokens(KNOWN))
    watched = WatchedOrders(watching or clock)
    pipeline = Pipeline(
        store=store,
        router=router,
        settlement=settlement,
        venues=venues,
        presenter=presenter,
        retry_policy=retry_policy,
        halts=halts,
        policies=PolicyBook(store, clock),
        max_price_impact_bps=1_000,
        finality_ms=finality_ms,
        watched=watched,
        funds_wait_ms=3_000,
        clock=clock,
        observer=observer,
        rng=rng,
        dry_run=dry_run,
        failpoints=failpoints,
    )
    watcher = FinalityWatcher(
        store=store,
        queue=queue,
        settlement=settlement,
        venues=venues,
        presenter=presenter,
        finality_ms=finality_ms,
        watched=watched,
        clock=watching or clock,
        observer=observer,
        failpoints=failpoints,
    )
    return pipeline, watcher
