"""Whether a message must be published: it is, unless Redis has just counted no other listener."""

import pytest

from dexexec.feed.listeners import COUNT_SECONDS, OtherListeners


def counted(receivers: int, *, own: bool = True, countable: bool = True) -> OtherListeners:
    others = OtherListeners(countable=countable)
    others.listening(own=own)
    others.sending()
    others.counted(receivers, 100.0)
    return others


@pytest.mark.parametrize("receivers", [0, 1])
def test_nothing_is_expected_while_a_count_without_others_holds(receivers: int) -> None:
    others = counted(receivers)
    assert not others.expected(100.0)
    assert not others.expected(100.0 + COUNT_SECONDS - 0.001)
    assert others.expected(100.0 + COUNT_SECONDS)


def test_with_another_listener_every_message_is_expected() -> None:
    assert counted(2).expected(100.0)


def test_a_process_without_a_feed_hears_no_new_listener_and_publishes_always() -> None:
    assert counted(0, own=False).expected(100.0)


def test_where_redis_cannot_count_all_listeners_every_message_is_expected() -> None:
    assert counted(1, countable=False).expected(100.0)


@pytest.mark.parametrize("own", [True, False])
def test_what_another_process_sends_and_a_change_of_the_own_feed_end_the_pause(own: bool) -> None:
    others = counted(1)
    others.heard()
    assert others.expected(100.0)
    others = counted(1)
    others.listening(own=own)
    assert others.expected(100.0)
