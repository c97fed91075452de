"""The subscription of a socket to all events, while its position is still being read."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

import orjson
import pytest

from dexexec.api.websocket_all_events import AllEventsSubscription
from dexexec.api.websocket_messages import BadMessageError
from dexexec.api.websocket_outbox import Outbox
from dexexec.domain.stream_error import StreamErrorCode
from dexexec.errors import UnavailableError
from dexexec.feed.all_events import AllEvents

POSITION = "7-0123456789abcdef"


@dataclass
class SlowStream:
    """Answers where a subscriber begins once `go_on` is set. To follow it is an error."""

    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def begin(self, after: str | None, owner: int | None) -> str:
        await self.go_on.wait()
        return after or POSITION


@dataclass
class Peer:
    """What a socket was sent, with one subscription to `stream`."""

    stream: SlowStream = field(default_factory=SlowStream)
    sent: list[object] = field(default_factory=list)
    errors: list[StreamErrorCode] = field(default_factory=list)

    def send(self, payload: bytes) -> None:
        self.sent.append(orjson.loads(payload))

    def subscription(self) -> AllEventsSubscription:
        def refuse(error: BadMessageError) -> None:
            self.errors.append(error.code)

        stream, outbox = cast("AllEvents", self.stream), cast("Outbox", self)
        return AllEventsSubscription(stream, outbox, refuse=refuse, fail=lambda _: None)


async def test_who_unsubscribes_before_the_first_position_gets_no_events() -> None:
    peer = Peer()
    subscription = peer.subscription()
    subscription.subscribe(None, None)
    subscription.unsubscribe()
    subscription.unsubscribe()
    assert peer.errors == [StreamErrorCode.NOT_SUBSCRIBED], "the second one ends nothing"
    peer.stream.go_on.set()
    while not peer.sent:
        await asyncio.sleep(0)
    assert peer.sent == [{"events": "all", "unsubscribed": True, "after": POSITION}]
    subscription.unsubscribe()
    assert peer.errors == [StreamErrorCode.NOT_SUBSCRIBED] * 2


async def test_pauses_grow_while_the_first_position_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = list[float]()
    six = asyncio.Event()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 6:
            six.set()
            await asyncio.Event().wait()

    async def away(after: str | None, owner: int | None) -> str:
        raise UnavailableError("Postgres is away")

    peer = Peer()
    monkeypatch.setattr(peer.stream, "begin", away)
    monkeypatch.setattr("dexexec.api.websocket_all_events.asyncio.sleep", pause)
    monkeypatch.setattr("dexexec.api.websocket_all_events.random.uniform", lambda least, most: most)
    subscription = peer.subscription()
    subscription.subscribe(None, None)
    await six.wait()
    subscription.close()
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert peer.errors == [StreamErrorCode.UNAVAILABLE], "once per outage"
