"""The command line. Without a command, everything runs in one process: `python -m dexexec`."""

import argparse
import asyncio
import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from dexexec import __version__
from dexexec.bench import options as bench_options
from dexexec.bootstrap import localnet, parent_link
from dexexec.bootstrap.roles import Role
from dexexec.bootstrap.shutdown import END_SECONDS, StopRequest
from dexexec.cli import look, orders
from dexexec.errors import SettingsError, StartupError, UnavailableError
from dexexec.observe.log_output import threaded_output
from dexexec.observe.redaction import Redactor

if TYPE_CHECKING:
    import socket

    from dexexec.config.settings import Settings
    from dexexec.observe.observer import Observer

T = TypeVar("T")

LONG_RUNNING = frozenset({None, "api", "worker", "localnet"})
"""Commands that serve others (None: all in one process): no reader of their output may hold them up."""

EPILOG = """
Settings come from the environment and from .env in the working directory; .env.example lists all of them.
Without REDIS_URL and PG_HOST (or DATABASE_URL), a Redis and a Postgres are started here and kept in DEXEXEC_DATA_DIR.
"""


class Parser(argparse.ArgumentParser):
    """Its errors repeat what was typed, which may be a secret in the wrong place."""

    def error(self, message: str) -> NoReturn:
        """Print usage and the message, and exit."""
        super().error(redactor()(message))


def redactor() -> Redactor:
    """For what this process prints: it knows the secrets of our environment."""
    from dexexec.config.environment import environment  # noqa: PLC0415

    try:
        return Redactor(environment())
    except SettingsError:  # what cannot be read of .env is repeated nowhere
        return Redactor(os.environ)


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = Parser(
        prog="python -m dexexec",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"dexexec {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    api = commands.add_parser("api", help="HTTP and WebSockets only", description="Take orders and push their events.")
    worker = commands.add_parser("worker", help="execution only", description="Execute the orders on the queue.")
    parent_link.add_options(top, api, worker)
    commands.add_parser("migrate", help="bring the schema up to date", description="Apply what is new in sql/.")
    demo = commands.add_parser(
        "demo", help="post orders at a running server and watch them", description="Post orders and watch them live."
    )
    demo.add_argument("--orders", type=_count, default=10, metavar="N", help="how many, 1 to 5000 (default: 10)")
    demo.add_argument("--url", default=None, help="the server (default: http://127.0.0.1:$PORT)")
    demo.add_argument(
        "--timeout", type=_seconds, default=120.0, metavar="S", help="seconds that all of it may take (default: 120)"
    )
    adapters = commands.add_parser("adapters", help="list or check venues' adapters", description="Venues' adapters.")
    which = adapters.add_subparsers(dest="action", metavar="ACTION", required=True)
    which.add_parser("list", help="what is installed, and what of it is on")
    check = which.add_parser("check", help="run the contract suite and print a conformance report")
    check.add_argument("name", metavar="NAME", help="the name of an adapter or a preset, or package.module:Class")
    localnet.add_parser(commands)
    bench_options.add_parser(commands)
    look.add_parser(commands)
    orders.add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. What cannot start says so in one line."""
    sys.excepthook = _print_crash
    options = parser().parse_args(arguments)
    with threaded_output() if options.command in LONG_RUNNING else contextlib.nullcontext():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        return _command(options)
    except StartupError as error:
        text = redactor()(str(error))
        if options.notify is not None:
            options.notify.failed(text)
        else:
            print(f"dexexec: {text}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _print_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """As Python does, without secrets."""
    sys.stderr.write(redactor()("".join(traceback.format_exception(kind, error, trace))))


def _command(options: argparse.Namespace) -> int:  # noqa: PLR0911 - one for each command
    # Imports stand where they are needed: --help and a bad setting should not wait for all of it.
    from dexexec.config import settings  # noqa: PLC0415
    from dexexec.config.environment import environment, pass_to_libpq  # noqa: PLC0415
    from dexexec.venues import registry  # noqa: PLC0415

    if options.processes > 1 and options.command not in {None, "api", "worker"}:
        raise StartupError("--processes is for the service itself, and for its halves api and worker")
    pass_to_libpq()
    loaded = settings.load(lambda: registry.option_names(environment()))
    if options.command == "adapters":
        return _adapters(options, loaded, environment())
    if options.command == "demo":
        from dexexec.demo import run  # noqa: PLC0415

        return run.main(options.url or f"http://127.0.0.1:{loaded.port}", options.orders, options.timeout)
    if options.command == "bench":
        from dexexec.bench import command  # noqa: PLC0415

        return command.main(options, loaded, environment())
    if options.command == "localnet":
        stopping = StopRequest()
        _event_loop(localnet.serve(options, loaded.data_folder, stopping, say))
        stopping.block_signals()
        return 0
    if options.command in look.COMMANDS:
        return _event_loop(look.run(options, loaded, environment()))
    if options.command == "orders":
        return _orders(options, loaded)
    return _serve(options, loaded)


def _orders(options: argparse.Namespace, loaded: "Settings") -> int:
    from dexexec.bootstrap.servers import open_servers  # noqa: PLC0415
    from dexexec.bootstrap.startup_diagnosis import lost_during_start  # noqa: PLC0415

    def tell(line: str) -> None:
        print(line, file=sys.stderr)  # noqa: T201

    with open_servers(loaded, tell, with_redis=False) as found:
        try:
            return _event_loop(orders.run(options, found, sys.stdout))
        except UnavailableError as error:
            raise lost_during_start(error) from error


def _adapters(options: argparse.Namespace, loaded: "Settings", environ: Mapping[str, str]) -> int:
    from dexexec.cli import adapters  # noqa: PLC0415

    if options.action == "list":
        return adapters.list_adapters(loaded.adapters)
    return adapters.check_adapter(options.name, environ, loaded)


def _serve(options: argparse.Namespace, loaded: "Settings") -> int:
    from dexexec.config import descriptor_limit  # noqa: PLC0415
    from dexexec.observe.log import open_log  # noqa: PLC0415
    from dexexec.observe.observer import Observer  # noqa: PLC0415

    descriptor_limit.raise_limit()
    stopping = StopRequest()
    observer = Observer(open_log(loaded.log_level, loaded.log_format, redactor()))
    if options.notify is not None:
        options.notify.when_gone(stopping.request)
    else:
        for warning in loaded.warnings():
            observer.suspicious_setting_found(warning)
    seconds = loaded.drain_seconds + END_SECONDS

    def event_loop(work: Coroutine[object, object, T]) -> T:
        with stopping.bounded(seconds, lambda: _leave(observer, seconds)):
            return _event_loop(work)

    if options.processes > 1:
        from dexexec.bootstrap import supervisor  # noqa: PLC0415

        role = Role(options.command or Role.ALL)
        seconds += supervisor.GRACE_SECONDS
        supervisor.serve(
            loaded, role, options.processes, stopping=stopping, observer=observer, say=say, event_loop=event_loop
        )
    else:
        _serve_here(options, loaded, stopping, observer, event_loop)
    stopping.block_signals()
    return 0


def _leave(observer: "Observer", seconds: float) -> NoReturn:
    """As kill -9 would, which every process and server of ours stands at any moment."""
    observer.shutdown_timed_out(seconds)
    for output in (sys.stdout, sys.stderr):
        output.close()
    os._exit(1)


def _serve_here(
    options: argparse.Namespace,
    loaded: "Settings",
    stopping: StopRequest,
    observer: "Observer",
    event_loop: Callable[[Coroutine[object, object, Any]], Any],
) -> None:
    from dexexec.bootstrap import listening_sockets, service  # noqa: PLC0415
    from dexexec.bootstrap.servers import open_servers  # noqa: PLC0415

    role = Role(options.command or Role.ALL) if options.command != "migrate" else None
    alone = role in {Role.ALL, Role.API} and options.notify is None
    # Before anything is started, so that a taken port costs nothing.
    listening = listening_sockets.listen(loaded) if alone else []

    def listen() -> "Sequence[socket.socket]":
        return listening if alone else listening_sockets.listen(loaded, shared=True)

    up = say if options.notify is None else options.notify.ready
    with (
        open_servers(loaded, observer.embedded_server_changed, stopping, with_redis=role is not None) as found,
        contextlib.ExitStack() as stack,
    ):
        for one in listening:
            stack.callback(one.close)
        if stopping.requested:
            observer.start_aborted()
        elif role is None:
            applied = event_loop(service.migrate_only(found, loaded.start_seconds, stopping, observer))
            if applied or not stopping.requested:
                say(f"applied: {', '.join(applied)}" if applied else "the schema is up to date")
        else:
            event_loop(service.serve(loaded, role, found, stopping, listen=listen, observer=observer, up=up))


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 5_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 1 to 5000")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds


def say(text: str) -> None:
    """To people, on standard output, at once."""
    if text:
        print(redactor()(text), flush=True)  # noqa: T201


def _event_loop(work: Coroutine[object, object, T]) -> T:
    """Run `work` on the fastest loop there is."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)
