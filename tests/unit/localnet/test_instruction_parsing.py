"""The instructions of well-known programs, as `jsonParsed` shows them."""

from typing import Any

import pytest
from solders.pubkey import Pubkey
from solders.system_program import (
    CreateAccountParams,
    TransferParams,
    create_account,
    transfer,
)

from dexexec.localnet.rpc.encoding import TOKEN, TOKEN_2022
from dexexec.localnet.rpc.instruction_parsing import ASSOCIATED_PROGRAM, MEMOS, SYSTEM, instruction_body

A, B, C, D = (Pubkey([number] * 32) for number in range(1, 5))
KEYS = [str(key) for key in (A, B, C, D)]
AMOUNT = (1_500_000).to_bytes(8, "little")
UI_AMOUNT = {"amount": "1500000", "decimals": 6, "uiAmount": 1.5, "uiAmountString": "1.5"}


def parsed(program: object, accounts: list[str], data: bytes) -> Any:
    body = instruction_body(str(program), accounts, data, 1)
    assert (body["programId"], body["stackHeight"]) == (str(program), 1)
    return body.get("parsed")


def test_system_instructions_have_the_names_of_a_node() -> None:
    sent = transfer(TransferParams(from_pubkey=A, to_pubkey=B, lamports=7))
    body = instruction_body(SYSTEM, KEYS[:2], sent.data, 2)
    info = {"source": str(A), "destination": str(B), "lamports": 7}
    assert (body["program"], body["parsed"], body["stackHeight"]) == ("system", {"type": "transfer", "info": info}, 2)
    made = create_account(CreateAccountParams(from_pubkey=A, to_pubkey=B, lamports=5, space=165, owner=TOKEN))
    info = {"source": str(A), "newAccount": str(B), "lamports": 5, "space": 165, "owner": str(TOKEN)}
    assert parsed(SYSTEM, KEYS[:2], made.data) == {"type": "createAccount", "info": info}


@pytest.mark.parametrize("program", [TOKEN, TOKEN_2022])
def test_token_instructions_have_amounts_and_authorities(program: Pubkey) -> None:
    a, b, c, d = KEYS
    assert parsed(program, [a, b, c], b"\x03" + AMOUNT) == {
        "type": "transfer",
        "info": {"source": a, "destination": b, "authority": c, "amount": "1500000"},
    }
    assert parsed(program, KEYS, b"\x0c" + AMOUNT + b"\x06") == {
        "type": "transferChecked",
        "info": {"source": a, "mint": b, "destination": c, "authority": d, "tokenAmount": UI_AMOUNT},
    }
    assert parsed(program, [a, b, c, d], b"\x09")["info"] == {
        "account": a,
        "destination": b,
        "multisigOwner": c,
        "signers": [d],
    }
    minted = parsed(program, [a], b"\x14\x06" + bytes(B) + b"\x01" + bytes(C))
    assert minted["info"] == {"mint": a, "decimals": 6, "mintAuthority": b, "freezeAuthority": c}
    assert "freezeAuthority" not in parsed(program, [a], b"\x14\x06" + bytes(B) + b"\x00")["info"]


def test_associated_accounts_and_memos_are_read() -> None:
    names = ("source", "account", "wallet", "mint", "systemProgram", "tokenProgram")
    accounts = [*KEYS, SYSTEM, str(TOKEN)]
    for data, kind in ((b"", "create"), (b"\x00", "create"), (b"\x01", "createIdempotent")):
        assert parsed(ASSOCIATED_PROGRAM, accounts, data) == {
            "type": kind,
            "info": dict(zip(names, accounts, strict=True)),
        }
    assert parsed(MEMOS[0], [], "grüße".encode()) == "grüße"


@pytest.mark.parametrize(
    ("program", "accounts", "data"),
    [
        (str(A), KEYS, b"x"),
        (SYSTEM, KEYS, b"\x02\x00\x00\x00\x01"),
        (SYSTEM, KEYS[:1], b"\x02\x00\x00\x00" + AMOUNT),
        (SYSTEM, KEYS, b"\x63\x00\x00\x00"),
        (str(TOKEN), KEYS, b""),
        (str(TOKEN), KEYS, b"\xff"),
        (MEMOS[1], [], b"\xff"),
        (ASSOCIATED_PROGRAM, KEYS, b"\x07"),
    ],
)
def test_what_cannot_be_read_is_shown_with_its_bytes(program: str, accounts: list[str], data: bytes) -> None:
    body = instruction_body(program, accounts, data, 1)
    assert body.keys() == {"accounts", "data", "programId", "stackHeight"}
    assert body["accounts"] == accounts
