"""From a JSON-RPC 2.0 document to the document that answers it."""

import json
import sqlite3
from collections.abc import Mapping, Set
from typing import Any

from dexexec.localnet.rpc import account_methods, fault_methods, node_methods, transaction_methods
from dexexec.localnet.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    InvalidParamsError,
    RpcError,
)
from dexexec.localnet.rpc.request import Call, Method, Node

METHODS: dict[str, Method] = {**node_methods.METHODS, **account_methods.METHODS, **transaction_methods.METHODS}
"""What any client may call."""
FAULT_METHODS = fault_methods.METHODS
"""What tests may call too, with `--allow-faults`."""


def parse(body: bytes) -> Any:
    """The document. Raises `RpcError`."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RpcError(PARSE_ERROR, "Parse error") from error


def methods_of(document: Any) -> set[str]:
    """The methods that are called, as far as they can be read."""
    calls = document if isinstance(document, list) else [document]
    return {str(one.get("method")) for one in calls if isinstance(one, dict)}


def answer(document: Any, node: Node, methods: Mapping[str, Method]) -> Any:
    """The answer to one call or to a batch; None when nobody asked for one."""
    if not isinstance(document, list):
        return _one(document, node, methods)
    if not document:
        return error_body(None, RpcError(INVALID_REQUEST, "Invalid request"))
    answers = [body for one in document if (body := _one(one, node, methods)) is not None]
    return answers or None


def refuse(document: Any, error: RpcError) -> Any:
    """The same error for every call."""
    if isinstance(document, list):
        return [error_body(_id(one), error) for one in document]
    return error_body(_id(document), error)


def error_body(call_id: Any, error: RpcError) -> dict[str, Any]:
    """An answer that is an error."""
    return {"jsonrpc": "2.0", "error": error.body(), "id": call_id}


def read_call(document: Any, known: Set[str]) -> tuple[str, list[Any]]:
    """Method and parameters. Raises `RpcError`."""
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


def _one(document: Any, node: Node, methods: Mapping[str, Method]) -> dict[str, Any] | None:
    try:
        name, params = read_call(document, methods.keys())
        result = node.faults.lies.told(name, methods[name](Call(node, params)))
        body = {"jsonrpc": "2.0", "result": result, "id": _id(document)}
    except RpcError as error:
        body = error_body(_id(document), error)
    except sqlite3.Error as error:
        body = error_body(_id(document), RpcError(INTERNAL_ERROR, f"Internal error: the journal failed ({error})"))
    return None if isinstance(document, dict) and "id" not in document and "method" in document else body


def _id(document: Any) -> Any:
    return document.get("id") if isinstance(document, dict) else None
