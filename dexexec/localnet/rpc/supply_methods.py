"""JSON-RPC methods about the largest accounts and the supply, of lamports and of tokens."""

from typing import Any

from dexexec.localnet.rpc import encoding
from dexexec.localnet.rpc.errors import InvalidParamsError
from dexexec.localnet.rpc.request import Call, Method, with_context

MOST = 20
"""Accounts in a list of the largest."""
FILTERS = (None, "circulating", "nonCirculating")


def _supply(call: Call) -> dict[str, Any]:
    options = call.options(0)
    view = call.view(options)
    balances = call.ledger.balances(view)
    total = sum(balances.values())
    # What the faucet still holds is in no circulation.
    held = balances.get(call.ledger.faucet, 0)
    hidden = bool(options.get("excludeNonCirculatingAccountsList"))
    body = {"total": total, "circulating": total - held, "nonCirculating": held}
    return with_context(view, body | {"nonCirculatingAccounts": [] if hidden else [str(call.ledger.faucet)]})


def _largest(call: Call) -> dict[str, Any]:
    options = call.options(0)
    view = call.view(options)
    wanted = options.get("filter")
    if wanted not in FILTERS:
        raise InvalidParamsError(f"filter must be circulating or nonCirculating, not {wanted!r}")
    balances = [
        (lamports, str(address))
        for address, lamports in call.ledger.balances(view).items()
        if lamports and wanted != ("circulating" if address == call.ledger.faucet else "nonCirculating")
    ]
    largest = sorted(balances, key=lambda entry: (-entry[0], entry[1]))[:MOST]
    return with_context(view, [{"address": address, "lamports": lamports} for lamports, address in largest])


def _token_largest(call: Call) -> dict[str, Any]:
    view = call.view(call.options(1))
    mint = call.pubkey(0, "mint")
    account = call.ledger.account(mint, view)
    state = encoding.mint(account)
    if account is None or state is None:
        raise InvalidParamsError("not a Token mint")
    held = [
        (token_account.amount, str(address))
        for address, holder in call.ledger.owned_by(account.owner, view).items()
        if (token_account := encoding.token_account(holder)) and token_account.mint == mint
    ]
    largest = sorted(held, key=lambda entry: (-entry[0], entry[1]))[:MOST]
    amounts = [{"address": address, **encoding.amount_body(amount, state.decimals)} for amount, address in largest]
    return with_context(view, amounts)


METHODS: dict[str, Method] = {
    "getLargestAccounts": _largest,
    "getSupply": _supply,
    "getTokenLargestAccounts": _token_largest,
}
