"""Why a worker cannot execute orders now. It is stored as one text with each heartbeat."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class TroubleKind(StrEnum):
    """What a worker lacks."""

    NODE = "node"  # no node of any chain gives a usable answer
    VENUES = "venues"  # every venue is skipped after failures
    COMPARISON = "chain-comparison"  # nothing is signed before record and chain are compared


@dataclass(frozen=True, slots=True)
class WorkerTrouble:
    """What a worker lacks, and the details for people."""

    kind: TroubleKind
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"

    @classmethod
    def of(cls, text: str) -> Self:
        """Inverse of `str`. Workers of earlier versions only reported nodes, without a kind."""
        kind, _, detail = text.partition(": ")
        if kind in list(TroubleKind):
            return cls(TroubleKind(kind), detail)
        return cls(TroubleKind.NODE, text)


NOT_COMPARED = WorkerTrouble(TroubleKind.COMPARISON, "nothing is signed until record and chain are compared")
