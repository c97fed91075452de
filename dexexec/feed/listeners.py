"""Finds out whether another process listens to events, so that nothing is published without a receiver.

Between the publisher and Redis. Redis answers a `PUBLISH` with the number of its receivers, and a feed announces itself
when it begins to listen. A feed that was overlooked reads the events from Postgres at its next poll.
"""

COUNT_SECONDS = 1.0
"""For how long a count without another listener holds. The message after that is published, and counts again."""


class OtherListeners:
    """Whether other processes listen to the events of this one. Times are monotonic seconds.

    `countable`: Redis counts all receivers of a message. In a Cluster, or behind Sentinels, some may listen on another
    server; then every message is published.
    """

    def __init__(self, *, countable: bool = True) -> None:
        self._countable = countable
        self._nobody_until = 0.0
        self._own_listens = False
        self._changed = False  # since the message that is counted next was sent

    def listening(self, *, own: bool) -> None:
        """Take note that the feed of this process begins or ends to receive what is published."""
        self._own_listens = own
        self._changed = True
        self._nobody_until = 0.0

    def heard(self) -> None:
        """Take note of a message of another process, which may be that of a new listener."""
        self._changed = True
        self._nobody_until = 0.0

    def expected(self, now: float) -> bool:
        """Whether the next message must be published."""
        return now >= self._nobody_until

    def sending(self) -> None:
        """Take note that a message is about to be published."""
        self._changed = False

    def counted(self, receivers: int, now: float) -> None:
        """Take note of how many feeds received a message that was published just now, the own one included."""
        # Without a feed of its own, this process does not hear a new listener announce itself.
        # One that has announced itself before the count is here may have begun after Redis counted.
        if self._countable and self._own_listens and receivers <= 1 and not self._changed:
            self._nobody_until = now + COUNT_SECONDS
