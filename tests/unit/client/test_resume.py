"""The core of the event stream: what is handed out, what is subscribed and when a socket is opened again."""

import json
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexexec.client.answers import Event
from dexexec.client.errors import ClientError, NoAnswerError, StreamError
from dexexec.client.problem_document import read_problem
from dexexec.client.problems import OrderNotFoundError, ScopeMissingError, UnauthorizedError
from dexexec.client.resume import HEALTHY_SECONDS, MOST_FAULTS, Close, Notice, Resumption, StreamFaultError

A = "01a2295d-82f2-7600-91fb-577a337d39e5"
B = "01a2295d-82f2-7600-91fb-577a337d39e6"
BROKEN = Close(1006)


def state(*orders: str, outage: float | None = 60.0, chance: float = 0.0) -> Resumption:
    following = Resumption(random=lambda: chance, outage_seconds=outage)
    for order_id in orders:
        following.follow(order_id)
    return following


def event(seq: int, order_id: str = A, *, final: bool = False) -> str:
    at = "2026-01-31T12:00:00.123Z"
    return json.dumps({"orderId": order_id, "seq": seq, "status": "routing", "at": at, "final": final})


def error(code: str, order_id: str | None = None) -> str:
    about = {"orderId": order_id} if order_id else {}
    return json.dumps({"error": {"code": code, "message": "text", **about}})


def sent(following: Resumption) -> list[dict[str, object]]:
    """Everything that is sent on the open socket."""
    return [message for message in iter(following.next_message, None) if message is not None]


def heard(following: Resumption, messages: Iterable[str]) -> list[int]:
    """The `seq` of the events that are new."""
    new = [following.receive(message) for message in messages]
    return [one.seq for one in new if isinstance(one, Event)]


def test_a_new_socket_subscribes_what_has_not_ended_after_the_last_event() -> None:
    following = state(A, B)
    following.connected(0.0)
    assert sent(following) == [{"orderId": A}, {"orderId": B}]
    assert heard(following, [event(1), event(1, B), event(2, B, final=True), event(2)]) == [1, 1, 2, 2]
    following.lost(1.0, BROKEN)
    following.connected(2.0)
    assert sent(following) == [{"orderId": A, "afterSeq": 2}]
    assert not following.done
    assert heard(following, [event(3, final=True)]) == [3]
    assert following.done


def test_an_order_that_is_followed_later_is_subscribed_on_the_open_socket() -> None:
    following = state(A)
    assert following.next_message() is None, "there is no socket yet"
    following.connected(0.0)
    sent(following)
    assert following.follow(B, 7)
    assert not following.follow(B, 3), "it is followed already"
    assert sent(following) == [{"orderId": B, "afterSeq": 7}]


def test_an_event_that_comes_again_is_dropped_and_noted() -> None:
    following = state(A)
    following.connected(0.0)
    assert heard(following, [event(1), event(2), event(1), event(2), event(3, final=True), event(3, final=True)]) == [
        1, 2, 3,
    ]  # fmt: skip
    assert [fault.split(" of ")[0] for fault in following.faults_seen] == ["event 1", "event 2", "event 3"]


def test_after_a_gap_nothing_is_handed_out_and_the_next_socket_resumes_before_it() -> None:
    following = state(A)
    following.connected(0.0)
    assert heard(following, [event(1)]) == [1]
    with pytest.raises(StreamFaultError, match=r"event 2 of .* is missing") as caught:
        following.receive(event(3))
    following.lost(0.1, caught.value)
    following.connected(0.2)
    assert sent(following) == [{"orderId": A, "afterSeq": 1}]
    assert heard(following, [event(2), event(3, final=True)]) == [2, 3]


def test_a_service_that_leaves_an_event_out_again_and_again_is_an_error() -> None:
    following = state(A)
    for now in range(MOST_FAULTS):
        following.connected(now)
        with pytest.raises(StreamFaultError) as caught:
            following.receive(event(2))
        if now < MOST_FAULTS - 1:
            following.lost(now, caught.value)
    with pytest.raises(StreamError, match=r"event 1 of .* is missing, 5 times in a row"):
        following.lost(MOST_FAULTS, caught.value)


@pytest.mark.parametrize("message", ["[1]", "nonsense", '{"orderId": 1, "seq": 1, "status": "x"}', "{}", "[" * 5000])
def test_a_message_that_is_none_of_the_protocol_ends_the_socket(message: str) -> None:
    following = state(A)
    following.connected(0.0)
    with pytest.raises(StreamFaultError):
        following.receive(message)
    with pytest.raises(StreamFaultError):
        following.receive(message.encode())


@pytest.mark.parametrize(
    "message",
    [
        event(1, B),
        error("already-subscribed", A),
        error("not-subscribed", A),
        error("unavailable"),
        error("flooding"),
        '{"orderId": "x", "cancelled": true, "seq": 2}',
        '{"something": "new"}',
    ],
)
def test_what_changes_nothing_is_ignored(message: str) -> None:
    following = state(A)
    following.connected(0.0)
    assert following.receive(message) is None
    assert not following.done
    assert heard(following, [event(1)]) == [1]


def test_a_notice_is_handed_out() -> None:
    notice = state(A).receive('{"notice": {"code": "halted", "message": "signing is\\nhalted"}}')
    assert isinstance(notice, Notice)
    assert (notice.code, notice.message) == ("halted", "signing is halted")
    assert Notice({"notice": 1}).code == ""


def test_the_end_of_an_order_that_had_ended_before_ends_it() -> None:
    following = state()
    following.follow(A, 5)
    following.connected(0.0)
    assert following.receive(json.dumps({"orderId": A, "unsubscribed": True, "afterSeq": 5})) is None
    assert following.done


def test_an_end_after_an_event_that_never_came_is_a_gap() -> None:
    following = state(A)
    following.connected(0.0)
    with pytest.raises(StreamFaultError, match="after event 5, and 0 was the last"):
        following.receive(json.dumps({"orderId": A, "unsubscribed": True, "afterSeq": 5}))


def test_an_error_of_one_order_leaves_the_others() -> None:
    following = state(A, B)
    following.connected(0.0)
    found = following.receive(error("order-not-found", A))
    assert isinstance(found, OrderNotFoundError)
    assert (found.order_id, found.http_status) == (A, 404)
    following.lost(0.1, BROKEN)
    following.connected(0.2)
    assert sent(following) == [{"orderId": B}]
    ahead = following.receive(error("after-seq-ahead", B))
    assert isinstance(ahead, StreamError)
    assert (ahead.code, ahead.order_id) == ("after-seq-ahead", B)
    assert following.done


def test_an_error_about_a_message_ends_the_socket() -> None:
    following = state(A)
    following.connected(0.0)
    with pytest.raises(StreamFaultError, match="malformed-message"):
        following.receive(error("malformed-message"))


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 4008, 4999])
def test_after_an_ordinary_close_a_socket_is_opened_again(code: int) -> None:
    following = state(A, chance=0.5)
    following.connected(0.0)
    following.lost(10.0, Close(code, "resume with afterSeq"))
    assert following.retry_at == 10.1


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1009])
def test_closes_that_blame_a_message_are_an_error_when_they_do_not_stop(code: int) -> None:
    following = state(A)
    for now in range(MOST_FAULTS - 1):
        following.connected(now)
        following.lost(now, Close(code))
    with pytest.raises(StreamError, match=f"closed with {code}"):
        following.lost(9.0, Close(code))


def test_a_key_that_is_revoked_meanwhile_is_no_outage() -> None:
    following = state(A)
    following.connected(0.0)
    with pytest.raises(UnauthorizedError, match="the key is not valid"):
        following.lost(1.0, Close(4401, "the key is not valid"))


@pytest.mark.parametrize(("code", "kind"), [("unauthorized", UnauthorizedError), ("scope-missing", ScopeMissingError)])
def test_a_refused_key_ends_the_stream(code: str, kind: type[ClientError]) -> None:
    following = state(A)
    following.connected(0.0)
    with pytest.raises(kind, match="text"):
        following.receive(error(code))


def test_flooding_makes_the_next_socket_slower() -> None:
    following = state(A)
    following.connected(0.0)
    following.lost(1.0, Close(1008, "flooding"))
    assert following.slow_downs == 1


def test_a_refused_handshake_is_final_unless_it_may_change() -> None:
    following = state(A)
    with pytest.raises(ScopeMissingError):
        following.refused(0.0, read_problem(403, {}, b'{"type": "/problems/scope-missing"}'))
    following.refused(0.0, read_problem(503, {"retry-after": "3"}, b""))
    assert following.retry_at == 3.0
    following.refused(10.0, read_problem(500, {}, b""))
    assert following.retry_at == 10.0


def test_pauses_double_and_begin_anew_with_an_event() -> None:
    following = state(A, chance=1.0, outage=None)
    pauses = []
    for now in range(0, 700, 100):
        following.lost(now, BROKEN)
        pauses.append(round(following.retry_at - now, 3))
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    following.connected(800.0)
    following.receive(event(1))
    following.lost(800.0, BROKEN)
    assert round(following.retry_at - 800.0, 3) == 0.2


def test_connections_that_do_not_last_do_not_end_an_outage() -> None:
    following = state(A, outage=60.0)
    following.lost(0.0, BROKEN)
    following.connected(30.0)
    following.lost(30.1, BROKEN)
    with pytest.raises(NoAnswerError, match="no event stream for 60 s: the connection broke"):
        following.lost(60.1, BROKEN)


def test_a_quiet_connection_that_lasts_ends_an_outage() -> None:
    following = state(A, outage=60.0)
    following.lost(0.0, BROKEN)
    following.connected(50.0)
    following.lost(50.0 + HEALTHY_SECONDS, BROKEN)
    following.lost(100.0, BROKEN)
    assert following.retry_at == 100.0


def test_an_outage_may_last_for_ever() -> None:
    following = state(A, outage=None)
    for now in range(0, 10**7, 10**4):
        following.lost(now, BROKEN)


@given(st.randoms(use_true_random=False), st.integers(1, 4), st.integers(1, 12))
def test_whatever_sockets_lose_repeat_and_cut_each_event_comes_once_and_in_order(
    chance: random.Random, orders: int, length: int
) -> None:
    """A service that answers subscriptions, over sockets that misbehave at random and sometimes do not."""
    ids = [A[:-1] + str(n) for n in range(orders)]
    following = state(*ids, outage=None)
    got: dict[str, list[int]] = {one: [] for one in ids}
    now = 0.0
    for turn in range(1_000):
        if following.done:
            break
        now += 1
        well_behaved = turn % 4 == 3  # before the limit of faults in a row is reached
        following.connected(now)
        queues = [
            [
                event(seq, str(one["orderId"]), final=seq == length)
                for seq in range(int(str(one.get("afterSeq", 0))) + 1, length + 1)
            ]
            for one in sent(following)
        ]
        cause: object = BROKEN
        while queues:
            queue = chance.choice(queues)
            message = queue[0]
            kind = "event" if well_behaved else chance.choice(["event", "event", "event", "twice", "lost", "cut"])
            if kind == "cut":
                break
            if kind != "twice":
                queue.pop(0)
            if not queue:
                queues.remove(queue)
            if kind == "lost":
                continue
            try:
                new = following.receive(message)
            except StreamFaultError as fault:
                cause = fault
                break
            assert not isinstance(new, ClientError)
            if isinstance(new, Event):
                got[new.order_id].append(new.seq)
        if not following.done:
            following.lost(now, cause)
    assert got == {one: list(range(1, length + 1)) for one in ids}
