"""What streams events to clients: the parts that WebSockets and server-sent events share."""

from dataclasses import dataclass

from dexexec.api.websocket_registry import SocketRegistry
from dexexec.feed.all_events import AllEvents
from dexexec.feed.feed import Feed


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStreams:
    """`feed` follows single orders. `registry` has the open connections of both kinds."""

    feed: Feed
    all_events: AllEvents
    registry: SocketRegistry
