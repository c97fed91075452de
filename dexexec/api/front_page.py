"""`GET /`: an overview with links, as a page for people and as JSON for programs."""

from typing import ClassVar

from tornado.escape import xhtml_escape

from dexexec import __version__
from dexexec.api.client_address import is_secure
from dexexec.api.handler import ApiHandler

LINKS = {
    "orders": ("/api/orders", "the newest orders"),
    "ready": ("/readyz", "whether an order posted now would be executed"),
    "alive": ("/healthz", "whether this process answers"),
    "docs": ("/docs", "every route and message, to read"),
    "openapi": ("/openapi.json", "the HTTP routes, for tools (OpenAPI)"),
    "asyncapi": ("/asyncapi.json", "the event stream, for tools (AsyncAPI)"),
}
"""Links that work in a browser: name, path and description."""
EXECUTE = "/api/orders/execute"

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>dexexec</title>
<style>
  :root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
  body {{ max-width: 44rem; margin: 12vh auto 4rem; padding: 0 1.25rem; }}
  h1 {{ margin: 0; font-size: 1.75rem; }}
  h1 small {{ font-weight: normal; font-size: 1rem; opacity: .6; }}
  h2 {{ margin: 2rem 0 .5rem; font-size: 1rem; }}
  dl {{ display: grid; grid-template-columns: max-content auto; gap: .35rem 1.5rem; margin: 0; }}
  dd {{ margin: 0; }}
  code, pre {{ font: .875rem/1.5 ui-monospace, monospace; }}
  pre {{ padding: .875rem 1rem; border-radius: .5rem; background: color-mix(in srgb, currentColor 8%, transparent);
         white-space: pre-wrap; overflow-wrap: anywhere; }}
  a {{ color: light-dark(#0b57d0, #8ab4f8); }}
</style>
<h1>dexexec <small>{version}</small></h1>
<p>Takes orders for DEX swaps on Solana, and executes each of them once.</p>
<h2>Look</h2>
<dl>
{links}
</dl>
<h2>Post an order</h2>
<pre>curl -s {url} -H 'Content-Type: application/json' -d '{{"side": "buy", "amount": "0.01"}}'</pre>
<h2>Watch it</h2>
<p>Open a WebSocket on the same path, and send <code>{{"orderId": "…"}}</code>. See docs/API.md and docs/STREAM.md;
docs/ORDERS.md has every kind of order.</p>
</html>
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class FrontPageHandler(ApiHandler):
    """`GET /`."""

    headers: ClassVar = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}

    def get(self) -> None:
        """A page if HTML is preferred, as by browsers, else JSON with the same links."""
        self.add_header("Vary", "Accept")  # beside that of CORS
        for name, value in self.headers.items():
            self.set_header(name, value)
        if not prefers_html(self.request.headers.get("Accept", "")):
            links = {name: path for name, (path, _) in LINKS.items()}
            self.answer({"service": "dexexec", "version": __version__, "execute": EXECUTE, **links})
            return
        rows = (f'<dt><a href="{path}"><code>{path}</code></a><dd>{about}' for path, about in LINKS.values())
        host = xhtml_escape(self.request.headers.get("Host", "127.0.0.1"))
        scheme = "https" if is_secure(self.request, self.api.settings) else "http"
        url = f"{scheme}://{host}{EXECUTE}"
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(_PAGE.format(version=__version__, links="\n".join(rows), url=url))

    head = get


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
