"""The service behind nginx, with the configuration of deploy/nginx.conf."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
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

PENDING, CONFIRMED = '"status":"pending"', '"status":"confirmed"'
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


class EventStream:
    """A stream of server-sent events through nginx, read as it comes, with its head and the lengths of its chunks."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader, self.received = reader, ""

    async def reach(self, text: str) -> None:
        """Wait for the text, which may be empty for the end of the stream."""
        async with asyncio.timeout(30):
            while not text or text not in self.received:
                chunk = await self._reader.read(65_536)
                if not chunk and not text:
                    return
                assert chunk, self.received
                self.received += chunk.decode()


@asynccontextmanager
async def event_stream(proxy: Nginx, path: str, key: str) -> AsyncIterator[EventStream]:
    place = urlsplit(proxy.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = f"Host: {PUBLIC_NAME}\r\nAuthorization: Bearer {key}\r\nAccept: text/event-stream\r\nConnection: close"
    writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n\r\n".encode())
    try:
        yield EventStream(reader)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_keys_the_page_and_server_sent_events_pass(launcher: Launcher) -> None:
    public = {name: value for name, value in BEHIND.items() if name != "DEXEXEC_REQUIRE_KEYS"}
    create = launcher.start("keys", "create", "desk", "--scope", "trade", **public)
    assert await asyncio.to_thread(create.wait) == 0
    key = create.out.strip()
    api = launcher.start("api", **public)
    with nginx(await asyncio.to_thread(lambda: api.url)) as proxy:
        host, bearer = {"Host": PUBLIC_NAME}, {"Host": PUBLIC_NAME, "Authorization": f"Bearer {key}"}
        await page(proxy)
        assert (await exchange(f"{proxy.url}/api/orders", headers=host)).status == 401
        assert (await exchange(f"{proxy.url}/api/orders", headers=bearer)).status == 200
        accepted = await exchange(proxy.url + PATH, "POST", BODY, {**bearer, "Content-Type": "application/json"})
        order_id = json.loads(accepted.body)["orderId"]

        path = f"/api/orders/{order_id}/events"
        async with event_stream(proxy, path, key) as one, event_stream(proxy, "/api/events?after=start", key) as every:
            # No worker is there, so nothing follows that could push a buffered event on its way.
            await one.reach(PENDING)
            await every.reach(PENDING)
            launcher.start("worker", **public)
            await every.reach(CONFIRMED)
            await one.reach("")  # the stream of an order ends with it
        assert CONFIRMED in one.received
        assert "\r\nContent-Type: text/event-stream" in one.received
        numbers = re.findall(r"^id: (\d+)$", one.received, re.MULTILINE)
        assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
        resumed = await exchange(proxy.url + path, headers={**bearer, "Last-Event-ID": numbers[-1]})
        assert resumed.status == 204


async def page(proxy: Nginx) -> None:
    """The page and all that it names pass as the service sends them, so that a browser accepts nothing else."""
    html = {"Host": PUBLIC_NAME, "Accept": "text/html"}
    shell = await AsyncHTTPClient().fetch(HTTPRequest(proxy.url + "/", headers=html))
    assert "script-src 'self'" in shell.headers["Content-Security-Policy"]
    assets = re.findall(r'(?:src|href)="(/assets/[^"]+)"', shell.body.decode())
    assert any(name.endswith(".js") for name in assets)
    for name in assets:
        asset = await AsyncHTTPClient().fetch(HTTPRequest(proxy.url + name, headers={"Host": PUBLIC_NAME}))
        assert asset.headers["Cache-Control"] == "no-cache"
