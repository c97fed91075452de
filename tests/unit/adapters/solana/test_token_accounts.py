"""Vaults and mints are read to the byte; mints whose transfers move other amounts are refused by name."""

from contextlib import suppress
from dataclasses import replace
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey
from solders.token.state import Mint, TokenAccount, TokenAccountState

from dexexec.domain.solana import Account
from dexexec.venue import BadAnswer, Unsupported
from dexexec_adapters.solana.spl import TOKEN, TOKEN_2022
from dexexec_adapters.solana.token_accounts import MintRules, check_mint, read_amount, read_mint
from dexexec_adapters.solana.transfer_fees import TransferFee, TransferFees
from tests.support.raydium_accounts import address, mint_account, patched, token_account

AT = address(1)
MINT = address(2)
OWNER = address(3)
VAULT = token_account(MINT, OWNER, 2**64 - 1)


def amount(account: Account | None, program: str = TOKEN) -> int:
    return read_amount(AT, account, program=program, mint=MINT, owner=OWNER)


def test_a_token_account_as_solana_writes_it_is_read() -> None:
    mint, owner = map(Pubkey.from_string, (MINT, OWNER))
    data = bytes(TokenAccount(mint, owner, 1_234_567_890_123, None, TokenAccountState.Initialized, None, 0, None))
    assert amount(Account(TOKEN, 1, data)) == 1_234_567_890_123
    assert amount(VAULT) == 2**64 - 1


def test_a_token_account_with_extensions_is_read() -> None:
    extended = VAULT.data + b"\2" + bytes.fromhex("07000000")  # ImmutableOwner
    assert amount(Account(TOKEN_2022, 1, extended), TOKEN_2022) == 2**64 - 1


@pytest.mark.parametrize(
    ("account", "program", "problem"),
    [
        (None, TOKEN, "there is no account"),
        (VAULT, TOKEN_2022, "belongs to TokenkegQ.*, not to the token program TokenzQd"),
        (VAULT, address(9), "is not a token program"),
        (replace(VAULT, data=VAULT.data[:-1]), TOKEN, "not a token account: 164 bytes"),
        (replace(VAULT, data=VAULT.data + b"\2"), TOKEN, "not a token account: 166 bytes"),
        (Account(TOKEN_2022, 1, VAULT.data + b"\1"), TOKEN_2022, "not a token account"),
        (token_account(address(8), OWNER, 1), TOKEN, "of another mint or owner"),
        (token_account(MINT, address(8), 1), TOKEN, "of another mint or owner"),
        (token_account(MINT, OWNER, 1, state=0), TOKEN, "not initialized"),
        (token_account(MINT, OWNER, 1, state=3), TOKEN, "not initialized"),
    ],
)
def test_another_account_than_the_vault_is_a_bad_answer_with_the_reason(
    account: Account | None, program: str, problem: str
) -> None:
    with pytest.raises(BadAnswer, match=problem):
        amount(account, program)


def test_a_frozen_vault_is_refused() -> None:
    with pytest.raises(Unsupported, match="frozen"):
        amount(token_account(MINT, OWNER, 1, state=2))


def test_mints_without_harmful_extensions_pass() -> None:
    check_mint(MINT, Account(TOKEN, 1, bytes(Mint(None, 10**15, 6, True, None))), program=TOKEN)
    check_mint(MINT, mint_account(TOKEN_2022), program=TOKEN_2022)
    shown = mint_account(TOKEN_2022, (18, bytes(64)), (19, b"name"), (10, bytes(52)), (25, bytes(56)))
    check_mint(MINT, shown, program=TOKEN_2022)
    check_mint(MINT, replace(shown, data=shown.data + bytes(7)), program=TOKEN_2022)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (4, "ConfidentialTransferMint"),
        (6, "DefaultAccountState"),
        (9, "NonTransferable"),
        (12, "PermanentDelegate"),
        (14, "TransferHook"),
        (26, "Pausable"),
        (4_711, "number 4711"),
    ],
)
def test_a_mint_that_moves_other_amounts_or_may_not_move_at_all_is_refused_by_its_extension(
    kind: int, name: str
) -> None:
    for before in ((), ((18, bytes(64)),)):
        with pytest.raises(Unsupported, match=f"the mint {MINT} has the Token-2022 extension {name}"):
            check_mint(MINT, mint_account(TOKEN_2022, *before, (kind, bytes(8))), program=TOKEN_2022)


def test_the_rules_of_a_mint_as_solana_writes_it_are_read() -> None:
    authority = Pubkey.from_string(OWNER)
    for mint_authority, freeze_authority in ((authority, None), (None, authority), (None, None)):
        data = bytes(Mint(mint_authority, 10**15, 9, True, freeze_authority))
        rules = read_mint(MINT, Account(TOKEN, 1, data), program=TOKEN)
        assert rules == MintRules(9, OWNER if mint_authority else None, OWNER if freeze_authority else None, 0)


def test_the_higher_of_a_mints_transfer_fees_counts() -> None:
    """The newer one may apply from a later epoch on."""
    for older, newer in ((250, 30), (0, 500)):
        fees = b"".join(bytes(16) + bps.to_bytes(2, "little") for bps in (older, newer))
        account = mint_account(TOKEN_2022, (18, bytes(64)), (1, bytes(72) + fees))
        assert read_mint(MINT, account, program=TOKEN_2022).transfer_fee_bps == max(older, newer)
    with pytest.raises(BadAnswer, match="has 8 bytes instead of 108"):
        read_mint(MINT, mint_account(TOKEN_2022, (1, bytes(8))), program=TOKEN_2022)


def test_the_transfer_fee_of_a_mint_is_read() -> None:
    fees = b"".join(pack("<QQH", epoch, most, bps) for epoch, most, bps in ((3, 10, 250), (7, 20, 30)))
    account = mint_account(TOKEN_2022, (18, bytes(64)), (1, bytes(72) + fees))
    assert check_mint(MINT, account, program=TOKEN_2022) == TransferFees(TransferFee(250, 10), TransferFee(30, 20), 7)
    assert check_mint(MINT, mint_account(TOKEN_2022), program=TOKEN_2022) is None
    impossible = mint_account(TOKEN_2022, (1, bytes(72) + pack("<QQHQQH", 3, 10, 250, 7, 20, 10_001)))
    for read in (check_mint, read_mint):
        with pytest.raises(BadAnswer, match=f"the mint {MINT}: a transfer fee of 10001 bps is impossible"):
            read(MINT, impossible, program=TOKEN_2022)
        with pytest.raises(BadAnswer, match="has 107 bytes instead of 108"):
            read(MINT, mint_account(TOKEN_2022, (1, bytes(107))), program=TOKEN_2022)


METADATA = mint_account(TOKEN_2022, (18, bytes(64)))


@pytest.mark.parametrize(
    ("account", "problem"),
    [
        (None, "there is no account"),
        (mint_account(TOKEN), "belongs to"),
        (replace(METADATA, data=METADATA.data[:81]), "not a mint"),
        (replace(METADATA, data=METADATA.data[:82] + bytes(83)), "not a mint"),
        (replace(METADATA, data=patched(METADATA.data, (165, b"\2"))), "not a mint"),
        (replace(METADATA, data=patched(METADATA.data, (45, b"\0"))), "not initialized"),
        (replace(METADATA, data=METADATA.data[:-1]), "cut off"),
        (replace(METADATA, data=METADATA.data[:168]), "cut off"),
        (replace(METADATA, data=METADATA.data + b"\1\0"), "cut off"),
    ],
)
def test_an_invalid_mint_is_a_bad_answer_with_the_reason(account: Account | None, problem: str) -> None:
    for read in (check_mint, read_mint):
        with pytest.raises(BadAnswer, match=problem):
            read(MINT, account, program=TOKEN_2022)


def anything_like(data: bytes) -> st.SearchStrategy[bytes]:
    changes = st.lists(st.tuples(st.integers(0, len(data) - 4), st.binary(min_size=1, max_size=4)), max_size=6)
    cut = st.integers(0, len(data)).map(lambda size: data[:size])
    return st.binary(max_size=300) | cut | changes.map(lambda found: patched(data, *found))


@given(data=anything_like(VAULT.data + b"\2"), program=st.sampled_from([TOKEN, TOKEN_2022]))
def test_any_bytes_of_a_vault_are_read_or_refused(data: bytes, program: str) -> None:
    with suppress(BadAnswer, Unsupported):
        assert amount(Account(program, 1, data), program) == int.from_bytes(data[64:72], "little")


@given(data=anything_like(METADATA.data), program=st.sampled_from([TOKEN, TOKEN_2022]))
def test_any_bytes_of_a_mint_pass_or_are_refused(data: bytes, program: str) -> None:
    with suppress(BadAnswer, Unsupported):
        check_mint(MINT, Account(program, 1, data), program=program)
    with suppress(BadAnswer):
        assert 0 <= read_mint(MINT, Account(program, 1, data), program=program).decimals <= 255
