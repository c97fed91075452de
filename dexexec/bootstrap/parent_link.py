"""`--processes N` as the command line has it, and the child's end of the line to its parent.

The line is a pair of connected sockets. On it a child says once that it is ready, or in a line why it cannot start; and
either end notices when the other is gone, also after kill -9. The other end is in `dexexec.bootstrap.supervisor`.
"""

import argparse
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

MOST = 64
READY = "ready"
NOTIFY = "--notify"


class Notify:
    """The child's end. Processes that the child starts do not get it: it would outlive the child in them."""

    def __init__(self, line: socket.socket) -> None:
        self._socket = line
        self._socket.set_inheritable(False)

    def ready(self, _banner: str = "") -> None:
        """Everything is up. The banner is the parent's to print."""
        self._say(READY)

    def failed(self, why: str) -> None:
        """It cannot start."""
        self._say(" ".join(why.splitlines()))

    def when_gone(self, then: Callable[[], None]) -> None:
        """Call `then`, in a thread, once the parent is gone."""
        threading.Thread(target=self._watch, args=(then,), name="parent watcher", daemon=True).start()

    def _watch(self, then: Callable[[], None]) -> None:
        with suppress(OSError):
            while self._socket.recv(1):
                pass
        then()

    def _say(self, line: str) -> None:
        with suppress(OSError):  # a parent that is gone is noticed by the watcher
            self._socket.sendall(f"{line}\n".encode())


def add_options(top: argparse.ArgumentParser, *roles: argparse.ArgumentParser) -> None:
    """To the command line itself, and to the commands that are a role: `--processes 2 api` is `api --processes 2`."""
    for parser in (top, *roles):
        parser.add_argument(
            "--processes",
            type=_count,
            default=1 if parser is top else argparse.SUPPRESS,
            metavar="N",
            help=f"share the work among N processes on one port, 1 to {MOST} (default: 1)",
        )
        parser.add_argument(
            NOTIFY, type=_notify, default=None if parser is top else argparse.SUPPRESS, help=argparse.SUPPRESS
        )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 1 to {MOST}")
    return int(text)


def _notify(text: str) -> Notify:
    try:
        return Notify(socket.socket(fileno=int(text)))
    except (ValueError, OSError):
        raise argparse.ArgumentTypeError("is for the processes of --processes") from None
