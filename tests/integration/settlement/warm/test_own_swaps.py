"""Promise 16 with balances from memory: what a swap of the wallet took is seen, or reserved, by the next order."""

from collections.abc import Mapping
from pathlib import Path

from dexexec.domain.funds import LAMPORTS, Reserved, reserved_at
from dexexec.domain.token import KNOWN, WSOL, Tokens
from dexexec.settlement.solana.signature_fee import assumed
from dexexec.settlement.solana.spendable import BalanceReader
from dexexec.settlement.solana.warm.warm_chain import WarmChain
from tests.support.localnet.in_process import SOL, pay
from tests.support.localnet.warm_setup import CONFIRMED_AFTER, WarmSetup, warm_setup
from tests.support.sealers import chain_rent
from tests.support.waiting import until

TOOK = 3 * SOL
FEE = 10_000


def reader(setup: WarmSetup, attempts: list[Reserved]) -> BalanceReader:
    """Reads the balances of `left`, whose attempts are on record."""

    async def reserved(wallet: str, slot: int) -> Mapping[str, int]:
        return reserved_at(slot, attempts)

    return BalanceReader(
        WarmChain(setup.chain, accounts=setup.watch.accounts),
        setup.addresses[0],
        setup.clock,
        reserved=reserved,
        max_priority_fee=0,
        spend_wrapped=True,
        tokens=Tokens(KNOWN),
        rent=chain_rent,
        signature_fee=assumed,
        node=setup.chain,
    )


async def test_promise_16_what_a_landed_swap_took_is_not_spendable_before_memory_shows_it(tmp_path: Path) -> None:
    async with warm_setup(tmp_path) as setup:
        attempts: list[Reserved] = []
        balances = reader(setup, attempts)
        # The token accounts of the first read become warm too.
        while True:
            before = await balances.spendable(WSOL)
            if setup.listener.reads[-1]:
                break
            await setup.slot()
        # The swap lands, and its outcome is on record, while the node's notifications are late.
        await setup.net.set_faults(notifications={"delay": 5})
        await setup.net.land([pay(setup.left, setup.right.pubkey(), TOOK)], setup.left)
        landed = setup.net.ledger.blocks.tip.slot
        for _ in range(CONFIRMED_AFTER):
            await setup.slot()
        attempts.append(Reserved(landed, {LAMPORTS: TOOK + FEE}))
        at_once = await balances.spendable(WSOL)
        assert setup.listener.reads[-1], "memory was read first"
        assert setup.watch.report().slot < landed, "it does not have the swap yet"
        assert at_once.slot >= landed, "so a node was read"
        assert at_once.available == before.available - TOOK - FEE // 2
        await setup.net.set_faults()
        await setup.slot()
        await until(lambda: setup.watch.report().slot >= landed)
        later = await balances.spendable(WSOL)
        assert later.slot >= landed
        assert later.available == before.available - TOOK - FEE // 2, "one signature; nothing counts twice"
