"""What handlers use to change orders that rest, and to take a client's signature."""

from collections.abc import Collection
from typing import Protocol
from uuid import UUID

from dexexec.domain.amendment import Amended
from dexexec.intake.client_signing import Taken


class OrderAmending(Protocol):
    """The part of `dexexec.intake.amending.Amending` that handlers use."""

    async def amend(
        self, order_id: UUID, body: bytes, versions: Collection[int] | None, owner: int | None = None
    ) -> Amended:
        """Change an order of `owner` (None: of all) that rests, if its version is one of `versions` (None: any)."""


class ClientSigner(Protocol):
    """The part of `dexexec.intake.client_signing.ClientSigning` that handlers use."""

    async def sign(self, order_id: UUID, body: bytes, owner: int | None = None) -> Taken:
        """Take the transaction that a client has signed for an order of `owner` (None: of all)."""
