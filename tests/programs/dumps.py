"""Dumps of the venues' real programs, for those who have them: the folder that `DEXEXEC_PROGRAM_DUMPS` names.

Nothing of them is part of this repository. The variable is one of the tests alone, which `tests/conftest.py` takes out
of the environment: the service would refuse it as a setting.
"""

from functools import lru_cache
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from dexexec_adapters.solana.clusters import METEORA_DAMM_V2, RAYDIUM_CPMM
from tests.conftest import PROGRAM_DUMPS

VARIABLE = "DEXEXEC_PROGRAM_DUMPS"
RAYDIUM, METEORA = (deployed["localnet"].program for deployed in (RAYDIUM_CPMM, METEORA_DAMM_V2))
PROGRAMS = {"raydium": RAYDIUM, "meteora": METEORA}


def path_of(program: str) -> Path:
    """Where the dump of a program should be."""
    return Path(PROGRAM_DUMPS).absolute() / f"{program}.so"


def missing() -> str:
    """Why there is nothing to try, or nothing."""
    if not PROGRAM_DUMPS:
        return f"{VARIABLE} names no folder with program dumps (tests/programs/README.md)"
    absent = [f"{program}.so ({venue})" for venue, program in PROGRAMS.items() if not path_of(program).is_file()]
    return f"{VARIABLE} has no {' and no '.join(absent)}" if absent else ""


needed = pytest.mark.skipif(bool(missing()), reason=missing())
"""For modules of tests that run the real programs."""


@lru_cache
def elf(program: str) -> bytes:
    """The program itself."""
    return path_of(program).read_bytes()


def programs() -> list[tuple[Pubkey, bytes]]:
    """All of them, as a ledger takes them."""
    return [(Pubkey.from_string(program), elf(program)) for program in PROGRAMS.values()]


def options() -> list[str]:
    """All of them, as `python -m dexexec localnet` takes them."""
    return [part for program in PROGRAMS.values() for part in ("--program", f"{program}={path_of(program)}")]
