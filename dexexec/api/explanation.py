"""An order's history in sentences, with their figures: why each venue lost, what became of each attempt, what to do.

Pure: it reads the order as `GET /api/orders/{id}` returns it, so that the API and the command line explain alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from dexexec.api.cost_sentence import cost_text
from dexexec.api.landing_sentence import closing_text, sends_text
from dexexec.api.leg_sentence import legs_text
from dexexec.api.resting_text import child_text, is_of_child, terms_text, waiting_text
from dexexec.domain.failure_advice import advice_for
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.outcome import Outcome
from dexexec.domain.quote import Mode
from dexexec.domain.share import ALL
from dexexec.domain.status import Status
from dexexec.domain.terms import OrderType
from dexexec.domain.token import Tokens
from dexexec.settlement.solana.funds import amount_text

Json = Mapping[str, Any]


class Topic(StrEnum):
    """What a sentence is about."""

    ORDER = "order"
    ROUND = "round"
    QUOTE = "quote"
    ATTEMPT = "attempt"
    FILL = "fill"
    TRIGGER = "trigger"
    CHILD = "child"
    COST = "cost"
    WAIT = "wait"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """`at` is the time of what it describes, as the API writes times; `figures` are its numbers as JSON values."""

    at: str
    topic: Topic
    text: str
    figures: Json = field(default_factory=dict)


def explain(order: Json, tokens: Tokens) -> dict[str, object]:
    """The explanation as JSON: `summary`, `advice` (None unless something can be done), `stages` with their times in
    milliseconds, and `sentences` in order of time."""
    writer = _Writer(order, tokens)
    sentences = sorted(writer.sentences(), key=lambda sentence: sentence.at)  # stable: equal times keep their order
    accepted = _time(str(order["createdAt"]))
    return {
        "orderId": order["orderId"],
        "status": order["status"],
        "summary": writer.summary(),
        "advice": writer.advice(),
        "stages": stages(order),
        "cost": order["cost"],
        "sentences": [
            {
                "at": sentence.at,
                "afterMs": _ms(_time(sentence.at) - accepted),
                "topic": sentence.topic.value,
                "text": sentence.text,
                "figures": dict(sentence.figures),
            }
            for sentence in sentences
        ],
    }


def stages(order: Json) -> list[dict[str, object]]:
    """How long the order was in each status, in the order of its events. The last one has no end while it lasts."""
    listed: list[dict[str, object]] = []
    events = order["events"]
    for event, following in zip(events, [*events[1:], None], strict=True):
        ended = following is None and order["finishedAt"]
        lasted = None
        if following is not None:
            lasted = _ms(_time(following["at"]) - _time(event["at"]))
        elif ended:
            lasted = 0
        listed.append({"status": event["status"], "at": event["at"], "ms": lasted})
    return listed


class _Writer:
    """Writes the sentences of one order."""

    def __init__(self, order: Json, tokens: Tokens) -> None:
        self._order = order
        self._tokens = tokens
        buys = order["side"] == "buy"
        self._mint_in = order["inputMint"] if buys else order["outputMint"]
        self._mint_out = order["outputMint"] if buys else order["inputMint"]

    def summary(self) -> str:
        """The order's state in one sentence."""
        order = self._order
        first = order["events"][0]
        if first.get("takenOver"):
            return f"The order is {order['status']}: it was {first['detail']}."
        match order["status"]:
            case Status.CONFIRMED:
                final = "final" if order["finalizedAt"] else "not final yet"
                return f"{self._swapped()}{self._where(order)}; the swap is {final}."
            case Status.SIMULATED:
                return f"Dry run: {self._moved(order)} were simulated{self._where(order)}. {_NOTHING_SENT}"
            case Status.FAILED | Status.EXPIRED | Status.CANCELLED as status:
                reason = f" ({order['failureReason']})" if order["failureReason"] else ""
                return f"The order {_ENDED[Status(status)]}{reason}. {self._nothing_swapped()}"
            case _:
                waiting = order["waitingFor"]
                joint = ":" if order["status"] == Status.WAITING else ", waiting:"
                why = f"{joint} {waiting['detail']}" if waiting else ""
                return _whole(f"The order is {order['status']}{why}")

    def advice(self) -> str | None:
        """What to do now, for an order that ended without a fill."""
        reason = self._order["failureReason"]
        if self._order["finishedAt"] is None or self._order["status"] == Status.CONFIRMED or not reason:
            return None
        return advice_for(str(reason))

    def sentences(self) -> Iterator[Sentence]:
        """All of them, by topic; `explain` sorts them."""
        for event in self._order["events"]:
            yield from self._event(event)
        for attempt in self._order["attempts"]:
            if text := sends_text(attempt):
                sent = {"endpoints": attempt["endpoints"]}
                yield Sentence(at=attempt["at"], topic=Topic.ATTEMPT, text=text, figures=sent)
            yield from self._outcome(attempt)
        for child in self._order.get("children", ()):
            at = child["finishedAt"] or child["createdAt"]
            yield Sentence(at=at, topic=Topic.CHILD, text=_whole(child_text(child)), figures=child)
        if text := cost_text(self._order["cost"], self._amount):
            at = self._order["events"][-1]["at"]
            yield Sentence(at=at, topic=Topic.COST, text=text, figures=self._order["cost"])
        if omitted := self._order.get("eventsOmitted"):
            text = f"{omitted} events between the first and the newest are left out; the stream has them."
            yield Sentence(at=self._order["createdAt"], topic=Topic.ORDER, text=text, figures={"omitted": omitted})
        last = self._order["events"][-1]
        waiting = self._order["waitingFor"]
        # An order that rests waits for what its last event is about.
        if waiting is not None and not (last["status"] == Status.WAITING and last.get("detail") == waiting["detail"]):
            yield Sentence(
                at=waiting.get("since") or last["at"],
                topic=Topic.WAIT,
                text=_whole(f"It waits ({waiting['reason']}): {waiting['detail']}"),
                figures=waiting,
            )

    def _event(self, event: Json) -> Iterator[Sentence]:
        status = Status(event["status"])
        if event["seq"] == 1:
            yield self._accepted(event)
        if event.get("takenOver"):
            return
        if "quotes" in event:
            yield from self._round(event, event["quotes"])
        elif status is Status.ROUTING and "reason" in event:
            yield self._next_round(event)
        if status is Status.WAITING and event["seq"] > 1:
            topic = Topic.CHILD if is_of_child(event) else Topic.TRIGGER if "triggered" in event else Topic.WAIT
            yield Sentence(at=event["at"], topic=topic, text=_whole(waiting_text(event)), figures=event)
        if status is Status.BUILDING:
            yield Sentence(at=event["at"], topic=Topic.ROUND, text=_building(event), figures=event)
        if status is Status.SUBMITTED and "lastValidHeight" in event:
            text = (
                f"Attempt {event['attempt']} on {event['venue']} was signed, recorded and then sent: {event['txHash']}."
                f" It can land until block {event['lastValidHeight']}.{closing_text(event.get('closeAccount'))}"
            )
            yield Sentence(at=event["at"], topic=Topic.ATTEMPT, text=text, figures=event)
        elif status is Status.SUBMITTED and event.get("reason"):
            text = _whole(f"Attempt {event['attempt']} is open again ({event['reason']}): {event['detail']}")
            yield Sentence(at=event["at"], topic=Topic.ATTEMPT, text=text, figures=event)
        if status is Status.CONFIRMED and "amountOut" in event:
            yield self._fill(event)
        if status is Status.SIMULATED:
            text = f"Simulated{self._where(event)}: {self._moved(event)}. {_NOTHING_SENT}"
            yield Sentence(at=event["at"], topic=Topic.END, text=text, figures=event)
        if status in _ENDED:
            detail = f": {event['detail']}" if event.get("detail") else ""
            reason = f" ({event['reason']})" if event.get("reason") else ""
            yield Sentence(
                at=event["at"],
                topic=Topic.END,
                text=_whole(f"The order {_ENDED[status]}{reason}{detail}"),
                figures=event,
            )

    def _accepted(self, event: Json) -> Sentence:
        order = self._order
        # An order of an older table has no pair and no limits, and was not accepted here.
        if event.get("takenOver"):
            text = f"Recorded as {order['status']}: {event['detail']}."
            return Sentence(at=event["at"], topic=Topic.ORDER, text=text, figures=event)
        # The chain has what an order swapped, and neither its slippage nor its deadline; the record's are placeholders.
        if event.get("recovered"):
            swap = f": {self._swap(order['amount'])}" if order["inputMint"] else ""
            text = f"Accepted{swap}; {event['detail']}."
            return Sentence(at=event["at"], topic=Topic.ORDER, text=text, figures=event)
        # From the event: an order that rested may have been changed since.
        parts = [self._swap(str(event.get("amount", order["amount"])))]
        if "minOut" in event:
            parts.append(self._bound(event))
        if event.get("type") != OrderType.LIMIT:
            parts.append(f"slippage of at most {order['slippageBps']} bps")
        unit = f"{self._symbol(order['outputMint'])} per {self._symbol(order['inputMint'])}"
        parts.append(terms_text({"side": order["side"], **event}, unit, order["deadlineAt"]))
        made_for = f" for order {order['parentId']}" if "parentId" in order else ""
        dry = " as a dry run" if event.get("dryRun") else ""
        text = f"Accepted{dry}{made_for}: {', '.join(parts)}."
        return Sentence(at=event["at"], topic=Topic.ORDER, text=text, figures=event)

    def _swap(self, amount: str) -> str:
        """What the order exchanges."""
        if amount == ALL or amount.endswith("%"):
            of_balance = "all" if amount == ALL else f"{amount} of all"
            return f"spend {of_balance} {self._symbol(self._mint_in)} of the wallet for {self._symbol(self._mint_out)}"
        return (
            f"spend {amount} {self._symbol(self._mint_in)} for {self._symbol(self._mint_out)}"
            if self._order["mode"] == Mode.EXACT_IN
            else f"receive {amount} {self._symbol(self._mint_out)} for {self._symbol(self._mint_in)}"
        )

    def _round(self, event: Json, quotes: Sequence[Json]) -> Iterator[Sentence]:
        priced = sum("amountOut" in quote for quote in quotes)
        text = f"Round {event['round']}: {_count(len(quotes), 'venue')} asked, {_count(priced, 'quote')} received."
        yield Sentence(at=event["at"], topic=Topic.ROUND, text=text, figures={"round": event["round"]})
        if "spendable" in event:
            yield self._share(event, event["spendable"])
        for quote in quotes:
            yield Sentence(at=event["at"], topic=Topic.QUOTE, text=self._quote(quote), figures=quote)
        if "reason" in event:
            yield self._next_round(event)

    def _share(self, event: Json, spendable: Json) -> Sentence:
        """What the share of the balance came to in this round."""
        text = f"The wallet held {self._in(spendable['balance'])} in slot {spendable['slot']}"
        if spendable["reserved"] != "0":
            text += f", of which other orders may take {self._in(spendable['reserved'])}"
        if "kept" in spendable:
            text += f", and {self._in(spendable['kept'])} stays for fees and rent"
        text += f": the order spends {self._in(event['amountBase'])}."
        figures = {"amountBase": event["amountBase"], **spendable}
        return Sentence(at=event["at"], topic=Topic.ROUND, text=text, figures=figures)

    def _quote(self, quote: Json) -> str:
        offer = ""
        if "amountOut" in quote:
            offer = (
                f": {self._out(quote['amountOut'])} for {self._in(quote['amountIn'])}, "
                f"price impact {quote['priceImpactBps']} bps, fee {self._amount(quote['fee'], quote['feeMint'])}"
            )
        offer += legs_text(quote.get("legs", ()), self._mint_in, self._amount)
        if quote["selected"]:
            return f"{quote['venue']} won{offer}."
        detail = f"; {quote['detail']}" if quote["detail"] else ""
        return _whole(f"{quote['venue']} lost ({quote['reason']}){offer}{detail}")

    def _next_round(self, event: Json) -> Sentence:
        retry = event.get("retryInMs")
        text = "No quote could be executed" if "quotes" in event else f"Back to routing ({event['reason']})"
        if event["reason"] == FailureReason.GROUP_HELD:
            text += f", since {event['detail']}"
        if retry is not None:
            text += f"; the next round follows after {retry} ms"
        return Sentence(at=event["at"], topic=Topic.ROUND, text=f"{text}.", figures=_without_quotes(event))

    def _outcome(self, attempt: Json) -> Iterator[Sentence]:
        outcome = Outcome(attempt["outcome"])
        proof = attempt["proof"] or {}
        if not outcome.proven:
            return
        detail = f": {proof['detail']}" if proof.get("detail") else ""
        slot = f", in slot {proof['slot']}" if "slot" in proof else ""
        text = _whole(f"Attempt {attempt['attempt']} {_OUTCOMES[outcome]}{detail}{slot}")
        yield Sentence(at=attempt["resolvedAt"], topic=Topic.ATTEMPT, text=text, figures=proof)

    def _fill(self, event: Json) -> Sentence:
        # Of the event and not of the order: the chain may have taken this swap back since.
        text = f"Swapped {self._moved(event)}"
        if "slippageBps" in event:
            text += f", {_worse(event['slippageBps'])} than first quoted"
        state = "final" if event.get("finalized") else "on chain, and can still be undone"
        text += f"; the swap is {state}."
        for other in event.get("alsoLanded", ()):
            moved = f"{self._moved(other)} on {other['venue']}, {other['txHash']}"
            text += f" Attempt {other['attempt']} landed as well: {moved}."
        if others := event.get("groupAlsoFilled"):
            text += f" More than one order of its group was filled: also {', '.join(others)}."
        return Sentence(at=event["at"], topic=Topic.FILL, text=text, figures=_without_quotes(event))

    def _moved(self, fill: Json) -> str:
        return f"{self._in(fill['amountIn'])} for {self._out(fill['amountOut'])}"

    def _swapped(self) -> str:
        order = self._order
        if order["amountIn"] is None:
            return "Swapped"
        return f"Swapped {self._moved(order)}"

    def _where(self, about: Json) -> str:
        """The venue of an order or event, or the slices in which a recurring order was swapped."""
        if about.get("venue"):
            return f" on {about['venue']}"
        return f" in {about['filledSlices']} of {self._order['slices']} slices" if "filledSlices" in about else ""

    def _nothing_swapped(self) -> str:
        order = self._order
        # A cancelled recurring order keeps what its slices have swapped, and those that are signed go their way.
        if order.get("filledSlices"):
            done = "simulated" if order.get("dryRun") else "swapped"
            return f"Before, {self._moved(order)} were {done}{self._where(order)}."
        if "slices" in order and any(child["status"] not in _ENDED for child in order["children"]):
            return "Slices that were made before are not counted yet."
        fees = int(order["feesPaid"])
        return f"Nothing was swapped; failed attempts cost {fees} lamports." if fees else "Nothing was swapped."

    def _bound(self, event: Json) -> str:
        if self._order["mode"] == Mode.EXACT_IN:
            return f"receiving at least {self._out(event['minOut'])}"
        return f"spending at most {self._in(event['maxIn'])}"

    def _in(self, units: str) -> str:
        return self._amount(units, self._mint_in)

    def _out(self, units: str) -> str:
        return self._amount(units, self._mint_out)

    def _amount(self, units: str, mint: str) -> str:
        return amount_text(int(units), mint, self._tokens.get(mint))

    def _symbol(self, mint: str) -> str:
        token = self._tokens.get(mint)
        return token.symbol if token else mint


_NOTHING_SENT = "Nothing was signed or sent."
_ENDED: Mapping[Status, str] = {
    Status.FAILED: "failed",
    Status.EXPIRED: "expired",
    Status.CANCELLED: "was cancelled",
}
_OUTCOMES: Mapping[Outcome, str] = {
    Outcome.LANDED: "landed",
    Outcome.FAILED: "failed on chain, without effect",
    Outcome.EXPIRED: "can provably not land any more",
    Outcome.UNSENT: "was never sent",
    Outcome.REJECTED: "was rejected",
}


def _building(event: Json) -> str:
    detail = event.get("detail", "")
    if "waitMs" in event:
        return _whole(f"{event['venue']} waits up to {event['waitMs']} ms for funds: {detail}")
    after = ", since the one before could not build" if "reason" in event else ""
    return _whole(f"{event['venue']} builds the swap{after}" + (f": {detail}" if detail else ""))


def _whole(text: str) -> str:
    """The text with a full stop: details of venues and nodes have one, or another mark, or none."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _worse(bps: str) -> str:
    return f"{bps.removeprefix('-')} bps better" if bps.startswith("-") else f"{bps} bps worse"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _without_quotes(event: Json) -> Json:
    return {name: value for name, value in event.items() if name != "quotes"}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _ms(delta: timedelta) -> int:
    return round(delta.total_seconds() * 1000)
