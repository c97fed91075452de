"""Reads the accounts of well-known programs for `jsonParsed`, in the form of an Agave node. Pure.

What is not known here, and what is damaged, is shown with its bytes, as by a node.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

from solders.account import Account
from solders.address_lookup_table_account import ID as LOOKUP_TABLES
from solders.address_lookup_table_account import AddressLookupTable
from solders.clock import Clock
from solders.epoch_schedule import EpochSchedule
from solders.pubkey import Pubkey
from solders.token.state import TokenAccountState

from dexexec.localnet.rpc.encoding import NATIVE_DECIMALS, PROGRAMS, amount_body, mint, token_account

SYSVARS = Pubkey.from_string("Sysvar1111111111111111111111111111111111111")


def parsed_data(account: Account, decimals: Callable[[Pubkey], int | None]) -> dict[str, Any] | None:
    """The data of an account as an object. None: it cannot be read. `decimals` returns those of a mint."""
    if account.owner in PROGRAMS:
        return _token_data(account, decimals)
    if account.owner == LOOKUP_TABLES:
        return _lookup_table(account)
    return _sysvar(account) if account.owner == SYSVARS else None


def _sysvar(account: Account) -> dict[str, Any] | None:
    # Each has a size of its own.
    kind, read = SYSVAR_KINDS.get(len(account.data), ("", None))
    if read is None:
        return None
    return {"program": "sysvar", "parsed": {"type": kind, "info": read(account.data)}, "space": len(account.data)}


def _clock(data: bytes) -> dict[str, Any]:
    clock = Clock.from_bytes(data)
    return {
        "slot": clock.slot,
        "epoch": clock.epoch,
        "epochStartTimestamp": clock.epoch_start_timestamp,
        "leaderScheduleEpoch": clock.leader_schedule_epoch,
        "unixTimestamp": clock.unix_timestamp,
    }


def _rent(data: bytes) -> dict[str, Any]:
    lamports, threshold, burned = struct.unpack("<QdB", data)
    return {"lamportsPerByteYear": str(lamports), "exemptionThreshold": threshold, "burnPercent": burned}


def _epoch_schedule(data: bytes) -> dict[str, Any]:
    schedule = EpochSchedule.from_bytes(data)
    return {
        "slotsPerEpoch": schedule.slots_per_epoch,
        "leaderScheduleSlotOffset": schedule.leader_schedule_slot_offset,
        "warmup": schedule.warmup,
        "firstNormalEpoch": schedule.first_normal_epoch,
        "firstNormalSlot": schedule.first_normal_slot,
    }


SYSVAR_KINDS: Mapping[int, tuple[str, Callable[[bytes], dict[str, Any]]]] = {
    17: ("rent", _rent),
    33: ("epochSchedule", _epoch_schedule),
    40: ("clock", _clock),
}
"""By the bytes of the account."""


def _lookup_table(account: Account) -> dict[str, Any] | None:
    try:
        table = AddressLookupTable.deserialize(account.data)
    except ValueError:
        return None
    meta = table.meta
    info: dict[str, Any] = {
        "deactivationSlot": str(meta.deactivation_slot),
        "lastExtendedSlot": str(meta.last_extended_slot),
        "lastExtendedSlotStartIndex": meta.last_extended_slot_start_index,
        "addresses": [str(address) for address in table.addresses],
    }
    if meta.authority is not None:
        info["authority"] = str(meta.authority)
    return {
        "program": "address-lookup-table",
        "parsed": {"type": "lookupTable", "info": info},
        "space": len(account.data),
    }


def _token_data(account: Account, decimals: Callable[[Pubkey], int | None]) -> dict[str, Any] | None:
    program = PROGRAMS.get(account.owner)
    held = token_account(account)
    mint_state = mint(account)
    info: dict[str, Any]
    if held:
        places = decimals(held.mint)
        if places is None:
            return None  # without its mint an account cannot be shown parsed
        info = {
            "mint": str(held.mint),
            "owner": str(held.owner),
            "tokenAmount": amount_body(held.amount, places),
            "state": "frozen" if held.state == TokenAccountState.Frozen else "initialized",
            "isNative": held.is_native is not None,
        }
        if held.is_native is not None:
            # Wrapped SOL: the rent is not part of the token amount.
            info["rentExemptReserve"] = amount_body(held.is_native, NATIVE_DECIMALS)
        if held.delegate is not None:
            info |= {"delegate": str(held.delegate), "delegatedAmount": amount_body(held.delegated_amount, places)}
        if held.close_authority is not None:
            info["closeAuthority"] = str(held.close_authority)
    elif mint_state:
        info = {
            "mintAuthority": mint_state.mint_authority and str(mint_state.mint_authority),
            "supply": str(mint_state.supply),
            "decimals": mint_state.decimals,
            "isInitialized": True,
            "freezeAuthority": mint_state.freeze_authority and str(mint_state.freeze_authority),
        }
    else:
        return None
    kind = "account" if held else "mint"
    return {"program": program, "parsed": {"info": info, "type": kind}, "space": len(account.data)}
