"""The named wallets of DEXEXEC_WALLETS: a TOML file with a table for each. docs/SETTINGS.md has an example.

No secret is in the file, so every process may read it; only a worker reads the secrets that it refers to.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, Field, field_validator

from dexexec.config.secret_reference import VALID, is_reference
from dexexec.domain import base58
from dexexec.domain.policy import Policy
from dexexec.domain.policy_check import DEFAULT_WALLET
from dexexec.domain.policy_json import PolicyFormatError, read_policy
from dexexec.domain.wallet_policy import OF_KEYS_ONLY, WalletPolicies, wallet_number

DEFAULT = DEFAULT_WALLET
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
SIGN_SECONDS = 10.0
LONGEST_SIGN_SECONDS = 30.0
MOST_WALLETS = 100
OWN_FIELDS = ("key", "keychain", "address", "sign_seconds", "keys", "policy")
"""The fields of this service. All others of a table are the library's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedWallet:
    """A wallet of the file. It has either a `key` (a reference to it), or a service `keychain` with its settings in
    `service`, and then an `address`. Only the API keys with the names `keys` may use it (None: all). `sign_seconds` is
    how long a signature may take.."""

    name: str
    key: str = ""
    keychain: str = ""
    address: str = ""
    keys: frozenset[str] | None = None
    sign_seconds: float = SIGN_SECONDS
    service: Mapping[str, object] = field(default_factory=dict, repr=False)
    policy: Policy | None = None


class Wallets(BaseModel):
    """Where the named wallets are described."""

    wallets: Path | None = Field(
        None,
        description="TOML file with named wallets, which orders choose by `wallet`; its table `default` replaces"
        " SOLANA_WALLET_SECRET_KEY; unset: that one is the only wallet",
    )

    @field_validator("wallets")
    @classmethod
    def _check_wallets(cls, value: Path | None) -> Path | None:
        if value is not None:
            _read_once(value)
        return value

    def named_wallets(self) -> dict[str, NamedWallet]:
        """The wallets of the file by name, as they were when it was read first."""
        return _read_once(self.wallets) if self.wallets is not None else {}

    def wallet_policies(self) -> WalletPolicies:
        """The policies of the wallets that have one."""
        return WalletPolicies({name: each.policy for name, each in self.named_wallets().items() if each.policy})


@lru_cache(maxsize=16)
def _read_once(path: Path) -> dict[str, NamedWallet]:
    # Once per process: if the file is changed while it runs, its parts must not have different wallets.
    return read_wallets(path)


def read_wallets(path: Path) -> dict[str, NamedWallet]:
    """The wallets of a file by name. Raises `ValueError`, which names the table and the field, and no value."""
    try:
        with path.expanduser().open("rb") as file:
            tables = tomllib.load(file)
    except (OSError, RuntimeError):  # RuntimeError: there is no home for `~`
        raise ValueError("it must be the path of a TOML file that can be read") from None
    # Also a UnicodeDecodeError. The error of the parser may repeat what it read: a key that was written there.
    except ValueError:
        raise ValueError("its file is not TOML") from None
    if len(tables) > MOST_WALLETS:
        raise ValueError(f"its file has more than {MOST_WALLETS} wallets")
    found = {}
    for name, table in tables.items():
        if not NAME.fullmatch(name):
            raise ValueError("its file has a table whose name is not 1 to 64 letters, digits and . _ -")
        if not isinstance(table, dict):
            raise ValueError(  # noqa: TRY004 - for pydantic, which reports a ValueError
                f"its file has {name} outside of a table: each wallet is a table such as [desk-2]"
            )
        found[name] = _wallet(name, table)
    if len({wallet_number(name) for name in found}) < len(found):
        raise ValueError("its file has two names that would be counted as one wallet: rename one of them")
    return found


def _wallet(name: str, table: Mapping[str, object]) -> NamedWallet:
    key = _text(name, table, "key")
    keychain = _text(name, table, "keychain")
    address = _text(name, table, "address")
    # Two sources of one wallet's signatures would be two wallets.
    # With both, it would depend on the process which of the two keys an order is paid with.
    if bool(key) == bool(keychain):
        raise ValueError(f"[{name}] needs either key or keychain")
    if key and not is_reference(key):
        raise ValueError(f"key of [{name}] must be {VALID}, and not the key itself")
    if keychain and not address:
        raise ValueError(f"[{name}] needs address: the public key whose secret half the service has")
    if address and not base58.is_address(address):
        raise ValueError(f"address of [{name}] is not an address: base58 of 32 bytes")
    # Checked by the worker, which has the library; an API process need not have it.
    # Checked by the worker, which has the library; an API process need not have it.
    service = {field: value for field, value in table.items() if field not in OWN_FIELDS}
    if key and service:
        raise ValueError(f"{_unknown(next(iter(service)))} in [{name}]")
    return NamedWallet(
        name=name,
        key=key,
        keychain=keychain,
        address=address,
        keys=_names(name, table),
        sign_seconds=_seconds(name, table),
        service=service,
        policy=_policy(name, table),
    )


def _text(name: str, table: Mapping[str, object], field: str) -> str:
    value = table.get(field, "")
    if not isinstance(value, str):
        raise ValueError(f"{field} of [{name}] must be a text")  # noqa: TRY004
    return value


def _names(name: str, table: Mapping[str, object]) -> frozenset[str] | None:
    value = table.get("keys")
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise ValueError(f"keys of [{name}] must be a list of names of API keys")
    return frozenset(value)


def _seconds(name: str, table: Mapping[str, object]) -> float:
    value = table.get("sign_seconds", SIGN_SECONDS)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_SIGN_SECONDS:
        raise ValueError(f"sign_seconds of [{name}] must be more than 0 and at most {LONGEST_SIGN_SECONDS:g}")
    return float(value)


def _policy(name: str, table: Mapping[str, object]) -> Policy | None:
    value = table.get("policy")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"policy of [{name}] must be a table: [{name}.policy]")  # noqa: TRY004
    foreign = [limit for limit in OF_KEYS_ONLY if limit in value]
    if foreign:
        raise ValueError(f"[{name}.policy] has {foreign[0]}, which is a limit of keys and not of wallets")
    try:
        return read_policy(value)
    except PolicyFormatError as error:
        raise ValueError(f"[{name}.policy]: {error}") from None


def _unknown(field: str) -> str:
    near = difflib.get_close_matches(field, OWN_FIELDS, 1)
    hint = f"did you mean {near[0]}?" if near else f"only {', '.join(OWN_FIELDS)}"
    return f"an unknown field ({hint})"
