"""The service over TLS, as two processes that share a port."""

import json
import ssl
import urllib.request
from pathlib import Path

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.support.certificates import trusting, write_certificate
from tests.support.service.client import PATH
from tests.support.service.process import Launcher, Process


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_certificate(tmp_path)


def over_tls(certificate: Path, key: Path) -> dict[str, str]:
    return {"DEXEXEC_TLS_CERT": str(certificate), "DEXEXEC_TLS_KEY": str(key)}


def post(process: Process, context: ssl.SSLContext) -> str:
    """An order's id."""
    body = b'{"side":"buy","amount":"0.01"}'
    request = urllib.request.Request(process.url + PATH, body, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=20, context=context) as answer:  # noqa: S310 - to ourselves
        return str(json.load(answer)["orderId"])


async def test_orders_are_posted_and_followed_over_tls_with_several_processes(
    launcher: Launcher, files: tuple[Path, Path]
) -> None:
    process = launcher.start("--processes", "2", **over_tls(*files))
    assert process.url.startswith("https://127.0.0.1:")
    assert process.address("Stream") == process.url.replace("https://", "wss://") + PATH
    trusted = trusting(files[0])
    order_id = post(process, trusted)
    url = f"{process.address('Stream')}?orderId={order_id}"
    stream = await websocket_connect(HTTPRequest(url, ssl_options=trusted, request_timeout=20))
    seen: list[dict[str, object]] = []
    while not seen or not seen[-1]["final"]:
        message = await stream.read_message()
        assert message is not None
        seen.append(json.loads(message))
    stream.close()
    assert seen[-1]["status"] == "confirmed"


def test_a_key_that_others_can_read_stops_the_start(launcher: Launcher, files: tuple[Path, Path]) -> None:
    files[1].chmod(0o644)
    process = launcher.start("api", **over_tls(*files))
    assert process.wait() == 2
    assert f"chmod 600 {files[1]}" in process.err
    assert "Traceback" not in process.err
