"""The key ring: what is accepted, for how long without Postgres, and how often keys are read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import CapturingLogger

from dexexec.access.key_ring import TRUSTED_SECONDS, USE_SECONDS, Accepted, KeyRing, Refusal, Refused
from dexexec.domain.api_key import Scope
from dexexec.domain.api_token import parse_token
from dexexec.errors import UnavailableError
from dexexec.observe.observer import Observer
from dexexec.testing.clock import ManualClock
from tests.support.fakes.keys import MemoryKeys
from tests.support.parts import running
from tests.support.waiting import until


@asynccontextmanager
async def ring_of(keys: MemoryKeys) -> AsyncIterator[KeyRing]:
    ring = KeyRing(keys, keys.clock, Observer(CapturingLogger()))
    await ring.read()
    async with running(ring.run()):
        yield ring


def wrong(token: str) -> str:
    """The same id with another secret."""
    return token[:-1] + ("A" if token[-1] != "A" else "B")


async def test_a_key_is_found_with_its_scopes_and_its_secret() -> None:
    keys = MemoryKeys(ManualClock())
    token = keys.create("desk", Scope.READ)
    async with ring_of(keys) as ring:
        found = await ring.identify(token)
        assert isinstance(found, Accepted)
        assert (found.key.name, found.key.scopes, found.key.owner) == ("desk", frozenset({Scope.READ}), 1)
        assert ring.is_valid(found.secret_id)


async def test_a_key_that_was_made_a_moment_ago_is_accepted_at_once() -> None:
    keys = MemoryKeys(ManualClock())
    async with ring_of(keys) as ring:
        assert not ring.has_valid()
        assert isinstance(await ring.identify(keys.create("new")), Accepted)
        assert ring.has_valid()


async def test_every_refusal_has_its_reason_for_the_log() -> None:
    clock = ManualClock()
    keys = MemoryKeys(clock)
    good, gone, short, old = (keys.create("good"), keys.create("gone"), keys.create("short", expires_in=5), "")
    old = keys.create("turned")
    keys.rotate("turned", keep=5)
    keys.revoke("gone")
    clock.advance(6)
    unknown = MemoryKeys(clock).create("elsewhere")
    async with ring_of(keys) as ring:
        assert await ring.identify("dx_short") == Refused(Refusal.MALFORMED)
        assert await ring.identify(unknown) == Refused(Refusal.UNKNOWN)
        assert await ring.identify(wrong(good)) == Refused(Refusal.WRONG, "good")
        assert await ring.identify(gone) == Refused(Refusal.REVOKED, "gone")
        assert await ring.identify(short) == Refused(Refusal.EXPIRED, "short")
        assert await ring.identify(old) == Refused(Refusal.REPLACED, "turned")


async def test_both_secrets_of_a_rotated_key_work_until_the_former_one_ends() -> None:
    clock = ManualClock()
    keys = MemoryKeys(clock)
    former = keys.create("desk")
    async with ring_of(keys) as ring:
        latter = keys.rotate("desk", keep=10)
        first, second = await ring.identify(former), await ring.identify(latter)
        assert isinstance(first, Accepted)
        assert isinstance(second, Accepted)
        assert first.key.owner == second.key.owner
        await until(lambda: ring.is_valid(second.secret_id))
        await ring.read()
        clock.advance(10)
        assert not ring.is_valid(first.secret_id)
        assert ring.is_valid(second.secret_id)


async def test_a_key_ends_at_its_time_although_postgres_is_away() -> None:
    clock = ManualClock()
    keys = MemoryKeys(clock)
    token = keys.create("desk", expires_in=10)
    async with ring_of(keys) as ring:
        found = await ring.identify(token)
        assert isinstance(found, Accepted)
        keys.down = True
        clock.advance(9.9)
        assert ring.is_valid(found.secret_id)
        clock.advance(0.1)
        assert not ring.is_valid(found.secret_id)


async def test_without_postgres_keys_are_believed_for_a_minute_and_then_nobody_is_refused() -> None:
    clock = ManualClock()
    keys = MemoryKeys(clock)
    token = keys.create("desk")
    async with ring_of(keys) as ring:
        keys.down = True
        assert isinstance(await ring.identify(token), Accepted)
        with pytest.raises(UnavailableError):  # it may have been made a moment ago
            await ring.identify(wrong(token))
        clock.advance(TRUSTED_SECONDS + 1)
        with pytest.raises(UnavailableError):
            await ring.identify(token)
        keys.down = False
        await ring.read()
        assert isinstance(await ring.identify(token), Accepted)


async def test_a_revoked_key_and_one_that_was_deleted_end_with_the_next_read() -> None:
    keys = MemoryKeys(ManualClock())
    tokens = [keys.create("revoked"), keys.create("deleted")]
    async with ring_of(keys) as ring:
        found = [await ring.identify(token) for token in tokens]
        keys.revoke("revoked")
        keys.forget("deleted")
        await ring.read()
        for one in found:
            assert isinstance(one, Accepted)
            assert not ring.is_valid(one.secret_id)


async def test_a_thousand_guesses_share_a_few_reads() -> None:
    keys = MemoryKeys(ManualClock())
    strangers = MemoryKeys(keys.clock)
    guesses = [strangers.create(str(number)) for number in range(1_000)]
    async with ring_of(keys) as ring:
        before = keys.reads
        answers = await asyncio.gather(*map(ring.identify, guesses))
        assert set(answers) == {Refused(Refusal.UNKNOWN)}
        assert keys.reads - before <= 3


async def test_the_first_use_of_a_secret_is_written_at_once_and_later_ones_now_and_then() -> None:
    clock = ManualClock()
    keys = MemoryKeys(clock)
    text = keys.create("desk")
    token = parse_token(text)
    assert token is not None
    async with ring_of(keys) as ring:
        await ring.identify(text)
        await until(lambda: token.id in keys.used)
        first = keys.used[token.id]
        clock.advance(USE_SECONDS / 2)
        await ring.identify(text)
        reads = keys.reads
        await until(lambda: keys.reads > reads + 1)
        assert keys.used[token.id] == first
        clock.advance(USE_SECONDS / 2)
        await until(lambda: keys.used[token.id] == first + USE_SECONDS / 2)
