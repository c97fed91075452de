"""The adapter interface: what a venue is to the engine. Public: adapters from outside this repository build on it.

An adapter prices and builds; the engine signs, records, sends, retries and confirms. An adapter never sees the signer,
the store or the queue, and never retries by itself: a second try could be a second swap. It imports only this module
and `dexexec.domain`.

A minimal adapter subclasses `Venue`, sets `name` and `capabilities`, and writes `quote` and `build`. It cannot say
what became of its own swap: the engine sends it to the venue's network and looks it up there by itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel

from dexexec.clock import Clock
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import AccountFilters, Accounts, ProgramAccounts, Simulation, SwapInstructions
from dexexec.domain.swap import Blockhash, ProgramFailure, SignedSwap, SubmitAnswer, SwapStatus, UnsignedSwap
from dexexec.domain.token import Tokens

OptionsT = TypeVar("OptionsT", bound=BaseModel)


class VenueError(Exception):
    """Base of the closed set of errors that an adapter may raise from `quote` and `build`.

    `code` is machine-readable and stable. `retryable` says whether the same question may be answered later. An
    exception of any other type is taken as a fault of the adapter, and never reaches a client as such.

    The nodes of a network serve all its venues. What the chain raises because a node failed, was too slow, too busy or
    not believed is marked `shared`: it says nothing against the venue, whose breaker must not count it.
    """

    code: ClassVar[str] = FailureReason.VENUE_ERROR
    retryable: ClassVar[bool] = False
    _shared: bool = False

    def __init__(self, *args: object, shared: bool = False) -> None:
        super().__init__(*args)
        self._shared = shared

    @property
    def shared(self) -> bool:
        """Whether the cause is trouble that all venues of the network share. An error that is raised `from` such a one
        is such a one."""
        return self._shared or (isinstance(self.__cause__, VenueError) and self.__cause__.shared)


class NoRoute(VenueError):  # noqa: N818 - the field's own names for these answers read better without a suffix
    """The venue has no pool or not enough liquidity for this swap."""

    code: ClassVar[str] = FailureReason.NO_ROUTE
    retryable = True


class Unsupported(VenueError):  # noqa: N818
    """The adapter does not do this pair, mode or kind of pool."""

    code: ClassVar[str] = FailureReason.UNSUPPORTED


class RateLimited(VenueError):  # noqa: N818
    """The venue asked us to slow down."""

    code: ClassVar[str] = FailureReason.RATE_LIMITED
    retryable = True


class Timeout(VenueError):  # noqa: N818
    """No answer before the deadline."""

    code: ClassVar[str] = FailureReason.TIMEOUT
    retryable = True


class Unreachable(VenueError):  # noqa: N818
    """The venue or its node cannot be reached, or answers with an error of its own."""

    code: ClassVar[str] = FailureReason.UNREACHABLE
    retryable = True


class BadAnswer(VenueError):  # noqa: N818
    """The venue answered something that cannot be right."""

    code: ClassVar[str] = FailureReason.BAD_ANSWER
    retryable = True


class QuoteExpired(VenueError):  # noqa: N818
    """The quote is too old to build a swap from."""

    code: ClassVar[str] = FailureReason.QUOTE_EXPIRED
    retryable = True


class Slippage(VenueError):  # noqa: N818
    """The price moved past the order's bound."""

    code: ClassVar[str] = FailureReason.SLIPPAGE
    retryable = True


class InsufficientFunds(VenueError):  # noqa: N818
    """The wallet lacks the tokens, or the lamports for the fee."""

    code: ClassVar[str] = FailureReason.INSUFFICIENT_FUNDS


class AccountFrozen(VenueError):  # noqa: N818
    """A token account that the swap needs is frozen by the token's issuer."""

    code: ClassVar[str] = FailureReason.ACCOUNT_FROZEN


class TokenRestricted(VenueError):  # noqa: N818
    """The token's own rules do not allow the transfer: paused, not transferable, a memo is required."""

    code: ClassVar[str] = FailureReason.TOKEN_RESTRICTED


class AccountChanged(VenueError):  # noqa: N818
    """An account is not what the swap was built for: closed, opened or owned by another meanwhile."""

    code: ClassVar[str] = FailureReason.ACCOUNT_CHANGED
    retryable = True


class ComputeExceeded(VenueError):  # noqa: N818
    """The transaction needs more compute units than its limit, which a new simulation sets anew."""

    code: ClassVar[str] = FailureReason.COMPUTE_EXCEEDED
    retryable = True


VENUE_ERRORS: tuple[type[VenueError], ...] = (
    NoRoute,
    Unsupported,
    RateLimited,
    Timeout,
    Unreachable,
    BadAnswer,
    QuoteExpired,
    Slippage,
    InsufficientFunds,
    AccountFrozen,
    TokenRestricted,
    AccountChanged,
    ComputeExceeded,
)
"""The closed set."""


Unsigned = UnsignedSwap | SwapInstructions
"""What `build` may give: a finished message, or instructions."""


class Network:
    """The networks a venue can settle on, a closed set: the engine looks swaps up there by itself. `localnet` is Solana
    with free coins, on this machine."""

    SIMULATED = "simulated"
    LOCALNET = "localnet"
    SOLANA = "solana"
    ALL = frozenset({SIMULATED, LOCALNET, SOLANA})


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an adapter can do. `pairs` is None for "any", else unordered pairs of mints."""

    modes: frozenset[Mode] = frozenset(Mode)
    pairs: frozenset[frozenset[str]] | None = None
    network: str = Network.SOLANA
    needs_wallet: bool = True

    def refusal(self, request: SwapRequest) -> str | None:
        """Why this request need not be asked, or None."""
        if request.mode not in self.modes:
            return f"mode {request.mode} is not supported"
        if self.pairs is not None and frozenset((request.mint_in, request.mint_out)) not in self.pairs:
            return "this pair is not supported"
        return None


class Chain(Protocol):
    """Where swaps settle. One implementation per network, shared by all its venues."""

    async def blockhash(self) -> Blockhash:
        """A recent blockhash with its last valid height, both from one answer. Raises `VenueError`."""

    async def submit(self, signed: SignedSwap) -> SubmitAnswer:
        """Send the bytes as they are. Never raises. The answer is for the log: none of them proves anything."""

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        """What the chain knows of each signature, in their order; with `history` it must search all of it, which costs
        a node more. Never raises."""


@runtime_checkable
class SolanaChain(Chain, Protocol):
    """A chain of Solana accounts: the networks `localnet` and `solana`."""

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """The accounts as confirmed, all in one answer. Raises `VenueError`."""

    async def program_accounts(self, program: str, filters: AccountFilters) -> ProgramAccounts:
        """The accounts of a program that match, as confirmed. Costs a node much, and not every node does it: for what
        is asked rarely and can be had otherwise. Raises `VenueError`."""

    async def simulate(self, transaction: bytes, watched: Sequence[str]) -> Simulation:
        """What a transaction (signed or not) would do now, and to the accounts `watched`. Raises `VenueError`."""


@runtime_checkable
class Faucet(Protocol):
    """A chain whose coins are free: the network `localnet`."""

    async def fund(self, owner: str, mint: str, decimals: int, amount: int) -> None:
        """Let `owner` hold at least `amount` base units of `mint`, in its associated token account; for wrapped SOL
        that, too. With `mint` empty: that many lamports. Asked twice, it is done once. Raises `VenueError`."""


@runtime_checkable
class NotifyingChain(Protocol):
    """A chain that tells by itself when something happened to a signature, so that it need not be asked often."""

    async def wait_for_notification(self, signature: str, seconds: float) -> None:
        """Returns when something may have happened to `signature`, after `seconds` at the latest. It proves nothing:
        `status` is asked then. Never raises."""


class NoOptions(BaseModel):
    """For adapters without settings of their own."""


@dataclass(frozen=True, slots=True)
class VenueContext(Generic[OptionsT]):
    """What the engine hands to an adapter: time, tokens, the chain of its network, its own options. No secrets.

    `cluster` is what the chain's nodes are of: one of Solana's own names (`devnet`, `mainnet-beta`, `testnet`),
    `localnet`, or empty where it is none of these.
    """

    clock: Clock
    tokens: Tokens
    chain: Chain
    options: OptionsT
    cluster: str = ""


class Venue(ABC, Generic[OptionsT]):
    """One venue. Instances live as long as the process and are used by many orders at once.

    `Options` and `options_prefix` declare an adapter's own settings: field `latency_ms` with the prefix
    `DEXEXEC_MOCK_` is read from `DEXEXEC_MOCK_LATENCY_MS`.
    """

    name: ClassVar[str]
    capabilities: Capabilities
    Options: ClassVar[type[BaseModel]] = NoOptions
    options_prefix: ClassVar[str] = ""

    def __init__(self, context: VenueContext[OptionsT]) -> None:
        self.context = context
        self.options = context.options

    async def prepare(self) -> None:
        """Called once before the first quote: find out whether what the venue needs is there. Raises one of
        `VENUE_ERRORS`, which ends the start with its text."""
        return

    @abstractmethod
    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        """Price `request`, in integers of base units, before `deadline` (on the context's monotonic clock, seconds).

        Raises one of `VENUE_ERRORS`.
        """

    @abstractmethod
    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        """What executes `quote` for the wallet `payer`, with its bounds inside: instructions on Solana, the finished
        message on the simulated chain. Raises one of `VENUE_ERRORS`, `QuoteExpired` among them."""

    async def cosign(self, message: bytes) -> Mapping[str, bytes]:
        """Signatures (64 bytes) by address for a message of ours that names accounts of the venue as signers. A venue
        signs only what it built, as it stands, and as long as it holds. Raises one of `VENUE_ERRORS`."""
        return {}

    def explain(self, failure: ProgramFailure) -> VenueError | None:
        """What a failed instruction means, if it is one of this venue's programs that says so; None otherwise."""
        return None

    @property
    def programs(self) -> frozenset[str]:
        """Programs of its own (base58) that its instructions call, beside Solana's: system, compute budget, token,
        token 2022, associated token account, memo. It decides nothing: the wallet signs for programs that the operator
        pinned, and the service does not start unless these are among them."""
        return frozenset()

    async def aclose(self) -> None:
        """Release what the adapter opened."""
        return

    @classmethod
    def read_options(cls, environ: Mapping[str, str]) -> BaseModel:
        """`Options` filled from `environ`; raises `pydantic.ValidationError`."""
        prefix = cls.options_prefix
        names = {field: f"{prefix}{field.upper()}" for field in cls.Options.model_fields}
        return cls.Options.model_validate({field: environ[name] for field, name in names.items() if environ.get(name)})

    @classmethod
    def network_for(cls, options: BaseModel) -> str:
        """The network that it settles on with these options."""
        return cls.capabilities.network


@dataclass(frozen=True, slots=True)
class Preset:
    """Adapters that one name in DEXEXEC_ADAPTERS switches on together, with variables of theirs: `settings` is what the
    name stands for, so that another value is an error; `defaults` hold where the environment says nothing."""

    adapters: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)


AnyVenue = Venue[Any]
"""A venue whatever its options."""
