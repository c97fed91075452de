"""The interface of a chain that takes transactions at several endpoints. Only settlement uses it, no adapter."""

from typing import Protocol, runtime_checkable

from dexexec.domain.sends import SendLog
from dexexec.domain.swap import SignedSwap, SubmitAnswer


@runtime_checkable
class BroadcastingChain(Protocol):
    """A chain that takes transactions at several endpoints."""

    async def broadcast(self, signed: SignedSwap, log: SendLog) -> SubmitAnswer:
        """Send the bytes unchanged to all endpoints, and record in `log` what each of them answers, even after this
        returned. It returns at the first acceptance, and after the length of a slot at the latest. Never raises."""
