"""Which URLs a webhook may have, and which addresses are public."""

from ipaddress import ip_address

import pytest

from dexexec.webhooks.addresses import is_public
from dexexec.webhooks.target_url import check_url


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("https://hooks.example.com", "hooks.example.com", 443, "/", "hooks.example.com"),
        ("https://HOOKS.example.com:8443/a/b?c=d", "hooks.example.com", 8443, "/a/b?c=d", "hooks.example.com:8443"),
        ("https://hooks.example.com.:443/x", "hooks.example.com", 443, "/x", "hooks.example.com"),
        ("https://93.184.216.34/", "93.184.216.34", 443, "/", "93.184.216.34"),
        ("https://[2606:2800:220:1::1]:444/", "2606:2800:220:1::1", 444, "/", "[2606:2800:220:1::1]:444"),
        ("https://xn--bcher-kva.example/%20", "xn--bcher-kva.example", 443, "/%20", "xn--bcher-kva.example"),
        ("https://my_hooks.example/?q", "my_hooks.example", 443, "/?q", "my_hooks.example"),
    ],
)
def test_ordinary_urls(url: str, host: str, port: int, path: str, authority: str) -> None:
    target = check_url(url, private=False)
    assert (target.host, target.port, target.path, target.authority) == (host, port, path, authority)
    assert "/a/b" not in repr(target)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "spaces"),
        ("hooks.example.com", "must begin with https://"),
        ("http://hooks.example.com/", "must begin with https://"),
        ("ftp://hooks.example.com/", "must begin with https://"),
        ("https://", "a host"),
        ("https:///path", "a host"),
        ("https://./", "a host"),
        ("https://user:password@hooks.example/", "no user"),
        ("https://user@hooks.example/", "no user"),
        ("https://@hooks.example/", "no user"),
        ("https://hooks.example\\@127.0.0.1/", "backslashes"),
        ("https://hooks.example/#there", "no fragment"),
        ("https://hooks.example/#", "no fragment"),
        ("https://hooks.example:0/", "a port"),
        ("https://hooks.example:/", "a port"),
        ("https://hooks.example:65536/", "must be a URL"),
        ("https://hooks.example:x/", "must be a URL"),
        ("https://hooks.example/a b", "spaces"),
        ("https://hooks.example/\r\nx: y", "spaces"),
        ("https://bücher.example/", "ASCII"),
        ("https://hooks.example/" + "a" * 2_000, "2000 characters"),
        ("https://localhost/", "private or local"),
        ("https://LOCALHOST./", "private or local"),
        ("https://a.localhost/", "private or local"),
        ("https://127.0.0.1/", "private or local"),
        ("https://127.0.0.1./", "private or local"),
        ("https://10.1.2.3/", "private or local"),
        ("https://[::1]/", "private or local"),
        ("https://[::ffff:93.184.216.34]/", "private or local"),
        ("https://[fe80::1%25eth0]/", "zone"),
        ("https://[fe80::1%eth0]/", "zone"),
        ("https://[::1/", "must be a URL"),
        ("https://2130706433/", "four decimal numbers"),
        ("https://0x7f000001/", "four decimal numbers"),
        ("https://0x7f.1/", "four decimal numbers"),
        ("https://0177.0.0.1/", "four decimal numbers"),
        ("https://127.1/", "four decimal numbers"),
        ("https://hooks..example/", "valid host name"),
        ("https://-hooks.example/", "valid host name"),
        ("https://hooks.example..", "valid host name"),
        ("https://" + "a" * 64 + ".example/", "valid host name"),
        ("https://hooks%2eexample/", "valid host name"),
    ],
)
def test_others_are_refused_with_a_reason(url: str, why: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_url(url, private=False)
    assert why in str(refused.value)
    assert str(refused.value).startswith("must ")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/", "https://10.0.0.1/", "http://localhost/", "http://[::1]:1/"])
def test_private_addresses_and_http_are_allowed_by_the_operator(url: str) -> None:
    assert check_url(url, private=True).path == "/"


def test_also_then_other_spellings_are_refused() -> None:
    with pytest.raises(ValueError, match="four decimal"):
        check_url("http://0x7f.1/", private=True)


SPECIAL = """
0.0.0.1 10.0.0.1 100.64.0.1 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1
192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::ffff:10.0.0.1 ::ffff:93.184.216.34 64:ff9b::a00:1 64:ff9b:1::1 100::1 2001::1 2001:db8::1
2001:20::1 2002:a00:1::1 2002:5db8:d822::1 3fff::1 5f00::1 fc00::1 fd12:3456::1 fe80::1 fe80::1%eth0
fec0::1 ff02::1 ff0e::1
"""


@pytest.mark.parametrize("address", ["0.0.0.0", *SPECIAL.split()])  # noqa: S104 - it is not bound
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450::1"])
def test_ordinary_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))
