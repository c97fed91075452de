"""What a seed determines before the scenario begins."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """`faults` are blows per second, `strikes` the share of failpoints that strike, `trouble` the share of requests
    that go wrong on the network, `venue_trouble` that of quotes and builds. `forks` is the share of landings that a
    fork undoes, None for the simulated chain, which has none; `recent` is for how many slots a node remembers a
    signature without its history. `max_claims` make an order poison. `heartbeat` and `sweep` in seconds, as `quoting`:
    how long venues may take. `together`: the API process is a worker as well, which knows what it accepted. `lies`
    is the share of one more venue's answers that is false; 0: there is no such venue. `promotions`: how often a standby
    is promoted that lacks the last commits."""

    workers: int
    orders: int
    fault_seconds: float
    faults: float
    strikes: float
    trouble: float
    venue_trouble: float
    forks: float | None
    recent: int
    max_claims: int
    heartbeat: float
    sweep: float
    quoting: float
    together: bool
    lies: float = 0.0
    promotions: int = 0

    @classmethod
    def draw(cls, rng: random.Random) -> "Plan":
        """Some scenarios have few faults, so that rare paths without faults run, too."""
        return cls(
            workers=rng.randint(1, 3),
            orders=rng.randint(2, 6),
            fault_seconds=rng.uniform(3, 12),
            faults=rng.choice((0, 0.3, 1, 2)),
            strikes=rng.choice((0, 0.005, 0.02, 0.06)),
            trouble=rng.choice((0, 0.01, 0.05)),
            venue_trouble=rng.choice((0, 0.1, 0.3)),
            forks=rng.choice((None, 0.1, 0.4)),
            recent=rng.choice((10, 150)),
            max_claims=rng.choice((3, 50)),
            heartbeat=rng.choice((0.5, 1.4)),
            sweep=rng.choice((0.4, 1.2)),
            quoting=rng.choice((0.5, 2.5)),
            together=rng.choice((False, True)),
            lies=rng.choice((0, 0.2, 0.7)),
            promotions=rng.choice((0, 0, 1, 2)),
        )
