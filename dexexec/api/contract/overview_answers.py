"""The state of the service, as `GET /api/overview` shows it."""

from typing import Literal

from pydantic import JsonValue

from dexexec.api.contract.answer import Answer, BaseUnits, Count, Milliseconds, Timestamp, absent
from dexexec.domain.api_key import Scope


class NetworkState(Answer):
    """What orders settle on."""

    name: str
    kind: Literal["simulated", "localnet", "devnet", "testnet", "mainnet", "other"]
    explorer: str | None
    """The address of a transaction, with `{signature}` in it."""


class HaltState(Answer):
    """For whom nothing is signed."""

    key: Count | None
    """The number of the key; null: all orders."""
    since: Timestamp
    reason: str
    detail: str


class QuarantineState(Answer):
    """A venue that gets no orders, because a program of its was upgraded and its quotes are not confirmed yet."""

    venue: str
    program: str
    since: Timestamp
    detail: str


class TokenState(Answer):
    """A token that orders may use."""

    mint: str
    symbol: str
    decimals: Count


class QueueState(Answer):
    """Orders of the caller that have not ended; with the scope `admin`, of all."""

    length: Count
    """Those that no worker has claimed yet."""
    oldest_ms: Milliseconds | None
    open: Count


class WorkerState(Answer):
    """A worker."""

    id: int
    name: str
    alive: bool
    trouble: str | None
    started_at: Timestamp
    lease_until: Timestamp
    orders: Count
    oldest_order_at: Timestamp | None


class NodeState(Answer):
    """A node of this process."""

    name: str
    lag_slots: int


class BalanceState(Answer):
    """What a wallet has, and what open attempts may still take of it."""

    mint: str
    symbol: str
    decimals: Count
    amount: BaseUnits | None
    reserved: BaseUnits


class WalletState(Answer):
    """A wallet that pays for orders."""

    name: str
    network: str
    address: str
    balances: list[BalanceState]


class WebhookState(Answer):
    """The webhooks of the caller."""

    failed: Count
    """Deliveries that failed, counted up to 10,000."""


class Overview(Answer):
    """The state of the service. Without the scope `admin` it has no workers, nodes and wallets."""

    version: str
    network: NetworkState
    keys_required: bool
    scopes: list[Scope]
    halts: list[HaltState]
    quarantines: list[QuarantineState]
    tokens: list[TokenState]
    defaults: dict[str, JsonValue]
    wallet_names: list[str]
    queue: QueueState | None
    webhooks: WebhookState | None = absent()
    workers: list[WorkerState] | None = absent()
    nodes: list[NodeState] | None = absent()
    wallets: list[WalletState] | None = absent()
