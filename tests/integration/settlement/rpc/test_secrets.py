"""The keys in URLs of nodes show nowhere else."""

import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from dexexec.clock import SystemClock
from dexexec.domain.swap import SignedSwap, Unavailable, Unknown
from dexexec.settlement.solana.rpc import RpcChain
from dexexec.settlement.solana.rpc import node as node_module
from dexexec.venue import VenueError
from tests.support.chain_suite import unknown
from tests.support.localnet.rpc_chains import RecordingListener, open_chain, rpc_chain
from tests.support.localnet.scripted_node import ScriptedNode, scripted_node

KEYS = ("pathKEY123", "queryKEY123", "userKEY123", "passKEY123")


def secret(url: str) -> str:
    """The URL with a key in every place."""
    return url.replace("http://", "http://userKEY123:passKEY123@") + "/v2/pathKEY123?api-key=queryKEY123"


@asynccontextmanager
async def chain_with_keys(url: str, listener: RecordingListener) -> AsyncIterator[RpcChain]:
    async with open_chain(rpc_chain(secret(url), listener=listener)) as chain:
        yield chain


def leaking_error(code: int, where: str = "message") -> bytes:
    """A node that repeats the URL in its error."""
    message = " ".join(["no such key:", secret("http://host.example"), *KEYS])
    error = {"message": '"bad"', "data": '{"err": "X"}'} | {where: f'"{message}"'}
    parts = ", ".join(f'"{name}": {value}' for name, value in error.items())
    return f'{{"jsonrpc": "2.0", "id": 1, "error": {{"code": {code}, {parts}}}}}'.encode()


@asynccontextmanager
async def unreachable_node() -> AsyncIterator[ScriptedNode]:
    yield ScriptedNode(url="http://127.0.0.1:1", upstream="", answers={})


def answer_all(answer: bytes | Callable[[Any], Any]) -> AbstractAsyncContextManager[ScriptedNode]:
    """A node that answers all methods so."""
    methods = ["getGenesisHash", "getLatestBlockhash", "getEpochInfo", "getSignatureStatuses", "sendTransaction"]
    return scripted_node("", **dict.fromkeys(methods, answer))


def calls() -> list[Callable[[RpcChain], Awaitable[Any]]]:
    return [
        lambda chain: chain.genesis_hash(),
        lambda chain: chain.blockhash(),
        lambda chain: chain.status([unknown()]),
        lambda chain: chain.status([unknown()], history=True),
        lambda chain: chain.submit(SignedSwap(signature=unknown(), payload=b"", last_valid_height=1)),
    ]


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(unreachable_node, id="nobody there"),
        *(
            pytest.param(lambda code=code: answer_all(leaking_error(code)), id=str(code))
            for code in (-32002, -32005, -32602, 429)
        ),
        pytest.param(lambda: answer_all(leaking_error(-32002, "data")), id="data"),
        pytest.param(lambda: answer_all(b"<html>pathKEY123"), id="garbage"),
        pytest.param(lambda: answer_all(lambda _: {"pathKEY123": "queryKEY123"}), id="shape"),
    ],
)
async def test_no_key_shows_in_an_error_a_status_or_a_log(place: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    listener, shown = RecordingListener(), []
    for call in calls():
        async with place() as node, chain_with_keys(node.url, listener) as chain:
            shown += [repr(chain), *map(repr, chain._nodes.order)]
            try:
                answer = await call(chain)
            except VenueError as error:
                shown += traceback.format_exception(error)
                cause = error.__context__
                while cause is not None:
                    shown.append(repr(cause))
                    cause = cause.__context__
            else:
                [status] = answer if isinstance(answer, list) else [answer]
                assert isinstance(status, Unavailable | Unknown)
                shown.append(repr(status))
    text = "\n".join([*shown, *map(str, listener.lines), caplog.text])
    assert [key for key in KEYS if key in text] == []


async def test_the_keys_reach_the_node() -> None:
    async with (
        scripted_node(getGenesisHash=lambda _: "hash") as node,
        chain_with_keys(node.url, RecordingListener()) as chain,
    ):
        assert await chain.genesis_hash() == "hash"
        assert node.paths == ["/v2/pathKEY123?api-key=queryKEY123"]
        assert node.headers[0]["Authorization"] == "Basic dXNlcktFWTEyMzpwYXNzS0VZMTIz"
        assert "KEY" not in node.headers[0]["Host"]


async def test_an_answer_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "MAX_ANSWER_BYTES", 10_000)
    async with (
        scripted_node(getGenesisHash=lambda _: "x" * 20_000) as node,
        chain_with_keys(node.url, RecordingListener()) as chain,
    ):
        with pytest.raises(VenueError, match="more than 10000 bytes"):
            await chain.genesis_hash()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"jsonrpc": "2.0", "id": 1}',
        b'{"jsonrpc": "2.0", "id": 7, "result": "of another call"}',
        b'{"jsonrpc": "2.0", "id": 1, "error": "text"}',
        b'{"jsonrpc": "2.0", "id": 1, "result": 5}',
        b"[" * 100_000,
    ],
)
async def test_an_answer_to_another_request_is_refused(body: bytes) -> None:
    async with scripted_node(getGenesisHash=body) as node, chain_with_keys(node.url, RecordingListener()) as chain:
        with pytest.raises(VenueError) as raised:
            await chain.genesis_hash()
        assert raised.value.code == "bad-answer"


async def test_an_invalid_address_is_refused_by_its_position() -> None:
    with pytest.raises(ValueError, match="node 2"):
        RpcChain(["https://host.example/pathKEY123", "host.example/pathKEY123"], SystemClock(), RecordingListener())
    with pytest.raises(ValueError, match="at least one"):
        RpcChain([], SystemClock(), RecordingListener())
