"""`python -m dexexec bench`: runs the parts one after the other and prints the report.

The exit code is 1 when a figure cannot be trusted: orders were lost, duplicated, not answered or not confirmed, or a
part could not be measured.
"""

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from rich.console import Console

from dexexec import __version__
from dexexec.bench import sandbox
from dexexec.bench.processes import BenchError, StoppedError
from dexexec.bench.profile import FULL, PARTS, QUICK, REMOTE_PARTS, Profile
from dexexec.bench.report import Report
from dexexec.bench.scenarios.catalog import SCENARIOS
from dexexec.bench.scenarios.remote import REMOTE_SCENARIOS
from dexexec.bootstrap.shutdown import StopRequest
from dexexec.config.settings import Settings
from dexexec.demo.client import check_url
from dexexec.errors import StartupError

SPARE_FILES = 200


def main(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    """Measure, print the report and return the exit code. Raises `StartupError`."""
    profile = QUICK if options.quick else FULL
    if options.rtt_ms is not None:
        profile = replace(profile, rtt_ms=options.rtt_ms)
    names = [name for name in (PARTS if options.url is None else REMOTE_PARTS) if name in (options.only or PARTS)]
    if not names:
        raise StartupError(f"with --url only these can be measured: {', '.join(REMOTE_PARTS)}")
    _raise_file_limit(max(profile.idle_sockets, *profile.sockets) + SPARE_FILES)
    stopping = StopRequest()
    to_stdout = options.json is not None and str(options.json) == "-"
    # With the JSON on standard output, everything for people goes to standard error.
    console = Console(file=sys.stderr if to_stdout else sys.stdout, highlight=False, soft_wrap=True)
    report = Report()
    begun = time.monotonic()
    run = _Run(profile, report, stopping, console)
    about = _about(options, environ)
    try:
        if options.url:
            _measure_remote(run, names, options.url)
        else:
            about |= _measure_own(run, names, settings, environ)
    except StoppedError:
        report.faults.append("stopped before all was measured")
    about["seconds"] = round(time.monotonic() - begun, 1)
    text = json.dumps(report.document(about), indent=2)
    if options.json is not None and not to_stdout:
        options.json.write_text(text + "\n")
    report.show(console)
    if to_stdout:
        print(text)  # noqa: T201
    elif options.json is not None:
        console.print(f"JSON: {options.json}", markup=False)
    stopping.block_signals()
    return 130 if stopping.requested else 1 if report.faults else 0


@dataclass(frozen=True, slots=True)
class _Run:
    """What all parts of a run share."""

    profile: Profile
    report: Report
    stopping: StopRequest
    console: Console

    def stop_requested(self) -> bool:
        return self.stopping.requested

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)


def _measure_own(run: _Run, names: Sequence[str], settings: Settings, environ: Mapping[str, str]) -> dict[str, object]:
    """Measure services that the benchmark starts. Returns the versions of the servers that they ran on."""
    with sandbox.open_bench_servers(settings, environ, run.stop_requested, run.say) as servers:
        for name in names:
            _measure_part(run, name, partial(SCENARIOS[name], servers, run.profile, run.report))
        return {**servers.versions(), "embedded": list(servers.running.embedded)}


def _measure_remote(run: _Run, names: Sequence[str], url: str) -> None:
    """Measure the server at `url`."""
    check_url(url)
    with sandbox.open_load_client(sandbox.plain_environment(), run.stop_requested) as (processes, load):
        for name in names:
            _measure_part(run, name, partial(REMOTE_SCENARIOS[name], url, processes, load, run.profile, run.report))


def _measure_part(run: _Run, name: str, measure: Callable[[], None]) -> None:
    report = run.report
    run.say(f"{name} ...")
    begun = time.monotonic()
    figures_before = len(report.figures)
    try:
        measure()
    # One part that fails must not cost the figures of the others.
    except BenchError as error:
        report.faults.append(f"{name}: {error}")
    report.seconds[name] = time.monotonic() - begun
    for figure in report.figures[figures_before:]:
        run.say(f"  {figure.name}: {'n/a' if figure.value is None else f'{figure.value:,.2f}'} {figure.unit}")


def _about(options: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, object]:
    settings = {name: value for name, value in environ.items() if name.startswith("DEXEXEC_")}
    return {
        "dexexec": __version__,
        "startedAt": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": bool(options.quick),
        "url": options.url,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        # The cores that this process may use: a container may have fewer than the machine.
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "settings": {name: settings[name] for name in sorted(settings) if name not in sandbox.FIXED_SETTINGS},
    }


def _raise_file_limit(count: int) -> None:
    """Raise the limit of open files to `count`, for the child processes, which take over the limit of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        raise StartupError(f"{count} files must be open at once, and the system allows {hard}: raise it (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
