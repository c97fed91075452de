"""The nodes and clusters of the settings: their addresses, and the errors for them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dexexec.config.settings import Settings
from dexexec.domain.quote import Quote
from dexexec.domain.solana import Account
from dexexec.errors import StartupError, UnreachableError
from dexexec.settlement.solana.bids import Bids
from dexexec.settlement.solana.message import Program
from dexexec.venue import AnyVenue, Network, RateLimited, Timeout, Unreachable, VenueError

if TYPE_CHECKING:
    from dexexec.settlement.solana.rpc.broadcast import SendOptions

MAINNET = "mainnet-beta"
PUBLIC_CLUSTERS = {
    "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d": MAINNET,
    "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG": "devnet",
    "4uhcVJyU9pJkvQyS88uRDiswHXScCkY3zQWdtT6F2gFi": "testnet",
}
"""Genesis hashes, from the Solana documentation (clusters)."""
FREE_CLUSTERS = frozenset({"devnet", "testnet"})


def startup_error(error: VenueError) -> type[StartupError]:
    """The class of a start-up error: `UnreachableError` if waiting may help."""
    return UnreachableError if isinstance(error, Unreachable | Timeout | RateLimited) else StartupError


def split_node_urls(listed: str) -> list[str]:
    """The URLs of a chain's nodes, from a setting that lists them by comma."""
    return [url.strip() for url in listed.split(",") if url.strip()]


def wallet_fault(account: Account | None, cluster: str) -> str:
    """The reason why a wallet cannot pay for swaps on `cluster`, and the remedy; empty if it can."""
    another = f"or set SOLANA_WALLET_SECRET_KEY to a wallet that has SOL on {cluster}"
    if account is None or not account.lamports:
        free = " (it is free there: https://faucet.solana.com)" if cluster in FREE_CLUSTERS else ""
        return f"does not exist on {cluster}: send SOL to it{free}, {another}"
    if account.owner != Program.SYSTEM or account.data:
        return f"is an account of the program {account.owner} on {cluster} and not a wallet: use another, {another}"
    return ""


def send_urls(settings: Settings, *, trades: bool) -> list[str]:
    """The endpoints that only take transactions. Only a process that `trades` sends any."""
    from dexexec.settlement.solana.rpc.node_urls import node_names  # noqa: PLC0415

    if settings.send_urls is None or not trades:
        return []
    urls = split_node_urls(settings.send_urls.get_secret_value())
    try:
        node_names(urls)
    except ValueError as error:
        raise StartupError(f"DEXEXEC_SEND_URLS: {error}") from error
    return urls


def send_options(settings: Settings, urls: Sequence[str] = ()) -> "SendOptions":
    """How transactions are sent, to the nodes and to `urls`."""
    from dexexec.settlement.solana.rpc.broadcast import SendOptions  # noqa: PLC0415

    return SendOptions(urls=urls, at_once=settings.send_at_once, per_second=settings.sends_per_second)


def bids(settings: Settings, network: str) -> Bids:
    """What is offered so that transactions land. Tips are for block builders of a public cluster only."""
    return Bids(
        accounts=settings.tip_accounts if network == Network.SOLANA else (),
        lamports=settings.tip_lamports,
        share_bps=settings.tip_share_bps,
        most=settings.max_tip_lamports,
        rise_bps=settings.compute_price_rise_bps,
    )


def tips(settings: Settings) -> Callable[[AnyVenue, Quote], int]:
    """Returns the tip that the swap of a quote will have, for the router: by the network fee that the venue states."""
    by_network = {network: bids(settings, network) for network in Network.ALL}
    return lambda venue, quote: by_network[venue.capabilities.network].amount(quote.network_fee)
