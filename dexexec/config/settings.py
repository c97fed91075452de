"""The settings: read once from the environment and `.env`, validated and frozen.

Each field's description is also its documentation; tests compare it with `.env.example` and docs/SETTINGS.md.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from dexexec.config import validation_messages
from dexexec.config.access import AccessSettings, exposed_by, keys_required
from dexexec.config.client_connections import ConnectionSettings
from dexexec.config.data_dir import default_data_dir
from dexexec.config.dry_runs import DryRuns
from dexexec.config.environment import (
    ENV_FILE,
    FromEnvironment,
    environment,
    environment_warnings,
    uppercase_names,
    variable,
)
from dexexec.config.operations import OperationsSettings
from dexexec.config.order_kinds import OrderKinds
from dexexec.config.postgres_url import (
    DEFAULT_SCHEMA,
    Address,
    address_from_variables,
    checked_schema,
    holds_an_address,
)
from dexexec.config.redis_url import SHAPES, RedisAddress
from dexexec.config.routes import RouteSettings
from dexexec.config.secret_files import from_file
from dexexec.config.solana import SolanaSettings
from dexexec.config.wallets import DEFAULT, Wallets
from dexexec.config.webhooks import WebhookSettings
from dexexec.domain.token import KNOWN, USDC, WSOL, Token, Tokens, looks_like_mint, parse_tokens
from dexexec.errors import SettingsError

PREFIX = "DEXEXEC_"


def _named(name: str) -> AliasChoices:
    return AliasChoices(name)


class Settings(
    AccessSettings,
    OrderKinds,
    SolanaSettings,
    DryRuns,
    Wallets,
    ConnectionSettings,
    OperationsSettings,
    RouteSettings,
    WebhookSettings,
    FromEnvironment,
):
    """All settings of the service. A field without an alias is `DEXEXEC_` plus its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    # Names shared with other programs.
    port: int = Field(
        3000, ge=0, le=65535, validation_alias=_named("PORT"), description="HTTP and WebSocket port; 0 picks a free one"
    )
    redis_url: SecretStr | None = Field(
        None,
        validation_alias=_named("REDIS_URL"),
        description="Redis or Valkey to use, also `redis+cluster://` and `redis+sentinel://`; unset: an embedded one",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias=_named("DATABASE_URL"),
        description="Postgres as a URL, `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, instead of PG_HOST",
    )
    pg_host: SecretStr | None = Field(
        None,
        validation_alias=_named("PG_HOST"),
        description="Postgres host or socket folder, comma-separated hosts (the primary is used), a URL or a"
        " conninfo; unset: an embedded one",
    )
    pg_port: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], NoDecode] = Field(
        (5432,),
        validation_alias=_named("PG_PORT"),
        description="Postgres port for all hosts, or one for each, comma-separated",
    )
    pg_user: str = Field("postgres", validation_alias=_named("PG_USER"), description="Postgres user")
    pg_password: SecretStr | None = Field(None, validation_alias=_named("PG_PASSWORD"), description="Postgres password")
    pg_database: str = Field("postgres", validation_alias=_named("PG_DATABASE"), description="Postgres database")
    pg_schema: str = Field(
        DEFAULT_SCHEMA,
        validation_alias=_named("PG_SCHEMA"),
        description="schema of the tables; it is created if it is missing",
    )
    solana_rpc_url: SecretStr | None = Field(
        None,
        validation_alias=_named("SOLANA_RPC_URL"),
        description="Solana RPC nodes, comma-separated, the best first; use two providers or more, so that no single"
        " answer is trusted; the mocks need none",
    )
    solana_wallet_secret_key: SecretStr | None = Field(
        None,
        validation_alias=_named("SOLANA_WALLET_SECRET_KEY"),
        description="the wallet's key: base58, a JSON array, or `file:PATH`; the mocks need none",
    )
    input_mint: str = Field(
        WSOL, validation_alias=_named("INPUT_MINT"), description="mint that a `buy` spends by default"
    )
    output_mint: str = Field(
        USDC, validation_alias=_named("OUTPUT_MINT"), description="mint that a `buy` receives by default"
    )

    # Where things are.
    host: str = Field(
        "127.0.0.1", description="address to listen on; 0.0.0.0 or :: for all: then every request needs an API key"
    )
    data_dir: Path = Field(default_factory=default_data_dir, description="where the embedded servers keep their data")
    start_seconds: float = Field(30, ge=0, le=3600, description="how long a start waits for its servers (s)")
    redis_prefix: str = Field(
        "dexexec", pattern=r"^[A-Za-z0-9_.-]{1,40}$", description="first part of every Redis key and channel"
    )
    adapters: Annotated[tuple[str, ...], NoDecode] = Field(
        ("mock-raydium", "mock-meteora"),
        description="enabled venues: names of adapters or presets, or `package.module:Class`, comma-separated",
    )
    tokens: Annotated[tuple[Token, ...], NoDecode] = Field(
        (), description="more tokens, comma-separated, each `MINT:SYMBOL:DECIMALS`; SOL and USDC are built in"
    )
    venue_programs: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Solana programs that third-party adapters may call, comma-separated, each `VENUE=ADDRESS`"
    )
    localnet_url: str | None = Field(
        None,
        pattern=r"^https?://\S+$",
        description="localnet for mocks that settle on one, or several nodes of it, comma-separated; unset: the"
        " all-in-one start runs its own",
    )

    # An order's way.
    max_attempts: int = Field(3, ge=1, le=100, description="most transactions that are signed for an order")
    max_rounds: int | None = Field(
        None, ge=1, le=1_000_000, description="most rounds of quotes for an order; unset: until its deadline"
    )
    retry_base_ms: int = Field(
        500, ge=0, le=600_000, description="first pause before a retry, doubled each time, with jitter (ms)"
    )
    retry_max_ms: int = Field(10_000, ge=0, le=3_600_000, description="longest pause before a retry (ms)")
    slippage_bps: int = Field(50, ge=0, le=5_000, description="slippage bound of orders without one (bps)")
    max_price_impact_bps: int = Field(
        1_000,
        ge=0,
        le=10_000,
        description="how far an order may move a venue's price, for orders without a limit (bps); 10000: no limit",
    )
    deadline_seconds: int = Field(
        300, ge=1, le=86_400, description="deadline of orders without one (s after acceptance)"
    )
    allow_async_standby: bool = Field(
        False, description="trade on mainnet although a promoted Postgres standby may lack the last commits"
    )
    funds_wait_ms: int = Field(
        3_000, ge=0, le=600_000, description="how long an order waits for funds that others in flight may spend (ms)"
    )
    quote_timeout_ms: int = Field(1_000, ge=1, le=60_000, description="deadline for the quotes of a round (ms)")
    breaker_failures: int = Field(10, ge=1, le=1_000, description="failures in a row after which a venue is skipped")
    breaker_seconds: float = Field(5.0, ge=0.01, le=3_600, description="how long a venue is then skipped (s)")

    # The worker.
    concurrency: int = Field(128, ge=1, le=10_000, description="orders in flight per worker")
    orders_per_minute: int | None = Field(
        None, ge=1, le=1_000_000, description="orders started per minute by all workers together; unset: no limit"
    )
    max_claims: int = Field(
        10,
        ge=1,
        le=1_000,
        description="crashes in a row after which an order without an open attempt is poisoned (up to 3: no pauses)",
    )
    lease_seconds: float = Field(
        20.0, ge=1, le=3_600, description="how long a worker may be silent before it loses its orders (s)"
    )
    heartbeat_seconds: float = Field(3.0, ge=0.05, le=600, description="how often a worker renews its leases (s)")
    sweep_seconds: float = Field(
        1.0, ge=0.05, le=600, description="how often Postgres is searched for orders that should be in progress (s)"
    )
    keep_days: int | None = Field(
        None, ge=1, le=36_500, description="days that finished orders are kept, at least; unset: forever"
    )
    drain_seconds: float = Field(10.0, ge=0, le=600, description="how long SIGTERM lets orders in flight finish (s)")

    # What clients may do.
    max_queue: int = Field(
        1_000, ge=1, le=10_000_000, description="orders that may wait; more wait up to a second for room, then get 503"
    )
    client_orders_per_minute: int | None = Field(
        None, ge=1, le=1_000_000, description="orders per minute and client address; unset: no limit"
    )
    max_connections: int = Field(
        20_000, ge=16, le=1_000_000, description="connections at once, WebSockets too; fewer if few files may be open"
    )
    client_connections: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="connections of one address; unset: three quarters, no limit behind a proxy",
    )
    request_timeout_ms: int = Field(
        5_000, ge=100, le=60_000, description="longest wait for Postgres or Redis during a request (ms)"
    )
    socket_orders: int = Field(10_000, ge=1, le=1_000_000, description="orders that one WebSocket may follow")
    socket_buffer_bytes: int = Field(
        1_048_576,
        ge=16_384,
        le=1_073_741_824,
        description="bytes that may wait for a slow WebSocket before it is closed",
    )
    socket_messages_per_second: float = Field(
        200.0, ge=1, le=100_000, description="messages that one WebSocket may send, with a burst of ten seconds' worth"
    )
    ping_seconds: float = Field(20.0, ge=0.1, le=3_600, description="how often a WebSocket is pinged (s)")

    # What people see.
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level that is logged")
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="`text` for people, `json` for machines; auto: text on a terminal"
    )

    @field_validator("database_url", "pg_password", "redis_url", "solana_rpc_url", "send_urls", mode="before")
    @classmethod
    def _read_file(cls, value: object) -> object:
        return from_file(value)

    @field_validator("adapters", "venue_programs", "pg_port", mode="before")
    @classmethod
    def _by_comma(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("tokens", mode="before")
    @classmethod
    def _read_tokens(cls, value: object) -> object:
        return parse_tokens(value) if isinstance(value, str) else value

    @field_validator("pg_user", "pg_database")
    @classmethod
    def _refuse_addresses(cls, value: str) -> str:
        if holds_an_address(value):
            raise ValueError("it holds more than a name: put a Postgres URL or a conninfo into PG_HOST or DATABASE_URL")
        return value

    @field_validator("pg_schema")
    @classmethod
    def _check_schema(cls, value: str) -> str:
        return checked_schema(value)

    @field_validator("redis_url")
    @classmethod
    def _read_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                RedisAddress.parse(value.get_secret_value())
            except ValueError as error:
                raise ValueError(f"{error}: it must look like {SHAPES}") from None
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        # One lost heartbeat must not cost a worker its orders.
        if self.heartbeat_seconds * 2 >= self.lease_seconds:
            raise ValueError("DEXEXEC_LEASE_SECONDS must be more than twice DEXEXEC_HEARTBEAT_SECONDS")
        if self.retry_max_ms < self.retry_base_ms:
            raise ValueError("DEXEXEC_RETRY_MAX_MS must not be less than DEXEXEC_RETRY_BASE_MS")
        self.postgres_address()  # raises for an invalid address
        self.check_prices()
        if self.solana_wallet_secret_key is not None and DEFAULT in self.named_wallets():
            raise ValueError("SOLANA_WALLET_SECRET_KEY and the table default of DEXEXEC_WALLETS: set one of them")
        if not self.adapters:
            raise ValueError("DEXEXEC_ADAPTERS must name at least one adapter")
        return self

    def postgres_address(self) -> Address | None:
        """The Postgres of DATABASE_URL or PG_HOST, completed by PG_PORT, PG_USER, PG_PASSWORD and PG_DATABASE; None for
        the embedded one. Raises `ValueError`, which names variables and no value."""
        if self.database_url is not None and self.pg_host is not None:
            raise ValueError("DATABASE_URL and PG_HOST both name a Postgres: set one of them")
        name, url = ("PG_HOST", self.pg_host) if self.database_url is None else ("DATABASE_URL", self.database_url)
        address = address_from_variables(
            name,
            url.get_secret_value() if url else "",
            explicitly_set={field.upper() for field in self.model_fields_set},
            ports=self.pg_port,
            user=self.pg_user,
            database=self.pg_database,
            password=self.pg_password.get_secret_value() if self.pg_password else "",
        )
        return replace(address, schema=self.pg_schema) if url else None

    def data_folder(self) -> Path:
        """DEXEXEC_DATA_DIR, expanded. Raises `SettingsError` if it needs a home folder and there is none."""
        try:
            return self.data_dir.expanduser()
        except RuntimeError:
            raise SettingsError(
                f"no home directory is known for {self.data_dir}: set HOME, or DEXEXEC_DATA_DIR to a folder for the"
                " data, or PG_HOST and REDIS_URL to servers of your own"
            ) from None

    def token_list(self) -> Tokens:
        """The tokens that orders may use."""
        return Tokens((*KNOWN, *self.tokens))

    def default_pair(self) -> tuple[str, str]:
        """The default pair: INPUT_MINT and OUTPUT_MINT if they are known tokens, else SOL and USDC."""
        tokens = self.token_list()
        # Unknown mints are common placeholders of an `.env`, and harmless for the mocks; `warnings` names them.
        mint_in = self.input_mint if tokens.get(self.input_mint) else WSOL
        mint_out = self.output_mint if tokens.get(self.output_mint) else USDC
        return (mint_in, mint_out) if mint_in != mint_out else (WSOL, USDC)

    def has_wallet_key(self) -> bool:
        """Whether SOLANA_WALLET_SECRET_KEY looks like a key or a file with one, and not like a placeholder."""
        key = self.solana_wallet_secret_key.get_secret_value() if self.solana_wallet_secret_key else ""
        # A base58 key has about 88 characters and a JSON array more; placeholders are shorter.
        return len(key) >= 64 or key.startswith("file:")

    def warnings(self) -> list[str]:
        """Warnings about values that are harmless for the mocks, but probably mistakes. No value is repeated."""
        tokens = self.token_list()
        warnings = list(environment_warnings())
        for name, mint in (("INPUT_MINT", self.input_mint), ("OUTPUT_MINT", self.output_mint)):
            if tokens.get(mint) is None:
                what = "is not a known token (add it with DEXEXEC_TOKENS)" if looks_like_mint(mint) else "is not a mint"
                warnings.append(f"{name} {what}: the default pair is used instead")
        if (exposed := exposed_by(self)) and not keys_required(self):
            warnings.append(
                f"{exposed} lets the network reach the service, and DEXEXEC_REQUIRE_KEYS=0 lets all that reach it"
                " trade: keep it behind a firewall or a proxy that authenticates, or require keys"
            )
        if self.solana_wallet_secret_key is not None and not self.has_wallet_key():
            warnings.append("SOLANA_WALLET_SECRET_KEY is not a key: fine for the mocks, real venues will refuse it")
        return warnings


def env_name(field: str) -> str:
    """The environment variable of a field of `Settings`."""
    return variable(field, Settings.model_fields[field], PREFIX)


def load(adapter_options: Callable[[], set[str]] = set) -> Settings:
    """Settings from the environment and a `.env` file. `adapter_options` returns the variables of installed adapters,
    and is only called if there is an unknown `DEXEXEC_*` name. Raises `SettingsError`."""
    given = environment()
    named = {env_name(field): (field, info) for field, info in Settings.model_fields.items()}
    known = set(named)
    # The settings of adapters have the prefix too. They are slow to collect, so only if a name is unknown.
    unknown = sorted(name for name in given if name.startswith(PREFIX) and name not in known)
    if unknown:
        known |= adapter_options()
        for name in (name for name in unknown if name not in known):
            near = validation_messages.nearest(name, known, prefix=PREFIX)
            hint = f"did you mean {near}?" if near else "see .env.example for all of them"
            raise SettingsError(f"{name} is not a setting: {hint}")
    try:
        return Settings()
    except ValidationError as error:
        fields = {place: (name, info) for name, (field, info) in named.items() for place in (name, field)}
        raise SettingsError(validation_messages.explain_all(error, fields, uppercase_names(given))) from None
