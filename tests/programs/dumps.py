"""Dumps of the venues' real programs, for those who have them: the folder that `DEXEXEC_PROGRAM_DUMPS` names.

Nothing of them is part of this repository. The variable is one of the tests alone, which `tests/conftest.py` takes out
of the environment: the service would refuse it as a setting.
"""

from functools import lru_cache
from pathlib import Path

import pytest

from dexexec_adapters.solana.clusters import (
    JUPITER_V6,
    METEORA_DAMM_V2,
    METEORA_DLMM,
    ORCA,
    RAYDIUM_AMM,
    RAYDIUM_CLMM,
    RAYDIUM_CPMM,
)
from tests.conftest import PROGRAM_DUMPS

VARIABLE = "DEXEXEC_PROGRAM_DUMPS"
PROGRAMS = {
    "raydium": RAYDIUM_CPMM["localnet"].program,
    "meteora": METEORA_DAMM_V2["localnet"].program,
    "meteora-dlmm": METEORA_DLMM["localnet"].program,
    "meteora-dlmm, build for tests": "LbVRzDTvBDEcrthxfZ4RL6yiq3uZw8bS6MwtdY6UhFQ",
    "raydium-amm": RAYDIUM_AMM["localnet"].program,
    "raydium-clmm": RAYDIUM_CLMM["localnet"].program,
    "orca": ORCA["localnet"].program,
    "jupiter": JUPITER_V6["localnet"].program,
}
RAYDIUM, METEORA = (PROGRAMS[name] for name in ("raydium", "meteora"))
MARKET = ("raydium", "meteora")
"""The venues of `market.py`."""


def path_of(program: str) -> Path:
    """Where the dump of a program should be."""
    return Path(PROGRAM_DUMPS).absolute() / f"{program}.so"


def missing(*venues: str) -> str:
    """Why the programs of venues cannot be run, or nothing."""
    if not PROGRAM_DUMPS:
        return f"{VARIABLE} names no folder with program dumps (tests/programs/README.md)"
    absent = [f"{PROGRAMS[name]}.so ({name})" for name in venues if not path_of(PROGRAMS[name]).is_file()]
    return f"{VARIABLE} has no {' and no '.join(absent)}" if absent else ""


def needs(*venues: str) -> pytest.MarkDecorator:
    """For modules of tests that run the real programs of these venues."""
    return pytest.mark.skipif(bool(missing(*venues)), reason=missing(*venues))


needed = needs(*MARKET)
"""For tests on the market of `market.py`."""


@lru_cache
def elf(program: str) -> bytes:
    """The program itself."""
    return path_of(program).read_bytes()


def programs(*venues: str) -> dict[str, bytes]:
    """The programs of these venues by address, by default the market's."""
    return {PROGRAMS[name]: elf(PROGRAMS[name]) for name in venues or MARKET}


def options(*venues: str) -> list[str]:
    """The same as `python -m dexexec localnet` takes them."""
    addresses = [PROGRAMS[name] for name in venues or MARKET]
    return [part for program in addresses for part in ("--program", f"{program}={path_of(program)}")]
