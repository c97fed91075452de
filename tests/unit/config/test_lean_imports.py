"""Optional packages are hidden from an import, and only from that."""

import importlib
import sys

import pytest

from dexexec.config.lean_imports import without


def test_in_the_block_a_package_looks_as_if_it_were_not_installed() -> None:
    with without("this"), pytest.raises(ImportError):
        importlib.import_module("this")
    assert "this" not in sys.modules


def test_a_package_that_was_imported_before_stays() -> None:
    before = sys.modules["json"]
    with without("json"):
        assert importlib.import_module("json") is before
        importlib.import_module("json.tool")  # a module of the package finds the others
    assert sys.modules["json"] is before
