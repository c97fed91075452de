"""Where each venue's program is deployed, by cluster. Every address can be overridden by a setting.

On a cluster that is missing here, the program's address must be set. On a localnet, programs are loaded from dumps of
mainnet-beta and have the same addresses as there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

ClusterName = Literal["", "mainnet-beta", "devnet", "testnet", "localnet"]
"""Solana's names for its clusters, and `localnet`. Empty: unknown."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The address of a program, and of the configs with which most of its pools are created (base58)."""

    program: str
    configs: tuple[str, ...] = ()


_CPMM = Deployment(
    "CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C",
    ("D4FPEruKEHrG5TenZ2mpDGEfu1iUvTiqBxvpU8HLBvC2",),
)
# Configs by their index: 1, 2, 3, 4 and 8, with a trade fee of 0.25, 0.05, 1, 0.01 and 0.04 %.
_CLMM = Deployment(
    "CAMMCzo5YL8w4VFF8KVHrK22GGUsp5VTaW7grrKgrWqK",
    (
        "E64NGkDLLCdQ2yFNPcavaKptrEgmiQaNykUuLC1Qgwyp",
        "HfERMT5DRA6C1TAqecrJQFpmkf3wsWTMncqnj3RDg5aw",
        "A1BBtTYJd4i3xU8D6Tc2FzU6ZN4oXZWXKZnCxwbHXr8x",
        "9iFER3bpjf1PTTCQCfTRu17EJgvsxo9pVyA9QWwEuX4x",
        "3h2e43PunVA5K34vwKCLHWhZF4aZpyaC9RmxvshGAQpL",
    ),
)
_DAMM_V2 = Deployment("cpamdpZCGKUy5JxQXB4dcpGPiikHawvSWAd6mEn1sGG")
_DLMM = Deployment("LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo")

_AMM_V4 = Deployment("675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8")

_PUMPSWAP = Deployment("pAMMBay6oceH9fJKBRHGP5D4bD4sWpmSwMn52FMfXEA")
PUMP = "6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P"
"""The program of pump's coins, which makes the pools of those that are complete. The same on each cluster."""
PUMP_FEES = "pfeeUxB6jkeY1Hxd7CsFCAjcbHA9rWtchMGdZ6VojVZ"
"""The program whose accounts hold the fees of both."""
_WHIRLPOOL = Deployment(
    "whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc",
    ("2LecshUwdy9xi7meFgHtFJQNSKk4KdTrcpvaB56dP2NQ",),
)

RAYDIUM_CPMM: Mapping[str, Deployment] = MappingProxyType({
    "mainnet-beta": _CPMM,
    "devnet": Deployment(
        "DRaycpLY18LhpbydsBWbVJtxpNv9oXPgjRSfpF2bWpYb",
        ("5MxLgy9oPdTC3YgkiePHqr3EoCRD9uLVYRQS2ANAs7wy",),
    ),
    "localnet": _CPMM,
})  # fmt: skip
RAYDIUM_AMM: Mapping[str, Deployment] = MappingProxyType({
    "mainnet-beta": _AMM_V4,
    "devnet": Deployment("DRaya7Kj3aMWQSy19kSjvmuwq9docCHofyP9kanQGaav"),
    "localnet": _AMM_V4,
})  # fmt: skip
RAYDIUM_CLMM: Mapping[str, Deployment] = MappingProxyType({
    "mainnet-beta": _CLMM,
    "devnet": Deployment(
        "DRayAUgENGQBKVaX8owNhgzkEDyoHTGVEGHVJT1E9pfH",
        ("CD4aJtX11cqTCAc83nxSPkkh5JW2yjD6uwHeovjqQ1qu", "FZdkW5jiYsjTnCVqFqPrxrQisQkCYrohd7ArZhoKnM8q"),
    ),
    "localnet": _CLMM,
})  # fmt: skip
METEORA_DAMM_V2: Mapping[str, Deployment] = MappingProxyType({
    "mainnet-beta": _DAMM_V2,
    "devnet": _DAMM_V2,
    "localnet": _DAMM_V2,
})  # fmt: skip
JUPITER_V6: Mapping[str, Deployment] = MappingProxyType({
    "mainnet-beta": Deployment("JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4"),
    "localnet": Deployment("JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4"),
})  # fmt: skip
METEORA_DLMM: Mapping[str, Deployment] = MappingProxyType({
    "mainnet-beta": _DLMM,
    "devnet": _DLMM,
    "localnet": _DLMM,
})  # fmt: skip
PUMPSWAP: Mapping[str, Deployment] = MappingProxyType(dict.fromkeys(("mainnet-beta", "devnet", "localnet"), _PUMPSWAP))
ORCA: Mapping[str, Deployment] = MappingProxyType({
    "mainnet-beta": _WHIRLPOOL,
    "devnet": Deployment(_WHIRLPOOL.program, ("FcrweFY1G9HJAHG5inkGB6pKg1HZ6x9UC2WioAfWrGkR",)),
    "localnet": _WHIRLPOOL,
})  # fmt: skip
