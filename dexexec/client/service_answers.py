"""Answers about the service and its orders as a whole as typed values: checks, the overview and statistics."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dexexec.client.errors import MalformedAnswerError
from dexexec.client.fields import Json, flag_of, integer_of, objects_of, optional_integer, text_of, time_of
from dexexec.client.problem_document import problem_of
from dexexec.client.problems import ProblemError


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Whether an order would be accepted at this moment: as `order`, which has what is certain without a quote, or
    refused with the error that placing it would raise."""

    ok: bool
    order: Json | None = field(repr=False)
    refusal: ProblemError | None
    data: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The state of the service. `network` has its `name` and `kind`. For a key without the scope `admin`, `workers`,
    `nodes` and `wallets` are empty. `queue` is None while it cannot be read."""

    version: str
    network: Json
    keys_required: bool
    halts: Sequence[Json]
    quarantines: Sequence[Json]
    queue: Json | None
    workers: Sequence[Json] = field(repr=False)
    nodes: Sequence[Json] = field(repr=False)
    wallets: Sequence[Json] = field(repr=False)
    data: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsBucket:
    """Orders that were accepted in the `bucket_seconds` from `at` on, and what became of them until now. Times are
    milliseconds from accepted to confirmed."""

    at: datetime
    accepted: int
    confirmed: int
    failed: int
    other: int
    p50_ms: int | None
    p99_ms: int | None
    data: Json = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The buckets that have orders, oldest first. `truncated`: there are more orders, and the oldest are missing."""

    since: datetime
    until: datetime
    bucket_seconds: int
    buckets: Sequence[StatsBucket]
    truncated: bool
    data: Json = field(repr=False)


def checked_of(body: Json) -> Checked:
    """Whether an order would be accepted."""
    ok = flag_of(body, "ok")
    order, problem = body.get("order"), body.get("problem")
    if ok is isinstance(problem, dict):
        raise MalformedAnswerError("the answer has a problem although it is ok, or none although it is not")
    return Checked(
        ok=ok,
        order=order if isinstance(order, dict) else None,
        refusal=problem_of(problem) if isinstance(problem, dict) else None,
        data=body,
    )


def overview_of(body: Json) -> Overview:
    """The state of the service."""
    network, queue = body.get("network"), body.get("queue")
    if not isinstance(network, dict):
        raise MalformedAnswerError("network is missing, or not an object")
    return Overview(
        version=text_of(body, "version"),
        network=network,
        keys_required=flag_of(body, "keysRequired"),
        halts=objects_of(body, "halts"),
        quarantines=objects_of(body, "quarantines"),
        queue=queue if isinstance(queue, dict) else None,
        workers=objects_of(body, "workers"),
        nodes=objects_of(body, "nodes"),
        wallets=objects_of(body, "wallets"),
        data=body,
    )


def stats_of(body: Json) -> Stats:
    """Statistics."""
    return Stats(
        since=time_of(body, "since"),
        until=time_of(body, "until"),
        bucket_seconds=integer_of(body, "bucketSeconds"),
        buckets=[_bucket(bucket) for bucket in objects_of(body, "buckets")],
        truncated=flag_of(body, "truncated"),
        data=body,
    )


def _bucket(body: Json) -> StatsBucket:
    return StatsBucket(
        at=time_of(body, "at"),
        accepted=integer_of(body, "accepted"),
        confirmed=integer_of(body, "confirmed"),
        failed=integer_of(body, "failed"),
        other=integer_of(body, "other"),
        p50_ms=optional_integer(body, "p50Ms"),
        p99_ms=optional_integer(body, "p99Ms"),
        data=body,
    )
