"""Token accounts and mints of both token programs, as far as a pool's adapter has to look at them.

Layouts: SPL Token `state.rs` (account: mint 0, owner 32, amount 64, state 108, 165 bytes; mint: supply 36, decimals 44,
initialized 45, 82 bytes). Token-2022 appends extensions: the account's kind at 165 (mint 1, token account 2), then per
extension a type and a length of 16 bits each and the data; a mint is filled up with zeros to 165 first.
"""

from struct import unpack_from

from dexexec.domain import base58
from dexexec.domain.solana import Account
from dexexec.venue import BadAnswer, Unsupported
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022

ACCOUNT_SIZE, MINT_SIZE = 165, 82
MINT_KIND, ACCOUNT_KIND = 1, 2
INITIALIZED, FROZEN = 1, 2
HARMLESS = frozenset({3, 10, 18, 19, 20, 21, 22, 23, 25})
"""Extensions of a mint that leave what a transfer moves alone: who may close it once there is no supply, interest and
scale for display, metadata, groups."""
HARMFUL = {
    1: "TransferFeeConfig",
    4: "ConfidentialTransferMint",
    6: "DefaultAccountState",
    9: "NonTransferable",
    12: "PermanentDelegate",
    14: "TransferHook",
    16: "ConfidentialTransferFeeConfig",
    24: "ConfidentialMintBurn",
    26: "Pausable",
}
"""The names of others, for the refusal. The list of those that are let pass is the closed one."""


def read_amount(address: str, account: Account | None, *, program: str, mint: str, owner: str) -> int:
    """Base units in the token account at `address`, which must be one of the token program `program` for `mint` that
    belongs to `owner`. Raises `BadAnswer` for anything else, `Unsupported` for a frozen one."""
    data = _of_program(address, account, program)
    extended = len(data) > ACCOUNT_SIZE and program == TOKEN_2022 and data[ACCOUNT_SIZE] == ACCOUNT_KIND
    if len(data) != ACCOUNT_SIZE and not extended:
        raise BadAnswer(f"{address} is not a token account: {len(data)} bytes")
    if base58.encode(data[:32]) != mint or base58.encode(data[32:64]) != owner:
        raise BadAnswer(f"the token account {address} is of another mint or owner than its pool says")
    if data[108] == FROZEN:
        raise Unsupported(f"the token account {address} is frozen")
    if data[108] != INITIALIZED:
        raise BadAnswer(f"the token account {address} is not initialized")
    return int.from_bytes(data[64:72], "little")


def check_mint(address: str, account: Account | None, *, program: str) -> None:
    """Raises `Unsupported` for a mint whose transfers do not simply move what they say, naming its extension, and
    `BadAnswer` for what is no mint of the token program `program`."""
    data = _of_program(address, account, program)
    extended = len(data) > ACCOUNT_SIZE and program == TOKEN_2022 and data[ACCOUNT_SIZE] == MINT_KIND
    if (len(data) != MINT_SIZE and not extended) or data[45] != 1:
        raise BadAnswer(f"{address} is not a mint, or not initialized: {len(data)} bytes")
    for kind in _extensions(address, data[ACCOUNT_SIZE + 1 :]):
        if kind not in HARMLESS:
            name = HARMFUL.get(kind, f"number {kind}")
            raise Unsupported(f"the mint {address} has the Token-2022 extension {name}, which is not supported")


def _of_program(address: str, account: Account | None, program: str) -> bytes:
    if program not in (TOKEN, TOKEN_2022):
        raise BadAnswer(f"{program} is not a token program")
    if account is None:
        raise BadAnswer(f"there is no account {address}")
    if account.owner != program:
        raise BadAnswer(f"{address} belongs to {account.owner}, not to the token program {program}")
    return account.data


def _extensions(address: str, data: bytes) -> list[int]:
    """The types of a mint's extensions, in order; 0 marks the end."""
    found, at = [], 0
    while at + 2 <= len(data):
        (kind,) = unpack_from("<H", data, at)
        if kind == 0:
            break
        if at + 4 > len(data):
            raise BadAnswer(f"the extensions of the mint {address} are cut off")
        (size,) = unpack_from("<H", data, at + 2)
        at += 4 + size
        if at > len(data):
            raise BadAnswer(f"the extensions of the mint {address} are cut off")
        found.append(kind)
    return found
