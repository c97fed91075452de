"""What the programs refuse between a quote and its swap, and the reason that the adapters then give."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from solders.account import Account as SolanaAccount
from solders.keypair import Keypair

from dexexec.clock import SystemClock
from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.solana import Account, Accounts
from dexexec.domain.swap import Landed
from dexexec.domain.token import USDC, WSOL
from dexexec.settlement.solana.rpc import Localnet
from dexexec.venue import NoRoute, Slippage
from tests.programs import dumps
from tests.programs.localnet import ProgramsLocalnet, programs_localnet
from tests.programs.market import fund
from tests.programs.test_adapters import KINDS
from tests.programs.tokens import key
from tests.support.localnet.rpc_chains import RecordingListener, open_chain
from tests.support.raydium_accounts import address, patched

pytestmark = dumps.needed

STATUS = {"raydium": (329, b"\4"), "meteora": (481, b"\1")}
"""The field that marks a pool as disabled, and its value."""
CLOSED = {"raydium": "closed", "meteora": "disabled"}
CLONE = address(77)


class StaleChain(Localnet):
    """A node that still shows some account as it was."""

    shown: tuple[str, bytes] = ("", b"")

    async def accounts(self, addresses: Sequence[str]) -> Accounts:
        """As they are, but for one."""
        answer = await super().accounts(addresses)
        place, data = self.shown
        found = zip(addresses, answer.found, strict=True)
        return Accounts(answer.slot, tuple(
            Account(one.owner, one.lamports, data) if one and at == place else one for at, one in found
        ))  # fmt: skip


def pool_data(on: ProgramsLocalnet, name: str) -> bytes:
    """The account of some pool of SOL and USDC."""
    pool = next(pool for pool in on.market.pools if pool.venue == name and set(pool.mints) == {WSOL, USDC})
    account = on.net.ledger.account(key(pool.address), on.net.ledger.blocks.tip)
    assert account is not None
    return bytes(account.data)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("name", KINDS)
async def test_a_pool_that_was_disabled_after_it_was_quoted_is_reported(
    tmp_path: Path, name: str, mode: Mode, seed: int
) -> None:
    async with programs_localnet(tmp_path / "ledger", seed, (WSOL, USDC)) as on:
        data, program = pool_data(on, name), key(dumps.PROGRAMS[name])
        disabled = SolanaAccount(10**8, patched(data, STATUS[name]), program)
        on.net.ledger.add_accounts([(key(CLONE), disabled)])
        on.pass_slots()
        async with open_chain(StaleChain([on.net.url], SystemClock(), RecordingListener())) as chain:
            chain.shown = (CLONE, data)
            venue = on.venue(KINDS[name], chain=chain, pools=(CLONE,))
            quote = await venue.quote(
                SwapRequest(mint_in=WSOL, mint_out=USDC, amount=10**8, mode=mode, slippage_bps=50),
                on.clock.monotonic() + 10,
            )
            with pytest.raises(NoRoute, match=CLOSED[name]):
                await on.seal(venue, quote)
            await venue.aclose()


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("way", [(WSOL, USDC), (USDC, WSOL)], ids=["sell", "buy"])
@pytest.mark.parametrize("name", KINDS)
async def test_a_price_that_moved_past_the_bound_is_slippage(
    tmp_path: Path, name: str, way: tuple[str, str], mode: Mode, seed: int
) -> None:
    async with programs_localnet(tmp_path / "ledger", seed, (WSOL, USDC)) as on:
        pool = next(pool for pool in on.market.pools if pool.venue == name and set(pool.mints) == {WSOL, USDC})
        venue = on.venue(KINDS[name], pools=(pool.address,))
        request = SwapRequest(mint_in=way[0], mint_out=way[1], amount=10**8, mode=mode, slippage_bps=10)
        quote = await venue.quote(request, on.clock.monotonic() + 10)
        other = Keypair()
        await fund(on.net.url, other.pubkey())
        on.pass_slots()
        mover = on.with_wallet(other)
        large = replace(request, amount=pool.reserve(way[0]) // 50, mode=Mode.EXACT_IN, slippage_bps=50)
        moved = await mover.seal(venue, await venue.quote(large, on.clock.monotonic() + 10))
        assert isinstance(await on.settle(moved), Landed)
        with pytest.raises(Slippage):
            await on.seal(venue, quote)
        await venue.aclose()
