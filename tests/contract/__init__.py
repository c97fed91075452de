"""Rules that several implementations keep."""

import pytest

pytest.register_assert_rewrite("tests.support.chain_suite")
