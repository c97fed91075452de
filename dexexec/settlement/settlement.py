"""Settlement: from a chosen quote to a proven outcome. This is its interface to the rest of the engine.

`prepare` signs and sends nothing. The caller records the signed bytes under its claim. Only then `settle` sends them.
From then on only the chain decides: landed or failed once that is finalized, expired once it is proven that the
transaction can never land. No answer to a send proves anything.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from dexexec.clock import Clock
from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.balance import SpendableBalance
from dexexec.domain.bound import Bound
from dexexec.domain.handout import Handout, client_address
from dexexec.domain.pace import UNKNOWN_PACE, Pace
from dexexec.domain.quote import Fill, Quote, SwapRequest
from dexexec.domain.swap import SignedSwap
from dexexec.failpoints import NO_FAILPOINTS, Failpoints
from dexexec.observe.observer import Observer
from dexexec.settlement.attempt import PendingAttempt, SettlementResult
from dexexec.settlement.attempt_lookup import AttemptLookup
from dexexec.settlement.attempt_settler import AttemptSettler
from dexexec.settlement.earlier_attempts import EarlierLanding
from dexexec.settlement.finality import ConfirmedSwap, Verdict
from dexexec.settlement.finality_lookup import FinalityLookup
from dexexec.settlement.sealing import ExpectingChain, Sealed, Sealer, SwapSimulator
from dexexec.settlement.signer_errors import SignerError, SignerTrouble
from dexexec.settlement.status_lookup import StatusLookup
from dexexec.settlement.swap_builder import SwapBuilder
from dexexec.settlement.waiting import WaitingCallback, ignore_waiting
from dexexec.settlement.wallet_sealers import Clients, Wallets, WalletSealers, no_clients
from dexexec.venue import AnyVenue, Chain, pace_of

FINALITY_SLOTS = 10
"""Slots between two lookups of a swap until it is final, where that takes some 32 slots. A lookup covers many swaps."""


class Settlement:
    """Settles swaps on the chains of the enabled venues' networks. `genesis` has each chain's genesis hash, if any.
    Dry runs use `simulators`, or the sealers without them: a process that only simulates has no sealer, and no key.
    These are of the default wallet; `named` are the others, and `clients` those whose key only a client has."""

    def __init__(
        self,
        chains: Mapping[str, Chain],
        sealers: Mapping[str, Sealer],
        clock: Clock,
        observer: Observer,
        genesis: Mapping[str, str] = MappingProxyType({}),
        *,
        simulators: Mapping[str, SwapSimulator] | None = None,
        named: Mapping[str, WalletSealers] = MappingProxyType({}),
        clients: Clients = no_clients,
        failpoints: Failpoints = NO_FAILPOINTS,
    ) -> None:
        self._chains = chains
        self._genesis = genesis
        self._clock = clock
        self._observer = observer
        self._failpoints = failpoints
        default = WalletSealers(sealers=sealers, simulators=sealers if simulators is None else simulators)
        self._wallets = Wallets(default, named, clients)
        self._builder = SwapBuilder(
            chains=chains,
            wallets=self._wallets,
            clock=clock,
            observer=observer,
            genesis=genesis,
        )
        self._lookup = StatusLookup(chains, observer)
        self._finality = FinalityLookup(self._lookup, observer)

    @property
    def networks(self) -> Mapping[str, str]:
        """The networks that it settles on, each with its chain's genesis hash, or an empty string if it has none."""
        return {network: self._genesis.get(network, "") for network in self._chains}

    def pace(self, network: str) -> Pace:
        """Returns the pace of the chain of `network`; that of an unknown chain if it is not served here."""
        chain = self._chains.get(network)
        return UNKNOWN_PACE if chain is None else pace_of(chain)

    def finality_pause_ms(self, network: str | None = None) -> float:
        """How long a swap that is confirmed and not final rests until it is looked up again, by the pace of its chain;
        None: by that of the slowest one."""
        chains = [chain for name, chain in self._chains.items() if name == network] or self._chains.values()
        return max(pace_of(chain).seconds(FINALITY_SLOTS) for chain in chains) * 1_000

    def why_unreachable(self, signed: SignedSwap) -> str:
        """Returns why a swap can be neither sent nor looked up here; an empty string if it can."""
        network = signed.network
        if network not in self._chains:
            return f"it was signed for {network or 'an unknown network'}, which no enabled adapter uses"
        genesis = self._genesis.get(network, "")
        # Another chain's nodes lack the signature and are at another height. Together that would look like proof.
        if signed.genesis and genesis and signed.genesis != genesis:
            return (
                f"it was signed for the chain with genesis hash {signed.genesis}, and the nodes of {network} serve the"
                f" chain with genesis hash {genesis}"
            )
        return ""

    async def spendable(self, network: str, mint: str, wallet: str | None = None) -> SpendableBalance:
        """Returns what a wallet on `network` can spend of `mint` now. Raises `VenueError`, and `SignerError` if there
        is no wallet of that name."""
        return await self._wallets.of(wallet).simulators[network].spendable(mint)

    def wallet_trouble(self, wallet: str | None, *, signs: bool) -> SignerError | None:
        """Returns why no round can begin with a wallet: there is none of that name, or its signer does not answer.
        Without `signs`, only the name matters."""
        try:
            found = self._wallets.of(wallet)
        except SignerError as error:
            return error
        return found.trouble() if signs else None

    def expect(self, wallet: str | None, request: SwapRequest) -> None:
        """Lets chains read a wallet's accounts together with those that the quotes of `request` need."""
        for network, simulator in self._wallets.of(wallet).simulators.items():
            chain = self._chains.get(network)
            if chain is not None and isinstance(chain, ExpectingChain):
                chain.expect(simulator.payer, (request.mint_in, request.mint_out))

    async def prepare(
        self,
        venue: AnyVenue,
        quote: Quote,
        deadline: float,
        attempt: AttemptId,
        *,
        bound: Bound,
        wallet: str | None = None,
        close_account: bool = False,
    ) -> Sealed:
        """Builds and seals `quote` as `attempt`, and sends nothing. `deadline` is monotonic seconds; `bound` is the
        order's, and `wallet` the name of the wallet that pays (None: the default one). With `close_account` the token
        account that it empties is closed. Raises `VenueError`, also when the deadline passes on the way, `SignerError`,
        and `ClientSignatureNeeded` for a client's own wallet."""
        return await self._builder.build(
            venue, quote, deadline, attempt, bound, wallet=wallet, close_account=close_account
        )

    async def simulate(
        self,
        venue: AnyVenue,
        quote: Quote,
        deadline: float,
        attempt: AttemptId,
        *,
        bound: Bound,
        wallet: str | None = None,
        close_account: bool = False,
    ) -> Fill:
        """Builds, simulates and checks `quote` as `prepare` does, and returns what the swap would move. Nothing is
        signed. Raises `VenueError`."""
        return await self._builder.simulate(
            venue, quote, deadline, attempt, bound, wallet=wallet, close_account=close_account
        )

    def complete(self, wallet: str, handout: Handout, attempt: AttemptId) -> SignedSwap:
        """Returns the transaction of what a client has signed for its own `wallet`. It may only be sent once it is
        recorded. Raises `SignerError` if no enabled venue settles on its network any more."""
        sealer = self._wallets.clients(client_address(wallet) or "").get(handout.network)
        if sealer is None:
            raise SignerError(SignerTrouble.NOT_CONFIGURED, f"no enabled venue settles on {handout.network} any more")
        return sealer.complete(handout, attempt)

    async def block_height(self, network: str) -> int:
        """Returns the height of the newest block of `network`. It may be late, and proves nothing. Raises
        `VenueError`."""
        return (await self._chains[network].blockhash()).newest_height

    async def settle(
        self,
        attempt: PendingAttempt,
        may_send: Callable[[], bool],
        on_waiting: WaitingCallback = ignore_waiting,
    ) -> SettlementResult:
        """Sends a recorded attempt and looks it up until its outcome is proven or the swap is confirmed.

        `may_send` is called before each send and returns whether this worker still holds its lease; `ClaimLostError` is
        raised if it does not. `on_waiting` receives what a swap waits for that makes no progress.
        """
        settler = AttemptSettler(
            attempt,
            # The network that the attempt was signed for, not the venue's: an adapter's settings may have changed.
            chain=self._chains[attempt.signed.network],
            lookup=AttemptLookup(attempt, self._lookup, self._clock),
            clock=self._clock,
            observer=self._observer,
            may_send=may_send,
            on_waiting=on_waiting,
            failpoints=self._failpoints,
        )
        return await settler.run()

    async def check_finality(self, network: str, swaps: Sequence[ConfirmedSwap]) -> list[Verdict]:
        """Looks up swaps that were confirmed on `network`, and returns a verdict for each."""
        return await self._finality.verdicts(network, swaps)

    async def find_landed(self, signatures: Sequence[str], request: SwapRequest) -> tuple[EarlierLanding, ...]:
        """Returns those of an order's attempts that ended without a swap and landed after all, on any network."""
        return await self._lookup.landings_on_any_chain(signatures, request)
