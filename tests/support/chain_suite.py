"""The contract of a chain, as settlement needs it. A chain joins by a `Harness`; see `test_chains.py`."""

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from dexexec.domain import base58
from dexexec.domain.swap import (
    Accepted,
    FailedOnChain,
    Landed,
    NotSeen,
    SignedSwap,
    SwapStatus,
    proves_expiry,
)
from dexexec.venue import Chain

VALID_FOR = 150
"""Blocks on top of its own for which a blockhash can be used."""
FINALITY = 32
"""Blocks on top of a block that make it final."""


class Harness(Protocol):
    """A chain with a wallet that has enough, and its time in a test's hand."""

    @property
    def chain(self) -> Chain: ...

    @property
    def moves(self) -> Mapping[str, int]:
        """What each good swap moves for the wallet."""

    @property
    def fee(self) -> int:
        """Lamports that each swap costs."""

    async def swap(self, *, good: bool = True) -> SignedSwap:
        """A swap of its own with the chain's newest blockhash, not sent. One that is not good fails when it lands."""

    async def pass_blocks(self, count: int) -> None:
        """So many blocks are made, and nothing else happens."""

    async def executions(self) -> int:
        """How many swaps the chain has taken in, good or not."""


def unknown() -> str:
    return base58.encode(secrets.token_bytes(64))


async def look(harness: Harness, swap: SignedSwap, *, history: bool = False) -> SwapStatus:
    [status] = await harness.chain.status([swap.signature], history=history)
    return status


async def landed(harness: Harness, swap: SignedSwap) -> Landed:
    status = await look(harness, swap)
    assert isinstance(status, Landed), status
    return status


async def unseen(harness: Harness, swap: SignedSwap, *, history: bool = False) -> NotSeen:
    status = await look(harness, swap, history=history)
    assert isinstance(status, NotSeen), status
    return status


class ChainRules(ABC):
    """The rules, as tests."""

    @abstractmethod
    def open(self, folder: Path) -> AbstractAsyncContextManager[Harness]:
        """A new chain."""

    async def test_a_blockhash_comes_with_its_own_last_valid_height(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as harness:
            first = await harness.chain.blockhash()
            assert len(base58.decode(first.hash)) == 32
            assert await harness.chain.blockhash() == first
            await harness.pass_blocks(3)
            second = await harness.chain.blockhash()
            assert second.hash != first.hash
            assert second.last_valid_height == first.last_valid_height + 3

    async def test_concurrent_callers_get_the_same_blockhash(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as harness:
            found = await asyncio.gather(*(harness.chain.blockhash() for _ in range(20)))
            assert len(set(found)) == 1

    async def test_a_swap_that_was_sent_lands_with_what_it_moved_and_becomes_final(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as harness:
            swap = await harness.swap()
            assert await harness.chain.submit(swap) == Accepted()
            await harness.pass_blocks(2)
            status = await landed(harness, swap)
            assert (status.moved, status.fee) == (harness.moves, harness.fee)
            await harness.pass_blocks(FINALITY)
            assert await look(harness, swap) == replace(status, finalized=True)

    async def test_the_same_bytes_are_one_swap_however_often_they_are_sent(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as harness:
            swap = await harness.swap()
            before = await harness.executions()
            assert await harness.chain.submit(swap) == Accepted()
            assert await harness.chain.submit(swap) == Accepted()
            await harness.pass_blocks(2)
            status = await landed(harness, swap)
            assert await harness.chain.submit(swap) == Accepted()
            assert await harness.chain.submit(swap) == Accepted()
            await harness.pass_blocks(2)
            assert (await landed(harness, swap)).slot == status.slot
            assert await harness.executions() == before + 1

    async def test_a_signature_that_was_never_sent_is_not_seen(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as harness:
            await harness.pass_blocks(FINALITY + 5)
            swap = await harness.swap()
            recent, searched = await unseen(harness, swap), await unseen(harness, swap, history=True)
            assert searched.history
            assert recent.height == searched.height
            assert recent.height <= swap.last_valid_height - VALID_FOR, "it is the finalized height"
            assert searched.node
            assert searched.slot >= searched.height

    async def test_what_is_no_signature_is_not_known(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as harness:
            for text in ("", "0OIl", base58.encode(b"short")):
                [status] = await harness.chain.status([text], history=True)
                assert not isinstance(status, Landed | FailedOnChain)

    async def test_statuses_come_in_the_order_of_the_request_and_doubled_ones_twice(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as harness:
            good, bad, unsent = await harness.swap(), await harness.swap(good=False), await harness.swap()
            await harness.chain.submit(good)
            await harness.chain.submit(bad)
            await harness.pass_blocks(2)
            asked = [unsent, good, bad, good, unsent]
            for history in (False, True):
                found = await harness.chain.status([one.signature for one in asked], history=history)
                assert [type(one) for one in found] == [NotSeen, Landed, FailedOnChain, Landed, NotSeen]
                assert found[1] == found[3]
            assert await harness.chain.status([]) == []

    async def test_concurrent_callers_get_their_own_answers(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as harness:
            good, bad = await harness.swap(), await harness.swap(good=False)
            await harness.chain.submit(good)
            await harness.chain.submit(bad)
            await harness.pass_blocks(2)
            asked = [good.signature, unknown(), bad.signature] * 20
            found = await asyncio.gather(*(harness.chain.status([one]) for one in asked))
            assert [type(status) for [status] in found] == [Landed, NotSeen, FailedOnChain] * 20

    async def test_a_swap_that_fails_when_it_lands_costs_its_fee_once(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as harness:
            swap = await harness.swap(good=False)
            before = await harness.executions()
            for _ in range(2):
                assert await harness.chain.submit(swap) == Accepted()
            await harness.pass_blocks(2)
            status = await look(harness, swap)
            assert isinstance(status, FailedOnChain)
            assert status.fee == harness.fee
            assert status.code
            assert status.detail
            await harness.pass_blocks(FINALITY)
            assert await look(harness, swap) == replace(status, finalized=True)
            assert await harness.executions() == before + 1

    async def test_expiry_is_proven_past_the_last_valid_height_and_no_block_earlier(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as harness:
            await harness.pass_blocks(FINALITY + 5)
            swap = await harness.swap()
            status = await unseen(harness, swap, history=True)
            await harness.pass_blocks(swap.last_valid_height - status.height)
            status = await unseen(harness, swap, history=True)
            assert status.height == swap.last_valid_height
            assert not proves_expiry(status, swap.last_valid_height)
            await harness.pass_blocks(1)
            assert proves_expiry(await unseen(harness, swap, history=True), swap.last_valid_height)

    async def test_what_is_proven_expired_never_lands(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as harness:
            swap = await harness.swap()
            before = await harness.executions()
            await harness.pass_blocks(VALID_FOR + FINALITY + 5)
            assert proves_expiry(await unseen(harness, swap, history=True), swap.last_valid_height)
            await harness.chain.submit(swap)
            await harness.chain.submit(swap)
            await harness.pass_blocks(5)
            await unseen(harness, swap, history=True)
            assert await harness.executions() == before

    async def test_what_landed_is_found_in_the_history_however_old_it_is(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as harness:
            good, bad = await harness.swap(), await harness.swap(good=False)
            await harness.chain.submit(good)
            await harness.chain.submit(bad)
            await harness.pass_blocks(2)
            [fill, failure] = await harness.chain.status([good.signature, bad.signature])
            assert isinstance(fill, Landed)
            assert isinstance(failure, FailedOnChain)
            await harness.pass_blocks(400)
            found = await harness.chain.status([good.signature, bad.signature], history=True)
            assert found == [replace(fill, finalized=True), replace(failure, finalized=True)]

    async def test_not_being_seen_recently_never_proves_that_what_landed_is_expired(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as harness:
            swap = await harness.swap()
            await harness.chain.submit(swap)
            await harness.pass_blocks(400)
            status = await look(harness, swap)
            assert isinstance(status, Landed) or not proves_expiry(status, swap.last_valid_height)  # type: ignore[arg-type]
