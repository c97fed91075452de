"""Quotes without an order: `GET /api/quote` and `GET /api/venues`. Nothing is stored, signed or executed."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from dexexec.api.client_address import client_address
from dexexec.api.handler import ApiHandler
from dexexec.api.query import Parameter, Query
from dexexec.api.warm_json import chain_json, pools_json
from dexexec.domain.endpoint_figures import EndpointFigures
from dexexec.domain.order import NewOrder
from dexexec.domain.quote import BPS
from dexexec.errors import FieldProblem, InvalidOrderError, InvalidQueryError, UnavailableError
from dexexec.execution.event_detail import Presenter
from dexexec.execution.quote_acceptance import impact_limit_ppm, within_impact
from dexexec.intake import order_body
from dexexec.intake.field_types import DECIMAL, Field
from dexexec.intake.order_fields import unknown_name
from dexexec.venues.ranking import net_amount
from dexexec.venues.router import HARMLESS, Routing, VenueReport

A_NUMBER = 'a number of tokens such as "0.01"'
MOST_AMOUNTS = 10
"""Sizes that one request may name. Each is a round of quotes at every venue."""


def _of_order(field: Field, description: str = "") -> Parameter[str]:
    """A field of an order as a parameter. The reader of orders checks its text."""
    about = description or field.description
    return Parameter(name=field.name, description=about, rule=field.rule(), parse=str)


AMOUNTS = Parameter(
    name="amount",
    description="A number of tokens, as in an order, or several sizes separated by commas, for a curve of the depth.",
    rule={
        "type": "array",
        "items": {"type": "string", "format": "amount", "pattern": DECIMAL},
        "minItems": 1,
        "maxItems": MOST_AMOUNTS,
    },
    parse=str,
    required=True,
)
PARAMETERS = (
    _of_order(order_body.INPUT_MINT),
    _of_order(order_body.OUTPUT_MINT),
    AMOUNTS,
    _of_order(order_body.SIDE, "`buy`, the default, spends `inputMint` for `outputMint`; `sell` is the reverse."),
    _of_order(order_body.MODE),
    _of_order(order_body.SLIPPAGE_BPS),
    _of_order(order_body.MAX_PRICE_IMPACT_BPS),
)
INTEGERS = {order_body.SLIPPAGE_BPS.name, order_body.MAX_PRICE_IMPACT_BPS.name}

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,99})")
_NO_ORDER = UUID(int=0)


class QuoteHandler(ApiHandler):
    """`GET /api/quote`."""

    async def get(self) -> None:
        """Every venue's quote for each size, the best first."""
        client = client_address(self.request, self.api.settings)
        # Any wallet: a quote names none, and nothing is paid.
        orders = read_query(
            self.request.query_arguments,
            lambda body: self.api.reader.read_fields(order_body.read_object(body), _NO_ORDER, client),
        )
        settings = self.api.settings
        presenter = Presenter(settings.token_list())
        answers = []
        async with self.reading(self.api.quoting):
            for order in orders:
                routing = await self.api.venues.route(order.swap, math.inf)
                routing = within_impact(routing, impact_limit_ppm(order, settings.max_price_impact_bps))
                answers.append(quote_json(order, routing, presenter, self.api.clock.unix_ms()))
        first = orders[0]
        self.answer(
            {
                "side": first.side,
                "mode": first.mode,
                "inputMint": first.input_mint,
                "outputMint": first.output_mint,
                "slippageBps": first.slippage_bps,
                "quotes": answers,
            }
        )

    head = get


class VenuesHandler(ApiHandler):
    """`GET /api/venues`."""

    async def get(self) -> None:
        """The state of every enabled venue in this process, and of the endpoints that all workers send to."""
        if names := sorted(self.request.query_arguments):
            raise InvalidQueryError([unknown_name(names[0], (), "is not a parameter of this list")])
        async with self.reading(self.api.quoting):
            reports = await self.api.venues.report()
            endpoints = await self._endpoints()
        warm = self.api.venues.warm
        venues = [{**venue_json(one, reports), "pools": pools_json(warm.pools(one.venue))} for one in reports]
        chains = [chain_json(network, report) for network, report in sorted(warm.chains().items())]
        self.answer({"venues": venues, "endpoints": endpoints, "chains": chains})

    async def _endpoints(self) -> list[dict[str, object]] | None:
        # The venues are in the memory of this process, and are shown without Postgres too.
        try:
            return [endpoint_json(each) for each in await self.api.history.endpoint_figures()]
        except UnavailableError:
            return None

    head = get


class ReadBody(Protocol):
    """Reads an order's body, as `BodyReader.read` does."""

    def __call__(self, body: bytes) -> NewOrder:
        """Raises `InvalidOrderError`."""


def read_query(arguments: Mapping[str, Sequence[bytes]], read: ReadBody) -> list[NewOrder]:
    """What an order with these values would be, one for each size. Raises `InvalidQueryError`.

    Values are checked by the reader of orders, so that a quote accepts exactly what an order accepts.
    """
    query = Query(arguments, PARAMETERS, "is not a parameter of a quote")
    given = query.values()
    amounts = str(given.pop(AMOUNTS.name, "")).split(",")
    if len(amounts) > MOST_AMOUNTS:
        expected = f"at most {MOST_AMOUNTS} amounts, separated by commas"
        query.problems.append(FieldProblem(AMOUNTS.name, f"has {len(amounts)} amounts", expected))
    query.check()
    body = {"side": "buy", **{name: _value(name, str(text)) for name, text in given.items()}}
    try:
        orders = [read(json.dumps({**body, "amount": amount}).encode()) for amount in amounts]
        # A process that answers quotes has no wallet, and its nodes may be those of another one.
        if any(order.terms is not None for order in orders):
            problem = FieldProblem("amount", "is a share of the balance, which a quote does not read", A_NUMBER)
            raise InvalidOrderError([problem])
        return orders
    except InvalidOrderError as error:
        # Every parameter is a text, so "is a string", which is right in a body, explains nothing here.
        texts = {name for name in INTEGERS if isinstance(body.get(name), str)}
        problems = [
            FieldProblem(one.field, "is not an integer", one.expected) if one.field in texts else one
            for one in error.fields
        ]
        raise InvalidQueryError(problems) from None


def quote_json(order: NewOrder, routing: Routing, presenter: Presenter, now_ms: int) -> dict[str, object]:
    """One size: which venue an order would use, how far ahead it is of the next one, and every venue's answer."""
    expiries = {answer.venue: answer.quote.expires_at_ms for answer in routing.answers if answer.quote}
    venues = presenter.answers(order, routing)
    for venue in venues:
        if (expiry := expiries.get(str(venue["venue"]))) is not None:
            venue["expiresInMs"] = max(0, expiry - now_ms)
    return {
        "amount": format(order.amount, "f"),
        "amountBase": str(order.amount_base),
        "best": routing.ranking[0].venue if routing.ranking else None,
        "aheadBps": ahead_bps(routing),
        "venues": venues,
    }


def ahead_bps(routing: Routing) -> str | None:
    """How much better the best quote is than the second, net of fees, in hundredths of a bps rounded down; None with
    fewer than two, and where fees take all of the best one."""
    if len(routing.ranking) < 2:
        return None
    best, second = (net_amount(quote) for quote in routing.ranking[:2])
    if best <= 0:
        return None
    hundredths = abs(best - second) * BPS * 100 // best
    return f"{hundredths // 100}.{hundredths % 100:02}"


def venue_json(report: VenueReport, reports: Sequence[VenueReport]) -> dict[str, object]:
    """A venue's state. `winShare` is its share of the rounds that had a best quote."""
    figures, capabilities = report.figures, report.capabilities
    wins = sum(other.figures.best for other in reports)
    faults = sum(count for code, count in figures.errors.items() if code not in HARMLESS)
    return {
        "venue": report.venue,
        "network": capabilities.network,
        "modes": sorted(capabilities.modes),
        "pairs": None if capabilities.pairs is None else sorted(sorted(pair) for pair in capabilities.pairs),
        "breaker": report.breaker,
        "breakerOpenMs": round(report.breaker_open_seconds * 1000),
        "lastError": report.breaker_cause or None,
        "answers": figures.answers,
        "errorRate": _share(faults, figures.answers),
        "errors": figures.errors,
        "latencyMs": {"p50": figures.p50_ms, "p99": figures.p99_ms},
        "winShare": _share(figures.best, wins),
    }


def endpoint_json(figures: EndpointFigures) -> dict[str, object]:
    """How well transactions landed that were sent to an endpoint."""
    return {
        "endpoint": figures.endpoint,
        "sendOnly": figures.send_only,
        "attempts": figures.attempts,
        "accepted": figures.accepted,
        "landed": figures.landed,
        "landRate": round(figures.land_rate, 4),
        "landingSlots": {"p50": figures.slots_p50, "p90": figures.slots_p90},
        "landingMs": {"p50": figures.ms_p50, "p90": figures.ms_p90},
    }


def _value(name: str, text: str) -> object:
    """A parameter as the JSON value that an order's field takes: integers where the text is one."""
    return int(text) if name in INTEGERS and _INTEGER.fullmatch(text) else text


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
