"""Many swaps of one venue on its real program, which moves what was quoted, to the unit.

`TEST_PROGRAMS_RECORD=FOLDER` writes some of them to FOLDER/<venue>.json, as tests/vectors has them.
"""

import json
import os
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from zlib import compress

from dexexec.domain.quote import Mode, Quote, SwapRequest
from dexexec.venue import AnyVenue, VenueError
from tests.programs.direct import Direct

RECORD = "TEST_PROGRAMS_RECORD"
RECORDED = 60
"""Swaps in one file."""


class Recording:
    """Swaps that a program executed, each with the accounts that its quote was computed from. `every` so many swaps one
    is kept."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._seen = 0
        self._swaps: list[dict[str, Any]] = []

    async def quote(self, direct: Direct, venue: AnyVenue, request: SwapRequest) -> Quote:
        """The venue's quote, which is recorded if it is its turn: it must be executed next."""
        direct.chain.read.clear()
        quote = await direct.quote(venue, request)
        self._seen += 1
        if self._seen % self._every == 0 and len(self._swaps) < RECORDED:
            answer = await direct.chain.accounts(list(dict.fromkeys(sum(direct.chain.read, ()))))
            found = zip(direct.chain.read[-1], answer.found, strict=True)
            self._swaps.append(
                {
                    "pool": quote.route[0],
                    "slot": answer.slot,
                    "unix_ms": direct.clock.unix_ms(),
                    "mint_in": request.mint_in,
                    "mint_out": request.mint_out,
                    "mode": request.mode,
                    "amount_in": quote.amount_in,
                    "amount_out": quote.amount_out,
                    "accounts": {
                        address: [one.owner, b64encode(compress(one.data, 9)).decode()]
                        for address, one in found
                        if one is not None
                    },
                }
            )
        return quote

    def write(self, venue: str) -> None:
        """Write the file, if that is wanted."""
        if folder := os.environ.get(RECORD):
            text = json.dumps(self._swaps, indent=1)
            Path(folder, f"{venue}.json").write_text(text + "\n")


async def compare(
    direct: Direct, venue: AnyVenue, draw: Callable[[], SwapRequest], count: int, recording: Recording
) -> Counter[str]:
    """Quote requests in turn and execute each quote, until `count` are executed or ten times as many were tried.

    Returns how many were equal, by mode, and how many requests the venue refused, by the kind of its error. Raises
    `AssertionError` for an amount that differs.
    """
    counts: Counter[str] = Counter()
    for _ in range(10 * count):
        if counts[Mode.EXACT_IN] + counts[Mode.EXACT_OUT] == count:
            break
        request = draw()
        try:
            quote = await recording.quote(direct, venue, request)
        except VenueError as refusal:
            counts[f"refused: {type(refusal).__name__}"] += 1
            continue
        moved = await direct.realise(venue, quote)
        assert moved == (quote.amount_in, quote.amount_out), (request, quote.route, moved)
        counts[request.mode] += 1
    return counts


def any_size(chance: Random, most: int) -> int:
    """From one unit to `most`, each order of magnitude as likely as the others."""
    return min(most, max(1, round(2 ** chance.uniform(0, most.bit_length()))))
