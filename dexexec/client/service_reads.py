"""What the client reads of the service besides orders: quotes, costs, venues, its state and statistics."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal

from dexexec.client import answers, service_answers
from dexexec.client.order_body import json_value, query_text
from dexexec.client.orders import Amount, ModeName, SideName
from dexexec.client.requests import Sending


class ServiceReads:
    """A part of `AsyncClient`."""

    _send: Sending

    async def quote(
        self,
        amount: Amount | Sequence[Amount],
        *,
        side: SideName | None = None,
        mode: ModeName | None = None,
        input_mint: str | None = None,
        output_mint: str | None = None,
        slippage_bps: int | None = None,
        max_price_impact_bps: int | None = None,
        timeout: float | None = None,
    ) -> Sequence[answers.Quote]:
        """Every venue's quote for each size, without an order."""
        # One size is the common case, and needs no list.
        sizes = [amount] if isinstance(amount, str) or not isinstance(amount, Sequence) else amount
        query = query_text(
            {
                "amount": ",".join(str(json_value("amount", size)) for size in sizes),
                "side": side,
                "mode": mode,
                "inputMint": input_mint,
                "outputMint": output_mint,
                "slippageBps": slippage_bps,
                "maxPriceImpactBps": max_price_impact_bps,
            }
        )
        return answers.quotes_of((await self._send("GET", "/api/quote", timeout=timeout, query=query))[0])

    async def costs(
        self,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        group_by: Collection[Literal["venue", "day", "tag"]] = (),
        timeout: float | None = None,
    ) -> answers.Costs:
        """What orders cost in a time, by venue, day or tag."""
        query = query_text({"since": since, "until": until, "groupBy": ",".join(group_by) or None})
        return answers.costs_of((await self._send("GET", "/api/costs", timeout=timeout, query=query))[0])

    async def venues(self, *, timeout: float | None = None) -> answers.Venues:
        """The state of every venue; `data` also has the endpoints and the watched chains."""
        return answers.venues_of((await self._send("GET", "/api/venues", timeout=timeout))[0])

    async def overview(self, *, timeout: float | None = None) -> service_answers.Overview:
        """The state of the service: network, queue, halts, and for the scope `admin` workers, nodes and wallets."""
        return service_answers.overview_of((await self._send("GET", "/api/overview", timeout=timeout))[0])

    async def stats(self, *, minutes: int | None = None, timeout: float | None = None) -> service_answers.Stats:
        """Throughput, latencies and outcomes of the orders that were accepted in the last `minutes` (at most 60)."""
        query = query_text({"minutes": minutes})
        return service_answers.stats_of((await self._send("GET", "/api/stats", timeout=timeout, query=query))[0])
