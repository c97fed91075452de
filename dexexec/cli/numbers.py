"""Argument types for numbers on the command line."""

import argparse
from collections.abc import Callable


def integer(least: int, most: int, what: str = "") -> Callable[[str], int]:
    """An argument type for integers from `least` to `most`. `what` replaces the description in the error."""

    def parse(text: str) -> int:
        # `isascii` first: `isdigit` is also true for digits such as "²". Cut, since int() of a long text is slow.
        if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what or f'an integer from {least} to {most}'}")
        return int(text)

    return parse


def positive_seconds(text: str) -> float:
    """An argument type for a positive number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds
