"""A client of the service, for Python programs: `AsyncClient`, and `Client` for programs without an event loop.

docs/CLIENT.md shows how to use it. It imports nothing of the service itself.
"""

from dexexec.client.all_events import AllEventStream
from dexexec.client.answers import (
    Amended,
    Cancelled,
    CancelledAll,
    Costs,
    Event,
    Explanation,
    Order,
    Page,
    Placed,
    Quote,
    Signed,
    Venue,
    VenueQuote,
)
from dexexec.client.async_client import AsyncClient
from dexexec.client.client import AllEvents, Client, Events
from dexexec.client.errors import ClientError, MalformedAnswerError, NoAnswerError, OrderEndedError, StreamError
from dexexec.client.event_stream import EventStream
from dexexec.client.filters import Filters
from dexexec.client.orders import (
    AnyOrder,
    Bracket,
    Conditions,
    Exit,
    LimitOrder,
    MarketOrder,
    RecurringOrder,
    SniperOrder,
)
from dexexec.client.problems import PositionUnknownError, ProblemError
from dexexec.client.resume import Notice
from dexexec.client.service_answers import Checked, Overview, Stats, StatsBucket
from dexexec.client.webhooks import AsyncWebhooks, Delivery, DeliveryPage, Webhook, Webhooks
from dexexec.domain.status import Status

__all__ = [
    "AllEventStream", "AllEvents", "Amended", "AnyOrder", "AsyncClient", "AsyncWebhooks", "Bracket", "Cancelled",
    "CancelledAll", "Checked", "Client", "ClientError", "Conditions", "Costs", "Delivery", "DeliveryPage", "Event",
    "EventStream", "Events", "Exit", "Explanation", "Filters", "LimitOrder", "MalformedAnswerError", "MarketOrder",
    "NoAnswerError", "Notice", "Order", "OrderEndedError", "Overview", "Page", "Placed", "PositionUnknownError",
    "ProblemError", "Quote", "RecurringOrder", "Signed", "SniperOrder", "Stats", "StatsBucket", "Status",
    "StreamError", "Venue", "VenueQuote", "Webhook", "Webhooks",
]  # fmt: skip
