"""How well transactions land that were sent to an endpoint."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFigures:
    """Figures of the newest attempts with a known outcome that were sent to an endpoint.

    `accepted` of the `attempts` were accepted there, and `landed` of those are in a block, with or without effect.
    Slots and milliseconds are from the first send to the landing, of what it accepted; None without any.
    """

    endpoint: str
    send_only: bool
    attempts: int
    accepted: int
    landed: int
    slots_p50: int | None
    slots_p90: int | None
    ms_p50: int | None
    ms_p90: int | None

    @property
    def land_rate(self) -> float:
        """The share of the attempts that it accepted and that landed."""
        return self.landed / self.attempts
