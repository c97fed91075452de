"""Every unexpected answer of Redis is an outage; a key that another program broke is repaired, once."""

import pytest
from redis import exceptions

from dexexec.broker.outages import code_of, translate_redis_errors, with_repair
from dexexec.errors import UnavailableError

REFUSALS = {
    "BUSY": exceptions.ResponseError("BUSY Redis is busy running a script. You can only call SCRIPT KILL."),
    "OOM": exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'.", status_code="OOM"),
    "MISCONF": exceptions.ResponseError("ERR Error running script: @user_script:5: -MISCONF Errors writing to disk"),
    "NOAUTH": exceptions.AuthenticationError("Authentication required.", status_code="NOAUTH"),
    "NOPERM": exceptions.NoPermissionError("this user has no permissions", status_code="NOPERM"),
    "NOSCRIPT": exceptions.NoScriptError("No matching script.", status_code="NOSCRIPT"),
    "LOADING": exceptions.BusyLoadingError("Redis is loading the dataset in memory", status_code="LOADING"),
    "CLUSTERDOWN": exceptions.ClusterDownError("CLUSTERDOWN Hash slot not served"),
    "MOVED": exceptions.ResponseError("MOVED 3999 127.0.0.1:6381"),
    "UNKILLABLE": exceptions.ResponseError("UNKILLABLE Sorry the script already executed write commands"),
    "ERR": exceptions.ResponseError("unknown command 'XAUTOCLAIM'", status_code="ERR"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_promise_6_every_refusal_of_redis_is_an_outage_that_names_its_code(code: str) -> None:
    with pytest.raises(UnavailableError, match=f"^Redis refuses commands \\({code}\\)$"), translate_redis_errors():
        raise REFUSALS[code]


@pytest.mark.parametrize(
    "error",
    [exceptions.ConnectionError("reset"), exceptions.TimeoutError("slow"), OSError(), exceptions.DataError("?")],
)
def test_no_answer_is_an_outage(error: Exception) -> None:
    with pytest.raises(UnavailableError, match=r"^Redis does not answer$"), translate_redis_errors():
        raise error


@pytest.mark.parametrize("error", [TypeError(), ValueError(), KeyError(), IndexError(), AttributeError()], ids=repr)
def test_an_answer_of_another_shape_is_an_outage(error: Exception) -> None:
    with pytest.raises(UnavailableError, match="shape"), translate_redis_errors():
        raise error


def test_an_unknown_word_in_capitals_is_not_a_code() -> None:
    assert code_of(exceptions.ResponseError("SOMETHING else")) == ""


class Redis:
    """Raises what it is given, one after the other, and then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.mended = list(errors), list[bool]()

    async def ask(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    async def mend(self, exhausted: bool) -> None:
        self.mended.append(exhausted)


WRONG_TYPE = exceptions.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
NO_GROUP = exceptions.ResponseError("NOGROUP No such key", status_code="NOGROUP")
FULL = exceptions.ResponseError("The stream has exhausted the last possible ID, unable to add more items")


@pytest.mark.parametrize(("error", "exhausted"), [(WRONG_TYPE, False), (NO_GROUP, False), (FULL, True)])
async def test_a_broken_key_is_repaired_and_the_command_repeated(error: Exception, exhausted: bool) -> None:
    redis = Redis(error)
    assert await with_repair(redis.ask, redis.mend) == "answer"
    assert redis.mended == [exhausted]


async def test_a_failed_repair_is_an_outage_and_is_not_repeated() -> None:
    redis = Redis(WRONG_TYPE, WRONG_TYPE)
    with pytest.raises(UnavailableError, match="WRONGTYPE"):
        await with_repair(redis.ask, redis.mend)
    assert redis.mended == [False]


async def test_other_refusals_start_no_repair() -> None:
    redis = Redis(REFUSALS["BUSY"])
    with pytest.raises(UnavailableError):
        await with_repair(redis.ask, redis.mend)
    assert redis.mended == []
