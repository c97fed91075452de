"""Lists the venue adapters, and runs the contract suite on one, for `python -m dexexec adapters`.

The exit code is 0 only when everything is in order, so that a package of adapters can run the command in its tests.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

from dexexec.bootstrap.background import running
from dexexec.bootstrap.networks import Purpose, open_networks
from dexexec.clock import SystemClock
from dexexec.config.settings import Settings
from dexexec.errors import AdapterLoadError
from dexexec.observe.observer import Observer, make_logger
from dexexec.observe.redaction import Redactor
from dexexec.settlement.simulated.ledger import MemoryLedger
from dexexec.settlement.solana.guard.pinned_programs import declared, setting
from dexexec.testing.contract import Result, Verdict, report
from dexexec.testing.harness import Harness
from dexexec.testing.node import CachedChain, NodeHarness
from dexexec.venue import Network, SolanaChain
from dexexec.venues import presets
from dexexec.venues.presets import origin
from dexexec.venues.registry import VenueClass, built_in, installed, load, networks, options_of, read_options

_COLUMNS = ("ADAPTER", "ENABLED", "NETWORK", "MODES", "PAIRS", "FROM")


def list_adapters(enabled: Sequence[str], out: TextIO | None = None) -> int:
    """Print every adapter that is installed or enabled by path, with its settings, and every preset.

    Returns 0, or 1 when an adapter cannot be loaded. Raises `AdapterLoadError` when two adapters share a name.
    """
    out = out or sys.stdout
    named, groups, enabled = set(enabled), presets.installed(), presets.expand(enabled)
    sources = {name: origin(point) for name, point in installed().items()}
    sources |= {name: "path" if ":" in name else "not installed" for name in enabled if name not in sources}
    rows = [_COLUMNS]
    settings = dict[str, str]()
    unproven = dict[str, str]()
    problems = list[str]()
    for name, source in sources.items():
        state = "yes" if name in enabled else "no"
        # One at a time: an adapter that cannot be loaded must not hide the others.
        try:
            [venue_class] = load([name])
        except AdapterLoadError as error:
            rows.append((name, state, "-", "-", "-", source))
            problems.append(str(error))
            continue
        rows.append((venue_class.name, state, *_abilities(venue_class), source))
        settings |= options_of(venue_class)
        if why := venue_class.capabilities.unproven:
            unproven[venue_class.name] = why
    _table(rows, out)
    out.writelines(f"\n{name} is unproven: {why}\n" for name, why in unproven.items())
    if groups:
        out.write("\n")
        parts = [("PRESET", "ENABLED", "ADAPTERS", "SETTINGS", "FROM")]
        for name, point in groups.items():
            preset = presets.load(point)
            meant = " ".join(
                f"{variable}={value}" for variable, value in {**preset.defaults, **preset.settings}.items()
            )
            state = "yes" if name in named else "no"
            parts.append((name, state, " ".join(preset.adapters), meant or "-", origin(point)))
        _table(parts, out)
    if settings:
        out.write("\nSettings that these adapters read:\n")
        _table([("  " + name, text) for name, text in settings.items()], out)
    out.writelines(f"\n{problem}\n" for problem in problems)
    return 1 if problems else 0


def check_adapter(
    name: str, environ: Mapping[str, str], settings: Settings | None = None, out: TextIO | None = None
) -> int:
    """Run the contract suite on an adapter, by name or path, or on all of a preset; print one line per rule.

    `environ` holds the adapter's own settings. `settings` name the pair to swap, and the node for adapters that settle
    on Solana; nothing is sent to it. Returns 0 when every applicable rule is kept, else 1. Raises `StartupError` when
    the adapter does not exist, its settings are invalid, or no node is configured.
    """
    out = out or sys.stdout
    environ = presets.environment({**environ, presets.ADAPTERS: name} if presets.presets_among([name]) else environ)
    all_kept = True
    for venue_class in load([name]):
        read_options(venue_class, environ)
        results, programs = asyncio.run(_results(venue_class, environ, settings or Settings(_env_file=None)))
        all_kept &= _report(venue_class, results, out)
        if programs and not built_in([venue_class]):
            out.write(f"To trade with it, pin its programs: {setting(venue_class.name, programs)}\n")
    return 0 if all_kept else 1


async def _results(
    venue_class: VenueClass, environ: Mapping[str, str], settings: Settings
) -> tuple[list[Result], frozenset[str]]:
    """The results on the simulated chain or on a node, and the programs that the adapter calls."""
    tokens = settings.token_list()
    pairs = venue_class.capabilities.pairs
    pair = settings.default_pair() if pairs is None or frozenset(settings.default_pair()) in pairs else None
    if venue_class.capabilities.network == Network.SIMULATED:
        return await report(Harness(venue_class, environ, tokens, pair)), frozenset()
    clock = SystemClock()
    observer = Observer(make_logger(settings.log_level, settings.log_format, Redactor(environ)))
    [network] = networks([venue_class], environ)
    async with (
        open_networks(
            settings,
            [network],
            ledger=MemoryLedger(clock),
            localnet_url=settings.localnet_url,
            clock=clock,
            observer=observer,
            purpose=Purpose.QUOTE,
        ) as opened,
        running(opened.background),
    ):
        chain = opened.chains[network]
        if not isinstance(chain, SolanaChain):
            raise AdapterLoadError(
                f"{venue_class.name} settles on {network!r}, for which there is no node to check it with"
            )
        cluster = opened.clusters.get(network, "")
        harness = NodeHarness(venue_class, environ, tokens, pair, chain=CachedChain(chain), cluster=cluster)
        await harness.ready()
        async with harness.venue_setup() as setup:
            programs = declared(setup.venue)
        return await report(harness), programs


def _report(venue_class: VenueClass, results: Sequence[Result], out: TextIO) -> bool:
    """Print one line per rule. Returns whether no rule is broken."""
    width = max(len(result.rule) for result in results)
    out.write(f"{venue_class.name} ({venue_class.__module__}:{venue_class.__qualname__})\n")
    for result in results:
        text = result.promise if result.verdict is Verdict.OK else result.detail
        out.write(f"  {result.verdict:4}  {result.rule:{width}}  {text}\n")
    count = {verdict: sum(result.verdict is verdict for result in results) for verdict in Verdict}
    out.write(
        f"{count[Verdict.OK]} of {len(results)} rules kept, {count[Verdict.FAIL]} broken,"
        f" {count[Verdict.SKIPPED]} not applicable\n"
    )
    return not count[Verdict.FAIL]


def _abilities(venue_class: VenueClass) -> tuple[str, str, str]:
    can = venue_class.capabilities
    pairs = "any" if can.pairs is None else str(len(can.pairs))
    return can.network, " ".join(sorted(can.modes)), pairs


def _table(rows: Sequence[Sequence[str]], out: TextIO) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        out.write("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
