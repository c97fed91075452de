"""Which answers are compressed, and how."""

import gzip

import pytest
from tornado.httputil import HTTPHeaders

from dexexec.api.compression import compressed, gzip_wanted


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("gzip", True),
        ("GZip", True),
        ("x-gzip", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("br;q=1, gzip ; q=0.001", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("*;q=0", False),
        ("*, gzip;q=0", False),
        ("identity, gzip;q=0.5", False),
        ("gzip;q=2", False),
        ("gzip;q=", False),
        ("gzip;q=nan", False),
        ("notgzip", False),
    ],
)
def test_gzip_is_negotiated(header: str, wanted: bool) -> None:
    assert gzip_wanted(HTTPHeaders({"Accept-Encoding": header})) is wanted


def test_without_the_header_nothing_is_compressed() -> None:
    assert not gzip_wanted(HTTPHeaders())


def test_a_compressed_body_has_no_time_in_it() -> None:
    body = b'{"status": "confirmed"}' * 100
    packed = compressed(body)
    assert gzip.decompress(packed) == body
    assert packed[4:8] == bytes(4)
