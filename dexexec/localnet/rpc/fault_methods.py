"""Methods for tests, only with `--allow-faults`: a node's faults, forks, and advancing the clock by hand."""

from typing import Any

from dexexec.domain import base58
from dexexec.localnet.blocks import MAX_FORK, Commitment
from dexexec.localnet.faults import read
from dexexec.localnet.rpc.request import Call, Method

PREFIX = "localnet_"
MAX_ADVANCE = 10_000


def _set(call: Call) -> dict[str, Any]:
    # All faults are replaced: those that are not given end.
    call.node.faults = read(call.options(0))
    return call.node.faults.body()


def _get(call: Call) -> dict[str, Any]:
    return call.node.faults.body()


def _fork(call: Call) -> dict[str, Any]:
    gone = call.ledger.fork(call.integer(0, "blocks", MAX_FORK))
    return {"unconfirmed": [base58.encode(signature) for signature in gone]}


def _drop_subscriptions(call: Call) -> int:
    address = str(call.pubkey(0, "address"))
    return sum(drop(address) for drop in call.node.droppers)


def _migrate(call: Call) -> None:
    call.ledger.migrate()


def _advance(call: Call) -> int:
    # One by one, so that late transactions land in their own slots.
    for _ in range(call.integer(0, "slots", MAX_ADVANCE)):
        call.ledger.tick()
    return call.node.block(Commitment.PROCESSED).slot


METHODS: dict[str, Method] = {
    f"{PREFIX}advanceSlots": _advance,
    f"{PREFIX}dropSubscriptions": _drop_subscriptions,
    f"{PREFIX}fork": _fork,
    f"{PREFIX}getFaults": _get,
    f"{PREFIX}migrate": _migrate,
    f"{PREFIX}setFaults": _set,
}
