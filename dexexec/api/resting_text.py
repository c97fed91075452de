"""The sentences about orders that rest: their terms when they were accepted, what they waited for and what they saw.

Pure, as `explanation`. The figures of what was seen are in the events' own details, which the oracle, the sniper and
the schedule write as sentences; here they get their place in the order's history.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dexexec.domain.amendment import CHANGES
from dexexec.domain.duration import read_duration
from dexexec.domain.status import Status
from dexexec.domain.terms import ONCE, OrderType, TriggerWhen
from dexexec.domain.wait_reason import WaitsFor

Json = Mapping[str, Any]

_EXITS = {"takeProfit": "take-profit", "stop": "stop"}
_SIDES = {TriggerWhen.ABOVE.value: "or more", TriggerWhen.BELOW.value: "or less"}
_TRIED_ONCE = {one.value for one in ONCE}


def terms_text(posted: Json, unit: str, deadline: str | None) -> str:
    """What the type of an order adds to its swap, as the end of a sentence. `posted` is the order as it was accepted,
    `unit` that of its prices ("USDC per SOL"), `deadline` that of an order which does not rest."""
    # In the order in which they are met: what is waited for, how long, and what follows from a fill.
    parts = [*_conditions(posted, unit)]
    if posted.get("timeInForce") in _TRIED_ONCE:
        parts.append(f"in one try ({posted['timeInForce']})")
    until = posted.get("expiresAt") or (None if rests(posted) else deadline)
    if until or posted.get("type") != OrderType.RECURRING:
        parts.append(f"until {until}" if until else "until it is cancelled")
    return ", ".join([*parts, *_consequences(posted, unit)])


def rests(posted: Json) -> bool:
    """Whether the order waited for something when it was accepted."""
    if "triggerPrice" in posted or "trailBps" in posted:
        return True
    limit = posted.get("type") == OrderType.LIMIT and posted.get("timeInForce") not in _TRIED_ONCE
    return limit or posted.get("type") in (OrderType.SNIPER, OrderType.RECURRING)


def _conditions(posted: Json, unit: str) -> Iterator[str]:
    """What must be true before the order is executed."""
    if "triggerPrice" in posted:
        yield f"once the price is {posted['triggerPrice']} {unit} {_SIDES.get(posted['triggerWhen'], '')}".rstrip()
    if "trailBps" in posted:
        yield f"once the price is {posted['trailBps']} bps worse than the best one from now on"
    if "limitPrice" in posted and posted.get("type") == OrderType.LIMIT:
        # A buy spends the input mint, so more of the output mint for it is better; for a sell less of it is.
        side = "or more" if posted["side"] == "buy" else "or less"
        yield f"at a price of {posted['limitPrice']} {unit} {side}"
    if "slices" in posted:
        start = f" from {posted['startAt']}" if "startAt" in posted else ""
        yield f"in {posted['slices']} slices, one every {_duration(posted['every'])}{start}"
        for name, word in (("minPrice", "least"), ("maxPrice", "most")):
            if name in posted:
                yield f"at {word} {posted[name]} {unit}"
    if posted.get("type") == OrderType.SNIPER:
        yield "as soon as a pool with it is launched"
        if conditions := posted.get("conditions"):
            yield f"if it fulfils {_listed(conditions)}"


def _consequences(posted: Json, unit: str) -> Iterator[str]:
    """What else happens with it."""
    if "bracket" in posted:
        exits = [_exit(role, leg, unit) for role, leg in posted["bracket"].items()]
        yield f"and its fill arms {' and '.join(exits)}"
    if "ocoGroup" in posted:
        yield f'and a fill of another order of the group "{posted["ocoGroup"]}" cancels it'
    if posted.get("closeAccount"):
        yield "and its emptied token account is closed"


def _exit(role: str, leg: Json, unit: str) -> str:
    name = f"a {_EXITS.get(role, role)}"
    where = f"at {leg['price']} {unit}" if "price" in leg else f"{leg.get('bps')} bps from its price"
    limit = f" (limit {leg['limitPrice']})" if "limitPrice" in leg else ""
    return f"{name} {where}{limit}"


def waiting_text(event: Json) -> str:
    """The sentence of a `waiting` event, without its full stop."""
    detail = str(event.get("detail", "it waits"))
    if CHANGES in event:
        return f"Changed by the client: {', '.join(_changes(event[CHANGES]))}; {detail}"
    # An event that triggers has no other reason: what the worker finds afterwards has an event of its own.
    if "triggered" in event:
        return f"Triggered: {detail}"
    if is_of_child(event) or "condition" in event or event.get("waitsFor") == WaitsFor.SIGNATURE:
        return _capital(detail) + _slice_fill(event)
    if "reference" in event:
        return f"Not triggered: {detail}"
    if "reason" in event:
        what = "It waits" if event.get("waitsFor") == WaitsFor.HALT else f"Back to rest ({event['reason']})"
        pause = f"; it is not triggered again for {event['quietMs']} ms" if "quietMs" in event else ""
        return f"{what}: {detail.removesuffix('.')}{pause}"
    return f"It rests: {detail}"


def _changes(changes: Json) -> Iterator[str]:
    for name, change in changes.items():
        yield f"{name} from {_shown(change['from'])} to {_shown(change['to'])}"


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return f"({_listed(value)})" if value else "none"
    return "none" if value is None else str(value)


def _listed(conditions: Json) -> str:
    return ", ".join(f"{name} {_value(value)}".rstrip() for name, value in conditions.items())


def is_of_child(event: Json) -> bool:
    """Whether a `waiting` event is about an order that the service made for this one."""
    return "slice" in event or "skipped" in event


def child_text(child: Json) -> str:
    """The state of an order that the service made for this one, without a full stop."""
    name = f"Slice {child['slice']}" if "slice" in child else f"The {_EXITS[child['role']]} that its fill armed"
    reason = f" ({child['failureReason']})" if child.get("failureReason") else ""
    return f"{name} is order {child['orderId']}: {child['status']}{reason}"


def _slice_fill(event: Json) -> str:
    if "slicePrice" in event:
        done = "simulated" if event.get("childStatus") == Status.SIMULATED else "swapped"
        return f"; it was {done} at {event['slicePrice']}, and the average price is {event['averagePrice']}"
    return f"; it was not filled ({event['sliceReason']})" if "sliceReason" in event else ""


def _duration(text: str) -> str:
    """An ISO 8601 duration in words: `PT90S` is "1 minute 30 seconds"."""
    length = read_duration(text)
    if length is None:
        return text
    minutes, seconds = divmod(length.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = {"day": length.days, "hour": hours, "minute": minutes, "second": seconds + length.microseconds / 1e6}
    # Eight digits are two of seconds and six of microseconds.
    return " ".join(f"{number:.8g} {unit}{'' if number == 1 else 's'}" for unit, number in parts.items() if number)


def _value(value: object) -> str:
    return " or ".join(map(str, value)) if isinstance(value, list) else "" if value is True else str(value)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
