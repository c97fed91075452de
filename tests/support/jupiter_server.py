"""A server that speaks Jupiter's swap API (version 1) over pools of this repository's venues.

Its routes are instructions of Jupiter's program in the form of the program's IDL: one pool, or two with the tokens on
the way in accounts of the program's authority. Answers can be replaced, to be wrong or malicious.
"""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import AccountMeta, Instruction, SwapInstructions
from dexexec.domain.swap import Blockhash
from dexexec.venue import AnyVenue, VenueError
from dexexec_adapters.jupiter.route import ARGUMENTS, ROUTE, SHARED_ACCOUNTS_ROUTE
from dexexec_adapters.solana.clusters import JUPITER_V6
from dexexec_adapters.solana.keys import associated, derived
from dexexec_adapters.solana.spl import TOKEN, create_associated_idempotent

PROGRAM = JUPITER_V6["mainnet-beta"].program
EVENTS = derived(PROGRAM, b"__event_authority")
AUTHORITY_ID = 1
AUTHORITY = derived(PROGRAM, b"authority", bytes([AUTHORITY_ID]))
"""Has the tokens on the way of a route with two hops."""
NUMBERS = {"raydium": 46, "meteora": 77}
"""The program's numbers of the markets: those with which it calls their programs."""
LABELS = {"raydium": "Raydium CP", "meteora": "Meteora DAMM v2"}
UNDATED = Blockhash("1" * 32, 150)
SECONDS = 5.0

Answer = dict[str, Any]
Change = Callable[[Answer], Any]


@dataclass(frozen=True, slots=True)
class Leg:
    """One pool of a route."""

    venue: AnyVenue
    quote: Quote


@dataclass(frozen=True, slots=True)
class Received:
    """A request: its path, headers, and the parameters or the body."""

    path: str
    headers: Mapping[str, str]
    content: Mapping[str, Any]


@dataclass
class JupiterServer:
    """Routes over `venues`, also with one of `hops` in between. `tables` are named with every route. `change` replaces
    answers by path, `status` the status of all answers with `headers`. Without `shares` no
    route uses Jupiter's accounts, although that was requested."""

    venues: Sequence[AnyVenue]
    hops: Sequence[str] = ()
    tables: Sequence[str] = ()
    change: dict[str, Change] = field(default_factory=dict)
    status: int = 200
    shares: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    _routes: dict[str, list[Leg]] = field(default_factory=dict)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve for the block, at the address that it returns."""
        socket, port = bind_unused_port()
        routes = [(r"/swap/v1/quote", _Quote), (r"/swap/v1/swap-instructions", _Instructions)]
        server = HTTPServer(Application([(path, handler, {"jupiter": self}) for path, handler in routes]))
        server.add_sockets([socket])
        try:
            yield f"http://127.0.0.1:{port}/swap/v1"
        finally:
            server.stop()
            await server.close_all_connections()

    async def quote(self, parameters: Mapping[str, str]) -> tuple[int, Answer]:
        """Status and answer of `/quote`."""
        sells, buys = parameters["inputMint"], parameters["outputMint"]
        amount = int(parameters["amount"])
        routes = [await self._legs([sells, buys], amount)]
        if parameters.get("onlyDirectRoutes") != "true":
            routes += [await self._legs([sells, hop, buys], amount) for hop in self.hops if hop not in (sells, buys)]
        found = [route for route in routes if route]
        if not found:
            return 400, {"error": "Could not find any route", "errorCode": "COULD_NOT_FIND_ANY_ROUTE"}
        best = max(found, key=lambda route: route[-1].quote.amount_out)
        out = best[-1].quote.amount_out
        slippage = int(parameters["slippageBps"])
        plan = [{"swapInfo": _swap_info(leg), "percent": 100} for leg in best]
        self._routes[json.dumps(plan)] = best
        return 200, {
            "inputMint": sells,
            "inAmount": str(amount),
            "outputMint": buys,
            "outAmount": str(out),
            "otherAmountThreshold": str(out * (10_000 - slippage) // 10_000),
            "swapMode": "ExactIn",
            "slippageBps": slippage,
            "platformFee": None,
            "priceImpactPct": str(Decimal(sum(leg.quote.price_impact_ppm for leg in best)) / 10**6),
            "routePlan": plan,
            "contextSlot": best[0].quote.context_slot,
            "timeTaken": 0.01,
        }

    async def instructions(self, body: Mapping[str, Any]) -> tuple[int, Answer]:
        """Status and answer of `/swap-instructions`."""
        quote = body["quoteResponse"]
        legs = self._routes[json.dumps(quote["routePlan"])]
        payer = body["userPublicKey"]
        shared = body["useSharedAccounts"] and self.shares
        mints = [quote["inputMint"], *(leg.quote.request.mint_out for leg in legs)]
        own = {mint: associated(payer, mint) for mint in (mints[0], mints[-1])}
        held = {mint: associated(AUTHORITY, mint) for mint in mints}
        plan = len(legs).to_bytes(4, "little")
        metas: list[AccountMeta] = []
        for place, leg in enumerate(legs):
            plan += bytes([NUMBERS[leg.venue.name], 100, place, place + 1])
            metas += await _leg_accounts(leg, payer, shared=shared)
        arguments = ARGUMENTS.pack(int(quote["inAmount"]), int(quote["outAmount"]), quote["slippageBps"], 0)
        if shared:
            begin = SHARED_ACCOUNTS_ROUTE + bytes([AUTHORITY_ID])
            writable = (own[mints[0]], held[mints[0]], held[mints[-1]], own[mints[-1]])
            head = [_meta(TOKEN), _meta(AUTHORITY), _meta(payer, signer=True), *(_meta(at, w=True) for at in writable)]
            head += map(_meta, (mints[0], mints[-1], PROGRAM, PROGRAM, EVENTS, PROGRAM))
        else:
            begin = ROUTE
            head = [_meta(TOKEN), _meta(payer, signer=True), *(_meta(own[mint], w=True) for mint in own)]
            head += map(_meta, (PROGRAM, mints[-1], PROGRAM, EVENTS, PROGRAM))
        swap = Instruction(PROGRAM, (*head, *metas), begin + plan + arguments)
        return 200, {
            "tokenLedgerInstruction": None,
            "computeBudgetInstructions": [],
            "setupInstructions": [_json(create_associated_idempotent(payer, own[mint], payer, mint)) for mint in own],
            "swapInstruction": _json(swap),
            "cleanupInstruction": None,
            "otherInstructions": [],
            "addressLookupTableAddresses": list(self.tables),
        }

    async def _legs(self, mints: Sequence[str], amount: int) -> list[Leg]:
        """The best pool for each pair of neighbours; none if one has no pool."""
        legs: list[Leg] = []
        for sells, buys in pairwise(mints):
            request = SwapRequest(mint_in=sells, mint_out=buys, amount=amount, mode=Mode.EXACT_IN, slippage_bps=0)
            offers = [leg for venue in self.venues if (leg := await _leg(venue, request)) is not None]
            if not offers:
                return []
            legs.append(max(offers, key=lambda leg: leg.quote.amount_out))
            amount = legs[-1].quote.amount_out
        return legs


async def _leg(venue: AnyVenue, request: SwapRequest) -> Leg | None:
    try:
        return Leg(venue, await venue.quote(request, venue.context.clock.monotonic() + SECONDS))
    except VenueError:
        return None


async def _leg_accounts(leg: Leg, payer: str, *, shared: bool) -> list[AccountMeta]:
    """The accounts of a pool's own swap, after its program. With `shared` the program's authority swaps."""
    built = await leg.venue.build(leg.quote, payer, UNDATED)
    assert isinstance(built, SwapInstructions)
    [program] = leg.venue.programs
    [step] = [one for one in built.instructions if one.program == program]
    names: dict[str, str] = {}
    if shared:
        request = leg.quote.request
        names = {payer: AUTHORITY}
        names |= {associated(payer, mint): associated(AUTHORITY, mint) for mint in (request.mint_in, request.mint_out)}
    metas = [
        AccountMeta(names.get(meta.address, meta.address), meta.signer and not shared, meta.writable)
        for meta in step.accounts
    ]
    return [_meta(program), *metas]


def _swap_info(leg: Leg) -> Answer:
    request = leg.quote.request
    return {
        "ammKey": leg.quote.route[0],
        "label": LABELS[leg.venue.name],
        "inputMint": request.mint_in,
        "outputMint": request.mint_out,
        "inAmount": str(leg.quote.amount_in),
        "outAmount": str(leg.quote.amount_out),
        "feeAmount": str(leg.quote.fee),
        "feeMint": leg.quote.fee_mint,
    }


def _meta(address: str, *, signer: bool = False, w: bool = False) -> AccountMeta:
    return AccountMeta(address, signer, w)


def _json(step: Instruction) -> Answer:
    accounts = [{"pubkey": m.address, "isSigner": m.signer, "isWritable": m.writable} for m in step.accounts]
    return {"programId": step.program, "accounts": accounts, "data": b64encode(step.data).decode()}


class _Handler(RequestHandler):
    def initialize(self, jupiter: JupiterServer) -> None:
        self.jupiter = jupiter

    def reply(self, status: int, answer: Answer, content: Mapping[str, Any]) -> None:
        jupiter = self.jupiter
        path = self.request.path.rpartition("/")[2]
        jupiter.received.append(Received(path, dict(self.request.headers), content))
        self.set_status(status if jupiter.status == 200 else jupiter.status)
        for name, value in jupiter.headers.items():
            self.set_header(name, value)
        changed = jupiter.change[path](answer) if path in jupiter.change else answer
        self.set_header("Content-Type", "application/json")
        self.finish(changed if isinstance(changed, bytes) else json.dumps(changed))


class _Quote(_Handler):
    async def get(self) -> None:
        parameters = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        self.reply(*await self.jupiter.quote(parameters), parameters)


class _Instructions(_Handler):
    async def post(self) -> None:
        body = json.loads(self.request.body)
        self.reply(*await self.jupiter.instructions(body), body)
