"""Signed bytes on their way to the nodes, and what a refusal proves.

Only of bytes that nobody had before can a refusal say that they are nowhere. So they are sent to one node first, which
checks them before it passes them on, and to another only when that one failed. From then on a refusal proves nothing,
unless the failed one was never connected to. Bytes that were sent before go to all nodes at once: one that takes them
and does not pass them on must not be the only one that has them.
"""

from dexexec.domain.swap import Accepted, Rejected, SignedSwap, SubmitAnswer, Unknown
from dexexec.settlement.rpc import questions
from dexexec.settlement.rpc.node import (
    INVALID_PARAMS,
    PRECOMPILE_FAILURE,
    PREFLIGHT_FAILURE,
    SIGNATURE_FAILURE,
    NodeRefusedError,
    NodeUnavailableError,
)
from dexexec.settlement.rpc.nodes import Nodes
from dexexec.settlement.rpc.reading import read_failure
from dexexec.settlement.rpc.shapes import UNREADABLE
from dexexec.settlement.rpc.wire import programs_of

CODES = {
    INVALID_PARAMS: "malformed",
    PRECOMPILE_FAILURE: "bad-signature",
    SIGNATURE_FAILURE: "bad-signature",
}


async def submit(nodes: Nodes, signed: SignedSwap, grace: float, *, first: bool) -> SubmitAnswer:
    """Send the bytes. `first`: nobody sent them before. Never raises."""
    return await _first(nodes, signed) if first else await _again(nodes, signed, grace)


async def _first(nodes: Nodes, signed: SignedSwap) -> SubmitAnswer:
    question = questions.send(signed.payload, preflight=True)
    spread, doubts = False, []
    for node in nodes.order_for(question.method):
        try:
            answered = await nodes.ask(node, question)
        except NodeUnavailableError as error:
            nodes.failed(node, error)
            spread = spread or error.sent
            doubts.append(str(error))
        except NodeRefusedError as refusal:
            answer = verdict(refusal, signed.payload)
            if isinstance(answer, Accepted):
                return answer
            if isinstance(answer, Rejected) and not spread:
                return answer
            doubts.append(answer.detail)
        else:
            nodes.answered(node)
            return _taken(answered, signed)
    return Unknown("; ".join(doubts))


async def _again(nodes: Nodes, signed: SignedSwap, grace: float) -> SubmitAnswer:
    try:
        answers = await nodes.everywhere(questions.send(signed.payload, preflight=False), grace)
    except NodeUnavailableError as error:
        return Unknown(str(error))
    except NodeRefusedError as refusal:
        answer = verdict(refusal, signed.payload)
        return answer if isinstance(answer, Accepted) else Unknown(answer.detail)
    found = [_taken(answered, signed) for _, answered in answers]
    return Accepted() if Accepted() in found else found[0]


def _taken(answered: str, signed: SignedSwap) -> SubmitAnswer:
    if answered == signed.signature:
        return Accepted()
    return Unknown("the node took it for a transaction with another signature")


def verdict(refusal: NodeRefusedError, payload: bytes) -> SubmitAnswer:
    """What a node's refusal says of bytes that it was the first to get.

    What has been processed is on its way. A blockhash that the node does not know may be newer than the node. Any other
    error of the check before sending means that they went no further.
    """
    if refusal.code in CODES:
        return Rejected(CODES[refusal.code], str(refusal))
    err = refusal.data.get("err") if isinstance(refusal.data, dict) else None
    if refusal.code != PREFLIGHT_FAILURE or err is None or err == "BlockhashNotFound":
        return Unknown(str(refusal))
    if err == "AlreadyProcessed":
        return Accepted()
    try:
        failure = read_failure(err, programs_of(payload))
    except UNREADABLE:
        return Unknown(str(refusal))
    return Rejected(failure.code, failure.detail, failure.instruction)
