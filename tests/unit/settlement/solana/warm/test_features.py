"""Which features a cluster has activated, and as of which epoch."""

from collections.abc import Sequence

import pytest

from dexexec.domain.solana import Account, Accounts
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.warm.features import CLOCK, PAGE, active_features, epoch_of, read_features
from dexexec.venue import BadAnswer, Unreachable

OWNER = "Feature111111111111111111111111111111111111"
ACTIVE = Account(OWNER, 1, b"\x01" + (77).to_bytes(8, "little"))


def clock(epoch: int) -> Account:
    return Account(
        "Sysvar1111111111111111111111111111111111111", 1, bytes(16) + epoch.to_bytes(8, "little") + bytes(16)
    )


class Cluster:
    """A node that shows some features; each request has the next of its epochs."""

    def __init__(self, active: Sequence[int], epochs: Sequence[int]) -> None:
        self.active = active
        self.epochs = list(epochs)
        self.requests: list[Sequence[str]] = []

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        self.requests.append(addresses)
        assert addresses[-1] == CLOCK
        seen = sum(len(one) - 1 for one in self.requests[:-1])
        found = [ACTIVE if seen + number in self.active else None for number in range(len(addresses) - 1)]
        epoch = self.epochs.pop(0) if len(self.epochs) > 1 else self.epochs[0]
        return Accounts(1, (*found, clock(epoch)))


async def test_all_features_are_read_that_the_library_knows() -> None:
    cluster = Cluster([0, PAGE, 250], [5])
    features = await read_features(cluster)
    named = [address for request in cluster.requests for address in request[:-1]]
    assert len(named) == len(set(named)) > 250
    assert (features.epoch, dict(features.active)) == (5, {named[0]: 77, named[PAGE]: 77, named[250]: 77})


async def test_features_of_two_epochs_are_not_mixed() -> None:
    with pytest.raises(Unreachable, match="new epoch"):
        await read_features(Cluster([], [5, 6]))


@pytest.mark.parametrize(
    "account",
    [
        None,
        Account(OWNER, 1, b"\0" + bytes(8)),
        Account(OWNER, 1, b""),
        Account(OWNER, 1, b"\x01"),
        Account(Program.SYSTEM, 1, ACTIVE.data),
    ],
)
def test_what_is_not_active_is_off(account: Account | None) -> None:
    assert active_features({"feature": account}) == {}


@pytest.mark.parametrize("account", [None, Account(OWNER, 1, bytes(23))])
def test_a_node_without_a_clock_is_not_believed(account: Account | None) -> None:
    with pytest.raises(BadAnswer):
        epoch_of(account)
