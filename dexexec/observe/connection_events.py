"""The log events of the connections of clients: a part of `Observer`."""

from dexexec.observe.log import Logger
from dexexec.observe.metrics import Metrics


class ConnectionEvents:
    """Logs and counts what happens to connections before they carry a request."""

    log: Logger
    metrics: Metrics

    def operations_port_opened(self, url: str) -> None:
        """Metrics and health checks are served on a port of their own."""
        self.log.info("metrics and health checks are served", url=url)

    def accepting_paused(self, why: str, connections: int) -> None:
        """Accepting is paused, because the system has no file descriptor or memory for a new connection."""
        self.log.warning("connections not accepted for now", why=why, open=connections)

    def connections_refused(self, count: int) -> None:
        """The number of connections refused since the last such line: the limit is reached, and none is idle."""
        self.log.warning("connections refused: too many are open", count=count)
        self.metrics.connections_refused(count)

    def handshakes_failed(self, count: int, last: str, client: str) -> None:
        """The number of TLS handshakes that failed since the last such line, with reason and client of the last one."""
        self.log.warning("TLS handshakes failed", count=count, last=last, client=client)

    def certificate_renewed(self, path: str) -> None:
        """The files of the certificate have changed, and new connections get the new one."""
        self.log.info("certificate renewed", file=path)

    def certificate_not_renewed(self, why: str) -> None:
        """The files of the certificate have changed but cannot be used. The one that was loaded before stays in use."""
        self.log.error("certificate not renewed: the old one stays in use", why=why)

    def events_held_back(self, seconds: float) -> None:
        """Committed events cannot be streamed yet: an earlier transaction is open in this Postgres."""
        self.log.warning(
            "the stream of all events waits for an open transaction",
            oldest_event_s=round(seconds, 1),
            todo="find it: SELECT pid, datname, xact_start, query FROM pg_stat_activity WHERE backend_xid IS NOT NULL",
        )
