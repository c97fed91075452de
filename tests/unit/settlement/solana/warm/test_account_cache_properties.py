"""A node may report, drop, repeat or delay anything: what is answered from memory is what the chain had.

A small chain of three accounts, with a node in front of it that misbehaves at random. Each answer from memory is
compared with the chain as of the answer's slot.
"""

import random
from dataclasses import dataclass, field

import pytest

from dexexec.domain.solana import Account
from dexexec.settlement.solana.warm.account_cache import AccountCache, CacheLimits, Cold
from dexexec.settlement.solana.warm.slot_stream import StreamGapError

ADDRESSES = ("a", "b", "c")
LIMITS = CacheLimits(stale_slots=8, stale_seconds=1.6)
SLOT_SECONDS = 0.2
Notification = tuple[str, int, Account]
CLOCK = "clock"


def value(number: int) -> Account:
    return Account("owner", 1, number.to_bytes(8, "little"))


@dataclass
class Chain:
    """The state at the end of each slot, and the notifications that an honest node sends for it."""

    rng: random.Random
    slot: int = 1_000
    counter: int = 0
    states: dict[int, dict[str, Account]] = field(default_factory=dict)

    def make_block(self) -> list[Notification]:
        skipped = self.rng.choice((0, 0, 0, 2))
        state = dict(self.states[self.slot]) if self.states else {address: value(0) for address in ADDRESSES}
        for _ in range(skipped):
            self.slot += 1
            self.states[self.slot] = dict(state)
        self.slot += 1
        changed = [address for address in ADDRESSES if self.rng.random() < 0.4]
        for address in changed:
            self.counter += 1
            state[address] = value(self.counter)
        self.states[self.slot] = state
        sent = [(address, self.slot, state[address]) for address in changed]
        sent.append((CLOCK, self.slot, value(self.slot)))
        self.rng.shuffle(sent)
        return sent


@dataclass
class Driver:
    """Does with a cache what the watch does: subscribes, reads, and begins anew after a gap."""

    chain: Chain
    rng: random.Random
    cache: AccountCache = field(default_factory=AccountCache)
    dropped_at: dict[str, int] = field(default_factory=dict)
    delayed: list[list[Notification]] = field(default_factory=list)
    sent: list[Notification] = field(default_factory=list)
    answers: int = 0

    @property
    def now(self) -> float:
        return self.chain.slot * SLOT_SECONDS

    def deliver(self, batch: list[Notification]) -> None:
        for address, slot, account in batch:
            try:
                if address == CLOCK:
                    self.cache.clock(slot, self.now, LIMITS)
                elif address not in self.dropped_at:
                    self.cache.report(address, slot, account, self.now)
            except StreamGapError:
                self.cache.gap()
        self.sent += batch

    def catch_up(self) -> None:
        for late in self.delayed:
            self.deliver(late)
        self.delayed.clear()

    def read(self) -> None:
        """A read of some slot up to the newest; then what it showed to be missed is subscribed again."""
        slot = max(min(self.chain.states), self.chain.slot - self.rng.choice((0, 0, 1, 3)))
        self.cache.read(self.chain.states[slot], slot, self.cache.stream.newest, LIMITS.stale_slots)
        missed = self.cache.take_missed()
        if missed:
            # The reply to a subscription is part of the stream: what was delayed comes before it.
            self.catch_up()
        for address in missed:
            self.dropped_at.pop(address, None)
            self.cache.subscribed(address)

    def check(self) -> None:
        chosen = self.rng.sample(ADDRESSES, self.rng.randint(1, 3))
        found = self.cache.snapshot(chosen, self.now, LIMITS)
        if isinstance(found, Cold):
            return
        self.answers += 1
        for address, account in zip(chosen, found.found, strict=True):
            # Each change has a new number, so a value shows when it was true. Only a subscription that was dropped
            # without a sign may leave an old one, and for a limited time.
            oldest = max(found.slot - (LIMITS.stale_slots if address in self.dropped_at else 0), min(self.chain.states))
            true_lately = [self.chain.states[slot][address] for slot in range(oldest, found.slot + 1)]
            assert account in true_lately, f"{address} of slot {found.slot}"


def begin(seed: int) -> Driver:
    rng = random.Random(seed)
    driver = Driver(Chain(rng), rng)
    for address in ADDRESSES:
        driver.cache.add(address)
        driver.cache.subscribed(address)
    return driver


@pytest.mark.parametrize("seed", range(40))
def test_an_honest_node_is_answered_from_memory_nearly_always(seed: int) -> None:
    driver = begin(seed)
    for round_ in range(120):
        driver.deliver(driver.chain.make_block())
        if round_ % 3 == 0:
            driver.read()
        driver.check()
    assert driver.answers > 100


@pytest.mark.parametrize("seed", range(60))
def test_no_misbehaviour_of_a_node_brings_an_old_value(seed: int) -> None:
    driver = begin(1_000 + seed)
    rng = driver.rng
    for _ in range(150):
        batch = driver.chain.make_block()
        match rng.choice(("honest", "honest", "honest", "delay", "repeat", "drop", "lose", "disconnect")):
            case "delay":
                driver.delayed.append(batch)
                batch = []
            case "repeat" if driver.sent:
                begins = rng.randrange(len(driver.sent))
                batch = [*driver.sent[begins : begins + 5], *batch]
            case "drop":
                driver.dropped_at.setdefault(rng.choice(ADDRESSES), driver.chain.slot)
            case "lose":
                batch = []
                for address in ADDRESSES:
                    driver.dropped_at.setdefault(address, driver.chain.slot - 1)
            case "disconnect":
                driver.cache.disconnected()
                driver.dropped_at.clear()
                driver.delayed.clear()
                for address in ADDRESSES:
                    driver.cache.subscribed(address)
        if batch:
            driver.catch_up()
            driver.deliver(batch)
        if rng.random() < 0.5:
            driver.read()
        driver.check()


@pytest.mark.parametrize("seed", range(20))
def test_a_cache_recovers_when_its_node_behaves_again(seed: int) -> None:
    driver = begin(2_000 + seed)
    rng = driver.rng
    for _ in range(30):
        batch = driver.chain.make_block()
        rng.shuffle(batch)
        driver.deliver([*rng.choices(driver.sent or batch, k=2), *batch])
        driver.dropped_at.setdefault(rng.choice(ADDRESSES), driver.chain.slot)
    for _ in range(60):
        driver.deliver(driver.chain.make_block())
        driver.read()
    assert not isinstance(driver.cache.snapshot(ADDRESSES, driver.now, LIMITS), Cold)
