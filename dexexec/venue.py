"""The public adapter interface: what the engine needs of a venue.

An adapter prices and builds; the engine signs, records, sends, retries and looks up. An adapter gets neither signer,
store nor queue, and never retries by itself, since that could swap twice. It imports only this module and
`dexexec.domain`. A minimal one subclasses `Venue`, sets `name` and `capabilities`, and has `quote` and `build`.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel

from dexexec.clock import Clock
from dexexec.domain.failure_reason import FailureReason
from dexexec.domain.launch import NewPool
from dexexec.domain.pace import UNKNOWN_PACE, Pace
from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.solana import AccountFilters, Accounts, ProgramAccounts, Simulation, SwapInstructions
from dexexec.domain.swap import Blockhash, ProgramFailure, SignedSwap, SubmitAnswer, SwapStatus, UnsignedSwap
from dexexec.domain.token import Tokens

OptionsT = TypeVar("OptionsT", bound=BaseModel)


class VenueError(Exception):
    """Base of the closed set of errors that an adapter may raise from `quote` and `build`. `code` is machine-readable
    and stable. `retryable`: the same request may succeed later. An exception of any other type counts as a bug of the
    adapter, and is never shown to a client.

    The nodes of a network serve all its venues. An error of the chain because a node failed, was too slow, too busy or
    not believed is marked `shared`: it does not count against the venue, and its breaker ignores it.
    """

    code: ClassVar[str] = FailureReason.VENUE_ERROR
    retryable: ClassVar[bool] = False
    # A class attribute, so that a subclass with an own `__init__` that skips this one still has a value.
    _shared: bool = False

    def __init__(self, *args: object, shared: bool = False) -> None:
        super().__init__(*args)
        self._shared = shared

    @property
    def shared(self) -> bool:
        """Whether the cause is trouble that all venues of the network share. It is passed on to errors that are raised
        `from` such an error."""
        return self._shared or (isinstance(self.__cause__, VenueError) and self.__cause__.shared)


class NoRoute(VenueError):  # noqa: N818 - the field's own names for these answers read better without a suffix
    """The venue has no pool or not enough liquidity for this swap."""

    code: ClassVar[str] = FailureReason.NO_ROUTE
    retryable = True


class Unsupported(VenueError):  # noqa: N818
    """The adapter does not support this pair, mode or kind of pool."""

    code: ClassVar[str] = FailureReason.UNSUPPORTED


class RateLimited(VenueError):  # noqa: N818
    """The venue requires a lower rate of requests."""

    code: ClassVar[str] = FailureReason.RATE_LIMITED
    retryable = True


class Timeout(VenueError):  # noqa: N818
    """No answer before the deadline."""

    code: ClassVar[str] = FailureReason.TIMEOUT
    retryable = True


class Unreachable(VenueError):  # noqa: N818
    """The venue or its node cannot be reached, or answers with a server error."""

    code: ClassVar[str] = FailureReason.UNREACHABLE
    retryable = True


class BadAnswer(VenueError):  # noqa: N818
    """The venue's answer is invalid."""

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
    """An account has changed since the swap was built: closed, opened or owned by another program."""

    code: ClassVar[str] = FailureReason.ACCOUNT_CHANGED
    retryable = True


class ComputeExceeded(VenueError):  # noqa: N818
    """The transaction needs more compute units than its limit, which a new simulation will raise."""

    code: ClassVar[str] = FailureReason.COMPUTE_EXCEEDED
    retryable = True


# Closed, because the engine decides by the kind of error whether and when the next round starts.
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
"""All errors that an adapter may raise."""


Unsigned = UnsignedSwap | SwapInstructions
"""What `build` may return: a finished message, or instructions."""


# Strings, no enum: `Capabilities(network="solana")` is part of the public interface.
class Network:
    """The networks that a venue can settle on, a closed set. `localnet` is Solana with free coins, on this machine."""

    SIMULATED = "simulated"
    LOCALNET = "localnet"
    SOLANA = "solana"
    ALL = frozenset({SIMULATED, LOCALNET, SOLANA})


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an adapter supports. `pairs` is a set of unordered pairs of mints, or None for any. `metered`: each quote
    counts against a limit, so none is requested to watch prices or to be warm. `unproven`: why quotes may be wrong."""

    modes: frozenset[Mode] = frozenset(Mode)
    pairs: frozenset[frozenset[str]] | None = None
    network: str = Network.SOLANA
    needs_wallet: bool = True
    metered: bool = False
    unproven: str = ""

    def refusal(self, request: SwapRequest) -> str | None:
        """Why the venue cannot serve this request, or None."""
        if request.mode not in self.modes:
            return f"mode {request.mode} is not supported"
        is_pair = self.pairs is None or frozenset((request.mint_in, request.mint_out)) in self.pairs
        return None if is_pair else "this pair is not supported"


class Chain(Protocol):
    """Where swaps settle. One implementation per network, shared by all its venues."""

    async def blockhash(self) -> Blockhash:
        """A recent blockhash with its last valid height, both from one answer. Raises `VenueError`."""

    async def submit(self, signed: SignedSwap) -> SubmitAnswer:
        """Send the bytes unchanged. Never raises. The answer is for the log: no answer proves anything."""

    async def status(self, signatures: Sequence[str], *, history: bool = False) -> list[SwapStatus]:
        """The status of each signature, in their order; with `history` the whole history is searched, which costs a
        node more. Never raises."""


@runtime_checkable
class SolanaChain(Chain, Protocol):
    """A chain of Solana accounts: the networks `localnet` and `solana`."""

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """The accounts as confirmed, all in one answer. Raises `VenueError`."""

    async def program_accounts(self, program: str, filters: AccountFilters) -> ProgramAccounts:
        """The accounts of a program that match, as confirmed. Expensive for a node, and not every node supports it:
        only for rare requests with an alternative. Raises `VenueError`."""

    async def simulate(self, transaction: bytes, watched: Sequence[str]) -> Simulation:
        """Simulate a transaction (signed or not), with its effects on the accounts `watched`. Raises `VenueError`."""


@runtime_checkable
class PacedChain(Protocol):
    """A chain whose slots are measured: the networks `localnet` and `solana`."""

    @property
    def pace(self) -> Pace:
        """The pace now. It changes: slots get shorter, and a cluster may change its consensus while this runs."""


def pace_of(chain: Chain) -> Pace:
    """The pace of a chain. One that has none gets the longest slots; nothing that it settles waits for them."""
    return chain.pace if isinstance(chain, PacedChain) else UNKNOWN_PACE


@runtime_checkable
class Faucet(Protocol):
    """A chain whose coins are free: the network `localnet`."""

    async def fund(self, owner: str, mint: str, decimals: int, amount: int) -> None:
        """Raise the balance of `owner` to at least `amount` base units of `mint`, in its associated token account; for
        wrapped SOL as well. An empty `mint` means lamports. Repeated calls change nothing. Raises `VenueError`."""


@runtime_checkable
class NotifyingChain(Protocol):
    """A chain that sends notifications about signatures, so that it can be polled less often."""

    async def wait_for_notification(self, signature: str, seconds: float) -> None:
        """Return when something may have happened to `signature`, at the latest after `seconds`. It proves nothing: the
        caller then uses `status`. Never raises."""


@dataclass(frozen=True, slots=True)
class ProgramChanges:
    """The accounts that a node reported as changed. `missed`: others may have changed as well, so search for them."""

    addresses: frozenset[str]
    missed: bool


class ProgramWatch(Protocol):
    """What a node reports of a program's accounts. It proves nothing: the caller then reads the accounts."""

    @property
    def live(self) -> bool:
        """Whether the node reports changes now. If not, the caller has to search."""

    async def changes(self, seconds: float) -> ProgramChanges:
        """What was reported since the last call; waits at most `seconds` for a report. The first call returns at once,
        with `missed`. Never raises."""

    def close(self) -> None:
        """End the watch."""


@runtime_checkable
class ProgramWatchingChain(Protocol):
    """A chain that reports changes of a program's accounts."""

    def watch_program(self, program: str, filters: Sequence[AccountFilters]) -> ProgramWatch:
        """Watch the accounts of `program` that match one of `filters`, until the watch is closed."""


class NoOptions(BaseModel):
    """For adapters without settings."""


def options_from(options: type[BaseModel], prefix: str, environ: Mapping[str, str]) -> BaseModel:
    """Options filled from the variables of `environ` that begin with `prefix`. Raises `pydantic.ValidationError`."""
    names = {field: f"{prefix}{field.upper()}" for field in options.model_fields}
    # An empty variable counts as unset, as for the service's own settings.
    return options.model_validate({field: environ[name] for field, name in names.items() if environ.get(name)})


# Not keyword-only, although it has five fields: tests of adapters outside this repository may build it by position.
@dataclass(frozen=True, slots=True)
class VenueContext(Generic[OptionsT]):
    """What an adapter gets from the engine: time, tokens, the chain of its network, its own options. No secrets.
    `cluster` names the Solana cluster of the chain's nodes: `devnet`, `mainnet-beta`, `testnet` or `localnet`; empty
    for a chain with another genesis hash."""

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
        """Called once before the first quote: check that everything the venue needs exists. Raises one of
        `VENUE_ERRORS`, which ends the start with its text."""
        return

    @abstractmethod
    async def quote(self, request: SwapRequest, deadline: float) -> Quote:
        """Price `request`, in integers of base units, before `deadline` (on the context's monotonic clock, seconds).
        Raises one of `VENUE_ERRORS`."""

    @abstractmethod
    async def build(self, quote: Quote, payer: str, blockhash: Blockhash) -> Unsigned:
        """Build the swap that executes `quote` for the wallet `payer`, with its limits inside: instructions on Solana,
        the finished message on the simulated chain. Raises one of `VENUE_ERRORS`, including `QuoteExpired`."""

    # Not abstract: only venues whose own accounts sign need it.
    async def cosign(self, message: bytes) -> Mapping[str, bytes]:
        """Signatures (64 bytes) by address for a message that names accounts of the venue as signers. A venue signs
        only what it built, unchanged, and only while the quote is valid. Raises one of `VENUE_ERRORS`."""
        return {}

    def watch_pools(self, pair: tuple[str, str]) -> AsyncGenerator[NewPool, None] | None:
        """The venue's pools of two mints, in any order: first those that exist, and each new one as soon as it can be
        read; again when a reserve or a token's rule has changed. Endless. None: the venue reports no pools. Everything
        is read from the chain: what a node reports is only a reason to read it. The generator may raise one of
        `VENUE_ERRORS`, which ends it; the engine starts another one after a pause."""
        return None

    async def warm(self, pair: tuple[str, str]) -> None:
        """Read in advance what a quote of two mints needs. Called in the background, at the start and every minute.
        Raises one of `VENUE_ERRORS`, which only means that orders wait."""
        return

    def pool_accounts(self, pair: tuple[str, str] | None = None) -> Mapping[str, Sequence[str]]:
        """The pools that quotes use at present, by address, with all accounts that their prices depend on; with `pair`
        only those of its two mints. Those of the configured pair are kept in memory, and reports show all of them."""
        return {}

    def explain(self, failure: ProgramFailure) -> VenueError | None:
        """The meaning of a failed instruction of one of this venue's programs; None for other programs."""
        return None

    @property
    def programs(self) -> frozenset[str]:
        """The venue's own programs (base58) that its instructions call, besides Solana's: system, compute budget,
        token, token 2022, associated token account, memo. This grants nothing: the wallet signs only for programs that
        the operator pinned, and the service does not start unless these are among them."""
        return frozenset()

    async def aclose(self) -> None:
        """Release what the adapter opened."""
        return

    @classmethod
    def read_options(cls, environ: Mapping[str, str]) -> BaseModel:
        """`Options` filled from `environ`; raises `pydantic.ValidationError`."""
        return options_from(cls.Options, cls.options_prefix, environ)

    @classmethod
    def network_for(cls, options: BaseModel) -> str:
        """The network that the venue settles on with these options."""
        return cls.capabilities.network


@dataclass(frozen=True, slots=True)
class Preset:
    """Adapters that one name in DEXEXEC_ADAPTERS enables together, with some of their variables: `settings` are fixed
    by the name, so that another value is an error; `defaults` apply if the environment has no value."""

    adapters: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)


AnyVenue = Venue[Any]
"""A venue with any options."""
