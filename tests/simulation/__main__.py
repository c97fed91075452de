"""Run many scenarios, on every core: `uv run python -m tests.simulation --seeds 10000 --from 1`.

The exit code is 0 only if every promise was kept in all of them. A scenario that broke one is repeated exactly by
`--seeds 1 --from SEED`.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.simulation import lying_node, scenario


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Simulate many seeds.")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many scenarios")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--nodes", action="store_true", help="scenarios with several nodes, one of which lies")
    options = parser.parse_args(arguments)
    run_seed = lying_node.run if options.nodes else scenario.run
    seeds = range(options.first, options.first + options.seeds)
    statuses: Counter[str] = Counter()
    done = broken = starts = unlanded = 0
    slowest, begun = 0.0, time.monotonic()
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("forkserver")) as pool:
        for result in pool.map(run_seed, seeds, chunksize=10):
            done += 1
            statuses.update(result.statuses)
            starts, unlanded = starts + result.starts, unlanded + result.unlanded
            slowest = max(slowest, result.healing)
            for problem in result.problems:
                say(f"BROKEN: seed {result.seed}, {problem}")
            broken += bool(result.problems)
            if done % 500 == 0:
                say(f"{done} of {options.seeds} seeds, {done / (time.monotonic() - begun) * 60:.0f} a minute")
    took = time.monotonic() - begun
    say(f"{done} seeds from {options.first} in {took:.1f} s, {done / took * 60:.0f} a minute; {broken} broken")
    say(f"orders: {', '.join(f'{count} {status}' for status, count in sorted(statuses.items()))}")
    say(f"processes started {starts}, swaps un-confirmed {unlanded}, slowest healing {slowest:.0f} virtual s")
    return 1 if broken else 0


def say(line: str) -> None:
    """Write a line to standard output at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
