"""A claimed order and an attempt of one, for tests without a pipeline."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from dexexec.domain.attempt_id import AttemptId
from dexexec.domain.order import Order, Side
from dexexec.domain.quote import Mode
from dexexec.domain.status import Status
from dexexec.domain.token import USDC, WSOL

RECORD = "5f3c9a1e"
DIGEST = "Zt0Qm3xW-a9K_b2c"
"""Of the key of an order."""


def an_attempt() -> AttemptId:
    """The first attempt of an order that is like no other, and was posted with a key: so its memo is the longer one."""
    return AttemptId(uuid4(), 1, DIGEST)


def claimed_order(**changes: Any) -> Order:
    """An order in a worker's hand that has made no attempt yet: one SOL for USDC."""
    order = Order(
        id=UUID(int=1),
        side=Side.BUY,
        amount=Decimal(1),
        amount_base=10**9,
        mode=Mode.EXACT_IN,
        input_mint=WSOL,
        output_mint=USDC,
        slippage_bps=50,
        status=Status.PENDING,
        version=1,
        claim=1,
        claims=1,
        attempts=0,
        rounds=0,
        deadline_in_ms=60_000,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return replace(order, **changes)
