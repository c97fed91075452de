"""What an order cost, as one sentence of its explanation."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]
AmountText = Callable[[str, str], str]
"""Base units and a mint as a person reads them."""


def cost_text(cost: Json, amount: AmountText) -> str:
    """The sentence for the `cost` of an order; empty if none of its attempts is on the chain."""
    if not cost["swaps"] and not cost["failedAttempts"]:
        return ""
    return f"{'It cost' if cost['final'] else 'So far it cost'} {'; '.join(_parts(cost, amount))}."


def _parts(cost: Json, amount: AmountText) -> Iterator[str]:
    yield _fees(cost)
    if cost["rentPaid"] != "0":
        yield f"{cost['rentPaid']} lamports of rent for accounts of the wallet"
    if cost["rentReturned"] != "0":
        yield f"{cost['rentReturned']} lamports of rent came back"
    for of_mint in cost["mints"]:
        mint = of_mint["mint"]
        if of_mint["venueFees"] != "0":
            yield f"{amount(of_mint['venueFees'], mint)} of venue fees, which are inside the amounts"
    for of_mint in cost["mints"]:
        mint = of_mint["mint"]
        if (of_mint["slippage"], of_mint["venueSlippage"]) != ("0", "0"):
            first, executed = (_compared(of_mint[name], mint, amount) for name in ("slippage", "venueSlippage"))
            yield f"the fill was {first} than the first quote and {executed} than the executed one"


def _fees(cost: Json) -> str:
    text = f"{cost['fees']} lamports of network fees"
    details = []
    if not cost["unknown"]["feeParts"]:
        details = [f"{cost['baseFees']} base", f"{cost['priorityFees']} priority"]
    if cost["failedAttempts"]:
        details.append(f"{cost['failedFees']} of them for failed attempts")
    return f"{text} ({', '.join(details)})" if details else text


def _compared(units: str, mint: str, amount: AmountText) -> str:
    return f"{amount(units.removeprefix('-'), mint)} {'better' if units.startswith('-') else 'worse'}"
