"""The CORS headers (Fetch standard) for pages of allowed origins: without them a browser hides the answers from a page.

No cookie is used, so credentials are never allowed: a page sends its key itself, in the Authorization header.
"""

from collections.abc import Mapping, Sequence

from tornado.httputil import HTTPHeaders

from dexexec.config.host_names import ANY

PREFLIGHT_SECONDS = 600
"""How long a browser may remember the answer to a preflight."""
SENT = ("Accept", "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-Id",
        "traceparent", "tracestate")  # fmt: skip
"""Headers that a page may send."""
EXPOSED = ("Allow", "ETag", "Idempotent-Replayed", "Link", "Location", "Retry-After", "WWW-Authenticate",
           "X-Request-Id")  # fmt: skip
"""Headers of answers that a page may read, besides those that it always may."""


def answer_headers(allowed: str | None, *, varies: bool) -> Mapping[str, str]:
    """The headers of an answer. `allowed` is the page's origin if it is allowed, or `*`; `varies` is whether other
    origins get other headers."""
    found: dict[str, str] = {}
    if allowed is not None:
        found |= {"Access-Control-Allow-Origin": allowed, "Access-Control-Expose-Headers": ", ".join(EXPOSED)}
    # On the answers without CORS headers too: a cache must not give them to a page that is allowed.
    if varies and allowed != ANY:
        found["Vary"] = "Origin"
    return found


def is_preflight(method: str | None, headers: HTTPHeaders) -> bool:
    """Whether this is a browser's check before a page's request. The request itself follows, with its key."""
    return method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers


def preflight_headers(headers: HTTPHeaders, methods: Sequence[str]) -> Mapping[str, str]:
    """What the answer to a preflight has besides `answer_headers`."""
    found = {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": ", ".join(SENT),
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
    # Some browsers check this too before a page of the internet may reach an address of this machine or of its network.
    if headers.get("Access-Control-Request-Private-Network") == "true":
        found["Access-Control-Allow-Private-Network"] = "true"
    return found
