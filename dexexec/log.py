"""The log of a running service: the observer's lines and those of libraries, sampled together on one stream."""

import io
import logging
import sys
from collections.abc import Hashable
from typing import Literal

from dexexec.log_output import ThreadedWriter
from dexexec.log_sampling import SECONDS, TRACEBACK, Sampler
from dexexec.observe import Logger, make_logger
from dexexec.redaction import Redactor


def open_log(level: str, style: Literal["auto", "text", "json"], redact: Redactor) -> Logger:
    """A logger on stderr, beside which the libraries' warnings are written. If stderr is a `ThreadedWriter`, it uses
    the same format for what it adds itself."""
    sampler = Sampler()
    handler = logging.StreamHandler()
    handler.setFormatter(redact.formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    handler.addFilter(lambda record: _admit(sampler, record))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # an outage is told once, by whoever waits for its end
    if isinstance(sys.stderr, ThreadedWriter):
        sys.stderr.announce_by(LogNotices(sampler, style, redact))
    return make_logger(level, style, redact, sampler=sampler)


def _admit(sampler: Sampler, record: logging.LogRecord) -> bool:
    """The kind is the place in the code: a message may hold anything."""
    kind = (record.levelname.lower(), f"{record.name} ({record.module}:{record.lineno})")
    return sampler.admit(kind, TRACEBACK if record.exc_info else 1)


class LogNotices:
    """What the writer of the log adds, as lines of the log."""

    def __init__(self, sampler: Sampler, style: Literal["auto", "text", "json"], redact: Redactor) -> None:
        self._sampler = sampler
        self._lines = _Lines()
        self._log = make_logger("info", style, redact, out=self._lines)

    def dropped(self, count: int) -> str:
        """How many lines a reader missed that was too slow."""
        self._log.warning("log lines were dropped", count=count, why="nobody read them fast enough")
        return self._lines.take()

    def due(self, *, everything: bool) -> list[str]:
        """How many lines the sampler has left out, per kind."""
        found = self._sampler.due(everything=everything)
        return [self._more(kind, count) for kind, count in found]

    def _more(self, kind: Hashable, count: int) -> str:
        level, event = kind if isinstance(kind, tuple) else ("info", kind)
        say = self._log.info if level == "info" else self._log.warning
        say("more like this", event_left_out=event, level_left_out=level, count=count, seconds=SECONDS)
        return self._lines.take()


class _Lines(io.StringIO):
    """Holds what is written until it is taken. Colours are used where stderr has them."""

    def isatty(self) -> bool:
        return sys.stderr.isatty()

    def take(self) -> str:
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text
