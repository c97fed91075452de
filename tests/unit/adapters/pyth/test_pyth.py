"""The reference `pyth` reads prices to the byte, and takes nothing else for one."""

from fractions import Fraction
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.domain.solana import Account
from dexexec.domain.token import KNOWN, USDC, WSOL, Token, Tokens
from dexexec.errors import AdapterLoadError
from dexexec.reference import AnyReference
from dexexec.testing.clock import ManualClock
from dexexec.venue import BadAnswer, Unreachable
from dexexec.venues import references
from dexexec_adapters.pyth.layout import PRICE, PUSH_ORACLE, feed_seeds, read_price
from dexexec_adapters.solana.keys import derived
from tests.support.pyth_accounts import (
    NOW_S,
    SOL_ACCOUNT,
    SOL_FEED,
    USDC_ACCOUNT,
    USDC_FEED,
    PriceChain,
    price_account,
    price_data,
)
from tests.support.scripted import ScriptedChain

BONK = Token("DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", "BONK", 5)


@pytest.fixture
def chain() -> PriceChain:
    return PriceChain()


def opened(chain: PriceChain, **environ: str) -> AnyReference:
    tokens = Tokens((*KNOWN, BONK))
    return references.create(references.load("pyth"), environ, ManualClock(), tokens, {"solana": chain})


def test_the_accounts_are_those_that_are_kept_up_to_date() -> None:
    assert sha256(b"account:PriceUpdateV2").digest()[:8] == PRICE.discriminator
    assert derived(PUSH_ORACLE, *feed_seeds(SOL_FEED)) == SOL_ACCOUNT
    assert derived(PUSH_ORACLE, *feed_seeds(USDC_FEED)) == USDC_ACCOUNT


async def test_the_price_of_a_pair_is_the_ratio_of_two_dollar_prices(chain: PriceChain) -> None:
    reference = opened(chain)
    found = await reference.price(WSOL, USDC)
    assert found is not None
    # 150 dollars for 10^9 lamports, 0.9999 dollars for 10^6 units of USDC.
    assert found.rate == Fraction(150, 10**9) / Fraction(9_999, 10**4 * 10**6)
    assert found.at_ms == (NOW_S - 3) * 1000, "as old as the older one"
    back = await reference.price(USDC, WSOL)
    assert back is not None
    assert back.rate * found.rate == 1
    assert chain.requests == [[SOL_ACCOUNT, USDC_ACCOUNT], [USDC_ACCOUNT, SOL_ACCOUNT]]


async def test_a_token_without_a_feed_has_no_price(chain: PriceChain) -> None:
    assert await opened(chain).price(WSOL, BONK.mint) is None
    assert await opened(chain).price(WSOL, "5" * 43) is None
    assert await opened(chain).price(WSOL, WSOL) is None
    assert chain.requests == []


async def test_feeds_of_other_tokens_are_a_setting(chain: PriceChain) -> None:
    feed = "72b021217ca3fe68922a19aaf990109cb9d84e9ad004b4d2025ad6f529314419"
    address = derived(PUSH_ORACLE, *feed_seeds(bytes.fromhex(feed)))
    chain.by_address[address] = price_account(price_data(bytes.fromhex(feed), 200, confidence=1, exponent=-7))
    found = await opened(chain, DEXEXEC_PYTH_FEEDS=f"{BONK.mint}=0x{feed.upper()}").price(BONK.mint, USDC)
    assert found is not None
    assert found.rate == Fraction(2, 10**5 * 10**5) / Fraction(9_999, 10**10)


@pytest.mark.parametrize("feeds", ["nonsense", f"{BONK.mint}=12", f"short={'a' * 64}", f"{BONK.mint}={'g' * 64}"])
def test_an_invalid_feed_names_the_variable(chain: PriceChain, feeds: str) -> None:
    with pytest.raises(AdapterLoadError, match="DEXEXEC_PYTH_FEEDS"):
        opened(chain, DEXEXEC_PYTH_FEEDS=feeds)


def test_it_needs_a_venue_on_solana() -> None:
    with pytest.raises(AdapterLoadError, match="enable a venue that settles there"):
        references.create(references.load("pyth"), {}, ManualClock(), Tokens(KNOWN), {"simulated": ScriptedChain()})


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (None, "there is no price account"),
        (price_account(price_data(), owner=PUSH_ORACLE), "belongs to"),
        (price_account(b"\0" + price_data()[1:]), "discriminator"),
        (price_account(price_data()[:-1]), "133 bytes"),
        (price_account(price_data() + b"\0"), "135 bytes"),
        (price_account(b""), "discriminator"),
        (price_account(price_data(verification=b"\x00\x05")), "not fully verified"),
        (price_account(price_data(verification=b"\x02")), "not fully verified"),
        (price_account(price_data(USDC_FEED)), "another feed"),
        (price_account(price_data(price=0)), "no usable price"),
        (price_account(price_data(price=-1)), "no usable price"),
        (price_account(price_data(exponent=-19)), "no usable price"),
        (price_account(price_data(exponent=2**31 - 1)), "no usable price"),
    ],
)
async def test_what_is_no_price_of_the_feed_is_refused(chain: PriceChain, bad: Account | None, problem: str) -> None:
    if bad is None:
        del chain.by_address[SOL_ACCOUNT]
    else:
        chain.by_address[SOL_ACCOUNT] = bad
    with pytest.raises(BadAnswer, match=problem):
        await opened(chain).price(WSOL, USDC)


async def test_a_price_that_its_publishers_do_not_agree_on_is_refused(chain: PriceChain) -> None:
    chain.by_address[SOL_ACCOUNT] = price_account(price_data(confidence=150_000_001))
    with pytest.raises(BadAnswer, match="SOL are too far apart"):
        await opened(chain).price(WSOL, USDC)
    assert await opened(chain, DEXEXEC_PYTH_MAX_CONFIDENCE_BPS="200").price(WSOL, USDC) is not None


async def test_a_node_s_error_passes_through(chain: PriceChain) -> None:
    chain.by_address[SOL_ACCOUNT] = Unreachable("the node is away")
    with pytest.raises(Unreachable):
        await opened(chain).price(WSOL, USDC)


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(content: bytes) -> None:
    begun = PRICE.discriminator + content
    for text in (content, begun, begun.ljust(PRICE.size, b"\1")[: PRICE.size]):
        with pytest.raises(BadAnswer):
            read_price(SOL_ACCOUNT, price_account(text), SOL_FEED)
