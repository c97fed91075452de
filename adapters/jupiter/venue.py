"""The venue `jupiter`: the best route that Jupiter's swap API finds, over many pools and makers.

What the API answers is not believed: quote and instructions are checked here, the instruction gets the order's own
bounds, and the engine's guard looks at the whole transaction as at any other. Only an exact input is supported.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from pydantic import BaseModel

from dexexec.domain.quote import Mode, Quote, SwapRequest, min_out
from dexexec.domain.solana import SwapInstructions
from dexexec.domain.swap import Blockhash, ProgramFailure
from dexexec.venue import (
    BadAnswer,
    Capabilities,
    Network,
    NoRoute,
    QuoteExpired,
    Slippage,
    SolanaChain,
    Timeout,
    Unsigned,
    Unsupported,
    Venue,
    VenueContext,
    VenueError,
    pace_of,
)
from dexexec_adapters.jupiter.answers import RouteQuote, read_instructions, read_quote
from dexexec_adapters.jupiter.api import JupiterApi
from dexexec_adapters.jupiter.budget import RequestBudget
from dexexec_adapters.jupiter.options import PUBLIC_URL, JupiterOptions
from dexexec_adapters.jupiter.route import Swap, bounded, check_setup
from dexexec_adapters.pools.quoted import NETWORK_FEE
from dexexec_adapters.pools.startup import check_program
from dexexec_adapters.solana.clusters import JUPITER_V6
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022, between_accounts
from dexexec_adapters.solana.token_accounts import check_mint

BUILD_SECONDS = 5.0
"""How long the API may take to build a swap."""
MOST_MINTS = 256
"""Mints whose token program is kept."""
AHEAD_SLOTS = 150
"""By how many slots a quote may be newer than the blockhash: nodes and the API do not see a block at the same time."""
FAILURES: Mapping[int, VenueError] = {
    6001: Slippage("the price moved past the order's bound"),
    6008: BadAnswer("the route lacks accounts"),
    6010: BadAnswer("the route is invalid"),
    6016: NoRoute("a market of the route is not supported by the program"),
}
"""Error numbers of the program."""


class Jupiter(Venue[JupiterOptions]):
    """Quotes and builds swaps of Jupiter's routes."""

    name = "jupiter"
    capabilities = Capabilities(modes=frozenset({Mode.EXACT_IN}), network=Network.SOLANA, metered=True)
    Options = JupiterOptions
    options_prefix = "DEXEXEC_JUPITER_"

    def __init__(self, context: VenueContext[JupiterOptions]) -> None:
        super().__init__(context)
        # Imported here because it needs a Solana library, which an installation without Solana lacks.
        from dexexec_adapters.solana.keys import token_account  # noqa: PLC0415

        if not isinstance(context.chain, SolanaChain):
            raise TypeError("this chain has no accounts: the network solana or localnet is needed")
        options = self.options
        self.chain: SolanaChain = context.chain
        self.capabilities = replace(self.capabilities, network=self.network_for(options))
        self.program_id = self._find_program()
        self._token_account = token_account
        self._api = JupiterApi(options.api_url, options.api_key, RequestBudget(options.budget, context.clock.monotonic))
        self._token_programs: dict[str, str] = {}

    def _find_program(self) -> str:
        """The program's address on the cluster. Raises `Unsupported`, which names the variable to set."""
        chosen = self.options.cluster
        node = self.context.cluster
        if chosen and node and chosen != node:
            raise Unsupported(f"DEXEXEC_JUPITER_CLUSTER is {chosen}, but the node belongs to {node}: unset it")
        cluster = chosen or node
        if cluster == "localnet" and self.options.api_url == PUBLIC_URL:
            raise Unsupported("Jupiter's own API has no routes on a localnet: set DEXEXEC_JUPITER_API_URL")
        if self.options.program_id:
            return self.options.program_id
        if cluster not in JUPITER_V6:
            raise Unsupported(
                f"Jupiter trades on mainnet-beta, not on {cluster or 'an unknown cluster'}: disable the adapter there,"
                " or set DEXEXEC_JUPITER_PROGRAM_ID and DEXEXEC_JUPITER_API_URL"
            )
        return JUPITER_V6[cluster].program

    @classmethod
    def network_for(cls, options: BaseModel) -> str:
        """Solana, or the localnet."""
        local = isinstance(options, JupiterOptions) and options.cluster == "localnet"
        return Network.LOCALNET if local else Network.SOLANA

    @property
    def programs(self) -> frozenset[str]:
        """Jupiter's program, which calls those of the pools."""
        return frozenset({self.program_id})

    async def prepare(self) -> None:
        """Check that the program is deployed on the node. The API is not called: its requests are few."""
        [account] = (await self.chain.accounts([self.program_id])).found
        cluster = self.options.cluster or self.context.cluster
        check_program(self.program_id, account, cluster, kind="Jupiter", prefix=self.options_prefix)

    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        """The API's quote. Raises as the API does, and `Unsupported` for tokens with rules of their own."""
        if refusal := self.capabilities.refusal(request):
            raise Unsupported(refusal)
        left = deadline - self.context.clock.monotonic()
        if left <= 0:
            raise Timeout("the deadline passed before Jupiter was called")
        try:
            async with asyncio.timeout(left):
                # Before the API: the mints are read once, and a token that is not supported costs no request then.
                await self._read_mints(request)
                answer = await self._api.quote(self._parameters(request), left)
        except TimeoutError:
            raise Timeout("Jupiter's API did not answer in time") from None
        route = read_quote(answer, request)
        if not route.amount_out:
            raise NoRoute("Jupiter quotes no output for this amount")
        slots = max(1, self.options.quote_max_slots)
        ttl_ms = self.options.quote_ttl_ms or round(pace_of(self.chain).seconds(slots) * 1000)
        return Quote(
            venue=self.name,
            request=request,
            amount_in=request.amount,
            amount_out=route.amount_out,
            min_out=min_out(route.amount_out, request.slippage_bps),
            max_in=request.amount,
            fee=route.fee,
            fee_mint=route.fee_mint,
            network_fee=NETWORK_FEE,
            price_impact_ppm=route.impact_ppm,
            expires_at_ms=self.context.clock.unix_ms() + ttl_ms,
            context_slot=route.slot,
            route=route.pools,
            raw={"route": route},
        )

    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        """The instructions of the quote's route, with the order's bounds. Raises as the API does; `BadAnswer` for
        instructions of another swap, and `Unsupported` for routes that are not signed for."""
        route = quote.raw.get("route")
        if quote.venue != self.name or not isinstance(route, RouteQuote):
            raise Unsupported(f"a quote of {quote.venue} cannot be built by {self.name}")
        self._check_age(quote, blockhash)
        request = quote.request
        await self._read_mints(request)
        mints = (request.mint_in, request.mint_out)
        source, target = (self._token_account(payer, mint, self._token_programs[mint]) for mint in mints)
        shares = self.options.shared_accounts
        swap = Swap(
            payer=payer,
            source=source,
            target=target,
            amount_in=quote.amount_in,
            min_out=quote.min_out,
            hands_on=not shares,
        )
        body = {
            "quoteResponse": route.answer,
            "userPublicKey": payer,
            # The engine wraps: it has rules for the wallet's wrapped SOL, and the accounts are opened below.
            "wrapAndUnwrapSol": False,
            "skipUserAccountsRpcCalls": True,
            "dynamicComputeUnitLimit": False,
            # Tokens on the way stay out of the wallet in any case: its accounts of other mints may not change.
            "useSharedAccounts": shares or bool(route.hops),
        }
        answer = await self._api.instructions(body, BUILD_SECONDS)
        found = read_instructions(answer)
        check_setup(found.setup, swap)
        step = bounded(self.program_id, found.swap, swap, route.pools)
        steps = between_accounts(payer, source, target, quote.max_in, (step,))
        return SwapInstructions(steps, blockhash, lookup_tables=found.tables)

    def explain(self, failure: ProgramFailure) -> VenueError | None:
        """The meaning of the error number, if it is the program's own. A pool's is passed on by the program."""
        if failure.program != self.program_id:
            return None
        if failure.origin not in ("", self.program_id):
            return NoRoute(f"a pool of Jupiter's route refused the swap ({failure.text})")
        meaning = None if failure.custom is None else FAILURES.get(failure.custom)
        return type(meaning)(f"{meaning} ({failure.text})") if meaning else None

    async def aclose(self) -> None:
        """Close the connections to the API."""
        self._api.close()

    # ---- internal ----

    def _parameters(self, request: SwapRequest) -> dict[str, str]:
        options = self.options
        parameters = {
            "inputMint": request.mint_in,
            "outputMint": request.mint_out,
            "amount": str(request.amount),
            "slippageBps": str(request.slippage_bps),
            "swapMode": "ExactIn",
            "instructionVersion": "V1",
            "restrictIntermediateTokens": "true",
            "onlyDirectRoutes": str(options.only_direct_routes).lower(),
            "maxAccounts": str(options.max_accounts),
            "dexes": ",".join(options.dexes),
            "excludeDexes": ",".join(options.exclude_dexes),
        }
        return {name: value for name, value in parameters.items() if value}

    async def _read_mints(self, request: SwapRequest) -> None:
        """Keep the token programs of the pair. Raises `Unsupported` for a mint whose transfers move other amounts."""
        missing = [mint for mint in (request.mint_in, request.mint_out) if mint not in self._token_programs]
        if not missing:
            return
        accounts = (await self.chain.accounts(missing)).found
        while len(self._token_programs) >= MOST_MINTS:
            del self._token_programs[next(iter(self._token_programs))]
        for mint, account in zip(missing, accounts, strict=True):
            program = TOKEN_2022 if account is not None and account.owner == TOKEN_2022 else TOKEN
            if check_mint(mint, account, program=program) is not None:
                raise Unsupported(f"the mint {mint} has a transfer fee: no run has confirmed Jupiter's quotes with one")
            self._token_programs[mint] = program

    def _check_age(self, quote: Quote, blockhash: Blockhash) -> None:
        if self.context.clock.unix_ms() >= quote.expires_at_ms:
            raise QuoteExpired("the quote has expired: request a new one")
        if not blockhash.slot:
            return
        behind = blockhash.newest_slot - quote.context_slot
        if behind > self.options.quote_max_slots:
            raise QuoteExpired(f"Jupiter's quote is {behind} slots old, and {self.options.quote_max_slots} are allowed")
        if -behind > AHEAD_SLOTS:
            raise BadAnswer(f"Jupiter's quote is of slot {quote.context_slot}, which is far in the future")
