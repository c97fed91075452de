"""How long the tasks of a page keep its thread busy, in time of the processor.

A page is frozen while one task computes. Its wall time means little on a machine that does other things meanwhile, so
these are the times that the thread itself ran, which the browser's trace has.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Page

TASKS = "disabled-by-default-devtools.timeline"
REFERENCE = "performance.mark('reference'); for (let n = 0, x = 1; n < 3e6; n++) x = (x * 16807) % 2147483647;"
"""Some work of a known size, which shows how fast this machine is."""


@dataclass
class TaskTimes:
    """Times in ms. They are there when the block has ended."""

    tasks: list[float] = field(default_factory=list)

    @property
    def longest(self) -> float:
        return max(self.tasks)

    @property
    def total(self) -> float:
        return sum(self.tasks)


@contextmanager
def task_times(page: Page) -> Iterator[TaskTimes]:
    """The tasks of the page's main thread during the block."""
    browser = page.context.browser
    assert browser is not None
    times = TaskTimes()
    browser.start_tracing(page=page, categories=[TASKS, "__metadata"])
    try:
        yield times
    finally:
        trace = json.loads(browser.stop_tracing())["traceEvents"]
    renderers = {
        (event["pid"], event["tid"])
        for event in trace
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    times.tasks = [
        event["tdur"] / 1_000
        for event in trace
        if event["name"] == "RunTask" and "tdur" in event and (event["pid"], event["tid"]) in renderers
    ]
