"""`python -m dexexec bench`: its options, the parts in turn, and the report. The exit code is 1 when a figure cannot be
trusted, because orders were lost, doubled, not answered or not confirmed, or because a part could not be measured."""

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from rich.console import Console

from dexexec import __version__
from dexexec.bench import environment
from dexexec.bench.plan import FOREIGN_PARTS, PARTS, QUICK, Plan
from dexexec.bench.processes import BenchError, StoppedError
from dexexec.bench.report import Report
from dexexec.bench.scenarios import remote
from dexexec.bench.scenarios.registry import PARTS_BY_NAME
from dexexec.bootstrap.shutdown import Stopping
from dexexec.config.settings import Settings
from dexexec.demo.client import check_url
from dexexec.errors import StartupError

SPARE_FILES = 200


def main(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    """Measure; the exit code. Raises `StartupError`."""
    plan = QUICK if options.quick else Plan()
    names = [name for name in (PARTS if options.url is None else FOREIGN_PARTS) if name in (options.only or PARTS)]
    if not names:
        raise StartupError(f"with --url only these can be measured: {', '.join(FOREIGN_PARTS)}")
    _allow_files(max(plan.idle_sockets, *plan.sockets) + SPARE_FILES)
    stopping = Stopping()
    to_stdout = options.json is not None and str(options.json) == "-"
    console = Console(file=sys.stderr if to_stdout else sys.stdout, highlight=False, soft_wrap=True)
    report, begun = Report(), time.monotonic()
    run = _Run(plan, report, stopping, console)
    about = _about(options, environ)
    try:
        about |= _theirs(run, names, options.url) if options.url else _ours(run, names, settings, environ)
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
    stopping.over()
    return 130 if stopping.asked else 1 if report.faults else 0


@dataclass(frozen=True, slots=True)
class _Run:
    """What the parts have in common."""

    plan: Plan
    report: Report
    stopping: Stopping
    console: Console

    def asked(self) -> bool:
        return self.stopping.asked

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)


def _ours(run: _Run, names: Sequence[str], settings: Settings, environ: Mapping[str, str]) -> dict[str, object]:
    """Measure services of our own; what they ran on."""
    with environment.open_bench_servers(settings, environ, run.asked, run.say) as here:
        for name in names:
            _part(run, name, partial(PARTS_BY_NAME[name], here, run.plan, run.report))
        return {**here.versions(), "embedded": list(here.servers.embedded)}


def _theirs(run: _Run, names: Sequence[str], url: str) -> dict[str, object]:
    """Measure what runs at `url`."""
    check_url(url)
    with environment.open_client(environment.plain_environment(), run.asked) as (processes, load):
        for name in names:
            _part(run, name, partial(remote.PARTS_BY_NAME[name], url, processes, load, run.plan, run.report))
    return {}


def _part(run: _Run, name: str, work: Callable[[], None]) -> None:
    report = run.report
    run.say(f"{name} ...")
    begun, known = time.monotonic(), len(report.figures)
    try:
        work()
    except BenchError as error:
        report.faults.append(f"{name}: {error}")
    report.seconds[name] = time.monotonic() - begun
    for figure in report.figures[known:]:
        run.say(f"  {figure.name}: {'n/a' if figure.value is None else f'{figure.value:,.2f}'} {figure.unit}")


def _about(options: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, object]:
    given = {name: value for name, value in environ.items() if name.startswith("DEXEXEC_")}
    return {
        "dexexec": __version__,
        "startedAt": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": bool(options.quick),
        "url": options.url,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "settings": {name: given[name] for name in sorted(given) if name not in environment.FIXED},
    }


def _allow_files(count: int) -> None:
    """For the children: they inherit what is allowed here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        raise StartupError(f"{count} files must be open at once, and the system allows {hard}: raise it (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
