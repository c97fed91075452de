"""Jupiter's program and the pools' own: what is realised is what the API quoted, and nothing else moves."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.domain.swap import Landed, fill_of
from dexexec.domain.token import USDC, WSOL
from dexexec.venue import BadAnswer, Slippage
from dexexec_adapters.jupiter.route import ARGUMENTS, LAST_MARKET, ROUTE, check_plan
from dexexec_adapters.jupiter.venue import Jupiter
from tests.programs import dumps
from tests.programs.jupiter_localnet import JupiterLocalnet, jupiter_localnet
from tests.programs.tokens import PEPE, TOKENS, WORTH, key
from tests.support.jupiter_server import PROGRAM
from tests.support.service.process import say

pytestmark = dumps.needs("raydium", "meteora", "jupiter")
SWAPS = 40


@pytest.mark.timeout(0)
@pytest.mark.gen_test(timeout=3_600)
async def test_every_swap_of_a_route_realises_its_quote(tmp_path: Path, seed: int, runs: int) -> None:
    counts: Counter[str] = Counter()
    tables: Counter[str] = Counter()
    chance = Random(seed)
    async with jupiter_localnet(tmp_path / "ledger", seed) as jupiter:
        on = jupiter.on
        venues = [jupiter.venue(), jupiter.venue(shared_accounts=False)]
        await venues[0].prepare()
        before = on.balances()
        fees = 0
        for _ in range(SWAPS * runs):
            on.skip(chance.choice([0.4, 1, 15]))
            mint_in, mint_out = chance.sample([token.mint for token in TOKENS], 2)
            # From a hundredth of a dollar to a hundred thousand.
            amount = int(10 ** chance.uniform(4, 11)) * 10**6 // WORTH[mint_in]
            request = SwapRequest(
                mint_in=mint_in,
                mint_out=mint_out,
                amount=amount,
                mode=Mode.EXACT_IN,
                slippage_bps=chance.choice([0, 50]),
            )
            venue = chance.choice(venues)
            quote = await venue.quote(request, on.clock.monotonic() + 10)
            fees += await realised(jupiter, venue, quote, tables)
            way = "to SOL" if mint_out == WSOL else "SOL to" if mint_in == WSOL else "SPL"
            counts[f"{len(quote.route)} hops {way}"] += 1
            tables["by Jupiter's accounts" if venue is venues[0] else "by the wallet's, if direct"] += 1
        total = on.balances()
        total[WSOL] += fees
        assert total == before, "a token appeared, or vanished"
        for venue in venues:
            await venue.aclose()
    assert {"with tables", "without"} < set(tables)
    kinds = {**dict(sorted(counts.items())), **tables}
    say(f"jupiter, seed {seed}: {counts.total()} swaps equal to their quotes: {kinds}")


async def realised(jupiter: JupiterLocalnet, venue: Jupiter, quote: Quote, counts: Counter[str]) -> int:
    """Settle a quote, which must be what both the chain's record and the wallet then show; lamports of fees."""
    on = jupiter.on
    held = on.held()
    signed = await on.seal(venue, quote)
    status = await on.settle(signed)
    assert isinstance(status, Landed), status
    message = VersionedTransaction.from_bytes(signed.payload).message
    assert isinstance(message, MessageV0)
    counts["with tables" if message.address_table_lookups else "without"] += 1
    fill = fill_of(status, quote.request)
    assert (fill.amount_in, fill.amount_out) == (quote.amount_in, quote.amount_out)
    moved = on.held().since(held)
    expected = {quote.request.mint_in: -quote.amount_in, quote.request.mint_out: quote.amount_out}
    expected[WSOL] = expected.get(WSOL, 0) - status.fee
    assert moved == expected
    return status.fee


async def test_a_price_that_moves_between_quote_and_swap_is_refused(tmp_path: Path, seed: int) -> None:
    """The bound inside the instruction is the order's, to the unit: what the pool pays less by one is too little."""
    async with jupiter_localnet(tmp_path / "ledger", seed) as jupiter:
        on = jupiter.on
        venue = jupiter.venue(only_direct_routes=True)
        request = SwapRequest(mint_in=USDC, mint_out=PEPE.mint, amount=10**8, mode=Mode.EXACT_IN, slippage_bps=0)
        quote = await venue.quote(request, on.clock.monotonic() + 10)
        exact = await on.simulate(venue, quote)
        assert exact.amount_out == quote.amount_out == quote.min_out
        tighter = replace(quote, min_out=quote.min_out + 1)
        with pytest.raises(Slippage, match="past the order's bound"):
            await on.simulate(venue, tighter)
        await venue.aclose()


def test_the_parameters_of_markets_are_as_long_as_the_program_reads_them(seed: int) -> None:
    """The program's decoder accepts a route exactly where this one does, so nothing hides behind its end."""
    decoder = Decoder()
    chance = Random(seed)
    known = 0
    for market in range(LAST_MARKET + 1):
        for size in range(24):
            # Zeros and ones are values of every kind of parameter. A list of as many slices would not fit.
            for fill in (0, 1):
                step = bytes([market]) + bytes([fill]) * size + bytes([100, 0, 1])
                known += agree(decoder, step)
    for count in (0, 1, 2, 5):
        slices = count.to_bytes(4, "little") + bytes(chance.choice((0, 1)) for _ in range(2 * count))
        for content in (b"\0\0", b"\x01\x01" + slices, b"\0\x01" + slices, slices):
            for market in (47, 75):
                known += agree(decoder, bytes([market]) + content + bytes([100, 0, 1]))
    say(f"jupiter: {known} routes of {LAST_MARKET + 1} markets end where the program ends them")
    assert known > LAST_MARKET


def agree(decoder: "Decoder", step: bytes) -> bool:
    """Whether both take the step as a whole route, with the arguments directly behind it."""
    plan = (1).to_bytes(4, "little") + step
    try:
        check_plan(plan)
    except BadAnswer:
        accepted = False
    else:
        accepted = True
    data = ROUTE + plan + ARGUMENTS.pack(1, 1, 0, 0)
    takes, takes_less = decoder.takes(data), decoder.takes(data[:-1])
    # With a byte less, the program would have ended the route earlier, and read its bounds there.
    assert not (accepted and takes_less), step.hex()
    assert accepted or not takes or takes_less, step.hex()
    return accepted and takes


class Decoder:
    """Jupiter's program, of which only the decoding of its instruction is tried."""

    def __init__(self) -> None:
        self._svm = LiteSVM().with_sigverify(False).with_blockhash_check(False)
        self._svm.add_program(key(PROGRAM), dumps.elf(PROGRAM))
        self._payer = Keypair()
        self._svm.airdrop(self._payer.pubkey(), 10**12)

    def takes(self, data: bytes) -> bool:
        """Whether the program can decode its arguments; it then fails for its accounts."""
        step = Instruction(key(PROGRAM), data, [AccountMeta(key(PROGRAM), False, False)] * 9)
        message = MessageV0.try_compile(self._payer.pubkey(), [step], [], Hash.default())
        result = self._svm.simulate_transaction(VersionedTransaction.populate(message, [Signature.default()]))
        assert isinstance(result, FailedTransactionMetadata)
        return "BorshIoError" not in str(result.err())
