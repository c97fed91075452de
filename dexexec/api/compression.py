"""Compresses answers with gzip for clients that accept it.

BREACH reads a secret from the compressed size of an answer that also repeats what the attacker sent. It does not apply:
no answer holds a secret, and a browser attaches no credential of its own to a request of another page.
"""

import re
import zlib
from collections.abc import Iterator

from tornado.httputil import HTTPHeaders

LEAST_BYTES = 1_400
"""Smaller answers fit in one packet, so compressing them would gain nothing."""
LEVEL = 1
"""The fastest level: some 20 ms for each megabyte, on the event loop that also accepts orders. It makes an order's JSON
four times smaller, and slower levels hardly more."""
SUFFIX = "-gzip"
"""Ends the ETag of a compressed answer: strong tags of two encodings must differ (RFC 9110, 8.8.3)."""

_WITH_HEADER = 16 + zlib.MAX_WBITS
_QUALITY = re.compile(r"q=(0(\.[0-9]{0,3})?|1(\.0{0,3})?)", re.IGNORECASE)


def gzip_wanted(headers: HTTPHeaders) -> bool:
    """Whether the client accepts gzip at least as gladly as no compression."""
    qualities = dict(_qualities(headers.get("Accept-Encoding", "")))
    gzip = qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0)))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def compressed(body: bytes) -> bytes:
    """The body as a gzip file, without a name or a time, so that equal bodies are equal."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _WITH_HEADER)
    return packer.compress(body) + packer.flush()


def _qualities(header: str) -> Iterator[tuple[str, float]]:
    for entry in header.split(","):
        name, _, parameter = entry.partition(";")
        weight = _QUALITY.fullmatch(parameter.strip())
        if weight is not None:
            yield name.strip().lower(), float(weight[1])
        elif not parameter.strip():
            yield name.strip().lower(), 1.0
