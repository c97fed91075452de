"""The command line: reads the options, runs the command, and turns errors into exit codes."""

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from dexexec import __version__
from dexexec.bench import options as bench_options
from dexexec.bootstrap.shutdown import StopRequest
from dexexec.cli import (
    adapters,
    backup,
    cancel,
    demo,
    explain,
    halt,
    keys,
    localnet,
    operator,
    orders,
    paper,
    quote,
    service,
    venues,
    wallet,
    webhooks,
)
from dexexec.cli.event_loop import run_event_loop
from dexexec.cli.output import print_text, redactor
from dexexec.errors import StartupError, UnavailableError
from dexexec.observe.log_output import threaded_output

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from dexexec.bootstrap.servers import Servers
    from dexexec.config.settings import Settings

LONG_RUNNING = frozenset({None, "api", "worker", "localnet"})
"""The commands that run until they are stopped (None: the whole service). A slow reader must not block them."""

DESCRIPTION = "Execute orders for token swaps on Solana. Without a command, the API and a worker run in one process."
EPILOG = """
Settings come from the environment and from .env in the working directory; .env.example lists all of them.
Without REDIS_URL and PG_HOST (or DATABASE_URL), a Redis and a Postgres are started here and kept in DEXEXEC_DATA_DIR.
"""


class Parser(argparse.ArgumentParser):
    """An argument parser that masks secrets in its errors, which repeat what was typed."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit."""
        super().error(redactor()(message))


def parser() -> argparse.ArgumentParser:
    """The parser of all commands and their options."""
    top = Parser(
        prog="python -m dexexec",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"dexexec {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    service.add_parsers(top, commands)
    demo.add_parser(commands)
    adapters.add_parser(commands)
    localnet.add_parser(commands)
    bench_options.add_parser(commands)
    quote.add_parser(commands)
    wallet.add_parser(commands)
    orders.add_parsers(commands)
    operator.add_parser(commands)
    venues.add_parser(commands)
    cancel.add_parser(commands)
    explain.add_parser(commands)
    keys.add_parser(commands)
    webhooks.add_parser(commands)
    paper.add_parser(commands)
    backup.add_parsers(commands)
    halt.add_parsers(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. A failed start prints one line with the cause and the remedy."""
    sys.excepthook = _print_crash  # Python's own hook would print secrets in the text of an error
    options = parser().parse_args(arguments)
    with threaded_output() if options.command in LONG_RUNNING else contextlib.nullcontext():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        return _run_command(options)
    except StartupError as error:
        text = redactor()(str(error))
        if options.notify is not None:
            options.notify.failed(text)
        else:
            print(f"dexexec: {text}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        # Python flushes stdout once more at its exit, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _print_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback as Python does, with secrets masked."""
    sys.stderr.write(redactor()("".join(traceback.format_exception(kind, error, trace))))


def _run_command(options: argparse.Namespace) -> int:  # noqa: PLR0911, PLR0912 - one for each command
    # Imported here: --help and an error in the options should not wait for them.
    from dexexec.config.environment import environment, pass_to_libpq  # noqa: PLC0415
    from dexexec.config.settings import load  # noqa: PLC0415
    from dexexec.venues import references, registry  # noqa: PLC0415

    if options.processes > 1 and options.command not in service.WITH_PROCESSES:
        raise StartupError("--processes works only with the service and its commands api and worker")
    pass_to_libpq()  # before the first connection, since libpq reads the environment itself
    settings = load(lambda: registry.option_names(environment()) | references.option_names(environment()))
    match options.command:
        case "adapters" if options.action == "accept":
            return _run_on_record(settings, lambda servers: adapters.accept(options, servers, sys.stdout))
        case "adapters":
            return adapters.run(options, settings, environment())
        case "demo":
            return demo.run(options, settings)
        case "bench":
            from dexexec.bench import command  # noqa: PLC0415

            return command.main(options, settings, environment())
        case "localnet":
            stopping = StopRequest()
            run_event_loop(localnet.serve(options, settings.data_folder, stopping, print_text))
            stopping.block_signals()
            return 0
        case "quote":
            return run_event_loop(quote.run(options, settings, environment()))
        case "wallet":
            return run_event_loop(wallet.run(options, settings, environment()))
        case "orders" | "retry" | "release" | "dead-letters":
            symbols = settings.token_list()
            return _run_on_record(settings, lambda servers: orders.run(options, servers, symbols, sys.stdout))
        case "workers":
            return _run_on_record(settings, lambda servers: operator.list_workers(options, servers, sys.stdout))
        case "venues":
            return run_event_loop(venues.show_venues(options, settings, sys.stdout))
        case "cancel":
            known = settings.token_list()
            return _run_on_record(settings, lambda servers: cancel.run(options, servers, known, sys.stdout))
        case "keys":
            return _run_on_record(settings, lambda servers: keys.run(options, servers, settings, sys.stdout))
        case "webhooks":
            return _run_on_record(settings, lambda servers: webhooks.run(options, servers, settings, sys.stdout))
        case "explain":
            tokens = settings.token_list()
            return _run_on_record(settings, lambda servers: explain.run(options, servers, tokens, sys.stdout))
        case "paper":
            tokens = settings.token_list()
            return _run_on_record(settings, lambda servers: paper.run(options, servers, tokens, sys.stdout))
        case "backup" | "restore":
            return _run_on_record(settings, lambda servers: backup.run(options, servers, print_text))
        case "halt" | "resume":
            return _run_on_record(settings, lambda servers: halt.run(options, servers, sys.stdout))
        case _:
            return service.run(options, settings)


def _run_on_record(settings: "Settings", run: "Callable[[Servers], Coroutine[object, object, int]]") -> int:
    """A command that needs Postgres and no Redis."""
    from dexexec.bootstrap.servers import open_servers  # noqa: PLC0415
    from dexexec.bootstrap.startup_diagnosis import lost_during_start  # noqa: PLC0415

    def report(line: str) -> None:
        print(line, file=sys.stderr)  # noqa: T201

    with open_servers(settings, report, with_redis=False) as servers:
        try:
            return run_event_loop(run(servers))
        except UnavailableError as error:
            raise lost_during_start(error) from error
