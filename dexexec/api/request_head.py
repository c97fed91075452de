"""The rules for a request's head that Tornado does not implement (RFC 9110 and 9112): its size, its target, and
Expect."""

import re

from tornado.httputil import HTTPHeaders, RequestStartLine

from dexexec.api.problems import (
    ExpectationFailedError,
    HeadersTooLargeError,
    TargetTooLongError,
    UnreadableRequestError,
)

MAX_TARGET_BYTES = 8 * 1024
MAX_HEADER_BYTES = 16 * 1024
READ_BYTES = 32 * 1024
"""Bytes of a head that are read before an answer. A longer one closes the connection."""

_ABSOLUTE = re.compile(r"https?://(?P<authority>[^/?#]+)(?P<rest>[/?][^#]*)?", re.IGNORECASE)


def checked(start_line: RequestStartLine, headers: HTTPHeaders) -> RequestStartLine:
    """The start line with its target as a path. The host of a complete URL replaces the Host header (RFC 9112, section
    3.2.2). Raises `RequestError`."""
    target = start_line.path
    if len(target) > MAX_TARGET_BYTES:
        raise TargetTooLongError(f"the path and the query are over {MAX_TARGET_BYTES} bytes")
    if sum(len(name) + len(value) for name, value in headers.get_all()) > MAX_HEADER_BYTES:
        raise HeadersTooLargeError(f"the headers are over {MAX_HEADER_BYTES} bytes")
    if (expected := headers.get("Expect")) is not None:
        if expected.lower() != "100-continue":
            raise ExpectationFailedError("of the Expect header only 100-continue is known here")
        headers["Expect"] = "100-continue"  # valid in any case, but Tornado accepts only this one
    if target.startswith("/") or target == "*":
        return start_line
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise UnreadableRequestError("the target of a request must be a path that begins with /, or a whole URL")
    if "Host" in headers:
        headers["Host"] = match["authority"]
    rest = match["rest"] or "/"
    return start_line._replace(path=rest if rest.startswith("/") else f"/{rest}")
