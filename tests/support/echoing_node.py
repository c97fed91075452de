"""A node that refuses every call, and repeats the caller's URL and credentials in its errors, as some providers do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tornado.web import Application, RequestHandler


class Echoing(RequestHandler):
    """Refuses in three ways by turns: an HTTP error, an error of JSON-RPC, and an answer that is none."""

    count = 0

    def post(self) -> None:
        type(self).count += 1
        echo = f"{self.request.full_url()} is unknown, {self.request.headers.get('Authorization', '')}"
        match self.count % 3:
            case 0:
                self.set_status(401)
                self.finish(echo)
            case 1:
                self.finish({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": echo}})
            case _:
                self.finish(echo)

    get = post


@asynccontextmanager
async def echoing_node() -> AsyncIterator[int]:
    """Its port."""
    server = Application([(".*", Echoing)], log_function=lambda _: None).listen(0, "127.0.0.1")
    [listener] = server._sockets.values()
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.stop()
        await server.close_all_connections()
