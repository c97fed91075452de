"""What is worth telling: one method per event, so that the logic beside it stays free of log lines.

Text for people (time, level, what happened, then `name=value`), JSON for machines. An order's ordinary steps are at
`debug`: they stand in Postgres and on the stream. What an operator should see is at `info` and above.
"""

from collections.abc import Sequence
from uuid import UUID

from dexexec.domain.quote import SwapRequest
from dexexec.domain.wait_reason import Waiting, WaitsFor
from dexexec.observe.log import Logger, make_logger

__all__ = ["Logger", "Observer", "make_logger"]


class Observer:
    """Everything the engine tells about itself."""

    def __init__(self, log: Logger) -> None:
        self.log = log

    def suspicious_setting_found(self, warning: str) -> None:
        """A setting that works, but was probably meant otherwise."""
        self.log.warning("check this setting", what=warning)

    def embedded_server_changed(self, line: str) -> None:
        """An embedded server died, came back, or cannot."""
        self.log.warning("embedded server", what=line)

    def existing_table_migrated(self, line: str) -> None:
        """A table of orders that was there before was renamed, and its rows were copied."""
        self.log.warning("took over a table", what=line)

    def start_delayed(self, why: str, seconds: float) -> None:
        """A server is away, and the start waits for it."""
        self.log.warning("waiting for a server to start", why=why, given_up_in_s=round(seconds, 1))

    def start_aborted(self) -> None:
        """The process was asked to stop before it had started."""
        self.log.debug("start given up: asked to stop")

    def shutdown_timed_out(self, seconds: float) -> None:
        """Something on the way down did not end. What it held is free as after any crash."""
        self.log.error("process ended: it did not stop in time", after_s=seconds)

    # Several processes

    def process_ready(self, number: int, pid: int) -> None:
        """One of several processes takes its share from now on."""
        self.log.info("process ready", process=number, pid=pid)

    def process_exited(self, number: int, how: str, pause: float) -> None:
        """One of several processes ended by itself; it is started again after a pause (seconds)."""
        self.log.warning("process ended", process=number, how=how, again_in_s=pause)

    def process_killed(self, number: int, pid: int, seconds: float) -> None:
        """It did not drain in time. Its orders are freed as after any crash."""
        self.log.error("process killed: it did not drain", process=number, pid=pid, after_s=seconds)

    # The worker

    def worker_started(self, name: str, worker_id: int, concurrency: int) -> None:
        """A worker registered and begins to lease."""
        self.log.info("worker started", worker=name, id=worker_id, concurrency=concurrency)

    def worker_lease_lost(self, name: str, why: str, in_flight: int) -> None:
        """Its orders are others' now; it drops them and registers anew."""
        self.log.warning("worker lost its lease", worker=name, why=why, orders_dropped=in_flight)

    def worker_draining(self, name: str, in_flight: int) -> None:
        """It leases no more and lets the rest finish."""
        self.log.info("worker draining", worker=name, in_flight=in_flight)

    def worker_stopped(self, name: str, handed_back: int) -> None:
        """It has ended; what it could not finish is free for others."""
        self.log.info("worker stopped", worker=name, handed_back=handed_back)

    def server_unavailable(self, what: str, error: Exception) -> None:
        """A server does not answer, or refuses; whoever says this tries again."""
        cause = str(error.__cause__ or "").strip().splitlines()
        why = f"{error} ({cause[0]})" if cause and cause[0] not in str(error) else str(error)
        self.log.warning("waiting for a server", doing=what, why=why)

    def server_recovered(self, what: str, seconds: float) -> None:
        """The server answers again."""
        self.log.info("a server is back", doing=what, after_s=round(seconds, 1))

    def redis_repaired(self, what: str) -> None:
        """Something in Redis under our prefix was not of our making. Nothing is lost with it."""
        self.log.error("mended what another program left in Redis", what=what)

    # Orders

    def claim_lost(self, order_id: UUID) -> None:
        """Another worker took the order over; this one wrote nothing."""
        self.log.info("claim lost", order=str(order_id))

    def order_released(self, order_id: UUID, why: str) -> None:
        """The order is free again, unharmed."""
        self.log.info("order handed back", order=str(order_id), why=why)

    def order_run_crashed(self, order_id: UUID, claims: int, error: BaseException) -> None:
        """A fault of ours while working on an order: it is tried again, and failed after too many."""
        self.log.error("order crashed its run", order=str(order_id), claims=claims, exc_info=error)

    def finality_check_failed(self, error: BaseException) -> None:
        """A fault of ours while looking whether confirmed orders are final: the next look tries again."""
        self.log.error("a look at confirmed orders failed", exc_info=error)

    def order_release_failed(self, order_id: UUID, error: BaseException) -> None:
        """A fault of ours while handing an order back: the worker begins anew, which frees it."""
        self.log.error("order could not be handed back", order=str(order_id), exc_info=error)

    def order_unreadable(self, order_id: UUID, error: Exception) -> None:
        """An order's row has what this version cannot read. Nobody works on it here; the others go on."""
        self.log.error(
            "an order cannot be read", order=str(order_id), why=f"{type(error).__name__}: {error}",
            hint="a newer version wrote it, or somebody by hand: run that version, or put its row right",
        )  # fmt: skip

    def order_poisoned(self, order_id: UUID, claims: int) -> None:
        """An order crashed what worked on it too often. It is failed without another turn."""
        self.log.error("order failed as poisoned", order=str(order_id), claims=claims)

    def order_stuck(self, order_id: UUID, claims: int) -> None:
        """An order with an open attempt crashes what looks it up. It is not failed, since its swap may land."""
        self.log.error("order makes no progress; its swap may land", order=str(order_id), claims=claims)

    def order_accepted(self, order_id: UUID, request_id: str, *, replayed: bool) -> None:
        """A client was answered 202; `replayed`: with the order of an earlier request with the same key."""
        self.log.debug("order accepted", order=str(order_id), request_id=request_id, replayed=replayed)

    def order_filled(self, order_id: UUID, venue: str, seconds: float) -> None:
        """An order ended with a fill."""
        self.log.debug("order filled", order=str(order_id), venue=venue, s=round(seconds, 3))

    def order_failed(self, order_id: UUID, status: str, reason: str, detail: str, seconds: float) -> None:
        """An order ended without a fill."""
        self.log.info(
            "order failed", order=str(order_id), status=status, reason=reason, detail=detail, s=round(seconds, 3)
        )

    def order_retry_scheduled(self, order_id: UUID, reason: str, round_number: int, pause_ms: float) -> None:
        """A round brought nothing; there will be another."""
        self.log.info("order retried", order=str(order_id), reason=reason, round=round_number, pause_ms=round(pause_ms))

    def swap_rolled_back(self, order_id: UUID, signature: str) -> None:
        """The chain took a confirmed swap back; the same bytes are sent again."""
        self.log.warning("a confirmed swap is un-confirmed", order=str(order_id), tx=signature)

    def fill_out_of_bounds(self, order_id: UUID, venue: str, signature: str) -> None:
        """A swap landed and moved more, or brought less, than its bounds allow."""
        self.log.critical("fill out of bounds", order=str(order_id), venue=venue, tx=signature)

    def abandoned_attempt_landed(self, order_id: UUID, signature: str) -> None:
        """An attempt that was proven gone is on chain: the order ends with what it brought."""
        self.log.error(
            "an attempt that was given up is on chain", order=str(order_id), tx=signature,
            hint="a node told a false height or history: look at the nodes, and name more than one",
        )  # fmt: skip

    def duplicate_swap_landed(self, order_id: UUID, signatures: Sequence[str]) -> None:
        """Several attempts of one order landed: a promise is broken, and money has to be put right by hand."""
        self.log.critical(
            "an order was swapped more than once", order=str(order_id), txs=list(signatures),
            hint="a node told a false height or history: look at the nodes, and name more than one",
        )  # fmt: skip

    def attempt_chain_unavailable(self, order_id: UUID, venue: str, why: str) -> None:
        """An order has an open attempt on a chain that is not set up here: it cannot be looked up."""
        self.log.error(
            "an open attempt cannot be looked up here", order=str(order_id), venue=venue, why=why,
            hint=f"enable {venue} as it was when it signed, on the same nodes, until this order has ended",
        )  # fmt: skip

    def order_waiting(self, order_id: UUID, waiting: Waiting) -> None:
        """An order stands still for another reason than before."""
        log = self.log.info if waiting.reason is WaitsFor.LANDING else self.log.warning
        log("order waits", order=str(order_id), waits_for=waiting.reason, detail=waiting.detail)

    # Recovery from the chain

    def signing_stopped(self, why: str) -> None:
        """Nothing is signed: whether the record has all that the chain has is not known yet."""
        self.log.warning("nothing is signed until record and chain are compared", why=why)

    def signing_resumed(self) -> None:
        """Record and chain are compared."""
        self.log.info("record and chain are compared: orders are signed again")

    def wallet_history_unavailable(self, wallet: str) -> None:
        """No node lists the transactions of a wallet: a record that lost some would not be noticed by them."""
        self.log.warning("no node has getSignaturesForAddress: a restored backup would not be noticed", wallet=wallet)

    def postgres_identity_incomplete(self, identity: str) -> None:
        """Postgres does not tell its system identifier or its timeline: a change of that is not noticed."""
        self.log.warning(
            "Postgres does not tell which one it is: let our role call pg_control_system() and pg_walfile_name()",
            system_and_timeline=identity,
        )

    def comparison_started(self, wallet: str, compared: str, identity: str) -> None:
        """Postgres is another than the one whose record was compared last, or lacks transactions of the wallet."""
        self.log.warning("comparing record and chain", wallet=wallet, compared_last=compared, postgres_now=identity)

    def comparison_waiting(self, wallet: str, node: str, height: int, until: int, possible: int) -> None:
        """What was signed before may still land, until a height that is not above `possible` is above `until`."""
        self.log.info(
            "waiting until nothing signed before can land",
            wallet=wallet,
            node=node,
            height=height,
            until=until,
            possible=possible,
        )

    def order_restored(self, order_id: UUID, status: str, lost: bool) -> None:
        """The record learned from the chain what became of an order; `lost`: it did not have the order at all."""
        self.log.warning("order read back from the chain", order=str(order_id), status=status, was_lost=lost)

    def duplicate_order_found(self, order_id: UUID, original: UUID, ended: bool) -> None:
        """An order has the Idempotency-Key of one that came back from the chain; `ended`: it failed for that, and has
        not swapped."""
        tell = self.log.warning if ended else self.log.critical
        event = "order failed as a duplicate" if ended else "two orders with one Idempotency-Key may have swapped"
        tell(event, order=str(order_id), original=str(original))

    def record_contradicts_chain(self, order_id: UUID, why: str) -> None:
        """Record and chain tell different things of an order, and neither can be changed."""
        self.log.critical("record and chain contradict each other", order=str(order_id), why=why)

    def comparison_finished(self, wallet: str, restored: int, seconds: float) -> None:
        """The record has all that the chain has."""
        self.log.info("record and chain are compared", wallet=wallet, orders_restored=restored, s=round(seconds, 1))

    # Venues

    def adapter_misbehaved(self, venue: str, request: SwapRequest, error: BaseException) -> None:
        """An adapter raised what it may not, or answered nonsense."""
        self.log.error("adapter misbehaved", venue=venue, request=request, exc_info=error)

    def adapter_close_failed(self, venue: str, why: str) -> None:
        """An adapter failed to release what it had opened."""
        self.log.warning("adapter not closed", venue=venue, why=why)

    def transaction_rejected(self, venue: str, request: SwapRequest, why: str) -> None:
        """A venue built a transaction that must not be signed."""
        self.log.error("the guard refused a transaction", venue=venue, request=request, why=why)

    def explanation_failed(self, venue: str, signature: str, error: BaseException) -> None:
        """An adapter failed to say what a failure on chain means: the chain's own words are told."""
        self.log.error("adapter misbehaved on a failure", venue=venue, tx=signature, exc_info=error)

    def settlement_failed(self, network: str, signature: str, error: Exception) -> None:
        """Sending or looking up a swap failed for a reason nobody foresaw: its fate is unknown, and asked for again."""
        self.log.error("settlement failed on a swap", network=network, tx=signature, exc_info=error)

    def node_failed(self, node: str, why: str) -> None:
        """A Solana node gives no answer that can be used; others are asked, if there are any."""
        self.log.warning("node failed", node=node, why=why)

    def node_rate_limited(self, node: str, why: str) -> None:
        """A Solana node was asked too often and is left alone for a while."""
        self.log.warning("node rests", node=node, why=why)

    def node_lagging(self, node: str, blocks: int) -> None:
        """A node is behind others, and not believed."""
        self.log.warning("node lags", node=node, blocks=blocks)

    def node_recovered(self, node: str) -> None:
        """A node answers again, or has caught up."""
        self.log.info("node is back", node=node)

    def priority_fee_unknown(self, why: str) -> None:
        """Nodes do not tell what others pay for compute units: what was known last is offered, or the floor."""
        self.log.warning("priority fee unknown", why=why)

    def priority_fee_known(self) -> None:
        """They tell it again."""
        self.log.info("priority fee known again")

    def priority_fee_capped(self, market: int, cap: int) -> None:
        """Others pay more for compute units than may be offered: swaps may land late or expire."""
        self.log.warning(
            "priority fee capped below the market", market=market, cap=cap,
            hint="raise DEXEXEC_MAX_COMPUTE_PRICE (micro-lamports per compute unit), or expect swaps to expire",
        )  # fmt: skip

    def node_websocket_failed(self, node: str, why: str) -> None:
        """A Solana node has no WebSocket for us: swaps are looked up more often instead."""
        self.log.warning("no news from the node: its WebSocket failed", node=node, why=why)

    def node_websocket_recovered(self, node: str) -> None:
        """There is a WebSocket again."""
        self.log.info("news from the node again", node=node)

    def breaker_state_changed(self, venue: str, state: str) -> None:
        """A venue is left alone for a while, or asked again."""
        self.log.warning("venue breaker", venue=venue, state=state)

    # The sweeper

    def dead_workers_removed(self, names: list[str]) -> None:
        """Workers died; their orders are free."""
        self.log.warning("dead workers found", workers=names)

    def orders_requeued(self, count: int) -> None:
        """Orders that should have been moving are back on the queue."""
        self.log.info("orders put back on the queue", count=count)

    # Retention

    def orders_archived(self, count: int) -> None:
        """Finished orders left the hot tables."""
        self.log.debug("orders archived", count=count)

    def archive_partitions_dropped(self, tables: list[str]) -> None:
        """Orders are older than they are kept: whole partitions of the archive are gone."""
        self.log.info("old orders dropped", tables=tables)

    def partition_kept(self, partition: str) -> None:
        """A partition is old enough to go, but an order in it ended too lately."""
        self.log.info("partition kept: an order in it has not ended long enough ago", partition=partition)

    def archive_drop_deferred(self, partition: str) -> None:
        """Long reads of the archive are in the way of dropping from it; the next round tries again."""
        self.log.warning("archive busy: a partition is dropped later", partition=partition)

    # The API

    def accepting_paused(self, why: str, connections: int) -> None:
        """No connection can be accepted for now: the system has no descriptor or memory left for it."""
        self.log.warning("connections not accepted for now", why=why, open=connections)

    def connections_refused(self, count: int) -> None:
        """So many lately, as all that may be open are, and none is idle."""
        self.log.warning("connections refused: too many are open", count=count)

    def request_served(self, method: str, path: str, status: int, ms: float) -> None:
        """A request went well."""
        self.log.debug("request served", method=method, path=path, status=status, ms=ms)

    def request_refused(self, status: int, problem: str, fields: list[str], **about: object) -> None:
        """A request was answered with a problem. Names of bad fields, never values: those may be secrets."""
        say = self.log.error if status >= 500 else self.log.info
        say("request refused", status=status, problem=problem, fields=fields, **about)

    def request_crashed(self, request_id: str, error: BaseException | None) -> None:
        """A fault of ours; the client got `internal` with this id."""
        self.log.error("request crashed", request_id=request_id, exc_info=error)

    def orders_refused(self, count: int) -> None:
        """So many in the last second, as the queue is full."""
        self.log.warning("orders refused: the queue is full", count=count)

    def orders_not_enqueued(self, count: int) -> None:
        """Redis was lost after these were accepted; the sweeper finds them in Postgres."""
        self.log.warning("accepted orders not enqueued: left to the sweeper", count=count)
