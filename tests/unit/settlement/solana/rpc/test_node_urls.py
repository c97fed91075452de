"""A node's name identifies it and contains no secret."""

import pytest

from dexexec.settlement.solana.rpc.node_urls import node_names, url_secrets


def test_a_node_is_known_by_its_host_and_port() -> None:
    assert node_names(["https://user:pass@one.example/v2/KEYKEYKEY?api-key=SECRET", "http://[::1]:8899"]) == [
        "one.example",
        "[::1]:8899",
    ]


def test_promise_14_a_key_in_the_first_label_of_a_host_is_no_part_of_its_name() -> None:
    url = "https://eddy-a1b2c3-fast-mainnet.rpc.example/"
    assert node_names([url]) == ["***.rpc.example"]
    assert "eddy-a1b2c3-fast-mainnet" in url_secrets(url)


def test_nodes_of_the_same_host_are_named_by_their_position() -> None:
    assert node_names(["https://a.example/1", "http://b.example:1", "https://a.example/2"]) == [
        "a.example (1)",
        "b.example:1",
        "a.example (3)",
    ]


@pytest.mark.parametrize(
    "url", ["", "KEYKEYKEY", "ftp://h/KEYKEYKEY", "https:///KEYKEYKEY", "http://h:KEYKEYKEY/", "http://[KEYKEYKEY/"]
)
def test_what_is_no_address_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="node 2") as refused:
        node_names(["http://a.example", url])
    assert "KEYKEYKEY" not in repr(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_all_parts_of_an_address_but_its_host_are_taken_for_secret() -> None:
    url = "https://me%40home:pass%20word@host.example:8899/v2/abc123KEY;x/rpc?api-key=SECRET&a=b#fragment"
    secrets = url_secrets(url)
    assert {"me@home", "pass word", "pass%20word", "abc123KEY", "SECRET", "api-key", "fragment"} <= set(secrets)
    assert not any("example" in part or "8899" in part for part in secrets)
