"""The service's log events: one method per event, so that the code that reports an event has no log lines of its own.

The log is text for people (time, level, event, then `name=value`) or JSON for machines. The ordinary steps of an order
are logged at `debug`, since Postgres and the stream have them. What an operator should see is at `info` and above.
"""

from collections.abc import Sequence
from uuid import UUID

from dexexec.domain.quote import SwapRequest
from dexexec.domain.wait_reason import Waiting, WaitsFor
from dexexec.observe.log import Logger, make_logger
from dexexec.observe.resting_events import RestingEvents

__all__ = ["Logger", "Observer", "make_logger"]


class Observer(RestingEvents):
    """Logs the events of one process."""

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

    def order_released(self, order_id: UUID, why: str) -> None:
        """The order was released, unchanged, for another worker."""
        self.log.info("order handed back", order=str(order_id), why=why)

    def order_run_crashed(self, order_id: UUID, claims: int, error: BaseException) -> None:
        """A bug interrupted the work on an order. The order is retried, and fails after DEXEXEC_MAX_CLAIMS crashes."""
        self.log.error("order crashed its run", order=str(order_id), claims=claims, exc_info=error)

    def finality_check_failed(self, error: BaseException) -> None:
        """A bug interrupted the check whether confirmed orders are finalized. The next check retries."""
        self.log.error("a check of confirmed orders failed", exc_info=error)

    def order_release_failed(self, order_id: UUID, error: BaseException) -> None:
        """A bug prevented the release of an order. The worker registers again, which frees the order."""
        self.log.error("order could not be handed back", order=str(order_id), exc_info=error)

    def order_unreadable(self, order_id: UUID, error: Exception) -> None:
        """This version cannot read the row of an order. The worker skips the order and continues with others."""
        self.log.error(
            "an order cannot be read", order=str(order_id), why=f"{type(error).__name__}: {error}",
            hint="a newer version or a person changed the row: run the newer version, or repair the row",
        )  # fmt: skip

    def order_poisoned(self, order_id: UUID, claims: int) -> None:
        """An order crashed its workers too often and fails without another attempt."""
        self.log.error("order failed as poisoned", order=str(order_id), claims=claims)

    def order_stuck(self, order_id: UUID, claims: int) -> None:
        """An order with an open attempt crashes its workers. It does not fail, since its swap may still land."""
        self.log.error("order makes no progress; its swap may land", order=str(order_id), claims=claims)

    def order_accepted(self, order_id: UUID, request_id: str, *, replayed: bool) -> None:
        """A client received 202. `replayed`: it received the order of an earlier request with the same key."""
        self.log.debug("order accepted", order=str(order_id), request_id=request_id, replayed=replayed)

    def order_filled(self, order_id: UUID, venue: str, seconds: float) -> None:
        """An order ended with a swap."""
        self.log.debug("order filled", order=str(order_id), venue=venue, s=round(seconds, 3))

    def order_simulated(self, order_id: UUID, venue: str, seconds: float) -> None:
        """A dry run ended: nothing was signed or sent."""
        self.log.debug("order simulated", order=str(order_id), venue=venue, s=round(seconds, 3))

    def order_failed(self, order_id: UUID, status: str, reason: str, detail: str, seconds: float) -> None:
        """An order ended without a swap."""
        self.log.info(
            "order failed", order=str(order_id), status=status, reason=reason, detail=detail, s=round(seconds, 3)
        )

    def order_retry_scheduled(self, order_id: UUID, reason: str, round_number: int, pause_ms: float) -> None:
        """A round ended without a swap, and another follows after `pause_ms`."""
        self.log.info("order retried", order=str(order_id), reason=reason, round=round_number, pause_ms=round(pause_ms))

    def swap_rolled_back(self, order_id: UUID, signature: str) -> None:
        """A fork dropped a confirmed swap. The same signed bytes are sent again."""
        self.log.warning("a confirmed swap is un-confirmed", order=str(order_id), tx=signature)

    def fill_out_of_bounds(self, order_id: UUID, venue: str, signature: str) -> None:
        """A swap landed that spent more or received less than its bounds allow."""
        self.log.critical("fill out of bounds", order=str(order_id), venue=venue, tx=signature)

    def abandoned_attempt_landed(self, order_id: UUID, signature: str) -> None:
        """An attempt that counted as expired is on chain. The order ends with its fill."""
        self.log.error(
            "an attempt that was given up is on chain", order=str(order_id), tx=signature,
            hint="a node reported a wrong height or history: check the nodes, and configure more than one",
        )  # fmt: skip

    def duplicate_swap_landed(self, order_id: UUID, signatures: Sequence[str]) -> None:
        """Several attempts of one order landed: a promise is broken, and a person must settle the difference."""
        self.log.critical(
            "an order was swapped more than once", order=str(order_id), txs=list(signatures),
            hint="a node reported a wrong height or history: check the nodes, and configure more than one",
        )  # fmt: skip

    def attempt_chain_unavailable(self, order_id: UUID, venue: str, why: str) -> None:
        """An open attempt cannot be looked up, because its chain is not configured in this process."""
        self.log.error(
            "an open attempt cannot be looked up here", order=str(order_id), venue=venue, why=why,
            hint=f"enable {venue} with the same nodes as before, until this order has ended",
        )  # fmt: skip

    def order_waiting(self, order_id: UUID, waiting: Waiting) -> None:
        """The reason why an order waits has changed."""
        log = self.log.info if waiting.reason is WaitsFor.LANDING else self.log.warning
        log("order waits", order=str(order_id), waits_for=waiting.reason, detail=waiting.detail)

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

    def comparison_finished(self, wallet: str, restored: int, seconds: float) -> None:
        """Postgres has all transactions of the wallet that the chain has."""
        self.log.info("record and chain are compared", wallet=wallet, orders_restored=restored, s=round(seconds, 1))

    # Venues

    def adapter_misbehaved(self, venue: str, request: SwapRequest, error: BaseException) -> None:
        """An adapter raised an undocumented error or returned an invalid result."""
        self.log.error("adapter misbehaved", venue=venue, request=request, exc_info=error)

    def adapter_close_failed(self, venue: str, why: str) -> None:
        """An adapter failed to close its connections."""
        self.log.warning("adapter not closed", venue=venue, why=why)

    def transaction_rejected(self, venue: str, request: SwapRequest, why: str) -> None:
        """The guard rejected a transaction of a venue; it was not signed."""
        self.log.error("the guard refused a transaction", venue=venue, request=request, why=why)

    def explanation_failed(self, venue: str, signature: str, error: BaseException) -> None:
        """An adapter failed to explain a failed transaction. The chain's own error is reported instead."""
        self.log.error("adapter misbehaved on a failure", venue=venue, tx=signature, exc_info=error)

    def settlement_failed(self, network: str, signature: str, error: Exception) -> None:
        """Sending or looking up a swap failed unexpectedly. Its outcome is unknown, and the lookup is repeated."""
        self.log.error("settlement failed on a swap", network=network, tx=signature, exc_info=error)

    def node_failed(self, node: str, why: str) -> None:
        """A Solana node returned no usable answer. Other configured nodes are used."""
        self.log.warning("node failed", node=node, why=why)

    def node_rate_limited(self, node: str, why: str) -> None:
        """A Solana node reported too many requests and gets none for a while."""
        self.log.warning("node rests", node=node, why=why)

    def node_lagging(self, node: str, blocks: int) -> None:
        """A node is behind the others, so its answers do not count."""
        self.log.warning("node lags", node=node, blocks=blocks)

    def node_recovered(self, node: str) -> None:
        """A node answers again or has caught up."""
        self.log.info("node is back", node=node)

    def priority_fee_unknown(self, why: str) -> None:
        """No node reports the priority fees that others pay. The last known fee is offered, or the minimum."""
        self.log.warning("priority fee unknown", why=why)

    def priority_fee_known(self) -> None:
        """Nodes report priority fees again."""
        self.log.info("priority fee known again")

    def priority_fee_capped(self, market: int, cap: int) -> None:
        """Others pay a higher priority fee than DEXEXEC_MAX_COMPUTE_PRICE: swaps may land late or expire."""
        self.log.warning(
            "priority fee capped below the market", market=market, cap=cap,
            hint="raise DEXEXEC_MAX_COMPUTE_PRICE (micro-lamports per compute unit), or expect swaps to expire",
        )  # fmt: skip

    def node_websocket_failed(self, node: str, why: str) -> None:
        """The WebSocket to a Solana node failed. Swaps are looked up more often instead."""
        self.log.warning("WebSocket to the node failed", node=node, why=why)

    def node_websocket_recovered(self, node: str) -> None:
        """The WebSocket to a Solana node is back."""
        self.log.info("WebSocket to the node is back", node=node)

    def breaker_state_changed(self, venue: str, state: str) -> None:
        """The circuit breaker of a venue opened, is half open, or closed."""
        self.log.warning("venue breaker", venue=venue, state=state)

    # The sweeper

    def dead_workers_removed(self, names: list[str]) -> None:
        """Dead workers were removed, and their orders are free."""
        self.log.warning("dead workers found", workers=names)

    def orders_requeued(self, count: int) -> None:
        """Orders that made no progress are back on the queue."""
        self.log.info("orders put back on the queue", count=count)

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

    def accepting_paused(self, why: str, connections: int) -> None:
        """Accepting is paused, because the system has no file descriptor or memory for a new connection."""
        self.log.warning("connections not accepted for now", why=why, open=connections)

    def connections_refused(self, count: int) -> None:
        """The number of connections refused since the last such line: the limit is reached, and none is idle."""
        self.log.warning("connections refused: too many are open", count=count)

    def request_served(self, method: str, path: str, status: int, ms: float) -> None:
        """A request succeeded."""
        self.log.debug("request served", method=method, path=path, status=status, ms=ms)

    def request_refused(self, status: int, problem: str, fields: list[str], **about: object) -> None:
        """A request was answered with a problem document. `fields` are names of invalid fields."""
        # Never their values: a client may have typed a secret into the wrong field.
        log = self.log.error if status >= 500 else self.log.info
        log("request refused", status=status, problem=problem, fields=fields, **about)

    def request_crashed(self, request_id: str, error: BaseException | None) -> None:
        """A bug interrupted a request; the client received `internal` with this id."""
        self.log.error("request crashed", request_id=request_id, exc_info=error)

    def orders_refused(self, count: int) -> None:
        """The number of orders refused in the last second because the queue is full."""
        self.log.warning("orders refused: the queue is full", count=count)

    def orders_not_enqueued(self, count: int) -> None:
        """Redis failed after these orders were accepted. The sweeper finds them in Postgres."""
        self.log.warning("accepted orders not enqueued: left to the sweeper", count=count)
