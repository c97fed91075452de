"""The log events of venues and of the nodes that they need: a part of `Observer`."""

from dexexec.domain.pace import Finality
from dexexec.domain.quote import SwapRequest
from dexexec.observe.log import Logger
from dexexec.observe.metrics import Metrics


class VenueEvents:
    """Logs and counts what happens with adapters, the guard, signers, breakers, nodes and priority fees."""

    log: Logger
    metrics: Metrics

    def adapter_misbehaved(self, venue: str, request: SwapRequest, error: BaseException) -> None:
        """An adapter raised an undocumented error or returned an invalid result."""
        self.log.error("adapter misbehaved", venue=venue, request=request, exc_info=error)

    def adapter_close_failed(self, venue: str, why: str) -> None:
        """An adapter failed to close its connections."""
        self.log.warning("adapter not closed", venue=venue, why=why)

    def transaction_rejected(self, venue: str, request: SwapRequest, why: str) -> None:
        """The guard rejected a transaction of a venue; it was not signed."""
        self.log.error("the guard refused a transaction", venue=venue, request=request, why=why)
        self.metrics.transaction_rejected(venue)

    def wallet_cannot_pay(self, wallet: str, address: str, why: str) -> None:
        """A named wallet cannot pay for swaps at the start; its orders will fail until it can."""
        self.log.warning("a wallet cannot pay", wallet=wallet, address=address, why=why)

    def signer_failed(self, wallet: str, address: str, trouble: str, why: str) -> None:
        """The signer of a wallet gave no usable signature; its orders wait."""
        self.log.warning("no signature", wallet=wallet, address=address, trouble=trouble, why=why)
        self.metrics.signer_failed(wallet, trouble)

    def signer_recovered(self, wallet: str, address: str) -> None:
        """The signer of a wallet answers again."""
        self.log.info("the signer answers again", wallet=wallet, address=address)

    def explanation_failed(self, venue: str, signature: str, error: BaseException) -> None:
        """An adapter failed to explain a failed transaction. The chain's own error is reported instead."""
        self.log.error("adapter misbehaved on a failure", venue=venue, tx=signature, exc_info=error)

    def settlement_failed(self, network: str, signature: str, error: Exception) -> None:
        """Sending or looking up a swap failed unexpectedly. Its outcome is unknown, and the lookup is repeated."""
        self.log.error("settlement failed on a swap", network=network, tx=signature, exc_info=error)

    def node_failed(self, node: str, why: str) -> None:
        """A Solana node returned no usable answer. Other configured nodes are used."""
        self.log.warning("node failed", node=node, why=why)
        self.metrics.node_seen(node, usable=False)

    def node_rate_limited(self, node: str, why: str) -> None:
        """A Solana node reported too many requests and gets none for a while."""
        self.log.warning("node rests", node=node, why=why)
        self.metrics.node_seen(node, usable=False)

    def node_lagging(self, node: str, blocks: int) -> None:
        """A node is behind the others, so its answers do not count."""
        self.log.warning("node lags", node=node, blocks=blocks)
        self.metrics.node_seen(node, usable=False)

    def node_recovered(self, node: str) -> None:
        """A node answers again or has caught up."""
        self.log.info("node is back", node=node)
        self.metrics.node_seen(node, usable=True)

    def finality_learned(self, finality: Finality) -> None:
        """The nodes of a Solana cluster show when a confirmed block is final there. It decides what swaps wait for."""
        self.log.info("cluster's finality", finality=finality)

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

    def warm_state_interrupted(self, node: str, why: str) -> None:
        """Notifications of accounts are missing or false. Orders read accounts from nodes for a while."""
        self.log.warning("accounts in memory not used", node=node, why=why)
        self.metrics.warm_state_interrupted()

    def warm_state_recovered(self, node: str) -> None:
        """Orders read accounts from memory again."""
        self.log.info("accounts in memory used again", node=node)

    def venue_not_warmed(self, venue: str, why: str) -> None:
        """The pools of the configured pair could not be read in advance: the first orders wait for that."""
        self.log.info("venue not warm", venue=venue, why=why)

    def account_subscription_refused(self, node: str, why: str) -> None:
        """A node does not subscribe as many accounts as orders need. The others are read from nodes for each order."""
        self.log.warning(
            "node refuses subscriptions of accounts", node=node, why=why,
            hint="orders read the other accounts from nodes; lower DEXEXEC_WATCH_ACCOUNTS, or use another provider",
        )  # fmt: skip

    def accounts_read(self, *, from_memory: bool) -> None:
        """An order read a set of accounts."""
        self.metrics.accounts_read(from_memory=from_memory)

    def program_read(self, program: str, sha256: str, size: int) -> None:
        """The code of a program was read, to simulate transactions in this process."""
        self.log.info("program read", program=program, sha256=sha256, bytes=size)

    def program_upgraded(self, program: str) -> None:
        """A program has new code or was closed. Nodes simulate what calls it until the new code was compared."""
        self.log.warning("program upgraded", program=program)

    def program_unusable(self, program: str, why: str) -> None:
        """The code of a program cannot be read or is not believed: nodes simulate what calls it."""
        self.log.warning("program not simulated here", program=program, why=why)

    def simulated(self, where: str, why: str) -> None:
        """A transaction was simulated in this process or by a node."""
        self.metrics.simulated(where, why)

    def simulation_checked(self, outcome: str) -> None:
        """A simulation in this process was compared with a node's."""
        self.metrics.simulation_checked(outcome)

    def simulation_differs(self, programs: str, difference: str) -> None:
        """A simulation in this process differs from a node's. Nodes simulate what calls these programs from now on."""
        self.log.error(
            "simulations differ", programs=programs, difference=difference,
            hint="nodes simulate these programs until their code changes or the service restarts; report what differed",
        )  # fmt: skip

    def venue_quarantined(self, venue: str, program: str, why: str) -> None:
        """A program of a venue was upgraded: the venue gets no orders until its quotes are confirmed."""
        self.log.error(
            "venue quarantined", venue=venue, program=program, why=why,
            hint="it comes back when simulated swaps equal its quotes, or with: python -m dexexec adapters accept NAME",
        )  # fmt: skip
        self.metrics.quarantine_seen(venue, quarantined=True)

    def quarantine_ended(self, venue: str, program: str, why: str) -> None:
        """A venue gets orders again, or another upgrade has replaced the one that it was quarantined for."""
        self.log.warning("quarantine ended", venue=venue, program=program, was=why)
        self.metrics.quarantine_seen(venue, quarantined=False)

    def quotes_confirmed(self, venue: str, program: str, swaps: int) -> None:
        """Simulated swaps on the new code of a program were equal to the venue's quotes."""
        self.log.warning("quotes confirmed on the new program", venue=venue, program=program, swaps=swaps)

    def quotes_not_confirmed(self, venue: str, program: str, why: str) -> None:
        """Simulated swaps on the new code of a program did not confirm the venue's quotes. It stays in quarantine."""
        self.log.error(
            "quotes not confirmed on the new program", venue=venue, program=program, why=why,
            hint="update the service if the venue's arithmetic changed; the comparison is repeated",
        )  # fmt: skip

    def deployment_unknown(self, venue: str, program: str, why: str) -> None:
        """The code of a venue's program could not be read, or nodes disagree about it."""
        self.log.warning("program's code unknown", venue=venue, program=program, why=why)

    def breaker_state_changed(self, venue: str, state: str) -> None:
        """The circuit breaker of a venue opened, is half open, or closed."""
        self.log.warning("venue breaker", venue=venue, state=state)
        self.metrics.breaker_seen(venue, state)
        if state == "open":
            self.metrics.breaker_opened(venue)
