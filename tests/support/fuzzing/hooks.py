"""What schemathesis needs to use the schema: texts for its formats, and a check for what no schema can express.

It is imported by `schemathesis run`, by the name in `schemathesis.toml`.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.transport import Response

from dexexec.api.list_query import encode_cursor
from dexexec.domain.token import USDC, WSOL
from dexexec.errors import FieldProblem
from dexexec.store import Cursor
from tests.support.beyond_schemas import is_beyond_schemas

CHANGE = "PATCH /api/orders/{id}"
NOW = datetime.now(UTC).replace(microsecond=0)

decimals = st.integers(1, 10**10).map(lambda units: f"{units / 10**6:.6f}".rstrip("0").rstrip("."))
# A list may have more venues than are enabled here.
venues = st.sampled_from(("mock-raydium", "mock-meteora")) | st.from_regex("[a-z]{3,8}", fullmatch=True)
hours = st.integers(2, 24 * 1000)

schemathesis.openapi.format("mint", st.sampled_from((WSOL, USDC)))
schemathesis.openapi.format("amount", decimals)
schemathesis.openapi.format("decimal", decimals)
schemathesis.openapi.format("share", st.sampled_from(("all", "50%", "0.01%", "100%", "33.33%")))
schemathesis.openapi.format("venue", venues)
schemathesis.openapi.format("pair", st.sampled_from(("SOL/USDC", f"{WSOL}/{USDC}", f"USDC/{WSOL}")))
schemathesis.openapi.format("duration", st.sampled_from(("PT5M", "PT1S", "P1D", "P1W", "P1DT2H3M4.5S")))
schemathesis.openapi.format("date-time", hours.map(lambda later: f"{NOW + timedelta(hours=later):%Y-%m-%dT%H:%M:%SZ}"))
schemathesis.openapi.format(
    "cursor",
    st.integers(0, 10**6).map(lambda back: encode_cursor(Cursor(NOW - timedelta(seconds=back), UUID(int=back)))),
)


@schemathesis.check
def only_what_no_schema_expresses(_ctx: object, response: Response, case: schemathesis.Case[Any]) -> None:
    """Valid data is only refused for what depends on settings, on the time, on a token, or on another number."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code not in {400, 422}:
        return
    if case.operation.label == CHANGE:  # whether a change fits depends on its order
        return
    if response.json()["type"] == "/problems/idempotency-key-reused":  # by an earlier case, with another body
        return
    problems = [FieldProblem(**problem) for problem in response.json().get("errors", ())]
    refused = [problem for problem in problems if not is_beyond_schemas(problem)]
    assert problems, "a refusal of valid data names no field"
    assert not refused, f"the schema accepts what the service refuses: {refused}"
