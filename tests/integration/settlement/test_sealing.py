"""Sealing on the localnet, with real token accounts: an honest swap is signed and lands, others fail with a reason."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from dexexec.bootstrap.background import running
from dexexec.clock import SystemClock
from dexexec.domain.attempt_id import UNNAMED
from dexexec.domain.funds import PriorityFee
from dexexec.domain.swap import Blockhash, UnsignedSwap
from dexexec.domain.token import WSOL
from dexexec.domain.transaction_bytes import join, split
from dexexec.recovery.own_transactions import read_own
from dexexec.settlement.guard_errors import GuardError, Rule
from dexexec.settlement.simulated.sealer import SimulatedSealer
from dexexec.settlement.simulated.signer import SimulatedSigner
from dexexec.settlement.solana.guard.message_rules import GuardRules
from dexexec.settlement.solana.message import MAX_UNITS, Program, Version, budget, memo, network_fee, priority_fee
from dexexec.settlement.solana.transaction import assemble, compile_message, signature_text
from dexexec.settlement.solana.wallet import Wallet
from dexexec.venue import (
    BadAnswer,
    InsufficientFunds,
    QuoteExpired,
    Slippage,
)
from tests.support.attempts import an_attempt
from tests.support.localnet.in_process import SOL
from tests.support.localnet.sealing_setup import (
    ANY_VERSION,
    FEE,
    HELD,
    OUT,
    PROGRAM,
    SIGNATURES,
    VAULT,
    close_account,
    sealing_setup,
)
from tests.support.localnet.spl_tokens import mint_tokens
from tests.support.localnet.spl_tokens import open_account as open_for
from tests.support.message_versions import version  # noqa: F401 - runs each test once per version
from tests.support.sealers import solana_sealer
from tests.support.swap_transactions import MAX_IN, VERSION, call, message_of, open_account, pay, transfer

pytestmark = pytest.mark.usefixtures("both_ways")


async def test_an_honest_swap_is_sealed_and_lands_when_it_is_sent(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        unsigned = await at.build(*at.honest())
        attempt = an_attempt()
        sealed = await at.sealer().seal(at.venue, at.quote(), unsigned, SystemClock().monotonic() + 60, attempt)
        signed = sealed.signed
        assert await at.net.status(Signature.from_string(signed.signature), search=True) is None, "nothing was sent"
        transaction = VersionedTransaction.from_bytes(signed.payload)
        assert transaction.verify_with_results() == [True, True]
        assert signed.signature == str(transaction.signatures[0]) == signature_text(signed.payload)
        assert signed.last_valid_height == unsigned.blockhash.last_valid_height
        message = message_of(signed.payload)
        assert at.venue.cosign_requests == (split(signed.payload).message,), (
            "the venue signs exactly the message that is sent, once"
        )
        assert message.payer == at.sealer().payer == at.wallet
        assert message.blockhash == unsigned.blockhash.hash
        first = next(step for step in message.instructions if step.program != Program.COMPUTE_BUDGET)
        assert first.program == Program.ASSOCIATED_TOKEN
        assert message.instructions[-1] == memo(attempt.memo(UNNAMED))
        before = await at.net.balance(at.key.pubkey())
        await at.lands(signed)
        assert await at.amount(at.own_account(at.mint_in)) == HELD - MAX_IN
        assert await at.amount(at.own_account(at.mint_out)) == OUT
        assert await at.net.balance(at.key.pubkey()) == before - 2_039_280 - SIGNATURES
        await at.net.advance(2)
        landed = await at.net.rpc("getTransaction", signed.signature, ANY_VERSION)
        assert landed["version"] == VERSION.get()
        used = landed["meta"]["computeUnitsConsumed"]
        assert used * 12 // 10 <= budget(message).limit <= used * 13 // 10 < MAX_UNITS


async def test_a_landed_swap_is_recognised_by_its_bytes(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        attempt, until = an_attempt(), SystemClock().monotonic() + 60
        signed = (await at.sealer().seal(at.venue, at.quote(), await at.build(*at.honest()), until, attempt)).signed
        await at.lands(signed)
        await at.net.advance(40)
        kept = await at.chain.kept_transaction(signed.signature)
        assert kept is not None
        assert kept.payload == signed.payload
        found = read_own(kept.payload, at.wallet, {"pool": frozenset({PROGRAM})})
        assert found is not None
        assert found[0].attempt == attempt
        assert read_own(kept.payload[:-1], at.wallet, {}) is None
        assert read_own(kept.payload, at.vault, {}) is None
        forged = join(split(kept.payload).message, [bytes(64), split(kept.payload).signatures[1]])
        assert read_own(forged, at.wallet, {}) is None


async def test_the_cluster_names_its_fee_per_signature_and_its_rent(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at, running([at.chain.run]):
        assert await at.chain.signature_fee() == FEE
        assert (await at.chain.rent()).exempt(165) == await at.net.rpc("getMinimumBalanceForRentExemption", 165)


async def test_equal_swaps_under_one_blockhash_are_two_transactions(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        one, other = [await at.seal(*at.honest()) for _ in range(2)]
        assert one.signature != other.signature
        assert message_of(one.payload).blockhash == message_of(other.payload).blockhash
        for signed in (one, other):
            await at.lands(signed)
        assert await at.amount(at.own_account(at.mint_out)) == 2 * OUT


async def test_the_priority_fee_is_paid_for_the_limit_and_checked_against_the_cap(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        unsigned, later = await at.build(*at.honest()), SystemClock().monotonic() + 60
        sealed = await at.sealer(priority_fee=1_000_000).seal(at.venue, at.quote(), unsigned, later, an_attempt())
        signed = sealed.signed
        message = message_of(signed.payload)
        assert budget(message).price == 1_000_000
        assert network_fee(message) == SIGNATURES + budget(message).limit
        before = await at.net.balance(at.key.pubkey())
        await at.lands(signed)
        assert await at.net.balance(at.key.pubkey()) == before - 2_039_280 - network_fee(message)
        at.chain.inside = (at.pays(), at.gets(), pay(at.wallet, at.vault, 1))
        with pytest.raises(GuardError, match="1 lamports would go beyond the fee"):
            await at.sealer(priority_fee=1_000_000).seal(
                at.venue, at.quote(), await at.build(*at.calls()), later, an_attempt()
            )
        at.chain.inside = ()
        with pytest.raises(GuardError) as caught:
            await at.sealer(priority_fee=1_000_001).seal(at.venue, at.quote(), unsigned, later, an_attempt())
        assert caught.value.rule is Rule.COMPUTE


async def test_sol_is_wrapped_on_the_way_in_and_unwrapped_on_the_way_out(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        wrapped, pool = at.own_account(WSOL), at.venue_account(WSOL)
        vault = at.venue.key
        await at.net.land([open_for(vault, vault.pubkey(), Pubkey.from_string(WSOL))], vault)
        await at.net.advance(2)
        opens = open_account(at.wallet, at.wallet, WSOL)
        sync, closes = call(Program.TOKEN, b"\x11", wrapped), close_account(wrapped, at.wallet)
        steps = (opens, pay(at.wallet, wrapped, MAX_IN), sync, transfer(wrapped, pool, at.wallet, MAX_IN), closes)
        start = await at.net.balance(at.key.pubkey())
        await at.lands(await at.seal(at.opens(), *steps, at.gets(), quote=at.quote(mint_in=WSOL)))
        paid = start - await at.net.balance(at.key.pubkey())
        assert (paid, await at.amount(pool)) == (MAX_IN + 2_039_280 + SIGNATURES, MAX_IN)
        await at.net.advance(2)
        start = await at.net.balance(at.key.pubkey())
        back = (opens, at.pays(), transfer(pool, wrapped, at.vault, OUT), closes)
        await at.lands(await at.seal(*back, quote=at.quote(mint_out=WSOL)))
        assert await at.net.balance(at.key.pubkey()) == start + OUT - SIGNATURES
        assert (await at.net.client.get_account_info(Pubkey.from_string(wrapped))).value is None


async def test_a_wallet_without_the_tokens_is_reported(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        await at.lands(await at.seal(*at.honest()))
        drain = transfer(at.own_account(at.mint_in), at.venue_account(at.mint_in), at.wallet, HELD - MAX_IN - 99)
        message = compile_message(at.wallet, (drain,), (await at.build()).blockhash.hash)
        signature = Wallet(at.key.secret()).sign(message)
        await at.net.send(VersionedTransaction.from_bytes(assemble(message, [at.wallet], {at.wallet: signature})))
        await at.net.advance(2)
        for quoted in (MAX_IN, 98):  # 98 would be enough, but not for what the order allows and this swap takes
            quote = replace(at.quote(), amount_in=quoted)
            words = f"the wallet {at.wallet[:4]}… holds 99 base units of {at.mint_in}, and 100 are needed"
            with pytest.raises(InsufficientFunds, match=words):
                await at.seal(*at.honest(), quote=quote)


async def test_a_wallet_without_lamports_is_reported(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        for lamports, price in ((0, 0), (890_880, 0), (1_000_000, 0), (2_950_000, 1_000_000)):
            poor = replace(at, key=await at.net.funded(lamports) if lamports else Keypair())
            mint = Pubkey.from_string(at.mint_in)
            await mint_tokens(at.net, at.venue.key, mint, HELD, owner=poor.key.pubkey())
            await at.net.advance(2)
            unsigned, sealer = await poor.build(*poor.honest()), poor.sealer(priority_fee=price)
            with pytest.raises(InsufficientFunds, match=rf"the wallet {poor.wallet[:4]}… holds .+ SOL, and .+ SOL are"):
                await sealer.seal(at.venue, poor.quote(), unsigned, SystemClock().monotonic() + 60, an_attempt())


async def test_what_the_wallet_certainly_lacks_is_reported_before_anything_is_simulated(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        poor = replace(at, key=await at.net.funded(2_900_000))
        await at.net.advance(2)
        steps = (open_account(poor.wallet, poor.wallet, WSOL), pay(poor.wallet, poor.own_account(WSOL), 2 * SOL))
        unsigned, quote = await poor.build(*steps, signers=()), replace(at.quote(mint_in=WSOL), max_in=2 * SOL)
        words = "holds 0.0029 SOL, and 2.00204428 SOL are needed: 2 SOL to swap, 0.00203928 SOL as rent"
        with pytest.raises(InsufficientFunds, match=words):
            await poor.sealer().seal(at.venue, quote, unsigned, SystemClock().monotonic() + 60, an_attempt())
        with pytest.raises(InsufficientFunds, match=f"holds 0 base units of {at.mint_out}, and 100 are needed"):
            await at.seal(*at.calls(), quote=at.quote(at.mint_out, at.mint_in))
        assert at.chain.simulated == 0


@pytest.mark.parametrize("lamports_per_byte", [6_960, 5_080])
async def test_the_price_must_be_there_when_the_fee_is_taken_and_not_only_in_the_end(
    tmp_path: Path, lamports_per_byte: int
) -> None:
    """What is wrapped and not spent comes back in the end, too late for a fee that is taken first. Rent is what the
    cluster takes."""
    rent = (128 + 165) * lamports_per_byte
    async with sealing_setup(tmp_path, lamports_per_byte=lamports_per_byte) as at:
        wrapped = at.own_account(WSOL)
        balance = await at.net.balance(at.key.pubkey())
        all_of_it = balance - SIGNATURES - 2 * rent
        opens, sync = open_account(at.wallet, at.wallet, WSOL), call(Program.TOKEN, b"\x11", wrapped)
        steps = (at.opens(), opens, pay(at.wallet, wrapped, all_of_it), sync, close_account(wrapped, at.wallet))
        later = SystemClock().monotonic() + 60
        unsigned = await at.build(*steps, at.pays(), at.gets())
        await at.sealer().seal(at.venue, at.quote(), unsigned, later, an_attempt())
        with pytest.raises(InsufficientFunds, match="for the network fee"):
            await at.sealer(priority_fee=1_000_000).seal(at.venue, at.quote(), unsigned, later, an_attempt())


async def test_the_price_is_read_for_shared_accounts_and_never_for_our_own(tmp_path: Path) -> None:
    """Else what we paid before were the market that we follow."""
    async with sealing_setup(tmp_path) as at:
        requests: list[Sequence[str]] = []

        async def price(addresses: Sequence[str]) -> PriorityFee:
            requests.append(addresses)
            return PriorityFee(7, 7)

        sealer = solana_sealer(at.chain, Wallet(at.key.secret()), GuardRules(7), SystemClock(), price=price)
        sealed = await sealer.seal(
            at.venue, at.quote(), await at.build(*at.honest()), SystemClock().monotonic() + 60, an_attempt()
        )
        allowed = budget(message_of(sealed.signed.payload))
        assert allowed.priority_fee == priority_fee(allowed.limit, 7) > 0
        [addresses] = requests
        assert {at.vault, at.venue_account(at.mint_in), at.venue_account(at.mint_out)} <= set(addresses)
        assert set(addresses).isdisjoint({at.wallet, at.own_account(at.mint_in), at.own_account(at.mint_out)})


async def test_the_venues_explanation_comes_first_and_its_own_shortage_is_not_the_wallets(tmp_path: Path) -> None:
    # In version 0 the compute unit limit is an instruction too, the first one.
    place = 3 if VERSION.get() is Version.V0 else 2
    async with sealing_setup(tmp_path) as at:
        steps = (at.opens(), at.pays(), at.gets(VAULT + 1))
        with pytest.raises(
            BadAnswer, match=rf"instruction {place} of the transaction would fail: custom program error: 0x1"
        ):
            await at.seal(*steps)
        [failure] = at.venue.failures
        assert (failure.index, failure.program, failure.custom) == (place, Program.TOKEN, 1)
        at.venue.means = Slippage("the price moved")
        with pytest.raises(Slippage, match="the price moved"):
            await at.seal(*steps)
        assert at.venue.cosign_requests == ()


async def test_past_the_deadline_nothing_is_signed(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        with pytest.raises(QuoteExpired):
            await at.sealer().seal(
                at.venue, at.quote(), await at.build(*at.honest()), SystemClock().monotonic(), an_attempt()
            )
        assert at.venue.cosign_requests == ()


# Signatures


async def test_a_venue_that_does_not_sign_for_itself_is_a_bad_answer(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        other = compile_message(at.wallet, at.honest(), (await at.build()).blockhash.hash)
        for given in (
            {},
            {at.vault: bytes(64)},
            {at.vault: b""},
            {at.vault: bytes(at.venue.key.sign_message(other))},
            {at.vault: bytes(at.key.sign_message(other)), at.wallet: bytes(64)},
        ):
            at.venue.instead = given
            with pytest.raises(BadAnswer, match=f"no valid signature of {at.vault}"):
                await at.seal(*at.honest())


async def test_a_venue_that_need_not_sign_gets_no_message_to_sign(tmp_path: Path) -> None:
    """Its program signs for its vault by itself."""
    async with sealing_setup(tmp_path) as at:
        at.chain.inside = (at.pays(), at.gets())
        given = (
            at.own_account(at.mint_in),
            at.own_account(at.mint_out),
            at.venue_account(at.mint_in),
            at.venue_account(at.mint_out),
        )
        steps = (at.opens(), call(PROGRAM, b"", at.wallet, *given, signers=[at.wallet]))
        signed = await at.seal(*steps)
        assert (len(split(signed.payload).signatures), at.venue.cosign_requests) == (1, ())


async def test_what_is_built_for_another_network_is_a_bad_answer(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        built = await at.build(*at.honest())
        finished = UnsignedSwap(b"message", built.blockhash)
        with pytest.raises(BadAnswer, match="pool built a finished message"):
            await at.sealer().seal(at.venue, at.quote(), finished, 0, an_attempt())
        simulated = SimulatedSealer(SimulatedSigner(), guarded=False)
        with pytest.raises(BadAnswer, match="pool built instructions"):
            await simulated.seal(at.venue, at.quote(), built, 0, an_attempt())
        sealed = await simulated.seal(at.venue, at.quote(), finished, 0, an_attempt())
        assert sealed.signed == SimulatedSigner().sign(finished)
        assert simulated.payer == SimulatedSigner().payer


async def test_instructions_that_make_no_sense_are_a_bad_answer(tmp_path: Path) -> None:
    async with sealing_setup(tmp_path) as at:
        with pytest.raises(BadAnswer, match="cannot be compiled"):
            await at.seal(call("nowhere", b""))
        broken = replace(await at.build(*at.honest()), blockhash=Blockhash("broken", 1))
        with pytest.raises(BadAnswer, match="cannot be compiled"):
            await at.sealer().seal(at.venue, at.quote(), broken, 0, an_attempt())
