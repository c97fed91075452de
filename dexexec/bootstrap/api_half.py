"""Assembles the API half of the service: intake, feed, WebSockets and the HTTP server."""

from collections.abc import Callable
from dataclasses import dataclass

from dexexec.api.app import make_app, make_server
from dexexec.api.certificate import Certificate
from dexexec.api.cross_site_check import SiteCheck
from dexexec.api.event_streams import EventStreams
from dexexec.api.handler import Api, QuoteSource
from dexexec.api.key_limits import KeyLimits
from dexexec.api.readiness import Readiness
from dexexec.api.scrape import Scrape
from dexexec.api.server import LimitedServer
from dexexec.api.service_state import Overviews, ServiceState
from dexexec.api.websocket_handler import SocketHandler
from dexexec.api.websocket_registry import SocketRegistry
from dexexec.bootstrap.access import Access
from dexexec.bootstrap.background import Background
from dexexec.bootstrap.shared import Shared
from dexexec.bootstrap.venues import enabled_venues
from dexexec.bootstrap.webhooks import make_webhook_table
from dexexec.broker.socket_leases import SocketLeases
from dexexec.config.settings import Settings
from dexexec.domain.order import NewOrder
from dexexec.errors import UnavailableError, install_hint
from dexexec.feed.feed import Feed
from dexexec.intake.amending import Amending
from dexexec.intake.client_signing import ClientSigning
from dexexec.intake.intake import Intake
from dexexec.intake.order_body import BodyReader
from dexexec.intake.wallet_choice import WalletChoice
from dexexec.observe.observer import Observer


@dataclass(frozen=True, slots=True)
class ApiHalf:
    """The HTTP server and the WebSockets, with their background tasks."""

    server: LimitedServer
    sockets: SocketRegistry
    intake: Intake
    background: list[Background]


def wallet_choice(settings: Settings) -> WalletChoice:
    """The wallets that orders may name."""
    return WalletChoice({name: wallet.keys for name, wallet in settings.named_wallets().items()})


def make_api_half(
    shared: Shared,
    accepted: Callable[[NewOrder, float], None],
    quoting: QuoteSource,
    access: Access,
    *,
    readiness: Readiness,
    state: ServiceState,
    scrape: Scrape | None = None,
    no_balances: str = "",
) -> ApiHalf:
    """Intake, feed and the HTTP server, which does not listen yet. `accepted` is as in `Intake`, `no_balances` as
    in `BodyReader`."""
    settings = shared.settings
    clock = shared.clock
    observer = shared.observer
    store = shared.store()
    failpoints = shared.failpoints
    intake = Intake(
        store,
        shared.queue,
        shared.limiter,
        settings=settings,
        clock=clock,
        observer=observer,
        halts=shared.halts,
        accepted=accepted,
        failpoints=failpoints,
    )
    feed = Feed(
        store,
        shared.redis,
        shared.publisher,
        shared.followed,
        observe=observer,
        failpoints=failpoints,
        heard=shared.all_events.wake,
    )
    streams = EventStreams(feed=feed, all_events=shared.all_events, registry=access.sockets)
    shared.halts.listen(access.sockets.report_halt)
    reader = BodyReader(
        settings,
        shared.clock,
        no_balances=no_balances,
        venues=enabled_venues(settings),
        wallets=wallet_choice(settings),
    )
    sites = SiteCheck(settings)
    leases = SocketLeases(shared.redis, settings.redis_prefix, shared.name, clock)
    api = Api(
        settings=settings,
        reader=reader,
        intake=intake,
        history=store,
        cancelling=store,
        amending=Amending(store, reader),
        signing=ClientSigning(store, shared.queue, is_signature_of),
        readiness=readiness,
        clock=clock,
        observer=observer,
        sites=sites,
        venues=quoting,
        overviews=Overviews(state, clock),
        webhooks=make_webhook_table(shared),
        streams=streams,
        scrape=scrape,
        access=access.authentication,
        limits=KeyLimits(shared.limiter, leases, clock),
    )
    app = make_app(api, SocketHandler)
    certificate = _certificate(settings, observer)
    server = make_server(app, api, certificate=certificate)
    background = [store.run, feed.run, shared.all_events.run, access.ring.run, leases.run]
    if certificate is not None:
        background.append(certificate.watch)
    return ApiHalf(server, access.sockets, intake, background)


def _certificate(settings: Settings, observer: Observer) -> Certificate | None:
    """The certificate of the settings. Raises `StartupError`."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_cert, settings.tls_key, observer)


def is_signature_of(message: bytes, address: str, signature: bytes) -> bool:
    """Whether `signature` is a signature of `address` over `message`. Raises `UnavailableError` without Solana's
    libraries."""
    try:
        # Here, since a service without Solana neither needs nor has them.
        from dexexec.settlement.solana.transaction import is_signed  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UnavailableError(f"this process cannot check signatures: {install_hint('solana')}") from error
    return is_signed(message, address, signature)
