"""Connections that stay open between two tries: when they are used again, and that none is trusted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from uuid import uuid4

import pytest

import dexexec.webhooks.sender
from dexexec.clock import Clock, SystemClock
from dexexec.testing.clock import ManualClock
from dexexec.webhooks.addresses import Address
from dexexec.webhooks.answers import Verdict
from dexexec.webhooks.kept_connections import IDLE_SECONDS
from dexexec.webhooks.resolver import Resolver, SystemResolver
from dexexec.webhooks.sender import Sender
from tests.integration.webhooks.test_sender import Names, serving_tls
from tests.support.certificates import trusting
from tests.support.waiting import until
from tests.support.webhook_receiver import (
    STAYS_OPEN,
    Behaviour,
    Received,
    Receiver,
    answering,
    claimed,
    receiver,
    status,
)

LOOPBACK, ELSEWHERE = ip_address("127.0.0.1"), ip_address("127.0.0.2")


@asynccontextmanager
async def keeping(behaviour: Behaviour | None = None) -> AsyncIterator[Receiver]:
    """A receiver that keeps its connections."""
    async with receiver(behaviour or answering(STAYS_OPEN)) as target:
        target.keeps = True
        yield target


@asynccontextmanager
async def open_sender(
    clock: Clock | None = None, resolver: Resolver | None = None, tls: Path | None = None
) -> AsyncIterator[Sender]:
    context = trusting(tls) if tls else None
    made = Sender(resolver or SystemResolver(), clock or SystemClock(), seconds=10, private=True, tls=context)
    async with aclosing(made):
        yield made


async def test_messages_of_a_webhook_share_a_connection_and_those_of_another_do_not(tmp_path: Path) -> None:
    certificate, server = serving_tls(tmp_path)
    names = Names([LOOPBACK])
    async with (
        receiver(answering(STAYS_OPEN), tls=server) as target,
        open_sender(resolver=names, tls=certificate) as sender,
    ):
        target.keeps = True
        sent = claimed(target.url(host="hooks.example"))
        for n in range(3):
            answer = await sender.send(replace(sent, id=n))
            assert answer.verdict is Verdict.DELIVERED
        assert (target.connections, len(target.received)) == (1, 3)
        assert len(names.asked) == 3, "the name is looked up for each of them"
        await sender.send(replace(sent, webhook=uuid4()))
        assert target.connections == 2
    await until(lambda: target.at_once == 0)


async def test_as_many_connections_are_kept_as_were_needed_at_once() -> None:
    together = asyncio.Barrier(2)

    async def answer(_: Received, writer: asyncio.StreamWriter) -> None:
        await together.wait()
        writer.write(STAYS_OPEN)

    async with keeping(answer) as target, open_sender() as sender:
        sent = claimed(target.url())
        for _ in range(2):
            await asyncio.gather(sender.send(sent), sender.send(sent))
        assert (target.connections, len(target.received)) == (2, 4)


async def test_a_connection_to_an_address_that_the_name_has_lost_is_not_used() -> None:
    names: list[list[Address]] = [[LOOPBACK], [ELSEWHERE], [ELSEWHERE, LOOPBACK]]
    async with keeping() as target, open_sender(resolver=Names(*names)) as sender:
        sent = claimed(target.url(host="hooks.example"))
        assert (await sender.send(sent)).verdict is Verdict.DELIVERED
        assert (await sender.send(sent)).verdict is Verdict.FAILED, "nothing listens there"
        assert (await sender.send(sent)).verdict is Verdict.DELIVERED
        assert (target.connections, len(target.received)) == (1, 2)


async def test_a_server_that_closes_a_kept_connection_costs_no_try() -> None:
    async with receiver(answering(STAYS_OPEN)) as target, open_sender() as sender:
        # It closes each connection after its answer, without a word.
        for _ in range(5):
            assert (await sender.send(claimed(target.url()))).verdict is Verdict.DELIVERED
        assert len(target.received) == 5


async def test_a_request_that_crosses_the_end_of_its_connection_is_sent_again() -> None:
    async def cuts_the_second(_: Received, writer: asyncio.StreamWriter) -> None:
        if len(target.received) == 2:
            writer.transport.abort()
        else:
            writer.write(STAYS_OPEN)

    async with keeping(cuts_the_second) as target, open_sender() as sender:
        sent = claimed(target.url())
        for _ in range(2):
            assert (await sender.send(sent)).verdict is Verdict.DELIVERED
        assert (target.connections, len(target.received)) == (2, 3)
        assert len({request.headers["webhook-id"] for request in target.received}) == 1


async def test_a_connection_that_never_answered_is_not_tried_twice() -> None:
    async def cuts(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with keeping(cuts) as target, open_sender() as sender:
        assert (await sender.send(claimed(target.url()))).verdict is Verdict.FAILED
        assert len(target.received) == 1


async def test_only_short_successful_answers_keep_a_connection() -> None:
    async def endless(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 65_536)
            await writer.drain()

    refused = status(500).replace(b"connection: close\r\n", b"")
    for behaviour, verdict in ((endless, Verdict.DELIVERED), (answering(refused), Verdict.FAILED)):
        async with keeping(behaviour) as target, open_sender() as sender:
            sent = claimed(target.url())
            assert (await sender.send(sent)).verdict is verdict
            await until(lambda target=target: target.at_once == 0)  # type: ignore[misc]


async def test_an_idle_connection_is_closed_and_not_used_after_a_while() -> None:
    clock = ManualClock()
    async with keeping() as target, open_sender(clock) as sender:
        sent = claimed(target.url())
        await sender.send(sent)
        clock.advance(IDLE_SECONDS - 0.1)
        await sender.close_old()
        await sender.send(sent)
        assert target.connections == 1
        clock.advance(IDLE_SECONDS)
        await sender.send(sent)
        assert target.connections == 2, "too old, although it was not closed yet"
        clock.advance(IDLE_SECONDS)
        await sender.close_old()
        await until(lambda: target.at_once == 0)


async def test_a_body_that_drips_does_not_undo_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dexexec.webhooks.sender, "REST_SECONDS", 0.05)

    async def drips(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.001)

    async with keeping(drips) as target, open_sender() as sender:
        assert (await sender.send(claimed(target.url()))).text == "HTTP 200"
        await until(lambda: target.at_once == 0)
