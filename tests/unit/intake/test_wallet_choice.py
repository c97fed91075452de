"""The wallet of an order: the names that a key may use, and errors that list them."""

import json
from uuid import UUID

import pytest

from dexexec.config.settings import Settings
from dexexec.domain.order import NewOrder
from dexexec.errors import InvalidOrderError
from dexexec.intake.order_body import BodyReader
from dexexec.intake.wallet_choice import WalletChoice

CHOICE = WalletChoice({"desk-2": None, "desk-1": None, "alices": frozenset({"alice"})})
READER = BodyReader(Settings(_env_file=None), wallets=CHOICE)


def read(
    wallet: object = ..., *, reader: BodyReader = READER, key: str = "", named: set[str] | None = None
) -> NewOrder:
    body = {"side": "buy", "amount": "1"} | ({} if wallet is ... else {"wallet": wallet})
    return reader.read(json.dumps(body).encode(), UUID(int=1), "client", "once", key=key, key_wallets=named)


@pytest.mark.parametrize(("given", "wallet"), [(..., None), ("default", None), ("desk-2", "desk-2")])
def test_an_order_names_its_wallet_or_has_the_default_one(given: object, wallet: str | None) -> None:
    assert read(given).wallet == wallet


def test_another_wallet_makes_another_request() -> None:
    assert read("desk-1").body_hash != read("desk-2").body_hash


@pytest.mark.parametrize(
    ("wallet", "key", "named", "expected"),
    [
        ("desk-3", "", None, "one of default, desk-1, desk-2"),
        ("alices", "bob", None, "one of default, desk-1, desk-2"),
        ("desk-3", "alice", None, "one of default, alices, desk-1, desk-2"),
        ("desk-3", "alice", {"alices", "desk-1", "gone"}, "one of alices, desk-1"),
        ("desk-1", "", set(), "a key that may use a wallet"),
        ("", "", None, "the name of a wallet"),
        (7, "", None, "the name of a wallet"),
    ],
)
def test_a_wallet_that_a_key_may_not_use_is_refused_with_those_that_it_may(
    wallet: object, key: str, named: set[str] | None, expected: str
) -> None:
    with pytest.raises(InvalidOrderError) as caught:
        read(wallet, key=key, named=named)
    [problem] = caught.value.fields
    assert (problem.field, problem.expected) == ("wallet", expected)


def test_a_default_wallet_for_some_keys_is_not_used_by_others() -> None:
    reader = BodyReader(
        Settings(_env_file=None), wallets=WalletChoice({"default": frozenset({"alice"}), "desk-1": None})
    )
    assert read(reader=reader, key="alice").wallet is None
    with pytest.raises(InvalidOrderError) as caught:
        read(reader=reader, key="bob")
    [problem] = caught.value.fields
    assert (problem.field, problem.problem, problem.expected) == ("wallet", "is missing", "one of desk-1")
