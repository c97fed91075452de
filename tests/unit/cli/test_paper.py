"""The paper ledger as people and programs read it, and the times that the command accepts."""

import argparse
import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dexexec.cli.paper import point_in_time
from dexexec.cli.paper_report import as_json, write_table
from dexexec.domain.order import Side
from dexexec.domain.paper import PaperLine
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens

TOKENS = Tokens(KNOWN)
AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
BOUGHT = PaperLine(
    tag="momentum",
    side=Side.BUY,
    input_mint=WSOL,
    output_mint=USDC,
    simulated=2,
    failed=1,
    expired=1,
    cancelled=0,
    amount_in=2_000_000_000,
    amount_out=300_500_000,
    network_fee=10_000,
    venue_fee_in=5_000_000,
    venue_fee_out=0,
    first=AT,
    last=AT,
)
SOLD = replace(
    BOUGHT, side=Side.SELL, failed=0, expired=0, amount_in=310_000_000, amount_out=2_000_000_000, venue_fee_in=775_000
)
UNTAGGED = replace(
    BOUGHT, tag=None, simulated=0, amount_in=0, amount_out=0, network_fee=0, venue_fee_in=0, output_mint="other"
)


def test_each_line_has_its_average_price_and_each_tag_its_result() -> None:
    out = io.StringIO()
    write_table([BOUGHT, SOLD, UNTAGGED], TOKENS, out)
    assert [" ".join(line.split()) for line in out.getvalue().splitlines()] == [
        "tag pair side orders simulated spent received average price venue fees network fee",
        "momentum SOL/USDC buy 4 2 2 SOL 300.5 USDC 150.25 0.005 SOL 0.00001 SOL",
        "momentum SOL/USDC sell 2 2 310 USDC 2 SOL 155 0.775 USDC 0.00001 SOL",
        "(no tag) SOL/other buy 2 0 0 SOL 0 base units of other - - 0 SOL",
        "",
        "momentum: -9.5 USDC; network fees 0.00002 SOL",
        "(no tag): no fill; network fees 0 SOL",
        "Nothing of this was signed or sent. Venue fees are inside the amounts; network fees are not.",
    ]


def test_json_has_base_units_as_strings() -> None:
    found = json.loads(as_json([BOUGHT, SOLD], TOKENS))
    assert found["lines"][0] == {
        "tag": "momentum",
        "inputMint": WSOL,
        "outputMint": USDC,
        "side": "buy",
        "orders": 4,
        "simulated": 2,
        "failed": 1,
        "expired": 1,
        "cancelled": 0,
        "amountIn": "2000000000",
        "amountOut": "300500000",
        "averagePrice": "150.25",
        "venueFees": {WSOL: "5000000", USDC: "0"},
        "networkFee": "10000",
        "first": "2026-11-29T12:00:00.000Z",
        "last": "2026-11-29T12:00:00.000Z",
    }
    assert found["net"] == [
        {"tag": "momentum", "changes": {WSOL: "0", USDC: "-9500000"}, "networkFee": "20000"},
    ]


def test_an_empty_ledger_states_how_to_fill_it() -> None:
    out = io.StringIO()
    write_table([], TOKENS, out)
    assert "DEXEXEC_DRY_RUN=1" in out.getvalue()
    assert json.loads(as_json([], TOKENS)) == {"lines": [], "net": []}


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-29", datetime(2026, 11, 29, tzinfo=UTC)),
        ("2026-11-29T12:00:00Z", AT),
        ("2026-11-29T13:00:00+01:00", AT),
    ],
)
def test_a_date_begins_in_utc_and_a_time_has_its_zone(text: str, at: datetime) -> None:
    assert point_in_time(text) == at


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-29T12:00:00", "2026-11-29T00:00:00", "2026-13-01"])
def test_a_time_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="a date such as 2026-11-29"):
        point_in_time(text)
