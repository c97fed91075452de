"""Each pool of a swap over several is named with its share, or its place in the row."""

from dataclasses import replace

from dexexec.api.leg_sentence import legs_text
from dexexec.domain.quote import Leg
from dexexec.domain.token import KNOWN, USDC, WSOL, Tokens
from dexexec.execution.event_detail import promise
from dexexec.settlement.solana.funds import amount_text
from tests.support.scripted import SELL_ONE_SOL, quote_of

TOKENS = Tokens(KNOWN)
HOP = "Hop" * 11


def leg(venue: str, mint_in: str, mint_out: str, amount_in: int, amount_out: int) -> Leg:
    return Leg(
        venue=venue,
        pool=f"pool-{venue}",
        mint_in=mint_in,
        mint_out=mint_out,
        amount_in=amount_in,
        amount_out=amount_out,
    )


def shown(*legs: Leg) -> list[dict[str, object]]:
    quote = replace(quote_of("split", SELL_ONE_SOL, 150_000_000), legs=legs)
    found = promise(quote, TOKENS)["legs"]
    assert isinstance(found, list)
    return found


def text(legs: list[dict[str, object]]) -> str:
    return legs_text(legs, WSOL, lambda units, mint: amount_text(int(units), mint, TOKENS.get(mint)))


def test_parts_side_by_side_have_their_shares_and_prices() -> None:
    legs = shown(leg("one", WSOL, USDC, 600_000_000, 90_000_000), leg("two", WSOL, USDC, 400_000_000, 59_000_000))
    assert [(part["shareBps"], part["price"]) for part in legs] == [(6_000, "150"), (4_000, "147.5")]
    assert text(legs) == (
        "; 60 % over one pool-one, 90 USDC for 0.6 SOL, and 40 % over two pool-two, 59 USDC for 0.4 SOL"
    )


def test_parts_in_a_row_name_the_token_between_them() -> None:
    legs = shown(leg("one", WSOL, HOP, 10**9, 7_000), leg("two", HOP, USDC, 6_996, 149_000_000))
    assert [part["shareBps"] for part in legs] == [10_000, 10_000]
    assert all("price" not in part for part in legs), "the decimals of the token between them are not known"
    assert text(legs) == (
        f"; over one pool-one, 7000 base units of {HOP} for 1 SOL, then over two pool-two, 149 USDC for 6996 base units"
        f" of {HOP}"
    )


def test_a_swap_in_one_pool_has_nothing_to_add() -> None:
    assert text([]) == ""
