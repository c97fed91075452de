"""Programs as the cluster has them: where their bytes are, and how an upgrade shows. Pure.

A program of the upgradeable loader is an account of 36 bytes that names another one, with its code. The older loaders
keep the code in the program's own account, for good. Layouts: `solana-loader-v3-interface`, `UpgradeableLoaderState`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from dexexec.domain import base58
from dexexec.domain.solana import Account

HEADER_BYTES = 45
"""Before the code in an account of the upgradeable loader: kind (4), slot of the deployment (8), authority (33)."""
_PROGRAM = (2).to_bytes(4, "little")
_PROGRAM_DATA = (3).to_bytes(4, "little")
_POINTER_BYTES = 36
_ELF = b"\x7fELF"


class Loader(StrEnum):
    """The loaders of Solana."""

    DEPRECATED = "BPFLoader1111111111111111111111111111111111"
    FINAL = "BPFLoader2111111111111111111111111111111111"
    UPGRADEABLE = "BPFLoaderUpgradeab1e11111111111111111111111"
    V4 = "LoaderV411111111111111111111111111111111111"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedProgram:
    """A program's code. `marks` are what an upgrade changes: the loader and the first bytes of the accounts in
    `sources`, as they were when the code was read."""

    address: str
    loader: str
    elf: bytes = field(repr=False)
    sha256: str
    sources: tuple[str, ...]
    marks: tuple[bytes, ...]

    @property
    def identity(self) -> tuple[str, str]:
        """The address and the hash of the code."""
        return self.address, self.sha256

    def is_marked_by(self, found: Sequence[Account | None]) -> bool:
        """Whether `found`, the present accounts of `sources` (their first `HEADER_BYTES` are enough), show the same
        deployment."""
        return self.marks == marks(found)


def code_account(program: Account) -> str | None:
    """Returns the address of the account with the code of an upgradeable program; None for other programs. Raises
    `ValueError` for an account of the upgradeable loader that is no program."""
    if program.owner != Loader.UPGRADEABLE:
        return None
    if len(program.data) != _POINTER_BYTES or program.data[:4] != _PROGRAM:
        raise ValueError("an account of the upgradeable loader that is no program")
    return base58.encode(program.data[4:])


def read_program(address: str, sources: Sequence[str], found: Sequence[Account | None]) -> LoadedProgram:
    """Reads a program from its accounts: its own, and the one of `code_account` if it has one. Raises `ValueError` for
    what is not a program that can be executed here."""
    if any(account is None for account in found):
        raise ValueError("the program or its code does not exist")
    program, *code = (account for account in found if account is not None)
    if program.owner not in (Loader.DEPRECATED, Loader.FINAL, Loader.UPGRADEABLE):
        raise ValueError(f"the loader {program.owner} is not supported")
    elf = program.data
    if program.owner == Loader.UPGRADEABLE:
        if len(code) != 1 or code[0].owner != Loader.UPGRADEABLE or code[0].data[:4] != _PROGRAM_DATA:
            raise ValueError("the account with the program's code is not one")
        elf = code[0].data[HEADER_BYTES:]
    # A closed program keeps its account, and its code is gone.
    if elf[:4] != _ELF:
        raise ValueError("the program has no code")
    return LoadedProgram(
        address=address,
        loader=program.owner,
        elf=elf,
        sha256=hashlib.sha256(elf).hexdigest(),
        sources=tuple(sources),
        marks=marks(found),
    )


def deployment_slot(found: Sequence[Account | None]) -> int:
    """The slot in which a program's code was deployed, from its accounts; 0 for one that cannot be upgraded."""
    if len(found) != 2 or found[1] is None or found[1].data[:4] != _PROGRAM_DATA:
        return 0
    return int.from_bytes(found[1].data[4:12], "little")


def marks(found: Sequence[Account | None]) -> tuple[bytes, ...]:
    """What an upgrade changes in a program's accounts: their owners and first bytes."""
    return tuple(account.owner.encode() + account.data[:HEADER_BYTES] if account else b"" for account in found)
