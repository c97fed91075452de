"""The service behind nginx, with the configuration of deploy/nginx.conf."""

import asyncio
import socket
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.web import Application, RequestHandler
from tornado.websocket import websocket_connect

from dexexec.store import Address
from tests.support.certificates import trusting
from tests.support.nginx import PUBLIC_NAME, Nginx, needs_nginx, nginx
from tests.support.raw_http import exchange
from tests.support.service.client import PATH, http, watching
from tests.support.service.process import Launcher
from tests.support.service.promise_checks import rows
from tests.support.waiting import until

pytestmark = needs_nginx

BODY = b'{"side": "buy", "amount": "0.01"}'
BEHIND = {"DEXEXEC_ALLOWED_HOSTS": PUBLIC_NAME, "DEXEXEC_TRUSTED_PROXIES": "127.0.0.1", "DEXEXEC_REQUIRE_KEYS": "0"}


async def test_the_service_works_behind_nginx_as_documented(launcher: Launcher, database_address: Address) -> None:
    api = launcher.start("api", **BEHIND)
    with nginx(await asyncio.to_thread(lambda: api.url)) as proxy:
        async with http() as calls:
            accepted = await calls.order(proxy.url, Host=PUBLIC_NAME)
            assert accepted.status == 202
            order_id = str(accepted.body["orderId"])
            assert (await calls.order(proxy.url, Host="evil.example")).status == 421
            refused = await calls.post(proxy.url, {"side": "buy", "amount": "1" * 100_000})
            assert (refused.status, refused.body["type"]) == (413, "/problems/body-too-large")
        listed = await exchange(f"{proxy.url}/api/orders", headers={"Host": PUBLIC_NAME})
        assert listed.status == 200
        assert order_id in listed.body.decode()

        await pages(proxy.url)
        await over_tls(proxy)
        await gone(proxy.url)
        async with watching(lambda: proxy.url, [order_id]) as watch:
            await watch.reach(lambda seen: bool(seen.at("pending")))  # no worker is there, so it goes no further
            await asyncio.to_thread(proxy.stop)
            await watch.reach(lambda seen: bool(seen.closes))
            await asyncio.to_thread(proxy.start)
            launcher.start("worker")
        assert watch.at("confirmed") == [order_id]
        [row] = rows(database_address, "SELECT client FROM orders WHERE id = %s", [order_id])
        assert row["client"] == "127.0.0.1"


async def over_tls(proxy: Nginx) -> None:
    """TLS ends at nginx, and the service learns of it: by X-Forwarded-Proto, and by pages of the https origin."""
    port = urlsplit(proxy.secure_url).port
    host, trusted = f"{PUBLIC_NAME}:{port}", trusting(proxy.certificate)

    def request(path: str, **headers: str) -> HTTPRequest:
        return HTTPRequest(proxy.secure_url + path, headers={"Host": host, **headers}, ssl_options=trusted)

    with pytest.raises(HTTPClientError) as refused:  # strangers could trade with it
        await AsyncHTTPClient().fetch(request("/", Accept="text/html"))
    assert refused.value.code == 403
    own = request(PATH, Origin=f"https://{host}")
    own.url = own.url.replace("https", "wss", 1)
    (await websocket_connect(own)).close()


async def pages(url: str) -> None:
    """Those of the public name open a WebSocket through the proxy, and no others do."""
    socket_url = url.replace("http", "ws", 1) + PATH
    own = HTTPRequest(socket_url, headers={"Host": PUBLIC_NAME, "Origin": f"https://{PUBLIC_NAME}"})
    (await websocket_connect(own)).close()
    other = HTTPRequest(socket_url, headers={"Host": PUBLIC_NAME, "Origin": "https://evil.example"})
    with pytest.raises(HTTPClientError) as caught:
        await websocket_connect(other)
    assert caught.value.code == 403


async def gone(url: str) -> None:
    """A client that closes the connection before it is answered has one order, stored then or when it repeats it."""
    place = urlsplit(url)
    head = f"POST {PATH} HTTP/1.1\r\nHost: {PUBLIC_NAME}\r\nContent-Type: application/json\r\nIdempotency-Key: gone\r\n"
    with socket.create_connection((place.hostname or "", place.port or 80)) as connection:
        connection.sendall(f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
    headers = {"Host": PUBLIC_NAME, "Content-Type": "application/json", "Idempotency-Key": "gone"}

    async def stored() -> bytes:
        answer = await exchange(url + PATH, "POST", BODY, headers)
        assert answer.status in {202, 409}, answer  # 409: it is being stored
        return answer.body if answer.status == 202 else b""

    await until(stored, pause=0.02)
    assert await stored() == await stored() != b""


class OneByOne(RequestHandler):
    """Sends an event, and the next one only when the test has seen the first: as a stream of server-sent events."""

    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")
        self.write("data: 1\n\n")
        await self.flush()
        await self.application.settings["seen"].wait()
        self.write("data: 2\n\n")


class Alive(RequestHandler):
    def get(self) -> None:
        self.write("{}")


async def test_server_sent_events_pass_one_by_one() -> None:
    seen = asyncio.Event()
    server = Application([("/healthz", Alive), ("/events", OneByOne)], seen=seen).listen(0, "127.0.0.1")
    [listening] = server._sockets.values()
    received = b""

    def take(chunk: bytes) -> None:
        nonlocal received
        received += chunk
        if b"data: 1" in received:
            seen.set()

    with ExitStack() as stack:
        stack.callback(server.stop)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        proxy = await asyncio.to_thread(stack.enter_context, nginx(url))
        await AsyncHTTPClient().fetch(f"{proxy.url}/events", streaming_callback=take, request_timeout=20)
        await asyncio.to_thread(proxy.stop)
        await server.close_all_connections()
    assert received == b"data: 1\n\ndata: 2\n\n"
