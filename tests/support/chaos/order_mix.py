"""The orders of the soak: mostly market orders, and some of every kind that ends by itself."""

import random
from collections.abc import Mapping

MOST = {"buy": 20.0, "sell": 3_000.0}
"""Amount of an order, in SOL and USDC: about the same worth, so that a wallet is not emptied in one direction."""
DEADLINE_SECONDS = 30
"""Of an order: one whose bound the price does not come back to waits for as long."""
SHARES = {"buy": "0.1%", "sell": "0.02%"}
"""Amounts as shares of the wallet's balance, in SOL and USDC: as large as the others at first."""
GROUPS = 60
"""Few enough that orders meet in them."""
REACHED = {"buy": "1", "sell": "100000"}
"""A limit that any price is good enough for: SOL costs about 150 USDC. A buy spends SOL."""

Order = Mapping[str, object]


def any_order(taste: random.Random, *, has_balances: bool) -> Order:
    """The next order of a client. `has_balances`: a wallet holds something of which it can spend a share."""
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
        # The first fill of a group cancels the others of it, and all that come later.
        "group": {**taste.choice([market, limit]), "ocoGroup": f"group-{taste.randrange(GROUPS)}"},
        # Any price is bad enough for the stop, so it is reached as soon as it is armed, wherever the price goes.
        "bracket": {**market, "bracket": {"stop": {"price": REACHED[side]}}},
    }
    weights = [60, 5, 10, 10, 5, 10, 10, 5]
    if has_balances:
        kinds |= {
            "share": {**market, "amount": SHARES[side]},
            "limit for a share": {**limit, "amount": SHARES[side]},
        }
        weights += [8, 4]
    [kind] = taste.choices(list(kinds), weights)
    return kinds[kind]
