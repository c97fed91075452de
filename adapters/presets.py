"""Names that switch several of these adapters on at once, for DEXEXEC_ADAPTERS."""

from dexexec.venue import Preset

DEVNET = Preset(
    adapters=("raydium", "meteora"),
    settings={"DEXEXEC_RAYDIUM_CLUSTER": "devnet", "DEXEXEC_METEORA_CLUSTER": "devnet"},
)
"""The real venues with devnet's programs. A node of another cluster is an error at the start."""
