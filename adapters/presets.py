"""Presets: names for DEXEXEC_ADAPTERS that enable several adapters at once."""

from dexexec.venue import Preset

DEVNET = Preset(
    adapters=("raydium", "meteora"),
    settings={"DEXEXEC_RAYDIUM_CLUSTER": "devnet", "DEXEXEC_METEORA_CLUSTER": "devnet"},
)
"""Raydium and Meteora with devnet's programs. A node of another cluster is an error when the service starts."""

MAINNET = Preset(
    adapters=("raydium", "raydium-amm", "raydium-clmm", "meteora", "meteora-dlmm", "orca", "jupiter"),
    settings={
        f"DEXEXEC_{venue}_CLUSTER": "mainnet-beta"
        for venue in ("RAYDIUM", "RAYDIUM_AMM", "RAYDIUM_CLMM", "METEORA", "METEORA_DLMM", "ORCA", "JUPITER")
    },
)
"""All venues whose swaps were compared with their programs, on mainnet. Orders with real money need
`DEXEXEC_ALLOW_MAINNET` besides."""
