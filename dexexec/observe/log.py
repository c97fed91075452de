"""The log of a running service: the observer's lines and those of libraries, sampled together on one stream."""

import io
import logging
import sys
from collections.abc import Hashable, MutableMapping
from functools import partial
from typing import Any, Literal, TextIO

import structlog

from dexexec.observe.log_output import ThreadedWriter
from dexexec.observe.log_sampling import SECONDS, TRACEBACK, Sampler
from dexexec.observe.redaction import Redactor

Logger = structlog.typing.FilteringBoundLogger
PATTERNS = Redactor()
TX = "tx"
"""The name of a transaction's signature in the log. It is public, and looks like a wallet's key."""


def make_logger(
    level: str = "info",
    style: Literal["auto", "text", "json"] = "auto",
    redact: Redactor = PATTERNS,
    *,
    out: TextIO | None = None,
    sampler: Sampler | None = None,
) -> Logger:
    """A logger on `out`, by default stderr. `auto` is text on a terminal and JSON elsewhere; `redact` sees every value
    before it is written; `sampler` leaves out lines that repeat too often, except at debug and critical."""
    out = out or sys.stderr
    text = style == "text" or (style == "auto" and out.isatty())
    # Tracebacks without the values of variables, which structlog's own for terminals show.
    last = (
        structlog.dev.ConsoleRenderer(
            colors=out.isatty(), pad_event_to=28, exception_formatter=structlog.dev.plain_traceback
        )
        if text
        else structlog.processors.JSONRenderer()
    )
    processors: list[structlog.typing.Processor] = [
        *([partial(_sampled, sampler)] if sampler else []),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=not text),
        structlog.processors.format_exc_info,
        partial(_redacted, redact),
        last,
    ]
    logger = structlog.wrap_logger(
        structlog.WriteLogger(out),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
    )
    bound: Logger = logger.bind()  # the wrapper itself would be made anew for each call, also for a suppressed one
    return bound


def _redacted(redact: Redactor, _: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value if name == TX else redact.value(value) for name, value in event.items()}


def _sampled(sampler: Sampler, _: object, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An error is counted apart, so that no flood of refusals hides it. What is critical is about money, and somebody
    has to put each case right: it always passes."""
    if level not in {"debug", "critical"} and not sampler.admit(
        (level, event["event"]), TRACEBACK if event.get("exc_info") else 1
    ):
        raise structlog.DropEvent
    return event


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
