"""`GET /api/overview`: the state of the service in one small answer, for the page and for dashboards.

A part that cannot be read now is null, and the others are shown.
"""

import asyncio

from dexexec import __version__
from dexexec.api.caller import Caller
from dexexec.api.handler import Api, ApiHandler
from dexexec.api.service_state import READ_SECONDS, WalletState
from dexexec.domain.api_key import Scope
from dexexec.domain.event import timestamp
from dexexec.domain.halt import EVERYBODY, Halt
from dexexec.domain.program_version import Quarantine
from dexexec.errors import InvalidQueryError, UnavailableError
from dexexec.intake.order_fields import unknown_name
from dexexec.store.measurements import OpenOrders
from dexexec.store.operator_lists import ListedWorker

EXPLORER = "https://explorer.solana.com/tx/{signature}"
EXPLORERS = {
    "mainnet": EXPLORER,
    "devnet": f"{EXPLORER}?cluster=devnet",
    "testnet": f"{EXPLORER}?cluster=testnet",
}
"""The explorer's address of a transaction. Other chains are not in it."""


class OverviewHandler(ApiHandler):
    """`GET /api/overview`."""

    async def get(self) -> None:
        """The overview, with what the caller may see."""
        if names := sorted(self.request.query_arguments):
            raise InvalidQueryError([unknown_name(names[0], (), "is not a parameter of the overview")])
        self.answer(await overview_json(self.api, self.caller))

    head = get


async def overview_json(api: Api, caller: Caller) -> dict[str, object]:
    """The answer to `caller`. Workers, nodes and wallets are those of all keys, so they need the scope `admin`."""
    settings = api.settings
    overviews = api.overviews
    name, kind = overviews.state.network
    answer: dict[str, object] = {
        "version": __version__,
        "network": {"name": name, "kind": kind, "explorer": EXPLORERS.get(kind)},
        "keysRequired": api.access.required,
        "scopes": [scope.value for scope in Scope if any(own.allows(scope) for own in caller.scopes)],
        # A halt of another key would show that the key exists.
        "halts": [
            halt_json(halt) for halt in overviews.state.halts() if caller.sees is None or halt.covers(caller.sees)
        ],
        "quarantines": [quarantine_json(one) for one in overviews.state.quarantines()],
        "tokens": [
            {"mint": token.mint, "symbol": token.symbol, "decimals": token.decimals} for token in settings.token_list()
        ],
        "defaults": api.reader.within(caller.policy).defaults(),
        "walletNames": api.reader.wallets.of(caller.name, caller.policy.wallets),
        # Of the caller's orders: how busy the others are is theirs alone.
        "queue": queue_json(await overviews.open_orders(caller.sees)),
    }
    # For those who may list webhooks.
    if any(own.allows(Scope.TRADE) for own in caller.scopes):
        answer["webhooks"] = await webhooks_json(api, caller)
    # Absent, and not empty: a client must be able to distinguish "none" from "not for you".
    if caller.sees is not None:
        return answer
    workers = await overviews.workers.get()
    nodes = overviews.state.nodes()
    wallets = await overviews.wallets.get()
    return {
        **answer,
        "workers": None if workers is None else [worker_json(worker) for worker in workers],
        "nodes": None if nodes is None else [{"name": node, "lagSlots": lag} for node, lag in sorted(nodes.items())],
        "wallets": None if wallets is None else [wallet_json(wallet) for wallet in wallets],
    }


def halt_json(halt: Halt) -> dict[str, object]:
    """A halt; `key` is the number of the key, null for all orders."""
    return {
        "key": None if halt.owner == EVERYBODY else halt.owner,
        "since": timestamp(halt.since),
        "reason": halt.reason,
        "detail": halt.detail,
    }


def quarantine_json(quarantine: Quarantine) -> dict[str, object]:
    """A venue that gets no orders, since a program of its was upgraded."""
    return {
        "venue": quarantine.venue,
        "program": quarantine.program,
        "since": timestamp(quarantine.since),
        "detail": quarantine.detail,
    }


async def webhooks_json(api: Api, caller: Caller) -> dict[str, object] | None:
    """How many deliveries to the caller's webhooks failed."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            return {"failed": await api.webhooks.failed_count(caller.sees)}
    except (UnavailableError, TimeoutError):
        return None


def queue_json(found: OpenOrders | None) -> dict[str, object] | None:
    """The orders that no worker has claimed yet, and all that have not ended."""
    if found is None:
        return None
    return {
        "length": found.waiting,
        "oldestMs": round(found.oldest_waiting_seconds * 1000) if found.waiting else None,
        "open": sum(found.counts.values()),
    }


def worker_json(worker: ListedWorker) -> dict[str, object]:
    """A worker, as `dexexec workers --json` prints it."""
    return {
        "id": worker.id,
        "name": worker.name,
        "alive": worker.alive,
        "trouble": worker.trouble or None,
        "startedAt": timestamp(worker.started_at),
        "leaseUntil": timestamp(worker.lease_until),
        "orders": worker.orders,
        "oldestOrderAt": worker.oldest and timestamp(worker.oldest),
    }


def wallet_json(wallet: WalletState) -> dict[str, object]:
    """A wallet with its balances in base units."""
    return {
        "name": wallet.name,
        "network": wallet.network,
        "address": wallet.address,
        "balances": [
            {
                "mint": balance.mint,
                "symbol": balance.symbol,
                "decimals": balance.decimals,
                # As text: JavaScript's numbers are not exact from 2^53 on.
                "amount": None if balance.amount is None else str(balance.amount),
                "reserved": str(balance.reserved),
            }
            for balance in wallet.balances
        ],
    }
