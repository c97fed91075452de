"""A route of Jupiter's as plain values, of which a test changes one: quote and instructions as the API writes them."""

from base64 import b64encode
from typing import Any

from dexexec.domain.quote import Mode, SwapRequest
from dexexec.domain.solana import AccountMeta, Instruction
from dexexec.domain.token import USDC, WSOL
from dexexec_adapters.jupiter.route import ARGUMENTS, ROUTE, SHARED_ACCOUNTS_ROUTE, Swap
from dexexec_adapters.solana.clusters import JUPITER_V6
from dexexec_adapters.solana.keys import token_account
from dexexec_adapters.solana.spl import TOKEN, create_associated_idempotent
from tests.support.swap_transactions import address

PROGRAM = JUPITER_V6["mainnet-beta"].program
PAYER, POOL, POOL_PROGRAM, AUTHORITY = (
    address(f"jupiter {name}") for name in ("payer", "pool", "program", "authority")
)
SOURCE, TARGET = token_account(PAYER, WSOL), token_account(PAYER, USDC)
REQUEST = SwapRequest(mint_in=WSOL, mint_out=USDC, amount=1_000_000, mode=Mode.EXACT_IN, slippage_bps=50)
QUOTED = 125_630
SWAP = Swap(payer=PAYER, source=SOURCE, target=TARGET, amount_in=REQUEST.amount, min_out=125_001, hands_on=True)
PLAIN = (1).to_bytes(4, "little") + bytes([46, 100, 0, 1])
"""A route through one market without parameters."""


def quote_answer(**changes: Any) -> dict[str, Any]:
    """The answer to `REQUEST`, in the form of the example in Jupiter's reference of `/swap-instructions`."""
    info = {
        "ammKey": POOL,
        "label": "Obric V2",
        "inputMint": WSOL,
        "outputMint": USDC,
        "inAmount": "1000000",
        "outAmount": "125630",
        "feeAmount": "5",
        "feeMint": USDC,
    }
    answer = {
        "inputMint": WSOL,
        "inAmount": "1000000",
        "outputMint": USDC,
        "outAmount": str(QUOTED),
        "otherAmountThreshold": "125002",
        "swapMode": "ExactIn",
        "slippageBps": 50,
        "platformFee": None,
        "priceImpactPct": "0.0001",
        "routePlan": [{"swapInfo": info, "percent": 100}],
        "contextSlot": 324307186,
        "timeTaken": 0.012,
    }
    return {**answer, **changes}


def route(plan: bytes = PLAIN, *more: AccountMeta, arguments: bytes = b"", swap: Swap = SWAP) -> Instruction:
    """The instruction `route` through `POOL`, with the API's own bounds."""
    metas = [
        AccountMeta(TOKEN),
        AccountMeta(swap.payer, signer=True),
        AccountMeta(swap.source.address, writable=True),
        AccountMeta(swap.target.address, writable=True),
        *map(AccountMeta, (PROGRAM, swap.target.mint, PROGRAM, address("events"), PROGRAM, POOL_PROGRAM)),
        AccountMeta(POOL, writable=True),
        *more,
    ]
    return Instruction(PROGRAM, tuple(metas), ROUTE + plan + (arguments or ARGUMENTS.pack(1_000_000, QUOTED, 50, 0)))


def shared_route(plan: bytes = PLAIN) -> Instruction:
    """The instruction `shared_accounts_route` through `POOL`."""
    held = [address(f"authority's {mint}") for mint in (WSOL, USDC)]
    metas = [
        *map(AccountMeta, (TOKEN, AUTHORITY)),
        AccountMeta(PAYER, signer=True),
        *(AccountMeta(at, writable=True) for at in (SOURCE.address, *held, TARGET.address)),
        *map(AccountMeta, (WSOL, USDC, PROGRAM, PROGRAM, address("events"), PROGRAM, POOL_PROGRAM)),
        AccountMeta(POOL, writable=True),
    ]
    data = SHARED_ACCOUNTS_ROUTE + b"\x01" + plan + ARGUMENTS.pack(1_000_000, QUOTED, 50, 0)
    return Instruction(PROGRAM, tuple(metas), data)


def as_json(step: Instruction) -> dict[str, Any]:
    """An instruction as the API writes it."""
    accounts = [{"pubkey": one.address, "isSigner": one.signer, "isWritable": one.writable} for one in step.accounts]
    return {"programId": step.program, "accounts": accounts, "data": b64encode(step.data).decode()}


def instructions_answer(**changes: Any) -> dict[str, Any]:
    """The answer of `/swap-instructions`."""
    setup = [create_associated_idempotent(PAYER, one.address, PAYER, one.mint) for one in (SOURCE, TARGET)]
    answer = {
        "tokenLedgerInstruction": None,
        "computeBudgetInstructions": [],
        "setupInstructions": [as_json(step) for step in setup],
        "swapInstruction": as_json(route()),
        "cleanupInstruction": None,
        "otherInstructions": [],
        "addressLookupTableAddresses": [address("table")],
    }
    return {**answer, **changes}
