"""Which wallet pays for an order: the field `wallet` of its body, and which wallets a key may name.

A part of reading an order's body. Whether the wallet has the funds, and whether its signer answers, only shows when the
order is executed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from dexexec.config.wallets import DEFAULT
from dexexec.intake.field_types import Text
from dexexec.intake.order_fields import OrderFields

WALLET = Text(
    name="wallet",
    description="The name of the wallet that pays. Without it, or with `default`, the service's own wallet pays.",
    pattern=r"[A-Za-z0-9._-]{1,64}",
    expected="the name of a wallet",
    example="desk-2",
)


@dataclass(frozen=True, slots=True)
class WalletChoice:
    """The wallets of a service: the names of the keys that may use each, or None for all. A wallet `default` is in it
    only if it is limited."""

    keys: Mapping[str, frozenset[str] | None] = field(default_factory=dict)

    def of(self, key: str, named: Collection[str] | None = None) -> list[str]:
        """The wallets that the key with this name may use; `named` are all that its own policy allows, if any."""
        return [
            name
            for name in (DEFAULT, *sorted(self.keys.keys() - {DEFAULT}))
            if (self.keys.get(name) is None or key in (self.keys[name] or ())) and (named is None or name in named)
        ]


def read_wallet(fields: OrderFields, allowed: Collection[str]) -> str | None:
    """The wallet of an order; None is the default one. `allowed` are those that the client may use."""
    if WALLET.name not in fields.given:
        # An order that names no wallet chooses the default one as well.
        if DEFAULT not in allowed:
            fields.wrong(WALLET.name, "is missing", _expected(allowed))
        return None
    name = WALLET.read(fields)
    if name is not None and name not in allowed:
        fields.wrong(WALLET.name, "is not a wallet of this service that you may use", _expected(allowed))
    return None if name == DEFAULT else name


def _expected(allowed: Collection[str]) -> str:
    return f"one of {', '.join(allowed)}" if allowed else "a key that may use a wallet"
