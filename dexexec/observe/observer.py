"""The service's log events: one method per event, so that the code that reports an event has no log lines of its own.

The log is text for people (time, level, event, then `name=value`) or JSON for machines. The ordinary steps of an order
are logged at `debug`, since Postgres and the stream have them. What an operator should see is at `info` and above.
"""

from collections.abc import Sequence
from uuid import UUID

from dexexec.domain.stage import Stage
from dexexec.domain.status import Status
from dexexec.domain.timeline import Timeline
from dexexec.domain.wait_reason import Waiting, WaitsFor
from dexexec.observe.connection_events import ConnectionEvents
from dexexec.observe.log import ORDER_ENDED, Logger, make_logger
from dexexec.observe.metrics import NO_METRICS, Metrics
from dexexec.observe.resting_events import RestingEvents
from dexexec.observe.tracing import NO_TRACER, Tracer
from dexexec.observe.venue_events import VenueEvents
from dexexec.observe.webhook_events import WebhookEvents

__all__ = ["Logger", "Observer", "make_logger"]


class Observer(RestingEvents, VenueEvents, ConnectionEvents, WebhookEvents):
    """Logs the events of one process, and counts them. `metrics` also has what is counted without a line in the log."""

    def __init__(self, log: Logger, metrics: Metrics = NO_METRICS, tracer: Tracer = NO_TRACER) -> None:
        super().__init__(log, metrics)
        self.tracer = tracer

    def suspicious_setting_found(self, warning: str) -> None:
        """A setting is valid, but probably not what was meant."""
        self.log.warning("check this setting", what=warning)

    def embedded_server_changed(self, line: str) -> None:
        """An embedded server died, is back, or cannot be restarted."""
        self.log.warning("embedded server", what=line)

    def existing_table_migrated(self, line: str) -> None:
        """A table `orders` of another program was renamed, and its rows were copied."""
        self.log.warning("took over a table", what=line)

    def start_delayed(self, why: str, seconds: float) -> None:
        """A server does not answer, and the start waits for it."""
        self.log.warning("waiting for a server to start", why=why, given_up_in_s=round(seconds, 1))

    def start_aborted(self) -> None:
        """The process received a stop request before it had started."""
        self.log.debug("start given up: stop requested")

    def lame_duck_began(self, seconds: float) -> None:
        """The process stops in `seconds`. Until then it serves requests, and /readyz answers 503."""
        self.log.info("stopping soon: /readyz answers 503", port_closes_in_s=seconds)
        self.metrics.lame_duck_began()

    def shutdown_timed_out(self, seconds: float) -> None:
        """A part did not stop in time, so the process exits without it. Its orders are freed as after a crash."""
        self.log.error("process ended: it did not stop in time", after_s=seconds)

    # Several processes

    def process_ready(self, number: int, pid: int) -> None:
        """A child process is ready to share the work."""
        self.log.info("process ready", process=number, pid=pid)

    def process_exited(self, number: int, how: str, pause: float) -> None:
        """A child process ended by itself. It is restarted after `pause` seconds."""
        self.log.warning("process ended", process=number, how=how, again_in_s=pause)
        self.metrics.process_restarted()

    def process_killed(self, number: int, pid: int, seconds: float) -> None:
        """A child process did not drain in time and was killed. Its orders are freed as after a crash."""
        self.log.error("process killed: it did not drain", process=number, pid=pid, after_s=seconds)

    # The worker

    def worker_started(self, name: str, worker_id: int, concurrency: int) -> None:
        """A worker has registered and begins to lease orders."""
        self.log.info("worker started", worker=name, id=worker_id, concurrency=concurrency)

    def worker_lease_lost(self, name: str, why: str, in_flight: int) -> None:
        """A worker lost its lease. Other workers may have its orders, so it drops them and registers again."""
        self.log.warning("worker lost its lease", worker=name, why=why, orders_dropped=in_flight)
        self.metrics.lease_lost()

    def worker_draining(self, name: str, in_flight: int) -> None:
        """A worker leases no more orders and finishes those in flight."""
        self.log.info("worker draining", worker=name, in_flight=in_flight)

    def worker_stopped(self, name: str, handed_back: int) -> None:
        """A worker has stopped. Orders that it could not finish are free for other workers."""
        self.log.info("worker stopped", worker=name, handed_back=handed_back)

    def server_unavailable(self, what: str, error: Exception) -> None:
        """A server does not answer or refuses the request. The reporting part retries."""
        cause = str(error.__cause__ or "").strip().splitlines()
        why = f"{error} ({cause[0]})" if cause and cause[0] not in str(error) else str(error)
        self.log.warning("waiting for a server", doing=what, why=why)
        self.metrics.outage_began()

    def server_recovered(self, what: str, seconds: float) -> None:
        """The server answers again."""
        self.log.info("a server is back", doing=what, after_s=round(seconds, 1))

    def redis_repaired(self, what: str) -> None:
        """A Redis key below the prefix had a foreign type or content and was replaced. No order is lost by that."""
        self.log.error("mended what another program left in Redis", what=what)

    # Orders

    def claim_lost(self, order_id: UUID) -> None:
        """Another worker has claimed the order; this worker wrote nothing more."""
        self.log.info("claim lost", order=str(order_id))
        self.metrics.claim_lost()

    def order_released(self, order_id: UUID, why: str) -> None:
        """The order was released, unchanged, for another worker."""
        self.log.info("order handed back", order=str(order_id), why=why)

    def order_run_crashed(self, order_id: UUID, claims: int, error: BaseException) -> None:
        """A bug interrupted the work on an order. The order is retried, and fails after DEXEXEC_MAX_CLAIMS crashes."""
        self.log.error("order crashed its run", order=str(order_id), claims=claims, exc_info=error)
        self.metrics.order_faulted("run-crashed")

    def finality_check_failed(self, error: BaseException) -> None:
        """A bug interrupted the check whether confirmed orders are finalized. The next check retries."""
        self.log.error("a check of confirmed orders failed", exc_info=error)
        self.metrics.order_faulted("finality-check-failed")

    def order_release_failed(self, order_id: UUID, error: BaseException) -> None:
        """A bug prevented the release of an order. The worker registers again, which frees the order."""
        self.log.error("order could not be handed back", order=str(order_id), exc_info=error)
        self.metrics.order_faulted("release-failed")

    def order_unreadable(self, order_id: UUID, error: Exception) -> None:
        """This version cannot read the row of an order. The worker skips the order and continues with others."""
        self.log.error(
            "an order cannot be read", order=str(order_id), why=f"{type(error).__name__}: {error}",
            hint="a newer version or a person changed the row: run the newer version, or repair the row",
        )  # fmt: skip
        self.metrics.order_faulted("unreadable")

    def order_poisoned(self, order_id: UUID, claims: int) -> None:
        """An order crashed its workers too often and fails without another attempt."""
        self.log.error("order failed as poisoned", order=str(order_id), claims=claims)
        self.metrics.order_faulted("poisoned")

    def order_stuck(self, order_id: UUID, claims: int) -> None:
        """An order with an open attempt crashes its workers. It does not fail, since its swap may still land."""
        self.log.error("order makes no progress; its swap may land", order=str(order_id), claims=claims)
        self.metrics.order_faulted("stuck")

    def order_accepted(self, order_id: UUID, request_id: str, *, replayed: bool) -> None:
        """A client received 202. `replayed`: it received the order of an earlier request with the same key."""
        self.log.debug("order accepted", order=str(order_id), request_id=request_id, replayed=replayed)
        if replayed:
            self.metrics.order_replayed()

    def order_ended(self, timeline: Timeline) -> None:
        """An order has ended, with or without a swap: one line for each. It is by what support and billing find an
        order, so many more of them pass the sampler than of other lines."""
        about = {
            "status": timeline.status.value,
            "reason": timeline.reason,
            "detail": timeline.detail,
            "venue": timeline.venue,
            "request_id": timeline.request_id,
        }
        stages = {str(stage): seconds for stage, seconds in timeline.stages.items()}
        # Counts of a part would look like those of the whole.
        counts: dict[str, int] = {}
        if timeline.is_whole:
            counts = {
                "attempts": timeline.attempts,
                "rounds": timeline.rounds,
                "ms": round(timeline.total.total_seconds() * 1000),
            }
            for status, stage in (Status.WAITING, "waiting"), (Status.CONFIRMED, Stage.FINALIZING):
                if status in timeline.spent:
                    stages[stage] = timeline.spent[status].total_seconds()
            if Stage.FINALIZING in stages:
                self.metrics.stage_ended(Stage.FINALIZING, stages[Stage.FINALIZING])
        times = {f"{stage}_ms": round(seconds * 1000) for stage, seconds in stages.items()}
        known = {name: value for name, value in about.items() if value}
        self.log.info(ORDER_ENDED, order=str(timeline.order_id), **known, **counts, **times)

    def order_retry_scheduled(
        self, order_id: UUID, reason: str, detail: str, round_number: int, pause_ms: float
    ) -> None:
        """A round ended without a swap, and another follows after `pause_ms`."""
        self.log.info(
            "order retried", order=str(order_id), reason=reason, detail=detail, round=round_number,
            pause_ms=round(pause_ms),
        )  # fmt: skip
        self.metrics.order_retried(reason)

    def swap_rolled_back(self, order_id: UUID, signature: str) -> None:
        """A fork dropped a confirmed swap. The same signed bytes are sent again."""
        self.log.warning("a confirmed swap is un-confirmed", order=str(order_id), tx=signature)

    def fill_out_of_bounds(self, order_id: UUID, venue: str, signature: str) -> None:
        """A swap landed that spent more or received less than its bounds allow."""
        self.log.critical("fill out of bounds", order=str(order_id), venue=venue, tx=signature)
        self.metrics.order_faulted("fill-out-of-bounds")

    def abandoned_attempt_landed(self, order_id: UUID, signature: str) -> None:
        """An attempt that counted as expired is on chain. The order ends with its fill."""
        self.log.error(
            "an attempt that was given up is on chain", order=str(order_id), tx=signature,
            hint="a node reported a wrong height or history: check the nodes, and configure more than one",
        )  # fmt: skip
        self.metrics.order_faulted("abandoned-attempt-landed")

    def duplicate_swap_landed(self, order_id: UUID, signatures: Sequence[str]) -> None:
        """Several attempts of one order landed: a promise is broken, and a person must settle the difference."""
        self.log.critical(
            "an order was swapped more than once", order=str(order_id), txs=list(signatures),
            hint="a node reported a wrong height or history: check the nodes, and configure more than one",
        )  # fmt: skip
        self.metrics.order_faulted("duplicate-swap")

    def attempt_chain_unavailable(self, order_id: UUID, venue: str, why: str) -> None:
        """An open attempt cannot be looked up, because its chain is not configured in this process."""
        self.log.error(
            "an open attempt cannot be looked up here", order=str(order_id), venue=venue, why=why,
            hint=f"enable {venue} with the same nodes as before, until this order has ended",
        )  # fmt: skip
        self.metrics.order_faulted("chain-unavailable")

    def order_waiting(self, order_id: UUID, waiting: Waiting) -> None:
        """The reason why an order waits has changed."""
        # Ordinary, or reported once for all orders when it began.
        is_expected = waiting.reason in {WaitsFor.LANDING, WaitsFor.HALT}
        log = self.log.info if is_expected else self.log.warning
        log("order waits", order=str(order_id), waits_for=waiting.reason, detail=waiting.detail)

    def signing_halted(self, detail: str) -> None:
        """An operator has halted signing, for a key or for all."""
        self.log.warning("signing halted", detail=detail)

    def halt_ended(self, detail: str) -> None:
        """An operator has ended a halt."""
        self.log.warning("signing goes on", ended=detail)

    # Recovery from the chain

    def signing_stopped(self, why: str) -> None:
        """Signing is suspended until Postgres is compared with the chain."""
        self.log.warning("nothing is signed until record and chain are compared", why=why)

    def signing_resumed(self) -> None:
        """Postgres and the chain agree, so signing is allowed again."""
        self.log.info("record and chain are compared: orders are signed again")

    def wallet_history_unavailable(self, wallet: str) -> None:
        """No node lists the transactions of a wallet, so lost rows in Postgres cannot be detected."""
        self.log.warning("no node has getSignaturesForAddress: a restored backup would not be noticed", wallet=wallet)

    def postgres_identity_incomplete(self, identity: str) -> None:
        """Postgres does not reveal its system identifier or timeline, so a failover cannot be detected by them."""
        self.log.warning(
            "Postgres hides its identity: grant our role EXECUTE on pg_control_system() and pg_walfile_name()",
            system_and_timeline=identity,
        )

    def comparison_started(self, wallet: str, compared: str, identity: str) -> None:
        """A comparison started: Postgres is not the same server as before, or lacks transactions of the wallet."""
        self.log.warning("comparing record and chain", wallet=wallet, compared_last=compared, postgres_now=identity)

    def comparison_waiting(self, wallet: str, node: str, height: int, until: int, possible: int) -> None:
        """The comparison waits until the block height exceeds `until`, since earlier attempts may land until then.
        `possible` is the highest height that the chain can have by now."""
        self.log.info(
            "waiting until nothing signed before can land",
            wallet=wallet,
            node=node,
            height=height,
            until=until,
            possible=possible,
        )

    def order_restored(self, order_id: UUID, status: str, lost: bool) -> None:
        """The state of an order was restored from the chain. `lost`: Postgres did not have the order at all."""
        self.log.warning("order read back from the chain", order=str(order_id), status=status, was_lost=lost)

    def duplicate_order_found(self, order_id: UUID, original: UUID, ended: bool) -> None:
        """An order has the Idempotency-Key of an order that was restored from the chain. `ended`: it failed without a
        swap."""
        log = self.log.warning if ended else self.log.critical
        event = "order failed as a duplicate" if ended else "two orders with one Idempotency-Key may have swapped"
        log(event, order=str(order_id), original=str(original))

    def record_contradicts_chain(self, order_id: UUID, why: str) -> None:
        """Postgres and the chain contradict each other about an order that has ended."""
        self.log.critical("record and chain contradict each other", order=str(order_id), why=why)
        self.metrics.order_faulted("record-contradicts-chain")

    def comparison_finished(self, wallet: str, restored: int, seconds: float) -> None:
        """Postgres has all transactions of the wallet that the chain has."""
        self.log.info("record and chain are compared", wallet=wallet, orders_restored=restored, s=round(seconds, 1))

    # The sweeper

    def dead_workers_removed(self, names: list[str]) -> None:
        """Dead workers were removed, and their orders are free."""
        self.log.warning("dead workers found", workers=names)
        self.metrics.dead_workers_removed(len(names))

    def orders_requeued(self, count: int) -> None:
        """Orders that made no progress are back on the queue."""
        self.log.info("orders put back on the queue", count=count)
        self.metrics.orders_requeued(count)

    # Retention

    def orders_archived(self, count: int) -> None:
        """Finished orders were moved to the archive."""
        self.log.debug("orders archived", count=count)

    def archive_partitions_dropped(self, tables: list[str]) -> None:
        """Archive partitions older than DEXEXEC_KEEP_DAYS were dropped."""
        self.log.info("old orders dropped", tables=tables)

    def partition_kept(self, partition: str) -> None:
        """A partition is old enough to be dropped, but an order in it ended too recently."""
        self.log.info("partition kept: an order in it has not ended long enough ago", partition=partition)

    def archive_drop_deferred(self, partition: str) -> None:
        """Long reads of the archive block the drop of a partition. The next round retries."""
        self.log.warning("archive busy: a partition is dropped later", partition=partition)

    # The API

    def key_unreadable(self, name: str, error: Exception) -> None:
        """This version cannot read the row of an API key. The key is refused."""
        self.log.error("an API key cannot be read", key=name, why=f"{type(error).__name__}: {error}")

    def request_served(self, method: str, path: str, status: int, request_id: str, ms: float) -> None:
        """A request succeeded."""
        self.log.debug("request served", method=method, path=path, status=status, request_id=request_id, ms=ms)

    def request_refused(self, status: int, problem: str, fields: list[str], **about: object) -> None:
        """A request was answered with a problem document. `fields` are names of invalid fields."""
        # Never their values: a client may have typed a secret into the wrong field.
        log = self.log.error if status >= 500 else self.log.info
        log("request refused", status=status, problem=problem, fields=fields, **about)
        self.metrics.requests_refused(problem, status)

    def request_crashed(self, request_id: str, error: BaseException | None) -> None:
        """A bug interrupted a request; the client received `internal` with this id."""
        self.log.error("request crashed", request_id=request_id, exc_info=error)
        self.metrics.order_faulted("request-crashed")

    def orders_refused(self, count: int) -> None:
        """The number of orders refused in the last second because the queue is full."""
        self.log.warning("orders refused: the queue is full", count=count)
        self.metrics.requests_refused("queue-full", 503, count)

    def orders_not_enqueued(self, count: int) -> None:
        """Redis failed after these orders were accepted. The sweeper finds them in Postgres."""
        self.log.warning("accepted orders not enqueued: left to the sweeper", count=count)
