"""Balances of token accounts, and extensions of mints, for both token programs.

The layouts are those of SPL Token's `state.rs`. Token-2022 appends extensions at byte 165: the kind of account, then
for each extension its type and length (16 bits each) and its data. A mint is padded with zeros to 165 bytes first.
"""

from struct import unpack_from
from typing import NamedTuple

from dexexec.domain import base58
from dexexec.domain.solana import Account
from dexexec.venue import BadAnswer, Unsupported
from dexexec_adapters.solana.spl import ACCOUNT_SIZE, TOKEN, TOKEN_2022
from dexexec_adapters.solana.transfer_fees import CONFIG_SIZE, TransferFees, read_config

MINT_SIZE = 82

# Kinds of extended accounts (byte 165).
MINT_KIND = 1
ACCOUNT_KIND = 2

# States of a token account (byte 108).
INITIALIZED = 1
FROZEN = 2

TRANSFER_FEE = 1
"""The extension TransferFeeConfig of a mint."""

SUPPORTED_EXTENSIONS = frozenset({3, 10, 18, 19, 20, 21, 22, 23, 25})
"""Extensions of a mint that do not change what a transfer moves: the close authority, interest and scale for display,
metadata and groups."""
UNSUPPORTED_NAMES = {
    4: "ConfidentialTransferMint",
    6: "DefaultAccountState",
    9: "NonTransferable",
    12: "PermanentDelegate",
    14: "TransferHook",
    16: "ConfidentialTransferFeeConfig",
    24: "ConfidentialMintBurn",
    26: "Pausable",
}
"""Names of other extensions, for the error message. An extension that is in neither list is not supported."""


class MintRules(NamedTuple):
    """What a mint allows: the holders of its authorities (None: revoked), and the highest fee of a transfer, in bps."""

    decimals: int
    mint_authority: str | None
    freeze_authority: str | None
    transfer_fee_bps: int


def read_amount(address: str, account: Account | None, *, program: str, mint: str, owner: str) -> int:
    """The balance (base units) of the token account of `owner` for `mint` under the token program `program`.

    Raises `BadAnswer` for any other account, `Unsupported` for a frozen one.
    """
    data = _of_program(address, account, program)
    extended = len(data) > ACCOUNT_SIZE and program == TOKEN_2022 and data[ACCOUNT_SIZE] == ACCOUNT_KIND
    if len(data) != ACCOUNT_SIZE and not extended:
        raise BadAnswer(f"{address} is not a token account: {len(data)} bytes")
    if base58.encode(data[:32]) != mint or base58.encode(data[32:64]) != owner:
        raise BadAnswer(f"the token account {address} is of another mint or owner than the pool's account")
    if data[108] == FROZEN:
        raise Unsupported(f"the token account {address} is frozen")
    if data[108] != INITIALIZED:
        raise BadAnswer(f"the token account {address} is not initialized")
    return int.from_bytes(data[64:72], "little")


def check_mint(address: str, account: Account | None, *, program: str) -> TransferFees | None:
    """Check that transfers of a mint move exactly their amount, less the transfer fee that is returned, or None.

    Raises `Unsupported` with the name of an extension that prevents this, and `BadAnswer` for an account that is not a
    mint of the token program `program`.
    """
    fees = None
    for kind, body in _extensions(address, _mint_data(address, account, program)[ACCOUNT_SIZE + 1 :]):
        # An allow-list: an extension that is added to the token program later must not pass unseen.
        if kind == TRANSFER_FEE:
            fees = _transfer_fees(address, body)
        elif kind not in SUPPORTED_EXTENSIONS:
            name = UNSUPPORTED_NAMES.get(kind, f"number {kind}")
            raise Unsupported(f"the mint {address} has the Token-2022 extension {name}, which is not supported")
    return fees


def read_mint(address: str, account: Account | None, *, program: str) -> MintRules:
    """The rules of a mint of the token program `program`. Raises `BadAnswer` for an account that is not one."""
    data = _mint_data(address, account, program)
    extensions = _extensions(address, data[ACCOUNT_SIZE + 1 :])
    fees = [_transfer_fees(address, body) for kind, body in extensions if kind == TRANSFER_FEE]
    return MintRules(
        decimals=data[44],
        mint_authority=_authority(data[:36]),
        freeze_authority=_authority(data[46:82]),
        # The newer fee may apply only from a later epoch on, but a swap may land in it: so the higher one counts.
        transfer_fee_bps=max((max(fee.older.bps, fee.newer.bps) for fee in fees), default=0),
    )


def _mint_data(address: str, account: Account | None, program: str) -> bytes:
    data = _of_program(address, account, program)
    extended = len(data) > ACCOUNT_SIZE and program == TOKEN_2022 and data[ACCOUNT_SIZE] == MINT_KIND
    if (len(data) != MINT_SIZE and not extended) or data[45] != 1:
        raise BadAnswer(f"{address} is not a mint, or not initialized: {len(data)} bytes")
    return data


def _authority(data: bytes) -> str | None:
    """An optional address: 32 bits that are 0 for none, and the address."""
    return base58.encode(data[4:36]) if int.from_bytes(data[:4], "little") else None


def _transfer_fees(address: str, config: bytes) -> TransferFees:
    if len(config) != CONFIG_SIZE:
        raise BadAnswer(f"the transfer fee of the mint {address} has {len(config)} bytes instead of {CONFIG_SIZE}")
    try:
        return read_config(config)
    except ValueError as error:
        raise BadAnswer(f"the mint {address}: {error}") from error


def _of_program(address: str, account: Account | None, program: str) -> bytes:
    if program not in (TOKEN, TOKEN_2022):
        raise BadAnswer(f"{program} is not a token program")
    if account is None:
        raise BadAnswer(f"there is no account {address}")
    if account.owner != program:
        raise BadAnswer(f"{address} belongs to {account.owner}, not to the token program {program}")
    return account.data


def _extensions(address: str, data: bytes) -> list[tuple[int, bytes]]:
    """The types and bodies of a mint's extensions, in order. Type 0 marks the end."""
    extensions = []
    at = 0
    while at + 2 <= len(data):
        (kind,) = unpack_from("<H", data, at)
        if kind == 0:
            break
        if at + 4 > len(data):
            raise BadAnswer(f"the extensions of the mint {address} are cut off")
        (size,) = unpack_from("<H", data, at + 2)
        body = data[at + 4 : at + 4 + size]
        if len(body) != size:
            raise BadAnswer(f"the extensions of the mint {address} are cut off")
        extensions.append((kind, body))
        at += 4 + size
    return extensions
