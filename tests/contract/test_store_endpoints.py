"""How well attempts landed, by endpoint: one suite for Postgres and for the store in memory."""

from typing import Any
from uuid import UUID

from dexexec.domain.endpoint_figures import EndpointFigures
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Fill
from dexexec.domain.status import Status
from dexexec.store import Resolution, Store
from tests.support.prepared_orders import Open, claimed_new_order, step, submitted


def sent(endpoint: str, answer: str, slots: int | None, **changes: Any) -> dict[str, object]:
    """The sends of an attempt to an endpoint."""
    milliseconds = None if slots is None else 200 * slots
    of_node: dict[str, object] = {"endpoint": endpoint, "sendOnly": False, "sends": 2, "answer": answer}
    return {**of_node, "landingSlots": slots, "landingMs": milliseconds, **changes}


async def attempt(store: Store, signature: str, outcome: Outcome | None, *sends: dict[str, object]) -> UUID:
    """An attempt with this outcome, None if it is confirmed only."""
    order_id, worker, claimed = await claimed_new_order(store)
    await submitted(store, claimed, signature)
    resolution = Resolution(1, outcome, {}, sends)
    if outcome is Outcome.EXPIRED:
        assert await store.advance(step(claimed, 4, (Status.ROUTING, {}), resolution=resolution))
    else:
        fill = Fill(10, 20, 5_000, 77)
        assert await store.advance(step(claimed, 4, (Status.CONFIRMED, {}), fill=fill, resolution=resolution))
    await worker.end()
    return order_id


async def test_an_endpoint_is_judged_by_what_it_accepted(stores: Open) -> None:
    async with stores() as store:
        assert await store.endpoint_figures() == []
        relay = {"sendOnly": True}
        await attempt(store, "a", Outcome.LANDED, sent("b", "accepted", 1), sent("a", "accepted", 4, **relay))
        await attempt(store, "b", None, sent("b", "accepted", 3), sent("a", "refused", 3, **relay))
        await attempt(store, "c", Outcome.EXPIRED, sent("b", "accepted", None), sent("a", "no-answer", None, **relay))
        never = sent("a", "not-sent", None, sends=0, **relay)
        await attempt(store, "d", Outcome.LANDED, sent("b", "accepted", None), never)
        await attempt(store, "e", Outcome.LANDED)
        assert await store.endpoint_figures() == [
            EndpointFigures(
                endpoint="b",
                send_only=False,
                attempts=4,
                accepted=4,
                landed=3,
                slots_p50=1,
                slots_p90=3,
                ms_p50=200,
                ms_p90=600,
            ),
            EndpointFigures(
                endpoint="a",
                send_only=True,
                attempts=3,
                accepted=1,
                landed=1,
                slots_p50=4,
                slots_p90=4,
                ms_p50=800,
                ms_p90=800,
            ),
        ]
