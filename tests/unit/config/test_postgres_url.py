"""Addresses of a Postgres: read as libpq reads them, and refused without being repeated."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from dexexec.config.postgres_url import Address, BadAddressError, Parts, address, holds_an_address


def read(text: str) -> Address:
    return address(Parts.parse(text), (5432,), "postgres", "postgres", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db.internal", Address(host="db.internal")),
        ("/var/run/postgresql", Address(host="/var/run/postgresql")),
        ("/home/jürgen/run", Address(host="/home/jürgen/run")),
        ("a, b", Address(host="a", others=(("b", 5432),))),
        ("postgresql://db", Address(host="db")),
        (
            "postgres://me:p%40ss%2Fw@db:6000/trades",
            Address(host="db", port=6000, user="me", database="trades", password="p@ss/w"),  # noqa: S106
        ),
        ("postgresql://me@[::1]:6000/trades", Address(host="::1", port=6000, user="me", database="trades")),
        ("postgresql://a:1,b:2/trades", Address(host="a", port=1, database="trades", others=(("b", 2),))),
        ("postgresql://a,b:2/trades", Address(host="a", database="trades", others=(("b", 2),))),
        ("postgresql://a,b/trades", Address(host="a", database="trades", others=(("b", 5432),))),
        ("postgresql:///trades?host=/run/pg&port=6000", Address(host="/run/pg", port=6000, database="trades")),
        (
            "host=db port=6000 user=me password='p w' dbname=trades",
            Address(host="db", port=6000, user="me", database="trades", password="p w"),  # noqa: S106
        ),
        ("hostaddr=127.0.0.1", Address(host="127.0.0.1")),
        (
            "postgresql://db/trades?sslmode=verify-full&sslrootcert=/ca.pem&target_session_attrs=read-write",
            Address(host="db", database="trades", parameters=(("sslmode", "verify-full"), ("sslrootcert", "/ca.pem"))),
        ),
    ],
)
def test_an_address_is_read_as_libpq_reads_it(text: str, expected: Address) -> None:
    assert read(text) == expected


def test_libpqs_parameters_reach_it_and_the_primary_is_required() -> None:
    url = "postgresql://me:hunter2@a:1,b:2/trades?sslmode=require&connect_timeout=9&target_session_attrs=any"
    found = conninfo_to_dict(read(url).conninfo())
    assert (found["host"], found["port"], found["password"]) == ("a,b", "1,2", "hunter2")
    assert (found["sslmode"], found["connect_timeout"]) == ("require", "9")
    assert found["target_session_attrs"] == "primary"
    assert found["options"] == ""
    assert read(read(url).pg_host_value()) == read(url)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "mysql://me:hunter2@db/trades",
        "jdbc:postgresql://me:hunter2@db/trades",
        "postgresql://me:hunter2@/trades",
        "postgresql://me:hunter2@db:65536/trades",
        "postgresql://me:hunter2@db:hunter2/trades",
        "postgresql://me:hunter2@a:1,b:2,c/trades?port=1,2",
        "postgresql://me:hunter2@db/trades?hunter2",
        "postgresql://me:hunter2@db/trades?target_session_attrs=standby",
        "postgresql://me:1@hunter2@db/trades",
        "postgresql://me:1/hunter2@db/trades",
        "postgresql://me:hun ter2@db/trades",
        "postgresql://me:hunter2%zz@db/trades",
        "host=db passwort=hunter2",
        "me:hunter2@db",
        "password=hunter2",
        "hunter2..example",
        "hunter2" * 10,
    ],
)
def test_promise_14_what_is_no_address_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(BadAddressError) as refused:
        read(text)
    assert "hunter2" not in repr(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_promise_14_an_address_shows_neither_its_user_nor_its_secrets() -> None:
    found = read("postgresql://me:hunter2@[::1]:6000/trades?sslpassword=hunter2")
    assert "hunter2" not in repr(found) + repr(Parts.parse("postgresql://me:hunter2@db?sslpassword=hunter2"))
    assert found.place() == "[::1]:6000/trades"


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("trades", False),
        ("me@tenant", False),
        ("a-b_c d", False),
        ("postgresql://me:hunter2@db/trades", True),
        ("host=db password=hunter2", True),
        ("me:hunter2@db", True),
    ],
)
def test_a_name_that_is_an_address_is_noticed(text: str, more: bool) -> None:
    assert holds_an_address(text) is more
