"""A warm pool, a cold one and the chain that they are on, as a process with a worker shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dexexec.settlement.solana.warm.report import WarmPool, WarmReport

WARM = WarmPool(
    address="warm pool", cold="", accounts=7, age_slots=2, notifications_per_second=1.234, bytes=4_096
)  # fmt: skip
COLD = replace(WARM, address="cold pool", cold="torn", age_slots=40)
CHAIN = WarmReport(
    cold="",
    node="a.example",
    slot=1_000,
    age_seconds=0.1234,
    watched=20,
    limit=512,
    subscribed=19,
    refused="too many subscriptions",
    notifications_per_second=12.5,
    bytes=20_480,
    from_memory=90,
    from_node=10,
    gaps=1,
    last_gap="the socket was lost",
)


@dataclass
class FakeWarmSource:
    """Shows the same pools for the venue `venue`, and the same chain. `chain` may be replaced."""

    venue: str
    pools_of_venue: Sequence[WarmPool] = (WARM, COLD)
    chain: WarmReport = field(default=CHAIN)

    def pools(self, name: str) -> Sequence[WarmPool]:
        """As `WarmSource`."""
        return self.pools_of_venue if name == self.venue else ()

    def chains(self) -> Mapping[str, WarmReport]:
        """As `WarmSource`."""
        return {"simulated": self.chain}
