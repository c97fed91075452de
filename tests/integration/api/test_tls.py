"""The port over TLS: the same limits, a clean end for a client that speaks something else, and renewed certificates."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from dexexec.api import server as api_server
from dexexec.api.app import EXECUTE
from dexexec.api.certificate import Certificate
from dexexec.api.client_stream import Phase
from tests.support.certificates import trusting, write_certificate
from tests.support.running_api import GOOD, HEAD, Raw, Service, problem, running_service
from tests.support.waiting import until

POST = HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
HELLO = b"\x16\x03\x01"
"""The beginning of a handshake."""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_certificate(tmp_path / "tls")


@asynccontextmanager
async def secure(service: Service, certificate: Path, context: ssl.SSLContext | None = None) -> AsyncIterator[Raw]:
    """A connection over TLS."""
    context = context or trusting(certificate)
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port, ssl=context, server_hostname="localhost")
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


async def ended(raw: Raw) -> None:
    """Wait until the service ends the connection without an answer; a reset, if it has not read everything."""
    with suppress(ConnectionResetError):
        assert await raw.closed() == b""


async def test_orders_are_posted_and_read_over_tls_on_a_kept_connection(files: tuple[Path, Path]) -> None:
    async with running_service(certificate=files) as service, secure(service, files[0]) as raw:
        for _ in range(3):
            await raw.send(POST)
            status, _, body = await raw.answer()
            assert status == 202
        await raw.send(b"GET /api/orders/%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % json.loads(body)["orderId"].encode())
        assert (await raw.answer())[0] == 200
        transport = raw.writer.transport.get_extra_info("ssl_object")
        assert transport.version() == "TLSv1.3"
        assert transport.selected_alpn_protocol() is None  # this client offers none


async def test_a_large_answer_and_a_large_body_pass_in_pieces(files: tuple[Path, Path]) -> None:
    async with running_service(certificate=files) as service, secure(service, files[0]) as raw:
        await raw.send(POST)
        await raw.answer()
        service.store.created *= 100
        await raw.send(b"GET /api/orders?limit=100 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        answers = [await raw.answer() for _ in range(20)]
        assert {(status, len(json.loads(body)["orders"])) for status, _, body in answers} == {(200, 100)}
        await raw.send(HEAD + b"Content-Length: 60000\r\n\r\n" + b" " * 60_000)
        assert (await raw.answer())[0] == 400


async def test_a_websocket_over_tls_has_both_directions_and_ends_with_a_close(files: tuple[Path, Path]) -> None:
    async with running_service(certificate=files) as service:
        request = HTTPRequest(f"wss://localhost:{service.port}{EXECUTE}", ssl_options=trusting(files[0]))
        connection = await websocket_connect(request)
        await connection.write_message("x" * 30_000)
        assert await connection.read_message() == "x" * 30_000
        connection.close(1000)
        assert await connection.read_message() is None
        assert connection.close_code == 1000


async def test_plain_http_gets_an_answer_that_names_the_scheme_and_the_end(files: tuple[Path, Path]) -> None:
    async with running_service(certificate=files) as service, service.raw() as raw:
        await raw.send(POST)
        status, headers, body = await raw.answer()
        assert "https://" in problem(headers, body, status, "bad-request")["detail"]
        assert (status, await raw.closed()) == (400, b"")
        assert service.store.created == []
        assert len(service.server.table) == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_versions_before_1_2_are_refused_and_logged_once(
    files: tuple[Path, Path], version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_server, "LOG_SECONDS", 0.05)
    context = trusting(files[0])
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with running_service(certificate=files) as service:
        for _ in range(3):
            with pytest.raises(OSError):
                async with secure(service, files[0], context):
                    pass

        def failures() -> list[dict[str, object]]:
            return [line for line in service.log_lines() if line["event"] == "TLS handshakes failed"]

        await until(lambda: sum(int(str(line["count"])) for line in failures()) == 3)
        assert failures()[0]["last"] == "UNSUPPORTED_PROTOCOL"
        assert failures()[0]["client"] == "127.0.0.1"
        assert len(service.server.table) == 0


async def test_the_time_limit_of_a_head_ends_a_handshake_that_does_not_go_on(files: tuple[Path, Path]) -> None:
    async with running_service(certificate=files) as service:
        service.server.table.limits = replace(service.server.table.limits, header_seconds=0.1)
        async with service.raw() as silent, service.raw() as slow, service.raw() as half:
            await slow.send(HELLO)
            await half.send(HELLO + b"\x02\x00\x01\x00\x01\xfc\x03\x03")
            for raw in (silent, slow, half):
                await ended(raw)
        assert len(service.server.table) == 0
        assert service.log_lines() == []


async def test_handshakes_without_an_end_give_way_to_active_clients(files: tuple[Path, Path]) -> None:
    async with running_service(certificate=files, max_connections=16, client_connections=16) as service:
        async with AsyncExitStack() as stack:
            for number in range(40):
                raw = await stack.enter_async_context(service.raw())
                if number % 2:
                    await raw.send(HELLO)
            async with secure(service, files[0]) as active:
                await active.send(POST)
                assert (await active.answer())[0] == 202
                for _ in range(40):
                    await stack.enter_async_context(service.raw())
                await until(lambda: len(service.server.table) == 16)
                assert sum(stream.phase is Phase.HANDSHAKE for stream in service.server.table) >= 15
        async with secure(service, files[0]) as later:
            await later.send(POST)
            assert (await later.answer())[0] == 202


async def test_at_the_limit_of_busy_connections_one_more_is_closed_without_a_handshake(
    files: tuple[Path, Path],
) -> None:
    async with running_service(certificate=files, max_connections=16) as service, AsyncExitStack() as stack:
        service.store.switch.hang()
        busy = [await stack.enter_async_context(secure(service, files[0])) for _ in range(12)]
        for raw in busy:
            await raw.send(POST)
        await until(lambda: service.store.asked == 12)
        async with service.raw() as late:
            assert await late.closed() == b""
        service.store.switch.go_on.set()
        assert [(await raw.answer())[0] for raw in busy] == [202] * 12


async def test_the_limits_of_head_and_body_hold_behind_the_handshake(files: tuple[Path, Path]) -> None:
    async with running_service(certificate=files) as service:
        async with secure(service, files[0]) as raw:
            await raw.send(HEAD + b"Content-Length: 100000\r\n\r\n" + b" " * 100_000)
            assert (await raw.answer())[0] == 413
        service.server.table.limits = replace(service.server.table.limits, header_seconds=0.1)
        async with secure(service, files[0]) as raw:
            await raw.send(b"GET / HTTP/1.1\r\nX: ")
            await ended(raw)


async def test_a_stop_ends_handshakes(files: tuple[Path, Path]) -> None:
    async with running_service(certificate=files) as service, service.raw() as raw:
        await raw.send(HELLO)
        await until(lambda: len(service.server.table) == 1)
        service.server.stop()
        await ended(raw)
        assert len(service.server.table) == 0


async def test_a_client_that_leaves_in_the_handshake_leaves_nothing(files: tuple[Path, Path]) -> None:
    async with running_service(certificate=files) as service:
        for sent in (b"", HELLO, HELLO + b"\x00\x05hello"):
            with socket.create_connection(("127.0.0.1", service.port)) as client:
                client.sendall(sent)
        await until(lambda: len(service.server.table) == 0)
        async with secure(service, files[0]) as raw:
            await raw.send(HEALTH)
            assert (await raw.answer())[0] == 200


async def test_renewed_files_are_used_by_new_connections_and_a_broken_pair_is_not(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    async with running_service(certificate=files) as service:
        old = trusting(files[0])
        certificate = service.server.certificate
        assert isinstance(certificate, Certificate)
        async with secure(service, files[0], old) as kept:
            other = write_certificate(tmp_path / "new", "renewed.example")
            files[0].write_bytes(other[0].read_bytes())
            certificate.renew()  # the key is still the old one's
            certificate.renew()
            async with secure(service, files[0], old):
                pass
            files[1].write_bytes(other[1].read_bytes())
            certificate.renew()
            async with secure(service, files[0], trusting(files[0])) as raw:
                await raw.send(HEALTH)
                assert (await raw.answer())[0] == 200
            with pytest.raises(ssl.SSLCertVerificationError):
                async with secure(service, files[0], old):
                    pass
            await kept.send(HEALTH)
            assert (await kept.answer())[0] == 200
        assert [line["event"] for line in service.log_lines() if "certificate" in str(line["event"])] == [
            "certificate not renewed: the old one stays in use",
            "certificate renewed",
        ]
