"""Where the code of a program is, and what shows that it was upgraded, closed or moved."""

from dataclasses import replace

import pytest

from dexexec.domain import base58
from dexexec.domain.solana import Account
from dexexec.settlement.solana.message import Program
from dexexec.settlement.solana.warm.programs import HEADER_BYTES, Loader, code_account, read_program
from tests.support.deployed_programs import CODE, DATA, ELF, PROGRAM, data_account, pointer
from tests.support.swap_transactions import address

OLD = Account(Loader.FINAL, 1, ELF)


def test_the_code_of_an_upgradeable_program_is_in_another_account() -> None:
    assert code_account(pointer()) == DATA
    program = read_program(PROGRAM, (PROGRAM, DATA), (pointer(), data_account()))
    assert (program.elf, program.loader) == (ELF, Loader.UPGRADEABLE)
    assert program.identity == (PROGRAM, program.sha256)


def test_older_loaders_keep_it_in_the_program() -> None:
    for loader in (Loader.FINAL, Loader.DEPRECATED):
        assert code_account(replace(OLD, owner=loader)) is None
        assert read_program(PROGRAM, (PROGRAM,), (replace(OLD, owner=loader),)).elf == ELF


@pytest.mark.parametrize(
    ("shown", "same"),
    [
        ((pointer(), data_account()), True),
        ((pointer(), replace(data_account(), lamports=7)), True),
        ((pointer(), data_account(slot=2)), False),
        ((pointer(), data_account(authority=None)), False),
        ((pointer(), None), False),
        ((None, data_account()), False),
        ((pointer(address("other code")), data_account()), False),
        ((replace(pointer(), owner=Loader.V4), data_account()), False),
    ],
)
def test_an_upgrade_shows_in_the_first_bytes(shown: tuple[Account | None, ...], same: bool) -> None:
    program = read_program(PROGRAM, (PROGRAM, DATA), (pointer(), data_account()))
    heads = [replace(one, data=one.data[:HEADER_BYTES]) if one else None for one in shown]
    assert program.is_marked_by(heads) is same


@pytest.mark.parametrize(
    "found",
    [
        (None,),
        (pointer(), None),
        (pointer(),),
        (pointer(), replace(data_account(), owner=Program.SYSTEM)),
        (pointer(), pointer()),
        (pointer(), Account(Loader.UPGRADEABLE, 1, CODE[:HEADER_BYTES])),
        (replace(OLD, data=b"no code"),),
        (replace(OLD, owner=Loader.V4),),
        (replace(OLD, owner=Program.SYSTEM),),
    ],
)
def test_what_is_no_program_is_not_executed(found: tuple[Account | None, ...]) -> None:
    with pytest.raises(ValueError, match=r"program|loader|code"):
        read_program(PROGRAM, (PROGRAM, DATA), found)


@pytest.mark.parametrize("data", [b"", bytes(36), b"\x03\0\0\0" + base58.decode(DATA), pointer().data + b"\0"])
def test_not_every_account_of_the_loader_is_a_program(data: bytes) -> None:
    with pytest.raises(ValueError, match="no program"):
        code_account(Account(Loader.UPGRADEABLE, 1, data))
