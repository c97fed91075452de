"""Looks up signatures on the chains of the enabled networks, for everything that settlement decides."""

import asyncio
from collections.abc import Mapping, Sequence

from dexexec.domain.quote import SwapRequest
from dexexec.domain.swap import SwapStatus, Unavailable
from dexexec.observe.observer import Observer
from dexexec.settlement.earlier_attempts import EarlierLanding, landings
from dexexec.venue import Chain

CALL_TIMEOUT = 10.0
"""Seconds for building a swap, and for one call of a chain."""


class StatusLookup:
    """Looks up statuses and never raises: an answer that is missing or unreadable becomes `Unavailable`."""

    def __init__(self, chains: Mapping[str, Chain], observer: Observer) -> None:
        self._chains = chains
        self._observer = observer

    async def statuses(self, network: str, signatures: Sequence[str], *, history: bool) -> list[SwapStatus]:
        """Returns one status per signature. Without `history` the chain only searches its recent statuses, which is
        cheap but proves nothing about a signature that they lack."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                answers = await self._chains[network].status(signatures, history=history)
                # A short list would pair signatures with the statuses of others.
                if len(answers) == len(signatures):
                    return answers
                why = f"{len(answers)} answers for {len(signatures)} signatures"
        except TimeoutError:
            why = "no answer in time"
        except Exception as error:  # noqa: BLE001 - an unreadable answer is not a failed swap
            self._observer.settlement_failed(network, signatures[0], error)
            why = "looking it up failed"
        return [Unavailable(why) for _ in signatures]

    async def landings_on_any_chain(
        self, signatures: Sequence[str], request: SwapRequest
    ) -> tuple[EarlierLanding, ...]:
        """Returns those of an order's ended attempts that landed after all, on any network.

        A chain that does not answer counts as one that shows none: each attempt was proven gone before, and an outage
        of one network must not stop orders of the others.
        """
        answers = await asyncio.gather(*(self.statuses(network, signatures, history=True) for network in self._chains))
        return tuple(landing for statuses in answers for landing in landings(signatures, statuses, request))
