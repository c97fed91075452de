"""JSON-RPC methods about the cluster: one validator that leads every slot, without votes, stake or inflation."""

from typing import Any

from dexexec.localnet.blocks import Commitment
from dexexec.localnet.rpc.errors import NO_SNAPSHOT, InvalidParamsError, RpcError
from dexexec.localnet.rpc.request import API_VERSION, Call, Method, read_commitment, read_integer, with_context
from dexexec.localnet.sysvars import SLOTS_PER_EPOCH

MAX_LEADERS = 5_000
MIN_DELEGATION = 1
SHRED_VERSION = 1
PORTS = ("gossip", "tvu", "tpu", "tpuQuic", "tpuForwards", "tpuForwardsQuic", "tpuVote", "serveRepair")
"""Ports that a validator has and this one has not."""
MAX_ADDRESSES = 100


def _nodes(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "pubkey": str(call.ledger.identity),
            **dict.fromkeys(PORTS),
            "rpc": call.node.rpc_address,
            "pubsub": call.node.pubsub_address,
            "version": API_VERSION,
            "clientId": "dexexec-localnet",
            "featureSet": 0,
            "shredVersion": SHRED_VERSION,
        }
    ]


def _identity(call: Call) -> dict[str, str]:
    return {"identity": str(call.ledger.identity)}


def _leader_schedule(call: Call) -> dict[str, list[int]] | None:
    # The slot may be left out although options follow.
    first = call.optional(0)
    options = call.options(0 if isinstance(first, dict) else 1)
    view = call.view(options)
    slot = view.slot if first is None or isinstance(first, dict) else read_integer(first, "slot")
    # A schedule is made an epoch ahead.
    if slot // SLOTS_PER_EPOCH > view.slot // SLOTS_PER_EPOCH + 1:
        return None
    identity = str(call.ledger.identity)
    return {} if options.get("identity") not in {None, identity} else {identity: list(range(SLOTS_PER_EPOCH))}


def _slot_leader(call: Call) -> str:
    call.view(call.options(0))  # only checks the options
    return str(call.ledger.identity)


def _slot_leaders(call: Call) -> list[str]:
    call.integer(0, "start slot")
    limit = call.integer(1, "limit")
    if limit > MAX_LEADERS:
        raise InvalidParamsError(f"Invalid limit; max {MAX_LEADERS}")
    return [str(call.ledger.identity)] * limit


def _vote_accounts(call: Call) -> dict[str, list[Any]]:
    read_commitment(call.options(0))  # only checks the options
    return {"current": [], "delinquent": []}


def _epoch_schedule(_: Call) -> dict[str, Any]:
    return {
        "slotsPerEpoch": SLOTS_PER_EPOCH,
        "leaderScheduleSlotOffset": SLOTS_PER_EPOCH,
        "warmup": False,
        "firstNormalEpoch": 0,
        "firstNormalSlot": 0,
    }


def _inflation_governor(call: Call) -> dict[str, float]:
    read_commitment(call.options(0))  # only checks the options
    return dict.fromkeys(("initial", "terminal", "taper", "foundation", "foundationTerm"), 0.0)


def _inflation_rate(call: Call) -> dict[str, float]:
    epoch = call.node.block(Commitment.FINALIZED).slot // SLOTS_PER_EPOCH
    return {"total": 0.0, "validator": 0.0, "foundation": 0.0, "epoch": epoch}


def _inflation_reward(call: Call) -> list[None]:
    call.view(call.options(1))  # only checks the options
    return [None for _ in call.strings(0, "addresses", MAX_ADDRESSES)]


def _min_delegation(call: Call) -> dict[str, Any]:
    return with_context(call.view(call.options(0)), MIN_DELEGATION)


def _snapshot(_: Call) -> None:
    raise RpcError(NO_SNAPSHOT, "No snapshot")


def _newest_slot(call: Call) -> int:
    return call.node.block(Commitment.PROCESSED).slot


METHODS: dict[str, Method] = {
    "getClusterNodes": _nodes,
    "getEpochSchedule": _epoch_schedule,
    "getHighestSnapshotSlot": _snapshot,
    "getIdentity": _identity,
    "getInflationGovernor": _inflation_governor,
    "getInflationRate": _inflation_rate,
    "getInflationReward": _inflation_reward,
    "getLeaderSchedule": _leader_schedule,
    "getMaxRetransmitSlot": _newest_slot,
    "getMaxShredInsertSlot": _newest_slot,
    "getSlotLeader": _slot_leader,
    "getSlotLeaders": _slot_leaders,
    "getStakeMinimumDelegation": _min_delegation,
    "getVoteAccounts": _vote_accounts,
}
