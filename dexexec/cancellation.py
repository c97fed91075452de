"""A cancellation that got lost on the way.

redis-py sends through `asyncio.wait_for`, and that of Python 3.11 swallows a cancellation which arrives just as the
send has finished (CPython issue 86296, fixed in 3.12). A loop around Redis would then never end, so it asks here.
"""

import asyncio


def raise_if_cancelled() -> None:
    """Raise CancelledError when the current task was cancelled and nobody has taken that back."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
