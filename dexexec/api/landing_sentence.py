"""A sentence about where an attempt was sent, and how soon it landed."""

from collections.abc import Mapping, Sequence
from typing import Any

from dexexec.domain.sends import SendAnswer

Json = Mapping[str, Any]
_ANSWERS = {
    SendAnswer.ACCEPTED: "accepted it",
    SendAnswer.OTHER_SIGNATURE: "answered with another signature",
    SendAnswer.REFUSED: "refused it",
    SendAnswer.RATE_LIMITED: "takes no more now",
    SendAnswer.FAILED: "failed",
    SendAnswer.NO_ANSWER: "did not answer",
    SendAnswer.NOT_SENT: "got nothing",
}


def sends_text(attempt: Json) -> str:
    """The sentence for an attempt; empty if it was sent to no endpoint."""
    endpoints: Sequence[Json] = attempt["endpoints"]
    if not endpoints:
        return ""
    most = max(each["sends"] for each in endpoints)
    often = "once" if most == 1 else f"up to {most} times"
    shown = "; ".join(map(_endpoint_text, endpoints))
    return f"Attempt {attempt['attempt']} was sent {often}: {shown}."


def _endpoint_text(endpoint: Json) -> str:
    only = " (only takes transactions)" if endpoint["sendOnly"] else ""
    text = f"{endpoint['endpoint']}{only} {_ANSWERS[SendAnswer(endpoint['answer'])]}"
    slots = endpoint["landingSlots"]
    # How soon it landed says something about an endpoint only if that one took it.
    if slots is None or endpoint["answer"] != SendAnswer.ACCEPTED:
        return text
    landed = "in the same slot" if slots == 0 else f"{slots} slot{'s' if slots > 1 else ''} before it landed"
    return f"{text}, {landed}"


def closing_text(closing: Mapping[str, Any] | None) -> str:
    """Whether the emptied account is closed, as a sentence with a space before it; empty if the order closes none."""
    if closing is None:
        return ""
    if "kept" in closing:
        kept = f" The token account stays open: {closing['kept']}"
        return kept if kept.endswith((".", "!", "?")) else f"{kept}."
    return f" It closes the emptied account {closing['account']}, which gives {closing['rent']} lamports of rent back."
