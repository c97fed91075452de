"""The orders of the soak: mostly market orders, and some of every kind that ends by itself."""

import random
from collections.abc import Mapping

MOST = {"buy": 20.0, "sell": 3_000.0}
"""Amount of an order, in SOL and USDC: about the same worth, so that a wallet is not emptied in one direction."""
DEADLINE_SECONDS = 30
"""Of an order: one whose bound the price does not come back to waits for as long."""
REACHED = {"buy": "1", "sell": "100000"}
"""A limit that any price is good enough for: SOL costs about 150 USDC. A buy spends SOL."""

Order = Mapping[str, object]


def any_order(taste: random.Random) -> Order:
    """The next order of a client."""
    side = taste.choice(list(MOST))
    swap: Order = {"side": side, "amount": f"{taste.uniform(0.01, MOST[side]):.4f}"}
    market: Order = {**swap, "deadlineSeconds": DEADLINE_SECONDS}
    limit: Order = {**swap, "type": "limit", "limitPrice": REACHED[side]}
    kinds: dict[str, Order] = {
        "market": market,
        "dry run": {**market, "dryRun": True},
        # Both rest, and the oracle finds them reached at its next look.
        "limit": limit,
        "stop": {**swap, "triggerPrice": "1", "triggerWhen": "above"},
        "one try": {**limit, "timeInForce": "IOC"},
        "recurring": {
            **market,
            "type": "recurring",
            "slices": taste.randint(2, 4),
            "every": "PT1S",
            "missed": taste.choice(["skip", "catchUp"]),
        },
    }
    [kind] = taste.choices(list(kinds), [60, 5, 10, 10, 5, 10])
    return kinds[kind]
