"""REDIS_URL: what each form means, and that nothing secret is repeated about one that means nothing."""

import pytest
from redis.asyncio.connection import parse_url

from dexexec.config.redis_url import Kind, RedisAddress


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://localhost", "localhost:6379"),
        ("redis://:secret@cache.internal:6380/3", "cache.internal:6380"),
        ("rediss://me:secret@cache.internal", "cache.internal:6379"),
        ("unix:///run/redis/redis.sock?db=1", "/run/redis/redis.sock"),
    ],
)
def test_one_server_is_left_to_redis_py(url: str, place: str) -> None:
    address = RedisAddress.parse(url)
    assert (address.kind, address.url, address.place()) == (Kind.SINGLE, url, place)


def test_a_cluster_is_named_by_some_of_its_nodes() -> None:
    address = RedisAddress.parse("redis+cluster://a:7000,b,[::1]:7002")
    assert (address.kind, address.nodes) == (Kind.CLUSTER, (("a", 7000), ("b", 6379), ("::1", 7002)))
    assert address.place() == "the Cluster of a:7000,b:6379,[::1]:7002"


def test_a_primary_is_named_by_its_name_among_some_sentinels() -> None:
    address = RedisAddress.parse("redis+sentinel://a,b:26380/mymaster")
    assert (address.kind, address.nodes, address.service) == (
        Kind.SENTINEL,
        (("a", 26379), ("b", 26380)),
        "mymaster",
    )
    assert address.place() == "mymaster of the Sentinels a:26379,b:26380"
    assert address.login == {}


def test_data_and_sentinels_have_logins_of_their_own() -> None:
    url = "rediss+sentinel://me:p%40ss%2F@a,b/mymaster/2?sentinel_username=s&sentinel_password=q%20&ssl_cert_reqs=none"
    address = RedisAddress.parse(url)
    assert address.login == {"username": "s", "password": "q "}
    options = parse_url(address.url)
    assert (options["username"], options["password"], options["db"]) == ("me", "p@ss/", 2)
    assert options["connection_class"].__name__ == "SSLConnection"
    assert dict(options)["ssl_cert_reqs"] == "none"
    for secret in ("p%40", "p@ss", "q ", "q%20"):
        assert secret not in address.place() + repr(address)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "no known scheme"),
        ("localhost:6379", "no known scheme"),
        ("http://localhost", "no known scheme"),
        ("redis+cluster:///", "no known scheme, or no host"),
        ("redis://a:1,b:2", "several hosts need redis\\+cluster://"),
        ("redis://:hunter2/hunter2@a", "a port is no number"),
        ("redis+cluster://a:hunter2", "a port is no number"),
        ("redis+cluster://a,,b", "a host is missing"),
        (f"redis://{'hunter2' * 10}/0", "a host cannot be one"),
        (f"redis+sentinel://a,{'hunter2' * 10}/mymaster", "a host cannot be one"),
        ("redis+cluster://a/1", "no such database"),
        ("redis+sentinel://a,b", "Sentinels need the primary's name"),
        ("redis+sentinel://a,b/mymaster/hunter2", "no such database"),
    ],
)
def test_an_invalid_address_is_reported_without_repeating_it(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        RedisAddress.parse(url)
    assert "hunter2" not in str(caught.value)
