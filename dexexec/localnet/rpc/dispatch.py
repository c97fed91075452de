"""Turns a JSON-RPC 2.0 request, or a batch of them, into its answer."""

import json
import sqlite3
from collections.abc import Mapping, Set
from typing import Any

from dexexec.localnet.blocks import Commitment
from dexexec.localnet.rpc import (
    account_methods,
    block_methods,
    cluster_methods,
    fault_methods,
    node_methods,
    supply_methods,
    transaction_methods,
)
from dexexec.localnet.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    InvalidParamsError,
    RpcError,
)
from dexexec.localnet.rpc.request import Call, Method, Node

COMMITMENT_KEYS = ("commitment", "preflightCommitment")
METHODS: dict[str, Method] = {
    **node_methods.METHODS,
    **block_methods.METHODS,
    **cluster_methods.METHODS,
    **account_methods.METHODS,
    **supply_methods.METHODS,
    **transaction_methods.METHODS,
}
"""Methods for all clients."""
FAULT_METHODS = fault_methods.METHODS
"""Methods that `--allow-faults` adds."""


def parse(body: bytes) -> Any:
    """Parses a request body. Raises `RpcError`."""
    try:
        return json.loads(body)
    # Deeply nested JSON exhausts the parser's stack.
    except (ValueError, RecursionError) as error:
        raise RpcError(PARSE_ERROR, "Parse error") from error


def methods_of(document: Any) -> set[str]:
    """The names of the called methods; unreadable calls are left out."""
    calls = document if isinstance(document, list) else [document]
    return {str(call.get("method")) for call in calls if isinstance(call, dict)}


def answer(document: Any, node: Node, methods: Mapping[str, Method]) -> Any:
    """The answer to one call or to a batch. None: the request has only notifications, which get no answer."""
    if not isinstance(document, list):
        return _answer_one(document, node, methods)
    if not document:
        # JSON-RPC 2.0 defines an empty batch as an invalid request.
        return error_body(None, RpcError(INVALID_REQUEST, "Invalid request"))
    answers = [body for call in document if (body := _answer_one(call, node, methods)) is not None]
    return answers or None


def refuse(document: Any, error: RpcError) -> Any:
    """Answers every call of a request with the same error."""
    if isinstance(document, list):
        return [error_body(_id(call), error) for call in document]
    return error_body(_id(document), error)


def error_body(call_id: Any, error: RpcError) -> dict[str, Any]:
    """An error answer."""
    return {"jsonrpc": "2.0", "error": error.body(), "id": call_id}


def read_call(document: Any, known: Set[str]) -> tuple[str, list[Any]]:
    """The method and the parameters of a call. Raises `RpcError`."""
    if not isinstance(document, dict) or document.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, "Invalid request")
    method, params = document.get("method"), document.get("params")
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, "Invalid request")
    if method not in known:
        raise RpcError(METHOD_NOT_FOUND, "Method not found")
    if not isinstance(params, list | None):
        raise InvalidParamsError("params must be a list")
    return method, params or []


def _answer_one(document: Any, node: Node, methods: Mapping[str, Method]) -> dict[str, Any] | None:
    try:
        name, params = read_call(document, methods.keys())
        _check_commitments(params, node)
        result = node.faults.lies.falsify(name, methods[name](Call(node, params)))
        body = {"jsonrpc": "2.0", "result": result, "id": _id(document)}
    except RpcError as error:
        body = error_body(_id(document), error)
    # Nothing was stored, and memory was put back: the client may send the transaction again.
    except sqlite3.Error as error:
        body = error_body(_id(document), RpcError(INTERNAL_ERROR, f"Internal error: the journal failed ({error})"))
    # A call without an id is a notification.
    return None if isinstance(document, dict) and "id" not in document and "method" in document else body


def _check_commitments(params: list[Any], node: Node) -> None:
    """Raises `RpcError` for a commitment whose name the node does not have."""
    for options in params:
        named = {options.get(key) for key in COMMITMENT_KEYS} if isinstance(options, dict) else set()
        for name in sorted(node.faults.refuses & named):
            left = " or ".join(f"`{level}`" for level in Commitment if level not in node.faults.refuses)
            raise InvalidParamsError(f"unknown variant `{name}`, expected {left}")


def _id(document: Any) -> Any:
    return document.get("id") if isinstance(document, dict) else None
