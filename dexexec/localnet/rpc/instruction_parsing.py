"""Reads the instructions of well-known programs for `jsonParsed`, in the form of an Agave node. Pure.

What is not known here, and what is damaged, is shown with its accounts and bytes, as by a node.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from solders.pubkey import Pubkey

from dexexec.domain import base58
from dexexec.localnet.rpc.encoding import PROGRAMS, amount_body

SYSTEM = "11111111111111111111111111111111"
ASSOCIATED_PROGRAM = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"
MEMOS = ("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo", "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
TOKENS = frozenset(map(str, PROGRAMS))
KEY_BYTES = 32
U64_BYTES = 8


class _Data:
    """The bytes of an instruction, read from the front. Raises `ValueError` where they end too early."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def take(self, size: int) -> bytes:
        if len(self._rest) < size:
            raise ValueError("the data end too early")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def u8(self) -> int:
        return self.take(1)[0]

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def u64(self) -> int:
        return int.from_bytes(self.take(U64_BYTES), "little")

    def key(self) -> str:
        return str(Pubkey(self.take(KEY_BYTES)))

    def optional_key(self, name: str) -> dict[str, str]:
        return {name: self.key()} if self.u8() else {}


Fields = Callable[[_Data], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Kind:
    """An instruction: its type, the names of its accounts, and what is in its data. With `signs` the last account is an
    authority, or a multisig whose signers follow."""

    type: str
    accounts: tuple[str, ...]
    fields: Fields = lambda _: {}
    signs: bool = False

    def parsed(self, data: _Data, accounts: Sequence[str]) -> dict[str, Any]:
        if len(accounts) < len(self.accounts):
            raise ValueError("accounts are missing")
        info: dict[str, Any] = dict(zip(self.accounts, accounts, strict=False))
        signers = list(accounts[len(self.accounts) :])
        if self.signs and signers:
            authority = self.accounts[-1]
            info[f"multisig{authority[0].upper()}{authority[1:]}"] = info.pop(authority)
            info["signers"] = signers
        return {"type": self.type, "info": {**info, **self.fields(data)}}


def _amount(data: _Data) -> Mapping[str, Any]:
    return {"amount": str(data.u64())}


def _token_amount(data: _Data) -> Mapping[str, Any]:
    amount = data.u64()
    return {"tokenAmount": amount_body(amount, data.u8())}


def _new_mint(data: _Data) -> Mapping[str, Any]:
    return {"decimals": data.u8(), "mintAuthority": data.key(), **data.optional_key("freezeAuthority")}


SYSTEM_KINDS = {
    0: _Kind(
        "createAccount",
        ("source", "newAccount"),
        lambda data: {"lamports": data.u64(), "space": data.u64(), "owner": data.key()},
    ),
    1: _Kind("assign", ("account",), lambda data: {"owner": data.key()}),
    2: _Kind("transfer", ("source", "destination"), lambda data: {"lamports": data.u64()}),
    8: _Kind("allocate", ("account",), lambda data: {"space": data.u64()}),
}
TOKEN_KINDS = {
    0: _Kind("initializeMint", ("mint", "rentSysvar"), _new_mint),
    1: _Kind("initializeAccount", ("account", "mint", "owner", "rentSysvar")),
    3: _Kind("transfer", ("source", "destination", "authority"), _amount, signs=True),
    4: _Kind("approve", ("source", "delegate", "owner"), _amount, signs=True),
    5: _Kind("revoke", ("source", "owner"), signs=True),
    7: _Kind("mintTo", ("mint", "account", "mintAuthority"), _amount, signs=True),
    8: _Kind("burn", ("account", "mint", "authority"), _amount, signs=True),
    9: _Kind("closeAccount", ("account", "destination", "owner"), signs=True),
    10: _Kind("freezeAccount", ("account", "mint", "freezeAuthority"), signs=True),
    11: _Kind("thawAccount", ("account", "mint", "freezeAuthority"), signs=True),
    12: _Kind("transferChecked", ("source", "mint", "destination", "authority"), _token_amount, signs=True),
    13: _Kind("approveChecked", ("source", "mint", "delegate", "owner"), _token_amount, signs=True),
    14: _Kind("mintToChecked", ("mint", "account", "mintAuthority"), _token_amount, signs=True),
    15: _Kind("burnChecked", ("account", "mint", "authority"), _token_amount, signs=True),
    16: _Kind("initializeAccount2", ("account", "mint", "rentSysvar"), lambda data: {"owner": data.key()}),
    17: _Kind("syncNative", ("account",)),
    18: _Kind("initializeAccount3", ("account", "mint"), lambda data: {"owner": data.key()}),
    20: _Kind("initializeMint2", ("mint",), _new_mint),
    21: _Kind("getAccountDataSize", ("mint",)),
    22: _Kind("initializeImmutableOwner", ("account",)),
}
ASSOCIATED_ACCOUNTS = ("source", "account", "wallet", "mint", "systemProgram", "tokenProgram")
ASSOCIATED_KINDS = {0: _Kind("create", ASSOCIATED_ACCOUNTS), 1: _Kind("createIdempotent", ASSOCIATED_ACCOUNTS)}


def instruction_body(program: str, accounts: Sequence[str], data: bytes, stack_height: int) -> dict[str, Any]:
    """An instruction: parsed if its program is known here, else partly decoded."""
    try:
        found = _parsed(program, accounts, data)
    except (ValueError, KeyError):
        found = None
    body = found or {"accounts": list(accounts), "data": base58.encode(data)}
    return {**body, "programId": program, "stackHeight": stack_height}


def _parsed(program: str, accounts: Sequence[str], data: bytes) -> dict[str, Any] | None:
    fields = _Data(data)
    if program in MEMOS:
        return {"program": "spl-memo", "parsed": data.decode()}
    if program == SYSTEM:
        return {"program": "system", "parsed": SYSTEM_KINDS[fields.u32()].parsed(fields, accounts)}
    if program in TOKENS:
        return {"program": "spl-token", "parsed": TOKEN_KINDS[fields.u8()].parsed(fields, accounts)}
    if program == ASSOCIATED_PROGRAM:
        # The first version of the program had one instruction, without any data.
        kind = ASSOCIATED_KINDS[fields.u8() if data else 0]
        return {"program": "spl-associated-token-account", "parsed": kind.parsed(fields, accounts)}
    return None
