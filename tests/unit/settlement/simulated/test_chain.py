"""The simulated chain fails as a real one does, and never lands a swap twice or after its time."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from dexexec.domain import base58
from dexexec.domain.network_cost import NetworkCost
from dexexec.domain.quote import Fill, Mode, SwapRequest
from dexexec.domain.simulated import SimulatedSwap
from dexexec.domain.swap import (
    Accepted,
    Blockhash,
    FailedOnChain,
    Landed,
    NotSeen,
    SignedSwap,
    Unavailable,
    Unknown,
    UnsignedSwap,
    fill_of,
    proves_expiry,
)
from dexexec.settlement.simulated.chain import FINALITY, SLOT_MS, VALID_FOR, SimulatedChain
from dexexec.settlement.simulated.ledger import Landing, LedgerUnavailable, MemoryLedger, Receipt
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.testing.clock import ManualClock
from dexexec.venue import Unreachable
from tests.support.simulated_swaps import simulated_swap

BLOCK = SLOT_MS / 1000
SIGNER = SimulatedSigner()
UNSENT = base58.encode(bytes(range(64)))
SWAP = simulated_swap(payer=SIGNER.payer, landing_ms=1_000)


class DeadLedger:
    """A ledger that cannot be reached."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now

    async def now_ms(self) -> int:
        return self.now()

    async def record(self, landings: Sequence[Landing]) -> list[Receipt]:
        raise LedgerUnavailable("connection refused")

    async def find(self, signatures: Sequence[str]) -> list[Landing | None]:
        raise LedgerUnavailable("connection refused")


class CountingLedger(MemoryLedger):
    """Counts its calls."""

    look_ups = 0

    async def find(self, signatures: Sequence[str]) -> list[Landing | None]:
        self.look_ups += 1
        return await super().find(signatures)


def signed(swap: SimulatedSwap, blockhash: Blockhash) -> SignedSwap:
    return SIGNER.sign(UnsignedSwap(replace(swap, blockhash=blockhash.hash).encode(), blockhash))


def simulated_chain(clock: ManualClock | None = None) -> tuple[ManualClock, MemoryLedger, SimulatedChain]:
    clock = clock or ManualClock()
    ledger = MemoryLedger(clock)
    return clock, ledger, SimulatedChain(ledger)


# ---- time and blocks -----------------------------------------------------------------------------------------------


async def test_blockhashes_follow_from_seed_and_height_alone() -> None:
    clock, _, chain = simulated_chain()
    _, _, twin = simulated_chain()
    first = await chain.blockhash()
    assert first == await twin.blockhash()
    assert first != await SimulatedChain(MemoryLedger(clock), seed="another").blockhash()
    assert len(base58.decode(first.hash)) == 32
    assert first.last_valid_height == clock.unix_ms() // SLOT_MS + VALID_FOR
    clock.advance(BLOCK)
    second = await chain.blockhash()
    assert second.hash != first.hash
    assert second.last_valid_height == first.last_valid_height + 1


async def test_a_swap_lands_when_its_time_has_come_and_not_before() -> None:
    clock, _, chain = simulated_chain()
    swap = signed(SWAP, await chain.blockhash())
    assert await chain.submit(swap) == Accepted()
    lands_at = clock.unix_ms() + SWAP.landing_ms
    clock.advance(0.999)
    assert isinstance((await chain.status([swap.signature]))[0], NotSeen)
    clock.advance(0.001)
    fill = Fill(1_000_000_000, 150_000_000, 5_000, lands_at // SLOT_MS, NetworkCost(base_fee=5_000))
    [landed] = await chain.status([swap.signature])
    assert isinstance(landed, Landed)
    assert landed.finalized
    assert (
        fill_of(
            landed,
            SwapRequest(mint_in=SWAP.mint_in, mint_out=SWAP.mint_out, amount=1, mode=Mode.EXACT_IN, slippage_bps=0),
        )
        == fill
    )


async def test_a_swap_fills_at_the_moved_price_or_fails_past_its_bound() -> None:
    clock, _, chain = simulated_chain()
    blockhash = await chain.blockhash()
    within, past = (signed(replace(SWAP, move_ppm=ppm), blockhash) for ppm in (6_000, 7_000))
    assert await chain.submit(within) == await chain.submit(past) == Accepted()
    clock.advance(1)
    landed, failed = await chain.status([within.signature, past.signature])
    assert isinstance(landed, Landed)
    assert landed.moved[SWAP.mint_out] == 149_100_000
    assert isinstance(failed, FailedOnChain)
    assert (failed.code, failed.fee) == ("slippage", 5_000)


# ---- the same bytes again ------------------------------------------------------------------------------------------


async def test_the_same_bytes_twice_are_one_swap_that_lands_at_the_first_time() -> None:
    clock, ledger, chain = simulated_chain()
    swap = signed(SWAP, await chain.blockhash())
    await chain.submit(swap)
    clock.advance(0.9)
    assert await chain.submit(swap) == Accepted()
    clock.advance(0.1)
    [before] = await chain.status([swap.signature])
    assert isinstance(before, Landed)
    assert await chain.submit(swap) == Accepted()
    clock.advance(1_000)
    assert await chain.submit(swap) == Accepted()
    assert await chain.status([swap.signature]) == [before]
    assert len(ledger) == 1


async def test_a_dropped_swap_is_lost_once_and_lands_after_the_second_send() -> None:
    clock, ledger, chain = simulated_chain()
    swap = signed(replace(SWAP, dropped=True), await chain.blockhash())
    assert await chain.submit(swap) == Accepted()
    clock.advance(10)
    assert isinstance((await chain.status([swap.signature]))[0], NotSeen)
    assert len(ledger) == 0
    assert await chain.submit(swap) == Accepted()
    lands_at = clock.unix_ms() + SWAP.landing_ms
    assert await chain.submit(swap) == Accepted()
    clock.advance(1)
    [status] = await chain.status([swap.signature])
    assert isinstance(status, Landed)
    assert status.slot == lands_at // SLOT_MS


# ---- too late ------------------------------------------------------------------------------------------------------


async def test_a_swap_first_sent_in_its_last_valid_block_is_taken_and_a_millisecond_later_not() -> None:
    end = (VALID_FOR + 1) * BLOCK
    for seconds, answer in ((end - BLOCK, Accepted), (end - 0.001, Accepted), (end, Unknown)):
        clock, ledger, chain = simulated_chain()
        swap = signed(replace(SWAP, landing_ms=0), await chain.blockhash())
        clock.advance(seconds)
        given = await chain.submit(swap)
        assert isinstance(given, answer)
        [status] = await chain.status([swap.signature])
        assert isinstance(status, Landed if answer is Accepted else NotSeen)
        assert len(ledger) == (1 if answer is Accepted else 0)
        if isinstance(given, Unknown):
            assert "expired" in given.detail


async def test_a_swap_that_would_land_past_its_last_valid_height_never_lands() -> None:
    clock, _, chain = simulated_chain()
    swap = signed(replace(SWAP, landing_ms=SLOT_MS * 2), await chain.blockhash())
    clock.advance((VALID_FOR - 1) * BLOCK)
    assert await chain.submit(swap) == Accepted()
    for _ in range(FINALITY + 10):
        clock.advance(BLOCK)
        [status] = await chain.status([swap.signature])
        assert isinstance(status, NotSeen)
    [status] = await chain.status([swap.signature])
    assert isinstance(status, NotSeen)
    assert proves_expiry(status, swap.last_valid_height)


async def test_expiry_is_proven_only_once_the_finalized_height_is_past_the_last_valid_one() -> None:
    clock, _, chain = simulated_chain()
    swap = signed(SWAP, await chain.blockhash())
    clock.advance((VALID_FOR + FINALITY) * BLOCK)
    [status] = await chain.status([swap.signature])
    assert status == NotSeen(
        swap.last_valid_height, history=True, node="simulated", slot=swap.last_valid_height + FINALITY
    )
    assert not proves_expiry(status, swap.last_valid_height)
    clock.advance(BLOCK)
    [status] = await chain.status([swap.signature])
    assert isinstance(status, NotSeen)
    assert proves_expiry(status, swap.last_valid_height)


async def test_not_seen_has_the_height_from_before_the_look_up() -> None:
    clock = ManualClock()

    class SlowLedger(MemoryLedger):
        async def find(self, signatures: Sequence[str]) -> list[Landing | None]:
            found = await super().find(signatures)
            await clock.sleep(500)
            return found

    height = clock.unix_ms() // SLOT_MS
    [status] = await SimulatedChain(SlowLedger(clock)).status([UNSENT])
    assert status == NotSeen(height - FINALITY, history=True, node="simulated", slot=height)


# ---- what it does not take -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe\x00",
        b"null",
        b"[1,2]",
        b'{"venue":"x"}',
        b"[" * 50_000,
        replace(SWAP, amount_in="1").encode(),  # type: ignore[arg-type]
        replace(SWAP, dropped=1).encode(),  # type: ignore[arg-type]
        replace(SWAP, landing_ms=-1).encode(),
        replace(SWAP, amount_out=1.5).encode(),  # type: ignore[arg-type]
        SWAP.encode()[:-1] + b',"more":1}',
    ],
)
async def test_bytes_that_are_not_a_swap_are_not_accepted(payload: bytes) -> None:
    _, ledger, chain = simulated_chain()
    blockhash = await chain.blockhash()
    answer = await chain.submit(SIGNER.sign(UnsignedSwap(payload, blockhash)))
    assert isinstance(answer, Unknown)
    assert "malformed" in answer.detail
    assert len(ledger) == 0


@pytest.mark.parametrize("signature", ["", "not base58: 0OIl", base58.encode(b"short")])
async def test_an_invalid_signature_is_not_taken(signature: str) -> None:
    _, _, chain = simulated_chain()
    swap = replace(signed(SWAP, await chain.blockhash()), signature=signature)
    answer = await chain.submit(swap)
    assert isinstance(answer, Unknown)
    assert "malformed" in answer.detail


async def test_a_blockhash_of_another_chain_is_not_accepted() -> None:
    _, ledger, chain = simulated_chain()
    blockhash = await chain.blockhash()
    other = await SimulatedChain(ledger, seed="another").blockhash()
    stretched = replace(blockhash, last_valid_height=blockhash.last_valid_height + 1)
    for wrong in (other, stretched):
        answer = await chain.submit(signed(SWAP, wrong))
        assert answer == Unknown("the blockhash is not of this chain")
    assert len(ledger) == 0


async def test_an_accepted_swap_stays_accepted_even_with_another_seed() -> None:
    _, ledger, chain = simulated_chain()
    swap = signed(SWAP, await chain.blockhash())
    await chain.submit(swap)
    assert await SimulatedChain(ledger, seed="another").submit(swap) == Accepted()


# ---- what it does not know -----------------------------------------------------------------------------------------


async def test_without_an_answer_of_the_ledger_nothing_is_proven() -> None:
    ledger = DeadLedger(ManualClock().unix_ms)
    chain = SimulatedChain(ledger)
    swap = signed(SWAP, await chain.blockhash())

    def silent() -> int:
        raise LedgerUnavailable("connection refused")

    for now in (ledger.now, silent):
        ledger.now = now
        assert isinstance(await chain.submit(swap), Unknown)
        answers = await chain.status([swap.signature, UNSENT])
        assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
    with pytest.raises(Unreachable) as refused:
        await chain.blockhash()
    assert refused.value.shared, "it is no venue's fault"


async def test_many_signatures_are_one_look_up_answered_in_their_order() -> None:
    clock = ManualClock()
    ledger = CountingLedger(clock)
    chain = SimulatedChain(ledger)
    blockhash = await chain.blockhash()
    first, second = (signed(replace(SWAP, landing_ms=0, amount_out=amount), blockhash) for amount in (2 * 10**8, 10**9))
    await chain.submit(first)
    await chain.submit(second)
    asked = [second.signature, UNSENT, first.signature, second.signature]
    found = await chain.status(asked)
    amounts = [status.moved[SWAP.mint_out] if isinstance(status, Landed) else None for status in found]
    assert amounts == [10**9, None, 2 * 10**8, 10**9]
    assert ledger.look_ups == 1
    assert await chain.status([]) == []


# ---- the signer ----------------------------------------------------------------------------------------------------


async def test_a_signature_is_64_bytes_of_base58_that_message_and_key_decide() -> None:
    _, _, chain = simulated_chain()
    blockhash = await chain.blockhash()
    unsigned = UnsignedSwap(b"message", blockhash)
    one = SIGNER.sign(unsigned)
    assert one == SIGNER.sign(unsigned)
    assert (one.payload, one.last_valid_height) == (b"message", blockhash.last_valid_height)
    assert len(base58.decode(one.signature)) == 64
    assert one.signature != SIGNER.sign(UnsignedSwap(b"message2", blockhash)).signature
    other = SimulatedSigner(b"another wallet")
    assert one.signature != other.sign(unsigned).signature
    assert SIGNER.payer != other.payer
    assert len(base58.decode(SIGNER.payer)) == 32
