"""The child's end of its link to the parent of several processes (`--processes`).

The link is a pair of connected sockets. The child sends one line on it: that it is ready, or why it cannot start. Each
end notices when the other process is gone, even after kill -9. `dexexec.bootstrap.supervisor` has the other end.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

READY = "ready"
NOTIFY = "--notify"


class Notify:
    """The child's end of the link."""

    def __init__(self, line: socket.socket) -> None:
        self._socket = line
        # The child's own children must not inherit it: in them it would outlive the child.
        self._socket.set_inheritable(False)

    def ready(self, _banner: str = "") -> None:
        """Report that the child is ready. The parent prints the banner."""
        self._send(READY)

    def failed(self, why: str) -> None:
        """Report why the child cannot start."""
        self._send(" ".join(why.splitlines()))

    def when_gone(self, then: Callable[[], None]) -> None:
        """Call `then`, on a thread, once the parent is gone."""
        threading.Thread(target=self._watch, args=(then,), name="parent watcher", daemon=True).start()

    def _watch(self, then: Callable[[], None]) -> None:
        with suppress(OSError):
            while self._socket.recv(1):
                pass
        then()

    def _send(self, line: str) -> None:
        with suppress(OSError):  # a parent that is gone is noticed by the watcher
            self._socket.sendall(f"{line}\n".encode())
