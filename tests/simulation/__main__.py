"""Tell many stories, on every core: `uv run python -m tests.simulation --seeds 10000 --from 1`.

The exit code is 0 only if every promise was kept in all of them. A story that broke one is told again, the same way, by
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

from tests.simulation import lying_node, run


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Simulate many seeds.")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many stories")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--nodes", action="store_true", help="stories of several nodes, one of which lies")
    options = parser.parse_args(arguments)
    tell = lying_node.tell if options.nodes else run.tell
    seeds = range(options.first, options.first + options.seeds)
    statuses: Counter[str] = Counter()
    done = broken = starts = unlanded = 0
    slowest, begun = 0.0, time.monotonic()
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("forkserver")) as pool:
        for story in pool.map(tell, seeds, chunksize=10):
            done += 1
            statuses.update(story.statuses)
            starts, unlanded = starts + story.starts, unlanded + story.unlanded
            slowest = max(slowest, story.healing)
            for problem in story.problems:
                say(f"BROKEN: seed {story.seed}, {problem}")
            broken += bool(story.problems)
            if done % 500 == 0:
                say(f"{done} of {options.seeds} seeds, {done / (time.monotonic() - begun) * 60:.0f} a minute")
    took = time.monotonic() - begun
    say(f"{done} seeds from {options.first} in {took:.1f} s, {done / took * 60:.0f} a minute; {broken} broken")
    say(f"orders: {', '.join(f'{count} {status}' for status, count in sorted(statuses.items()))}")
    say(f"processes started {starts}, swaps un-confirmed {unlanded}, slowest healing {slowest:.0f} virtual s")
    return 1 if broken else 0


def say(line: str) -> None:
    """To whoever looks on."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
