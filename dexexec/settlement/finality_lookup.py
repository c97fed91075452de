"""Looks up confirmed swaps in bulk and decides for each whether it is final, taken back, or confirmed as before."""

from collections.abc import Sequence

from dexexec.domain.swap import Landed, NotSeen, SwapStatus, Unavailable
from dexexec.observe.observer import Observer
from dexexec.settlement.earlier_attempts import EarlierLanding, landings
from dexexec.settlement.finality import ConfirmedSwap, Verdict, verdict_of
from dexexec.settlement.status_lookup import StatusLookup


class FinalityLookup:
    """Decides about the confirmed swaps of one network at a time, with as few requests as possible."""

    def __init__(self, lookup: StatusLookup, observer: Observer) -> None:
        self._lookup = lookup
        self._observer = observer

    async def verdicts(self, network: str, swaps: Sequence[ConfirmedSwap]) -> list[Verdict]:
        """Returns one verdict per swap. Recent statuses are read for all, the history only for those they lack."""
        signatures = [swap.signed.signature for swap in swaps]
        statuses = await self._lookup.statuses(network, signatures, history=False)
        missing = {place for place, status in enumerate(statuses) if isinstance(status, NotSeen)}
        # Recent statuses of one node prove nothing about a signature that they lack.
        statuses = await self._search_history(network, signatures, statuses, missing)
        final = [
            swap
            for swap, status in zip(swaps, statuses, strict=True)
            if isinstance(status, Landed) and status.finalized
        ]
        earlier = await self._earlier(network, final)
        return [
            self._verdict(swap, status, searched=place in missing, earlier=earlier.get(swap.signed.signature, ()))
            for place, (swap, status) in enumerate(zip(swaps, statuses, strict=True))
        ]

    async def _search_history(
        self, network: str, signatures: Sequence[str], statuses: Sequence[SwapStatus], missing: set[int]
    ) -> list[SwapStatus]:
        """Returns `statuses` with those at the `missing` places replaced by the results of a search."""
        places = sorted(missing)
        if not places:
            return [*statuses]
        searched = await self._lookup.statuses(network, [signatures[place] for place in places], history=True)
        found = dict(zip(places, searched, strict=True))
        return [found.get(place, status) for place, status in enumerate(statuses)]

    async def _earlier(self, network: str, swaps: Sequence[ConfirmedSwap]) -> dict[str, tuple[EarlierLanding, ...]]:
        """Returns, by the signatures of `swaps`, which earlier attempts of the same orders landed as well."""
        wanted = [signature for swap in swaps for signature in swap.earlier_signatures]
        if not wanted:
            return {}
        statuses = dict(zip(wanted, await self._lookup.statuses(network, wanted, history=True), strict=True))
        return {
            swap.signed.signature: landings(
                swap.earlier_signatures, [statuses[signature] for signature in swap.earlier_signatures], swap.request
            )
            for swap in swaps
        }

    def _verdict(
        self, swap: ConfirmedSwap, status: SwapStatus, *, searched: bool, earlier: tuple[EarlierLanding, ...]
    ) -> Verdict:
        try:
            return verdict_of(swap, status, searched=searched, earlier=earlier)
        except Exception as error:  # noqa: BLE001 - one unreadable answer must not hold up the other swaps of the page
            self._observer.settlement_failed(swap.signed.network, swap.signed.signature, error)
            return verdict_of(swap, Unavailable("its status cannot be read"), searched=searched)
