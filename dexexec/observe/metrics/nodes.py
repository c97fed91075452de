"""Metrics of Solana nodes. They are named as in the log: by their host, without the keys of their URL."""

from dexexec.observe.metrics.instruments import Instruments

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


class NodeMetrics:
    """Counts requests to nodes."""

    def __init__(self, make: Instruments) -> None:
        self._seconds = make.histogram(
            "dexexec_rpc_request_seconds", "Time until a node answered, or failed to.", ["node"], buckets=SECONDS
        )
        self._requests = make.counter(
            "dexexec_rpc_requests_total",
            "Requests to a node by outcome: ok, refused (the request is wrong), rate-limited (429), behind,"
            " unsupported, failed.",
            ["node", "method", "outcome"],
        )
        self._unsent = make.counter(
            "dexexec_rpc_budget_exhausted_total",
            "Requests that were not sent, since the request budget had nothing left in time.",
            ["node"],
        )
        self._simulations = make.counter(
            "dexexec_simulations_total",
            "Simulations by where they were made (local, node) and why not locally: cold, program, unproven, closed,"
            " message, runtime; empty if by choice.",
            ["where", "why"],
        )
        self._simulation_checks = make.counter(
            "dexexec_simulation_checks_total",
            "Local simulations that were compared with a node's: agree, differ, not-comparable (the accounts changed).",
            ["outcome"],
        )
        self._up = make.gauge(
            "dexexec_rpc_node_up",
            "Whether a node's last answer was usable. The worst of all processes.",
            ["node"],
            over_processes="livemin",
        )
        self._lag = make.gauge(
            "dexexec_rpc_node_lag_slots",
            "Slots by which a node was behind the best one. The worst of all processes.",
            ["node"],
            over_processes="livemax",
        )
        self._budget = make.gauge(
            "dexexec_rpc_budget_available_requests",
            "Requests that the budget of a chain's nodes allows at once now, over all processes.",
            ["budget"],
        )
        self._reads = make.counter(
            "dexexec_account_reads_total",
            "Reads of a set of accounts for orders, by source: memory, node.",
            ["source"],
        )
        self._interruptions = make.counter(
            "dexexec_warm_state_interruptions_total",
            "How often notifications of accounts were missing or false, so that memory was not used.",
        )

    def accounts_read(self, *, from_memory: bool) -> None:
        """A set of accounts was read."""
        self._reads["memory" if from_memory else "node"].inc()

    def warm_state_interrupted(self) -> None:
        """Accounts in memory are not used for a while."""
        self._interruptions[()].inc()

    def simulated(self, where: str, why: str) -> None:
        """A transaction was simulated."""
        self._simulations[where, why].inc()

    def simulation_checked(self, outcome: str) -> None:
        """A local simulation was compared with a node's."""
        self._simulation_checks[outcome].inc()

    def node_answered(self, node: str, method: str, outcome: str, seconds: float) -> None:
        """A request to a node ended."""
        self._seconds[node].observe(seconds)
        self._requests[node, method, outcome].inc()
        if outcome == "ok" and node not in self._up:
            # From here on only changes are reported.
            self._up[node].set(1)

    def node_not_asked(self, node: str) -> None:
        """A request was not sent for lack of budget."""
        self._unsent[node].inc()

    def node_seen(self, node: str, *, usable: bool) -> None:
        """Whether a node's last answer was usable."""
        self._up[node].set(usable)

    def node_lag_seen(self, node: str, slots: int) -> None:
        """How far a node is behind."""
        self._lag[node].set(slots)

    def budget_seen(self, budget: str, available: float) -> None:
        """What a budget allows at once."""
        self._budget[budget].set(available)
