"""Promise 14's last line of defence: no text for people has a secret, from any source."""

import io
import json
import logging

import pytest

from dexexec.observe.observer import make_logger
from dexexec.observe.redaction import Redactor, masked_host

SECRET = "hunter2-hunter2"  # noqa: S105
BASE58_KEY = "5" * 88
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI\n-----END PRIVATE KEY-----"
JSON_KEY = str([7] * 64)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"at postgresql://me:{SECRET}@db:1/x: no", "at postgresql://***@db:1/x: no"),
        (f"postgres://me:a/{SECRET}@b@db/x?sslmode=require", "postgres://***@db/x?sslmode=***"),
        (f"redis://:{SECRET}@c:6379/0", "redis://***@c:6379/0"),
        (f"'http://h.example/?api-key={SECRET}&a=b'", "'http://h.example/?api-key=***&a=***'"),
        ("https://h.example/v2/abcDEF0123456789xyz/rpc", "https://h.example/v2/***/rpc"),
        ("https://eddy-a1b2c3-fast-mainnet.rpc.example/", "https://***.rpc.example/"),
        (f"host=a password={SECRET} user=b", "host=a password=*** user=b"),
        (rf"host=a password='it \'is {SECRET}' user=b", "host=a password=*** user=b"),
        (f'{{"password": "{SECRET}", "a": 1}}', '{"password": ***, "a": 1}'),
        (f"PGPASSWORD={SECRET} psql", "PGPASSWORD=*** psql"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        (f"a key {BASE58_KEY}.", "a key ***."),
        (f"a key {JSON_KEY}.", "a key ***."),
        ("a key " + "0a" * 32, "a key ***"),
        (f"a key dx_{'a1' * 6}_{'B-_2' * 10}xyz.", "a key ***."),
        (f"a key dx_{'a1' * 6}_B-_2", "a key ***"),
        (f"signs with whsec_{'aB+/' * 10}aBc= now", "signs with *** now"),
        (f"a key {PEM}, it said", "a key ***, it said"),
        (f"a key {PEM[:45]}", "a key ***"),
        (json.dumps(f"a key {PEM}"), '"a key ***"'),
    ],
)
def test_promise_14_what_looks_like_a_secret_is_masked(text: str, expected: str) -> None:
    assert Redactor()(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        'password authentication failed for user "x"',
        "POST http://127.0.0.1:3000/api/orders/execute",
        "check https://api.devnet.solana.com and http://[::1]:8899",
        "the wallet 7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU holds 0.005 SOL",
        "order 01a20375-9296-7c99-b5c0-eef1ea8717b4 failed: [1, 2, 3]",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor()(text) == text


@pytest.mark.parametrize(
    "piece", ["a", "a-", "a.", "5", "0a", "://", "[1,", "1, ", "password", "password='", "@", "x://", "?a="]
)
def test_a_long_text_takes_no_longer_than_its_length(piece: str) -> None:
    """A time that grew with the square of it would not end here."""
    assert len(Redactor()(piece * 100_000)) <= 10 * len(piece) * 100_000


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("api.mainnet-beta.solana.com", "api.mainnet-beta.solana.com"),
        ("solana-rpc-01.prod.internal", "solana-rpc-01.prod.internal"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("fe80::1", "fe80::1"),
        ("a1b2c3d4e5.rpc.example", "***.rpc.example"),
    ],
)
def test_a_host_is_shown_without_a_key_in_its_first_label(host: str, shown: str) -> None:
    assert masked_host(host) == shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PG_PASSWORD", SECRET),
        ("PG_HOST", f"host=db password='{SECRET}'"),
        ("DATABASE_URL", f"postgresql://me:{SECRET}@db/x"),
        ("REDIS_URL", f"redis://:{SECRET}@c/0"),
        ("SOLANA_RPC_URL", f"https://a.example,https://b.example/?api-key={SECRET}"),
        ("DEXEXEC_SEND_URLS", f"https://a.example,https://b.example/?api-key={SECRET}"),
        ("SOLANA_WALLET_SECRET_KEY", SECRET),
        ("DEXEXEC_ACME_API_KEY", SECRET),
        ("OTEL_EXPORTER_OTLP_HEADERS", f"a=b,x-team={SECRET}"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", f"x-team={SECRET.replace('-', '%2D')}"),
        ("FIREBLOCKS_PASSPHRASE", SECRET),
    ],
)
def test_promise_14_the_secrets_of_the_environment_are_masked_wherever_they_turn_up(name: str, value: str) -> None:
    assert Redactor({name: value})(f"it said {SECRET}!") == "it said ***!"


@pytest.mark.parametrize(
    ("name", "value", "text", "shown"),
    [
        (
            "REDIS_URL",
            "redis://S3cretAsHost/0",
            "Error connecting to s3cretashost:6379.",
            "Error connecting to ***:6379.",
        ),
        ("REDIS_URL", "redis://S3cretAsHost/0", "Redis at S3cretAsHost:6379", "Redis at ***:6379"),
        (
            "SOLANA_RPC_URL",
            "https://ab12cd34ef.rpc.example/",
            "cannot resolve ab12cd34ef.rpc.example",
            "cannot resolve ***.rpc.example",
        ),
        ("SOLANA_RPC_URL", "https://a.example/v2/aBcDeFgHiJ", "POST /v2/aBcDeFgHiJ: 401", "POST /v2/***: 401"),
        ("DEXEXEC_SEND_URLS", "https://a.example/v2/aBcDeFgHiJ", "POST /v2/aBcDeFgHiJ: 401", "POST /v2/***: 401"),
        ("DATABASE_URL", "postgresql://a.example/dex_7f3a9c", "database dex_7f3a9c", "database dex_7f3a9c"),
        ("SOLANA_RPC_URL", "https://me:S3cretUser@a.example/", "user S3cretUser unknown", "user *** unknown"),
    ],
)
def test_promise_14_a_key_in_an_address_is_masked_where_only_its_part_is_repeated(
    name: str, value: str, text: str, shown: str
) -> None:
    """As HTTP clients, redis-py and resolvers do in their errors."""
    assert Redactor({name: value})(text) == shown


def test_plain_names_of_the_environment_are_no_secrets() -> None:
    environ = {
        "PG_HOST": "db.internal",
        "PG_USER": "postgres",
        "PG_PASSWORD": "postgres",
        "REDIS_URL": "redis://cache/0",
    }
    text = "Postgres at db.internal:5432/postgres, Redis at cache:6379, file /data/wallet.json"
    assert Redactor({**environ, "SOLANA_WALLET_SECRET_KEY": "file:/data/wallet.json"})(text) == text


def fail() -> None:
    password = SECRET
    raise ValueError(f"cannot reach postgresql://me:{password}@db/x")


@pytest.mark.parametrize("style", ["text", "json"])
def test_promise_14_the_log_shows_neither_secrets_nor_the_variables_of_a_traceback(
    monkeypatch: pytest.MonkeyPatch, style: str
) -> None:
    err = io.StringIO()
    monkeypatch.setattr("sys.stderr", err)
    log = make_logger("info", style, Redactor({"PG_PASSWORD": SECRET}))  # type: ignore[arg-type]
    try:
        fail()
    except ValueError as error:
        log.error("it broke", exc_info=error, why=f"it said {SECRET}", nested=[{"url": f"redis://:{SECRET}@c/0"}])
    log.info("settled", tx=BASE58_KEY)
    assert SECRET not in err.getvalue()
    assert "ValueError: cannot reach postgresql://***@db/x" in err.getvalue()
    assert BASE58_KEY in err.getvalue(), "a signature is public"
    if style == "json":
        assert [json.loads(line)["event"] for line in err.getvalue().splitlines()] == ["it broke", "settled"]


def test_promise_14_the_logs_of_libraries_are_masked_with_their_tracebacks() -> None:
    err, logger = io.StringIO(), logging.getLogger("tests.redaction")
    handler = logging.StreamHandler(err)
    handler.setFormatter(Redactor({"PG_PASSWORD": SECRET}).formatter("%(message)s"))
    logger.addHandler(handler)
    try:
        fail()
    except ValueError:
        logger.exception("it said %s", SECRET)
    finally:
        logger.removeHandler(handler)
    assert SECRET not in err.getvalue()
    assert "it said ***" in err.getvalue()
