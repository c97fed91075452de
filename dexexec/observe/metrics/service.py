"""Metrics of the processes themselves: commits, pools, sockets, workers, refusals."""

from dexexec.observe.metrics.instruments import Instruments
from dexexec.observe.metrics.orders import SECONDS

ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


class ServiceMetrics:
    """Counts what the processes do."""

    def __init__(self, make: Instruments) -> None:
        self._commits = make.histogram(
            "dexexec_commit_seconds", "Duration of a commit that writes many rows together.", ["batch"], buckets=SECONDS
        )
        self._rows = make.histogram(
            "dexexec_commit_rows", "Rows that one commit wrote together.", ["batch"], buckets=ROWS
        )
        self._refused = make.counter(
            "dexexec_requests_refused_total", "Requests that got a problem document.", ["problem", "status"]
        )
        self._crowded = make.counter(
            "dexexec_connections_refused_total", "Connections refused since too many are open."
        )
        self._sockets_closed = make.counter(
            "dexexec_websockets_closed_total",
            "WebSockets that the service closed: slow, silent, flooding (the peer), or going-away (the service).",
            ["cause"],
        )
        self._streams_closed = make.counter(
            "dexexec_event_streams_closed_total",
            "Streams of server-sent events that the service closed: slow or silent (the peer), unauthorized (its key"
            " has ended), or going-away (the service).",
            ["cause"],
        )
        self._dropped = make.counter(
            "dexexec_stream_events_dropped_total",
            "Events not announced over Redis; feeds of other processes read them from Postgres.",
        )
        self._leases_lost = make.counter(
            "dexexec_worker_leases_lost_total", "Worker sessions that lost their lease and dropped their orders."
        )
        self._removed = make.counter("dexexec_dead_workers_removed_total", "Dead workers whose orders were freed.")
        self._requeued = make.counter(
            "dexexec_orders_requeued_total", "Orders without progress that the sweeper put back on the queue."
        )
        self._outages = make.counter(
            "dexexec_outages_total", "Times at which a part of a process began to wait for Postgres or Redis."
        )
        self._policy = make.counter(
            "dexexec_policy_refusals_total", "Orders and attempts that the policy of a key refused.", ["limit"]
        )
        self._halts = make.gauge(
            "dexexec_signing_halts",
            "Halts of signing in force: one for everybody, or one per halted key.",
            over_processes="livemax",
        )
        self._restarts = make.counter(
            "dexexec_process_restarts_total", "Child processes that ended by themselves and were started again."
        )
        self._processes = make.gauge("dexexec_processes", "Living processes of this service.")
        self._in_flight = make.gauge("dexexec_worker_orders_in_flight", "Orders that workers execute now.")
        self._capacity = make.gauge("dexexec_worker_capacity_orders", "Orders that workers may execute at once.")
        self._connections = make.gauge("dexexec_http_connections_open", "Open connections of clients, with sockets.")
        self._sockets = make.gauge("dexexec_websockets_open", "Open WebSockets.")
        self._streams = make.gauge("dexexec_event_streams_open", "Open streams of server-sent events.")
        self._postgres = make.gauge(
            "dexexec_postgres_pool_connections", "Connections to Postgres by pool and state: used or idle.",
            ["pool", "state"],
        )  # fmt: skip
        self._postgres_waiting = make.gauge(
            "dexexec_postgres_pool_waiting", "Callers that wait for a connection to Postgres.", ["pool"]
        )
        self._redis = make.gauge(
            "dexexec_redis_pool_connections", "Connections to Redis by pool and state: used or idle.",
            ["pool", "state"],
        )  # fmt: skip
        self._lame = make.gauge("dexexec_lame_duck", "Processes that are about to stop: /readyz answers 503.")

    def batch_written(self, batch: str, rows: int, seconds: float) -> None:
        """A commit wrote `rows` rows together."""
        self._commits[batch].observe(seconds)
        self._rows[batch].observe(rows)

    def requests_refused(self, problem: str, status: int, count: int = 1) -> None:
        """Requests got a problem document."""
        self._refused[problem, str(status)].inc(count)

    def connections_refused(self, count: int) -> None:
        """Connections were refused."""
        self._crowded[()].inc(count)

    def socket_closed(self, cause: str) -> None:
        """The service closed a WebSocket."""
        self._sockets_closed[cause].inc()

    def event_stream_closed(self, cause: str) -> None:
        """The service closed a stream of server-sent events."""
        self._streams_closed[cause].inc()

    def events_dropped(self, count: int) -> None:
        """Events were not announced over Redis."""
        self._dropped[()].inc(count)

    def lease_lost(self) -> None:
        """A worker session lost its lease."""
        self._leases_lost[()].inc()

    def dead_workers_removed(self, count: int) -> None:
        """Dead workers were removed."""
        self._removed[()].inc(count)

    def orders_requeued(self, count: int) -> None:
        """Orders are back on the queue."""
        self._requeued[()].inc(count)

    def outage_began(self) -> None:
        """A part waits for Postgres or Redis."""
        self._outages[()].inc()

    def policy_refused(self, limit: str) -> None:
        """The policy of a key refused an order or an attempt, by the name of the limit."""
        self._policy[limit].inc()

    def halts_seen(self, count: int) -> None:
        """How many halts are in force."""
        self._halts[()].set(count)

    def process_restarted(self) -> None:
        """A child process is started again."""
        self._restarts[()].inc()

    def process_seen(self) -> None:
        """This process lives."""
        self._processes[()].set(1)

    def lame_duck_began(self) -> None:
        """This process is about to stop."""
        self._lame[()].set(1)

    def worker_seen(self, in_flight: int, capacity: int) -> None:
        """The orders of this process's worker, and how many it may execute at once."""
        self._in_flight[()].set(in_flight)
        self._capacity[()].set(capacity)

    def clients_seen(self, connections: int, sockets: int, event_streams: int) -> None:
        """The open connections of clients, and how many of them are WebSockets."""
        self._connections[()].set(connections)
        self._sockets[()].set(sockets)
        self._streams[()].set(event_streams)

    def postgres_pool_seen(self, pool: str, *, used: int, idle: int, waiting: int) -> None:
        """The connections of a pool, and the callers that wait for one."""
        self._postgres[pool, "used"].set(used)
        self._postgres[pool, "idle"].set(idle)
        self._postgres_waiting[pool].set(waiting)

    def redis_pool_seen(self, pool: str, *, used: int, idle: int) -> None:
        """The connections of a pool."""
        self._redis[pool, "used"].set(used)
        self._redis[pool, "idle"].set(idle)
