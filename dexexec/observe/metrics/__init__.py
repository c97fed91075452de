"""The metrics of one process: one method per happening, as the log has. `docs/METRICS.md` describes each metric."""

from dexexec.observe.metrics.instruments import Instruments, NoInstruments
from dexexec.observe.metrics.landing import LandingMetrics
from dexexec.observe.metrics.nodes import NodeMetrics
from dexexec.observe.metrics.orders import OrderMetrics
from dexexec.observe.metrics.service import ServiceMetrics
from dexexec.observe.metrics.venues import VenueMetrics
from dexexec.observe.metrics.webhooks import WebhookMetrics

__all__ = ["NO_METRICS", "Metrics"]


class Metrics(OrderMetrics, VenueMetrics, NodeMetrics, LandingMetrics, ServiceMetrics, WebhookMetrics):
    """All metrics that are counted as things happen."""

    def __init__(self, make: Instruments) -> None:
        self.exposition = make.exposition
        """Writes them for Prometheus; None where they are turned off."""
        for part in (OrderMetrics, VenueMetrics, NodeMetrics, LandingMetrics, ServiceMetrics, WebhookMetrics):
            part.__init__(self, make)


NO_METRICS = Metrics(NoInstruments())
"""For processes and tests without metrics."""
