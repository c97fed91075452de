"""Bounds how deeply the JSON of a body may be nested, before it is decoded.

How deep Python's decoder goes by itself depends on the version: to a thousand levels in 3.12, to ten thousand in 3.13.
"""

import re

MAX_NESTING = 100
"""Levels of objects and arrays; an order has at most four."""

# The closing quote is optional, since a search for a missing one would begin anew at every quote of a long text.
_MARK = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""A string, which is skipped whole, or the beginning or end of an object or array."""


def nests_too_deeply(text: str) -> bool:
    """Whether the text opens more than `MAX_NESTING` objects and arrays in each other."""
    if text.count("{") + text.count("[") <= MAX_NESTING:
        return False
    depth = 0
    for mark in _MARK.findall(text):
        if mark in "[{":
            depth += 1
            if depth > MAX_NESTING:
                return True
        elif mark in "]}":
            depth -= 1
    return False
