"""Dispatchers for tests: one that records what the store gives it, and one whose worker is made after its store."""

from collections.abc import Sequence

from dexexec.store import CapacityReservation, Claimed, Dispatcher


class RecordingDispatcher:
    """Takes a worker's place. It reserves nothing before `serve`, then capacity for up to `room` orders. With `accepts`
    false it accepts no order."""

    def __init__(self) -> None:
        self.worker: int | None = None
        self.room = 0
        self.accepts = True
        self.reserved: list[CapacityReservation] = []
        self.settled: list[CapacityReservation] = []
        self.taken: list[Claimed] = []

    def serve(self, worker: int, room: int = 100) -> None:
        """Reserve capacity in the name of `worker` from now on."""
        self.worker = worker
        self.room = room

    def reserve(self, wanted: int) -> CapacityReservation | None:
        count = min(wanted, self.room)
        if self.worker is None or count <= 0:
            return None
        self.room -= count
        self.reserved.append(CapacityReservation(self.worker, count, 0.0))
        return self.reserved[-1]

    def take(self, reservation: CapacityReservation, claimed: Sequence[Claimed]) -> bool:
        assert len(claimed) <= reservation.count
        self.settled.append(reservation)
        self.taken += claimed
        return self.accepts

    @property
    def in_order(self) -> bool:
        """Whether each reservation was settled, once."""
        return sorted(map(id, self.reserved)) == sorted(map(id, self.settled))


class LateDispatcher:
    """Passes everything to `target`, and reserves nothing before it is set."""

    def __init__(self) -> None:
        self.target: Dispatcher | None = None

    def reserve(self, wanted: int) -> CapacityReservation | None:
        return None if self.target is None else self.target.reserve(wanted)

    def take(self, reservation: CapacityReservation, claimed: Sequence[Claimed]) -> bool:
        assert self.target is not None
        return self.target.take(reservation, claimed)
