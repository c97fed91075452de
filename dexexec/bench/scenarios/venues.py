"""From POST to the first send and to `confirmed`, on a localnet behind a proxy that is as far away as a real node.

With dumps of the venues' programs (`DEXEXEC_PROGRAM_DUMPS`) the orders are swapped by the programs, otherwise by the
mocks with real transactions. Orders are posted one at a time, as a lone trader does.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from dexexec.bench.client.http import ORDER, Target
from dexexec.bench.client.percentiles import summary
from dexexec.bench.node.delaying_proxy import DelayingProxy, LoopThread
from dexexec.bench.node.localnet import Localnet
from dexexec.bench.node.order_timing import OrderTimer, OrderTimes
from dexexec.bench.node.request_log import first_send, sequential_round_trips
from dexexec.bench.processes import BenchError
from dexexec.bench.profile import Profile
from dexexec.bench.report import Report
from dexexec.bench.sandbox import BenchSandbox, BenchServers
from dexexec.domain.base58 import encode
from dexexec.domain.percentile import percentile
from dexexec.domain.simulation_mode import SimulationMode
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import install_hint

ORDER_SECONDS = 60.0
SOL = 10**9
SIMULATIONS = (SimulationMode.LOCAL, SimulationMode.NODE)
"""What is compared, unless the environment has DEXEXEC_SIMULATE."""
UNMEASURED = 2
"""Orders of the warm pair before the measurement, at least: the first ones pay for compiled statements."""
MOST_UNMEASURED = 30
"""With local simulation orders follow until two in a row needed no request: programs are read in the background."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one order took (seconds)."""

    round_trips: int
    to_answer: float
    to_send: float
    to_confirmed: float
    methods: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Ground:
    """The localnet, the proxy in front of it, and the settings of a service that trades there."""

    localnet: Localnet
    proxy: DelayingProxy
    loop: LoopThread
    settings: dict[str, str]
    tokens: list[str]
    known: set[str] = field(default_factory=set)


def run(servers: BenchServers, profile: Profile, report: Report) -> None:
    """Measure each round trip time, warm and cold, with each way to simulate. Raises `BenchError`."""
    try:
        import solders  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        report.notes.append(f"venues: skipped, since a localnet needs the solana extra: {install_hint('solana')}")
        return
    with _ground(servers, profile) as ground:
        _prepare(servers, ground)
        given = "simulate" in servers.settings.model_fields_set
        for rtt_ms in profile.rtt_ms:
            for simulation in (servers.settings.simulate,) if given else SIMULATIONS:
                ground.proxy.rtt = rtt_ms / 1000
                cold, warm = _measure(servers, profile, ground, simulation)
                for name, orders in (("cold", cold), ("warm", warm)):
                    _add(report, f"venues.{rtt_ms}.{name}.{simulation}", f"{rtt_ms} ms, {name}, {simulation}", orders)


@contextmanager
def _ground(servers: BenchServers, profile: Profile) -> Iterator[Ground]:
    """Start the localnet and the proxy, with pools and a wallet that has SOL."""
    from solders.keypair import Keypair  # noqa: PLC0415

    dumps = servers.settings.program_dumps
    folder = Path(servers.folder) / "venues"
    folder.mkdir()
    tokens = [encode(bytes([60 + number]) * 32) for number in range(profile.cold_orders)]
    wallet = Keypair()
    settings = {
        "DEXEXEC_TOKENS": ",".join(f"{mint}:T{number}:6" for number, mint in enumerate(tokens)),
        "SOLANA_WALLET_SECRET_KEY": str(wallet),
        # A cold pool is searched first, over several round trips.
        "DEXEXEC_QUOTE_TIMEOUT_MS": "30000",
    }
    if dumps is None:
        localnet = Localnet(servers.processes, folder / "ledger", servers.environment)
        settings |= {"DEXEXEC_MOCK_SETTLEMENT": "localnet"}
    else:
        from dexexec.bench.node import program_pools  # noqa: PLC0415

        options = program_pools.options(dumps, folder)
        localnet = Localnet(servers.processes, folder / "ledger", servers.environment, options)
        program_pools.open_pools(localnet, servers.processes, [USDC, *tokens])
        settings |= {"DEXEXEC_ADAPTERS": "raydium,meteora"}
        settings |= {f"DEXEXEC_{venue}_CLUSTER": "localnet" for venue in ("RAYDIUM", "METEORA")}
    localnet.fund(str(wallet.pubkey()), "", 9, 10_000 * SOL)
    # On a thread: this process blocks while it starts services, and those send requests through the proxy meanwhile.
    loop = LoopThread()
    proxy = DelayingProxy(localnet.port)
    try:
        loop.start(proxy.open()).result()
        settings["DEXEXEC_LOCALNET_URL"] = proxy.url
        yield Ground(localnet=localnet, proxy=proxy, loop=loop, settings=settings, tokens=tokens)
    finally:
        loop.start(proxy.close()).result()
        loop.close()


def _prepare(servers: BenchServers, ground: Ground) -> None:
    """Trade each pair once, so that the wallet's token accounts and the mocks' vaults exist before the measurement."""
    with servers.sandbox() as sandbox, _service(sandbox, ground) as timer:
        for body in (ORDER, *_cold_orders(ground)):
            _order(sandbox, ground, timer, body)


def _measure(
    servers: BenchServers, profile: Profile, ground: Ground, simulation: SimulationMode
) -> tuple[list[Measured], list[Measured]]:
    """The orders of cold pairs, and those of the warm one."""
    # A database and a process of their own: so no pair but the configured one is warm at first.
    with servers.sandbox() as sandbox, _service(sandbox, ground, DEXEXEC_SIMULATE=simulation.value) as timer:
        # First, so that the cold orders meet a service that runs: blockhash, wallet and programs are in memory.
        _warm_up(sandbox, ground, timer, simulation)
        cold = [_order(sandbox, ground, timer, body) for body in _cold_orders(ground)]
        warm = [_order(sandbox, ground, timer, ORDER) for _ in range(profile.warm_orders)]
        _, landed_twice, with_gaps = sandbox.database.doubles(datetime.fromtimestamp(0, UTC))
    if landed_twice or with_gaps:
        raise BenchError(f"{landed_twice} orders landed twice, {with_gaps} orders with missing events")
    return cold, warm


def _warm_up(sandbox: BenchSandbox, ground: Ground, timer: OrderTimer, simulation: SimulationMode) -> None:
    """Trade the configured pair until it is warm. With the node's simulation every order waits for requests."""
    without = 0
    for count in range(1, MOST_UNMEASURED + 1):
        without = without + 1 if _order(sandbox, ground, timer, ORDER).round_trips == 0 else 0
        if count >= UNMEASURED and (without >= UNMEASURED or simulation is not SimulationMode.LOCAL):
            return


def _add(report: Report, key: str, where: str, orders: Sequence[Measured]) -> None:
    trips = sorted(one.round_trips for one in orders)
    report.add(f"{key}.round_trips", f"{where}: round trips before the first send, p50", percentile(trips, 0.5), "")
    report.add(f"{key}.round_trips_max", f"{where}: round trips before the first send, most", trips[-1], "")
    for name, shown, seconds in (
        ("post", "POST to its answer", [one.to_answer for one in orders]),
        ("send", "POST to first send", [one.to_send for one in orders]),
        ("confirmed", "POST to confirmed", [one.to_confirmed for one in orders]),
    ):
        found = summary(seconds)
        report.add(f"{key}.{name}_p50", f"{where}: {shown}, p50", found["p50"], "ms")
        report.add(f"{key}.{name}_p99", f"{where}: {shown}, p99", found["p99"], "ms")
    # The order with the most round trips explains the others.
    slowest = max(orders, key=lambda one: one.round_trips)
    report.details[key] = {"orders": len(orders), "requestsOfSlowest": list(slowest.methods)}


@contextmanager
def _service(sandbox: BenchSandbox, ground: Ground, **settings: str) -> Iterator[OrderTimer]:
    service = sandbox.service(**ground.settings, **settings)
    timer = OrderTimer(Target.of(service.url))
    try:
        yield timer
    finally:
        ground.loop.start(_closed(timer)).result()
        service.stop()


async def _closed(timer: OrderTimer) -> None:
    timer.close()


def _order(sandbox: BenchSandbox, ground: Ground, timer: OrderTimer, body: bytes) -> Measured:
    """Post an order and wait until it is confirmed. Raises `BenchError`."""
    ground.proxy.forget()
    future = ground.loop.start(timer.measure(body, ORDER_SECONDS))
    sandbox.processes.wait(future.done, 2 * ORDER_SECONDS, "an order to be confirmed")
    times: OrderTimes = future.result()
    requests = list(ground.proxy.requests)
    sent = first_send(requests, times.posted_at, ground.known)
    if sent is None:
        raise BenchError("an order was confirmed without a send through the proxy")
    ground.known.add(sent.payload)
    before = [one for one in requests if times.posted_at <= one.sent_at < sent.sent_at]
    return Measured(
        round_trips=sequential_round_trips(requests, times.posted_at, sent.sent_at),
        to_answer=times.answered_at - times.posted_at,
        to_send=sent.sent_at - times.posted_at,
        to_confirmed=times.confirmed_at - times.posted_at,
        methods=tuple(one.method for one in before),
    )


def _cold_orders(ground: Ground) -> list[bytes]:
    """An order of a pair of its own for each token."""
    order = {"side": "buy", "amount": "0.01", "inputMint": WSOL}
    return [json.dumps({**order, "outputMint": mint}).encode() for mint in ground.tokens]
