"""What a transaction was prepared from: how old the values of the chain were that it rests on."""

from dataclasses import dataclass

from dexexec.domain.solana import Simulation
from dexexec.domain.swap import Blockhash


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedFrom:
    """The accounts as of `slot`, and a blockhash that was `blockhash_slots` older than they. `local`: the transaction
    was simulated in this process, not by a node."""

    local: bool
    slot: int
    blockhash_slots: int

    @classmethod
    def values(cls, simulation: Simulation, slot: int, blockhash: Blockhash) -> "PreparedFrom":
        """What rests on `simulation`, on accounts as of `slot` and on `blockhash`."""
        return cls(local=simulation.local, slot=slot, blockhash_slots=max(0, slot - blockhash.slot))

    def detail(self) -> dict[str, object]:
        """Returns the fields as JSON values."""
        where = "local" if self.local else "node"
        return {"simulated": where, "slot": self.slot, "blockhashAgeSlots": self.blockhash_slots}
