"""Builds the loggers. A running service writes its own lines and those of libraries to one sampled stream."""

import io
import logging
import sys
from collections.abc import Callable, Hashable, Mapping, MutableMapping
from functools import partial
from typing import Any, Literal, TextIO

from dexexec.config.lean_imports import without
from dexexec.observe.log_output import ThreadedWriter
from dexexec.observe.log_sampling import SECONDS, TRACEBACK, Sampler
from dexexec.observe.redaction import Redactor

# It would load `rich`, which only commands need, for tracebacks in colours that are not used here.
with without("rich"):
    import structlog

Logger = structlog.typing.FilteringBoundLogger
Export = Callable[[str, Mapping[str, object]], None]
"""Takes a line: its level and its fields, with secrets masked."""
PATTERNS = Redactor()
ORDER_ENDED = "order ended"
COSTS = {ORDER_ENDED: 0.02}
"""Lines that count as less than one for the sampler: of these 250 pass per second."""
TX = "tx"
"""The log field of a transaction signature. It is public but looks like a private key, so it is not redacted."""


def make_logger(
    level: str = "info",
    style: Literal["auto", "text", "json"] = "auto",
    redact: Redactor = PATTERNS,
    *,
    out: TextIO | None = None,
    sampler: Sampler | None = None,
    export: Export | None = None,
) -> Logger:
    """Create a logger on `out` (default: stderr). The style `auto` is text on a terminal and JSON elsewhere. `redact`
    masks secrets in every value. `sampler` drops lines that repeat too often, except at debug and critical. `export`
    also gets each line."""
    out = out or sys.stderr
    text = style == "text" or (style == "auto" and out.isatty())
    # plain_traceback: structlog's default for terminals prints local variables, which may hold secrets.
    renderer = (
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
        *([partial(_exported, export)] if export else []),
        renderer,
    ]
    logger = structlog.wrap_logger(
        structlog.WriteLogger(out),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
    )
    # Bound once: an unbound logger creates a wrapper for each call, also for a suppressed one.
    bound: Logger = logger.bind()
    return bound


def _redacted(redact: Redactor, _: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value if name == TX else redact.value(value) for name, value in event.items()}


def _exported(export: Export, _: object, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    export(level, event)
    return event


def _sampled(sampler: Sampler, _: object, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop the line if its kind has used up its quota. Each level has its own quota: a flood of refused requests must
    not hide an error."""
    # Critical lines are about money, and a person must repair each case: none is dropped.
    if level not in {"debug", "critical"} and not sampler.admit(
        (level, event["event"]), TRACEBACK if event.get("exc_info") else COSTS.get(event["event"], 1)
    ):
        raise structlog.DropEvent
    return event


def open_log(
    level: str, style: Literal["auto", "text", "json"], redact: Redactor, export: Export | None = None
) -> Logger:
    """Create the service's logger on stderr and send the warnings of libraries there too. `export` also gets each line.
    If stderr is a `ThreadedWriter`, its own notices use the same format."""
    sampler = Sampler()
    handler = logging.StreamHandler()
    handler.setFormatter(redact.formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    handler.addFilter(lambda record: _admit(sampler, record))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # The part that waits for Postgres logs an outage once; the pool would log every failed connection.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    if isinstance(sys.stderr, ThreadedWriter):
        sys.stderr.use_notices(LogNotices(sampler, style, redact))
    return make_logger(level, style, redact, sampler=sampler, export=export)


def _admit(sampler: Sampler, record: logging.LogRecord) -> bool:
    """Whether the sampler lets a library's record pass."""
    # The kind is the place in the code, because messages vary without bound.
    kind = (record.levelname.lower(), f"{record.name} ({record.module}:{record.lineno})")
    return sampler.admit(kind, TRACEBACK if record.exc_info else 1)


class LogNotices:
    """Formats the notices of the log writer as log lines."""

    def __init__(self, sampler: Sampler, style: Literal["auto", "text", "json"], redact: Redactor) -> None:
        self._sampler = sampler
        self._lines = _Lines()
        self._log = make_logger("info", style, redact, out=self._lines)

    def dropped(self, count: int) -> str:
        """The line about `count` lines that were dropped because the reader was too slow."""
        self._log.warning("log lines were dropped", count=count, why="the reader of the log is too slow")
        return self._lines.take()

    def due(self, *, everything: bool) -> list[str]:
        """One line per kind of which the sampler has dropped lines."""
        return [self._summary(kind, count) for kind, count in self._sampler.due(everything=everything)]

    def _summary(self, kind: Hashable, count: int) -> str:
        level, event = kind if isinstance(kind, tuple) else ("info", kind)
        log = self._log.info if level == "info" else self._log.warning
        log("more like this", event_left_out=event, level_left_out=level, count=count, seconds=SECONDS)
        return self._lines.take()


class _Lines(io.StringIO):
    """A buffer for formatted lines. It reports itself as a terminal where stderr is one, so that colours are used."""

    def isatty(self) -> bool:
        return sys.stderr.isatty()

    def take(self) -> str:
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text
