"""Why a node gave no usable answer, with the JSON-RPC error codes."""

from typing import Any

from dexexec.venue import RateLimited, Unreachable, VenueError

PREFLIGHT_FAILURE = -32002
SIGNATURE_FAILURE = -32003
PRECOMPILE_FAILURE = -32006
INVALID_PARAMS = -32602
REQUEST_ERRORS = {PREFLIGHT_FAILURE, SIGNATURE_FAILURE, PRECOMPILE_FAILURE, INVALID_PARAMS}
"""Errors about the request. All other errors are about the node, and another node may answer."""
TOO_MANY_REQUESTS = {429, -32429}
MIN_CONTEXT_SLOT_NOT_REACHED = -32016
METHOD_NOT_FOUND = -32601
NOT_INDEXED = -32010
NO_HISTORY = -32011
UNSUPPORTED = {METHOD_NOT_FOUND, NOT_INDEXED, NO_HISTORY}
"""Errors of a node that does not offer a method. Its other methods may work."""


class NodeUnavailableError(Exception):
    """The node gave no usable answer.

    `kind` is the error that callers outside get. `sent`: the node may have received the request and acted on it.
    """

    def __init__(self, message: str, kind: type[VenueError], *, sent: bool = True) -> None:
        super().__init__(message)
        self.kind = kind
        self.sent = sent


class NodeRateLimitedError(NodeUnavailableError):
    """The node refuses requests as too many, for `retry_after` seconds if it sent that."""

    def __init__(self, message: str, retry_after: float | None = None, *, sent: bool = True) -> None:
        super().__init__(message, RateLimited, sent=sent)
        self.retry_after = retry_after


class NodeBehindError(NodeUnavailableError):
    """The node is `behind` slots before the required one. It works otherwise."""

    def __init__(self, message: str, behind: int = 0) -> None:
        super().__init__(message, Unreachable)
        self.behind = behind


class MethodUnsupportedError(NodeUnavailableError):
    """The node does not offer `method`. It works otherwise."""

    def __init__(self, message: str, method: str) -> None:
        super().__init__(message, Unreachable)
        self.method = method


class NodeRefusedError(Exception):
    """The node answered that the request is wrong: one of `REQUEST_ERRORS`."""

    def __init__(self, message: str, code: int, data: Any) -> None:
        super().__init__(message)
        self.code = code
        self.data = data
