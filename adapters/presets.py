"""Presets: names for DEXEXEC_ADAPTERS that enable several adapters at once."""

from dexexec.venue import Preset

DEVNET = Preset(
    adapters=("raydium", "meteora"),
    settings={"DEXEXEC_RAYDIUM_CLUSTER": "devnet", "DEXEXEC_METEORA_CLUSTER": "devnet"},
)
"""Raydium and Meteora with devnet's programs. A node of another cluster is an error when the service starts."""
