"""Ports for servers that need a known one, or that come back to the same one after they were down.

They are below the range from which the system gives ports to clients, and to servers with port 0: between two
starts no other process gets them. Each worker of a parallel run has a separate range.
"""

import itertools
import os
import random
import socket

FIRST, SIZE, RANGES = 11_000, 2_500, 4
"""A node of a Redis Cluster also takes the port 10,000 above its own, which is still below 32,768."""

_RANGE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % RANGES
_offsets = itertools.count(random.randrange(SIZE))  # anywhere, for the sake of other runs on this machine


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens, all different."""
    ports: list[int] = []
    while len(ports) < count:
        port = FIRST + _RANGE * SIZE + next(_offsets) % SIZE
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
    return ports


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]
