"""`python -m dexexec adapters list` and `adapters check NAME`: which venues there are, and what they keep.

The exit code is 0 only when everything is in order, so that a package of adapters can run this in its own tests.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

from dexexec.domain.token import KNOWN, Tokens
from dexexec.errors import AdapterLoadError
from dexexec.registry import VenueClass, installed, load, options_of, origin, read_options
from dexexec.testing.contract import Verdict, report
from dexexec.testing.harness import Harness

_COLUMNS = ("ADAPTER", "ENABLED", "NETWORK", "MODES", "PAIRS", "FROM")


def list_adapters(enabled: Sequence[str], out: TextIO | None = None) -> int:
    """Print every installed adapter and those enabled by path, with the settings they read.

    Returns 0, or 1 when one of them cannot be loaded. Raises `AdapterLoadError` when two share a name.
    """
    out = out or sys.stdout
    sources = {name: origin(point) for name, point in installed().items()}
    sources |= {name: "path" if ":" in name else "not installed" for name in enabled if name not in sources}
    rows, settings, problems = [_COLUMNS], dict[str, str](), list[str]()
    for name, source in sources.items():
        state = "yes" if name in enabled else "no"
        try:
            [found] = load([name])
        except AdapterLoadError as error:
            rows.append((name, state, "-", "-", "-", source))
            problems.append(str(error))
            continue
        rows.append((found.name, state, *_abilities(found), source))
        settings |= options_of(found)
    _table(rows, out)
    if settings:
        out.write("\nSettings that these adapters read:\n")
        _table([("  " + name, text) for name, text in settings.items()], out)
    out.writelines(f"\n{problem}\n" for problem in problems)
    return 1 if problems else 0


def check_adapter(
    name: str,
    environ: Mapping[str, str],
    tokens: Tokens | None = None,
    pair: tuple[str, str] | None = None,
    out: TextIO | None = None,
) -> int:
    """Try the contract on one adapter, by name or path, and print a line for each rule.

    `environ` holds the adapter's own settings; `pair` is what is swapped. Returns 0 when every rule that applies is
    kept, else 1. Raises `AdapterLoadError` when there is no such adapter or its settings cannot be used.
    """
    out = out or sys.stdout
    [found] = load([name])
    read_options(found, environ)
    results = asyncio.run(report(Harness(found, environ, tokens or Tokens(KNOWN), pair)))
    width = max(len(result.rule) for result in results)
    out.write(f"{found.name} ({found.__module__}:{found.__qualname__})\n")
    for result in results:
        text = result.promise if result.verdict is Verdict.OK else result.detail
        out.write(f"  {result.verdict:4}  {result.rule:{width}}  {text}\n")
    count = {verdict: sum(result.verdict is verdict for result in results) for verdict in Verdict}
    out.write(
        f"{count[Verdict.OK]} of {len(results)} rules kept, {count[Verdict.FAIL]} broken,"
        f" {count[Verdict.SKIPPED]} not applicable\n"
    )
    return 1 if count[Verdict.FAIL] else 0


def _abilities(found: VenueClass) -> tuple[str, str, str]:
    can = found.capabilities
    pairs = "any" if can.pairs is None else str(len(can.pairs))
    return can.network, " ".join(sorted(can.modes)), pairs


def _table(rows: Sequence[Sequence[str]], out: TextIO) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        out.write("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
