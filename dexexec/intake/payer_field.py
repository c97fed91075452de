"""The field `payer` of a body: a wallet of the client's own, for which the client signs.

A part of reading an order's body. Such an order is one swap now, of a fixed amount: what rests, or is made for another
order, would need a signature when its client may not be there.
"""

from collections.abc import Collection

from dexexec.domain import base58
from dexexec.domain.handout import client_wallet
from dexexec.domain.terms import OrderType, Terms
from dexexec.intake.field_types import Text
from dexexec.intake.order_fields import OrderFields

PAYER = Text(
    name="payer",
    description="The address of your own wallet, which pays. The service builds and checks the transaction, you sign it"
    " and post it to `/api/orders/{id}/signed`, and the service lands it.",
    pattern="[1-9A-HJ-NP-Za-km-z]{32,44}",
    expected="the address of a wallet, base58 of 32 bytes",
    example="7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU",
)
ALONE = "a market order of a fixed amount, without wallet, bracket, closeAccount and ocoGroup"


def read_payer(
    fields: OrderFields,
    *,
    order_type: OrderType | None,
    terms: Terms | None,
    no_balances: str,
    allowed: Collection[str] | None,
) -> str | None:
    """The wallet of an order whose client signs; None if `payer` is invalid. `no_balances` is the reason why there
    are no such wallets; `allowed` are the wallets that the client's key may use (None: any)."""
    address = PAYER.read(fields)
    if address is None:
        return None
    if not _is_address(address):
        fields.wrong(PAYER.name, "is not an address", PAYER.expected)
    elif no_balances:
        fields.wrong(PAYER.name, f"is not possible: {no_balances}", "an order without payer")
    elif allowed is not None and address not in allowed:
        fields.wrong(PAYER.name, "is not a wallet of this service that you may use", "a wallet that your key may use")
    # Each of these would need a signature later, or a balance that is read at the time of the swap.
    beside = [name for name in ("wallet", "ocoGroup") if name in fields.given]
    if beside or order_type is not OrderType.MARKET or terms is not None:
        fields.wrong(PAYER.name, "does not fit this order", ALONE)
    return client_wallet(address)


def _is_address(text: str) -> bool:
    try:
        return len(base58.decode(text)) == base58.ADDRESS_BYTES
    except ValueError:
        return False
