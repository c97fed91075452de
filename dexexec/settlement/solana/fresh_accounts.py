"""Reads accounts again at a later slot, since a decision that ends an order must not rest on one lagging node."""

from collections.abc import Sequence

from dexexec.clock import Clock
from dexexec.domain.solana import Accounts
from dexexec.venue import SolanaChain

FRESHER_SLOTS = 4
"""Slots by which a second read of balances must be newer to confirm that they are too low."""
FRESHER_PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds between these reads. A cluster advances by enough slots in that time, a chain without new blocks does not."""


async def fresher_accounts(chain: SolanaChain, clock: Clock, addresses: Sequence[str], slot: int) -> Accounts:
    """Returns the accounts as of `FRESHER_SLOTS` after `slot`, if the node gets there soon; otherwise as they are."""
    accounts = await chain.accounts(addresses)
    for pause in FRESHER_PAUSES:
        if accounts.slot >= slot + FRESHER_SLOTS:
            break
        await clock.sleep(pause)
        accounts = await chain.accounts(addresses)
    return accounts
