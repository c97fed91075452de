"""The least that Tornado can do with a posted order: parse its JSON and answer with an id. The upper limit of any API.

Exits when its standard input ends.
"""

import asyncio
import json
import sys
from uuid import uuid4

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from dexexec.bench.client.http import EXECUTE
from dexexec.bench.client.main import run_on_fastest_loop


class Execute(RequestHandler):
    """`POST /api/orders/execute` without a service behind it."""

    def post(self) -> None:
        """202 with an id."""
        order = json.loads(self.request.body)
        self.set_status(202)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"orderId": str(uuid4()), "side": order["side"]}, separators=(",", ":")).encode())


async def main() -> None:
    """Serve. The first line of the output is the URL."""
    server = HTTPServer(Application([(EXECUTE, Execute)], log_function=lambda _: None))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    print(f"http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


if __name__ == "__main__":
    run_on_fastest_loop(main())
