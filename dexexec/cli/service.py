"""`python -m dexexec` without a command, `api`, `worker` and `migrate`: their options, and the start of the service."""

import argparse
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from dexexec.bootstrap.parent_link import NOTIFY, Notify
from dexexec.bootstrap.roles import Role
from dexexec.bootstrap.shutdown import END_SECONDS, StopRequest
from dexexec.cli.event_loop import run_event_loop
from dexexec.cli.numbers import integer
from dexexec.cli.output import print_text, redactor

if TYPE_CHECKING:
    from dexexec.config.settings import Settings
    from dexexec.observe.observer import Observer

T = TypeVar("T")

MOST_PROCESSES = 64
WITH_PROCESSES = frozenset({None, "api", "worker"})
"""The commands that several processes can share (None: API and worker in each process)."""


def add_parsers(top: argparse.ArgumentParser, commands: Any) -> None:
    """Add the commands, and their options to the command line itself."""
    api = commands.add_parser(
        "api", help="run HTTP and WebSockets only", description="Accept orders over HTTP and stream their events."
    )
    worker = commands.add_parser("worker", help="execute orders only", description="Execute the orders on the queue.")
    commands.add_parser(
        "migrate", help="bring the database schema up to date", description="Apply the new schema files of sql/."
    )
    # Also on the subcommands, so that `--processes 2 api` and `api --processes 2` mean the same.
    for parser in (top, api, worker):
        parser.add_argument(
            "--processes",
            type=integer(1, MOST_PROCESSES),
            default=1 if parser is top else argparse.SUPPRESS,
            metavar="N",
            help=f"share the work among N processes on one port, 1 to {MOST_PROCESSES} (default: 1)",
        )
        parser.add_argument(
            NOTIFY, type=_notify, default=None if parser is top else argparse.SUPPRESS, help=argparse.SUPPRESS
        )


def run(options: argparse.Namespace, settings: "Settings") -> int:
    """Run the service, or migrate the schema; the exit code. Raises `StartupError`."""
    # Imported here, because --help should not wait for them.
    from dexexec.config import descriptor_limit  # noqa: PLC0415
    from dexexec.config.environment import environment  # noqa: PLC0415
    from dexexec.observe.log import open_log  # noqa: PLC0415
    from dexexec.observe.metrics import Metrics  # noqa: PLC0415
    from dexexec.observe.metrics.exposition import metrics_over_processes  # noqa: PLC0415
    from dexexec.observe.metrics.instruments import NoInstruments, PrometheusInstruments  # noqa: PLC0415
    from dexexec.observe.observer import Observer  # noqa: PLC0415
    from dexexec.observe.tracing import NO_TRACER  # noqa: PLC0415
    from dexexec.observe.tracing.telemetry import open_telemetry  # noqa: PLC0415

    descriptor_limit.raise_limit()
    stopping = StopRequest(may_hurry=options.notify is None and options.processes == 1)
    with metrics_over_processes(options.processes, is_child=options.notify is not None):
        metrics = Metrics(PrometheusInstruments() if settings.metrics else NoInstruments())
        telemetry = open_telemetry(environment(), os.environ)
        with telemetry or contextlib.nullcontext():
            export = telemetry.export_line if telemetry else None
            log = open_log(settings.log_level, settings.log_format, redactor(), export)
            observer = Observer(log, metrics, telemetry.tracer if telemetry else NO_TRACER)
            return _run(options, settings, stopping, observer)


def _run(options: argparse.Namespace, settings: "Settings", stopping: StopRequest, observer: "Observer") -> int:
    if options.notify is not None:
        options.notify.when_gone(stopping.request)
    else:  # a child's parent has logged the warnings
        for warning in settings.warnings():
            observer.suspicious_setting_found(warning)
    # The longest regular stop. After that the process exits even if a part hangs.
    seconds = settings.lame_duck_seconds + settings.drain_seconds + END_SECONDS

    def event_loop(work: Coroutine[object, object, T]) -> T:
        with stopping.bounded(seconds, lambda: _exit_now(observer, seconds)):
            return run_event_loop(work)

    if options.processes > 1:
        from dexexec.bootstrap import supervisor  # noqa: PLC0415

        role = Role(options.command or Role.ALL)
        # The children get their full time first, and are then killed by the parent.
        seconds += supervisor.GRACE_SECONDS
        supervisor.serve(
            settings,
            role,
            options.processes,
            stopping=stopping,
            observer=observer,
            say=print_text,
            event_loop=event_loop,
        )
    else:
        _run_here(options, settings, stopping, observer, event_loop)
    stopping.block_signals()
    return 0


def _exit_now(observer: "Observer", seconds: float) -> NoReturn:
    """Exit without waiting any longer. The effect is that of kill -9, which loses nothing."""
    observer.shutdown_timed_out(seconds)
    # Closing flushes the log; os._exit skips everything else that could hang again.
    for output in (sys.stdout, sys.stderr):
        output.close()
    os._exit(1)


def _run_here(
    options: argparse.Namespace,
    settings: "Settings",
    stopping: StopRequest,
    observer: "Observer",
    event_loop: Callable[[Coroutine[object, object, Any]], Any],
) -> None:
    from dexexec.bootstrap import listening_sockets, service  # noqa: PLC0415
    from dexexec.bootstrap.servers import open_servers  # noqa: PLC0415

    role = Role(options.command or Role.ALL) if options.command != "migrate" else None
    alone = role in {Role.ALL, Role.API} and options.notify is None
    # Taken before any server is started, so that a port in use costs no time.
    main = listening_sockets.main_endpoint(settings)
    operations = listening_sockets.operations_endpoint(settings) if role is not None else None
    listening = listening_sockets.listen(main) if alone else []
    of_operations = listening_sockets.listen(operations, shared=options.notify is not None) if operations else []

    def listen() -> Sequence[socket.socket]:
        return listening if alone else listening_sockets.listen(main, shared=True)

    on_ready = print_text if options.notify is None else options.notify.ready
    with (
        open_servers(settings, observer.embedded_server_changed, stopping, with_redis=role is not None) as servers,
        contextlib.ExitStack() as stack,
    ):
        for listener in (*listening, *of_operations):
            stack.callback(listener.close)
        if stopping.requested:
            observer.start_aborted()
        elif role is None:
            applied = event_loop(service.migrate_only(servers, settings.start_seconds, stopping, observer))
            if applied or not stopping.requested:
                print_text(f"applied: {', '.join(applied)}" if applied else "the schema is up to date")
        else:
            event_loop(
                service.serve(
                    settings,
                    role,
                    servers,
                    stopping,
                    listen=listen,
                    listen_operations=lambda: of_operations,
                    observer=observer,
                    up=on_ready,
                )
            )


def _notify(text: str) -> Notify:
    try:
        return Notify(socket.socket(fileno=int(text)))
    except (ValueError, OSError):
        raise argparse.ArgumentTypeError("is only for the child processes of --processes") from None
