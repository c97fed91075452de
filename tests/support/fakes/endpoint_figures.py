"""`dexexec.store.endpoint_figures` on the database in memory."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from dexexec.domain.endpoint_figures import EndpointFigures
from dexexec.domain.outcome import Outcome
from tests.support.fakes.database import MemoryDatabase

Sent = tuple[Mapping[str, Any], bool]


def endpoint_figures(database: MemoryDatabase) -> list[EndpointFigures]:
    """The figures of each endpoint, nodes first."""
    found: defaultdict[tuple[bool, str], list[Sent]] = defaultdict(list)
    for row in database.orders.values():
        for attempt in row.attempts:
            landed = attempt.outcome in (None, Outcome.LANDED, Outcome.FAILED)
            for sends in attempt.sends:
                each: Mapping[str, Any] = sends
                if each["sends"]:
                    found[each["sendOnly"], each["endpoint"]].append((each, landed))
    return [_figures(name, send_only, sent) for (send_only, name), sent in sorted(found.items())]


def _figures(endpoint: str, send_only: bool, sent: list[Sent]) -> EndpointFigures:
    accepted = [each for each in sent if each[0]["answer"] == "accepted"]
    landed = [sends for sends, in_block in accepted if in_block]
    slots = [sends["landingSlots"] for sends in landed if sends["landingSlots"] is not None]
    times = [sends["landingMs"] for sends in landed if sends["landingMs"] is not None]
    return EndpointFigures(
        endpoint=endpoint,
        send_only=send_only,
        attempts=len(sent),
        accepted=len(accepted),
        landed=len(landed),
        slots_p50=_percentile(slots, 50),
        slots_p90=_percentile(slots, 90),
        ms_p50=_percentile(times, 50),
        ms_p90=_percentile(times, 90),
    )


def _percentile(values: list[int], percent: int) -> int | None:
    """The first value that so many of them do not exceed."""
    return sorted(values)[-(-len(values) * percent // 100) - 1] if values else None
