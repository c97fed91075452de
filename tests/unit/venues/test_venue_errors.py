"""Errors of venues: which count against the venue, and which are trouble of the nodes that all venues share."""

import pytest

from dexexec.venue import BadAnswer, Timeout, Unreachable, VenueError


def test_an_error_is_the_venues_own_unless_it_is_marked() -> None:
    assert not Unreachable("down").shared
    assert Unreachable("down", shared=True).shared
    assert str(Unreachable("down", shared=True)) == "down"


def test_an_error_that_is_raised_from_trouble_of_a_node_is_trouble_of_the_node() -> None:
    def wrapped(cause: Exception) -> VenueError:
        with pytest.raises(VenueError) as raised:
            raise BadAnswer("no accounts") from cause
        return raised.value

    assert wrapped(Timeout("the node did not answer", shared=True)).shared
    assert not wrapped(Timeout("the venue did not answer")).shared
    assert not wrapped(ValueError("nonsense")).shared
