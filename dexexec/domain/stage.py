"""The stages of an order's way whose durations are measured."""

from enum import StrEnum


class Stage(StrEnum):
    """A stage. An order with several rounds or attempts goes through most of them several times."""

    ACCEPTING = "accepting"  # from the request that was read to the commit of the order
    QUEUE = "queue"  # from that commit until a worker had claimed the order for the first time
    ROUTING = "routing"  # the quotes of all venues
    BUILDING = "building"  # the venue built the swap
    SIGNING = "signing"  # compiled, simulated, guarded and signed
    RECORDING = "recording"  # the commit of the signed bytes
    SENDING = "sending"  # one send, until the nodes answered
    CONFIRMING = "confirming"  # from the first send until the swap was confirmed, or proven to have no effect
    FINALIZING = "finalizing"  # from then until the swap was finalized
