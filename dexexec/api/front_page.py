"""`GET /`: the page for people, and JSON with links for programs."""

from dexexec import __version__
from dexexec.api.handler import ApiHandler
from dexexec.api.page_files import HEADERS, SHELL, PageFileHandler, check_page, page_files

LINKS = {
    "orders": "/api/orders",
    "ready": "/readyz",
    "alive": "/healthz",
    "docs": "/docs",
    "openapi": "/openapi.json",
    "asyncapi": "/asyncapi.json",
}
"""By name: the newest orders, whether an order posted now would be executed, whether this process answers, and the
contract as a page, for HTTP (OpenAPI) and for the WebSocket (AsyncAPI)."""
EXECUTE = "/api/orders/execute"
KEYS_REQUIRED = (b'<html lang="en">', b'<html lang="en" data-keys="required">')
"""What the page begins with, and where a key is required."""


class FrontPageHandler(PageFileHandler):
    """`GET /`. The page needs no key, since it shows nothing before it has one; the JSON needs one."""

    async def admit(self) -> None:
        """Find out who the caller is, unless the page is wanted."""
        if self.wants_page:
            await super().admit()
        else:
            await ApiHandler.admit(self)

    @property
    def wants_page(self) -> bool:
        """Whether the answer is the page."""
        reads = self.request.method in {"GET", "HEAD"}
        return reads and self.api.settings.page and prefers_html(self.request.headers.get("Accept", ""))

    def get(self, name: str = SHELL) -> None:
        """A page if HTML is preferred, as by browsers, else JSON with links."""
        self.add_header("Vary", "Accept")  # beside that of CORS
        self._set_headers({**HEADERS, "Cache-Control": "no-store"})
        if self.wants_page:
            check_page(self.api.settings)
            shell = page_files()[name]
            # Else the page would learn it by a request that is refused, which browsers report as an error.
            keyed = self.api.access.required
            self.answer_bytes(shell.body.replace(*KEYS_REQUIRED) if keyed else shell.body, shell.content_type)
            return
        self.answer({"service": "dexexec", "version": __version__, "execute": EXECUTE, **LINKS})

    head = get

    def compute_etag(self) -> str | None:
        """None: the page is small, and read anew each time."""
        return None


def prefers_html(accept: str) -> bool:
    """Whether an Accept header prefers HTML to JSON; among equals the first one wins."""
    best = 0.0
    wants = False
    for entry in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        weight = float(quality) if quality.replace(".", "", 1).isdecimal() else 0.0
        if kind in {"text/html", "application/xhtml+xml", "application/json", "*/*"} and weight > best:
            best = weight
            wants = kind in {"text/html", "application/xhtml+xml"}
    return wants
