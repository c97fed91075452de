"""Writes the steps of orders: for many orders in one statement, each under the claim of its worker.

Between the pipeline and the feed on an order's way. A step raises `version` under the lock of the order's row, and its
events are written by the same statement, so that `seq` has no gaps even if the process dies.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

from dexexec.domain.event import NO_STAGES, Event
from dexexec.domain.funds import Shortfall
from dexexec.domain.halt import Halt
from dexexec.domain.oco import GroupHeld
from dexexec.domain.policy import Policy
from dexexec.domain.policy_check import PolicyBreaches
from dexexec.domain.wallet_policy import NO_WALLET_POLICIES, WalletPolicies, wallet_number
from dexexec.store import costs, handouts, oco_groups, policies, reservations
from dexexec.store.database import Connection, Database
from dexexec.store.oco_groups import LockedGroups
from dexexec.store.policies import LockedPolicies
from dexexec.store.postgres_errors import REFUSALS
from dexexec.store.reservations import WalletReservations
from dexexec.store.rows import fetch_rows, json_rows
from dexexec.store.steps import NewAttempt, Resolution, Step

# The parameters are four lists of rows: steps, new attempts, resolutions and events. Everything is joined with `u`, the
# orders that were updated: of a step with a stale claim or version nothing is written. `now` is evaluated once, so that
# all events of a step have one time.
#
# `h`: no attempt is recorded for an owner that is halted. The row lock is there for the lock of the table, which
# Postgres takes before the snapshot of the statement: `halts.wait_for_attempts` waits for it.
ADVANCE = f"""
WITH t AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%t::json)
    AS t(id uuid, claim int, version int, steps int, last int, status text, venue text, tx_hash text, reason text,
         amount_in numeric, amount_out numeric, rounds int, attempts int, refusals int, final bool,
         resume_in_ms float8, rest_ms float8, unbind bool, min_out numeric, max_in numeric, quoted_in numeric,
         quoted_out numeric, amount_base numeric, written_to text, owner int)
), h AS MATERIALIZED (
    SELECT owner, since, reason FROM halts FOR KEY SHARE
), u AS (
    UPDATE orders o SET
        status = t.status, version = o.version + t.steps, waiting = NULL,
        claims = CASE WHEN t.attempts > 0 OR t.final OR t.resume_in_ms IS NOT NULL
                           OR t.rest_ms IS NOT NULL THEN 0 ELSE o.claims END,
        venue = coalesce(t.venue, o.venue), tx_hash = coalesce(t.tx_hash, o.tx_hash),
        failure_reason = coalesce(t.reason, o.failure_reason),
        -- Of a swap, for as long as the chain shows it; or of a dry run's simulation.
        amount_in = CASE WHEN t.status IN ('confirmed', 'simulated') THEN coalesce(t.amount_in, o.amount_in) END,
        amount_out = CASE WHEN t.status IN ('confirmed', 'simulated') THEN coalesce(t.amount_out, o.amount_out) END,
        -- Where a whole worker runs dry, the order is marked when it ends so.
        dry_run = o.dry_run OR t.status = 'simulated',
        rounds = o.rounds + t.rounds, attempts = o.attempts + t.attempts, refusals = o.refusals + t.refusals,
        worker = CASE WHEN t.resume_in_ms IS NULL AND t.rest_ms IS NULL THEN o.worker END,
        due_at = CASE WHEN t.rest_ms IS NULL THEN now.at + coalesce(t.resume_in_ms, 0) * interval '1 ms'
                 ELSE 'infinity' END,
        resting = t.rest_ms IS NOT NULL, rests = o.rests + (t.rest_ms IS NOT NULL)::int,
        rested_xid = CASE WHEN t.rest_ms IS NULL THEN o.rested_xid ELSE pg_current_xact_id() END,
        quiet_until = CASE WHEN t.rest_ms IS NULL THEN o.quiet_until ELSE now.at + t.rest_ms * interval '1 ms' END,
        -- A bound can only become stricter, unless the order gives it up between two attempts. With another amount it
        -- is another number: then the worker computes it from the price that was fixed.
        amount_base = coalesce(t.amount_base, o.amount_base),
        min_out = CASE WHEN t.unbind THEN NULL
                       WHEN t.amount_base IS NULL THEN greatest(o.min_out, t.min_out) ELSE t.min_out END,
        max_in = CASE WHEN t.unbind THEN NULL
                      WHEN t.amount_base IS NULL THEN least(o.max_in, t.max_in) ELSE t.max_in END,
        bound_open = t.unbind OR o.bound_open AND t.min_out IS NULL,
        quoted_in = coalesce(o.quoted_in, t.quoted_in), quoted_out = coalesce(o.quoted_out, t.quoted_out),
        finished_at = CASE WHEN t.final THEN now.at END,
        finalized_at = CASE WHEN t.final AND t.status = 'confirmed' THEN now.at END
    FROM t, (SELECT clock_timestamp() AS at) now
    WHERE o.id = t.id AND o.claim = t.claim AND o.version = t.version AND o.ended IS NULL
      AND t.last = t.version + t.steps
      -- The last guard of a dry run: without a recorded attempt nothing is sent, whatever a worker does.
      AND NOT (o.dry_run AND t.attempts > 0)
      AND NOT (t.attempts > 0 AND EXISTS (SELECT FROM h WHERE h.owner IN (0, o.owner)))
      AND (t.written_to IS NULL OR t.written_to = (SELECT record_identity()))
    RETURNING o.id, t.version AS base, o.tag, o.owner, now.at
), a AS (
    INSERT INTO attempts (order_id, n, venue, signature, payload, last_valid_height, quote, network, genesis, wallet,
                          spends)
    SELECT id, n, n.venue, signature, decode(payload, 'base64'), last_valid_height, quote, network, genesis, wallet,
           spends
    FROM json_to_recordset(%t::json) AS n(id uuid, n int, venue text, signature text, payload text,
                                          last_valid_height bigint, quote jsonb, network text, genesis text,
                                          wallet text, spends jsonb)
    JOIN u USING (id)
), r AS (
    UPDATE attempts a SET outcome = r.outcome, proof = r.proof, sends = coalesce(r.sends, a.sends),
        resolved_at = CASE WHEN r.outcome IS NOT NULL THEN u.at END
    FROM json_to_recordset(%t::json) AS r(id uuid, n int, outcome text, proof jsonb, sends jsonb, corrects bool)
    JOIN u USING (id)
    WHERE a.order_id = r.id AND a.n = r.n AND (coalesce(a.outcome, '') = '' OR r.corrects)
    RETURNING a.order_id, a.n, a.venue, u.tag, u.owner, u.at, a.outcome, a.proof
), c AS (
    INSERT INTO attempt_costs
    SELECT order_id, n, at, venue, tag, outcome = 'landed', {costs.COLUMNS}, owner, c.tip
    FROM r CROSS JOIN {costs.OF_PROOF}
    ON CONFLICT DO NOTHING
), e AS (
    INSERT INTO order_events (order_id, seq, status, at, detail)
    SELECT id, u.base + e.step, e.status, u.at, e.detail
    FROM json_to_recordset(%t::json) AS e(id uuid, step int, status text, detail jsonb) JOIN u USING (id)
)
SELECT id, at, NULL::int AS halted, NULL::timestamptz AS since, NULL AS reason FROM u
UNION ALL
SELECT t.id, NULL, h.owner, h.since, h.reason FROM t CROSS JOIN h
WHERE t.attempts > 0 AND h.owner IN (0, t.owner)
"""  # noqa: S608 - constants


Answer = list[Event] | Shortfall | GroupHeld | Halt | PolicyBreaches | None
"""The answer to a step, as `advance` returns it."""


async def advance(
    database: Database,
    steps: Sequence[Step],
    identity: str | None,
    today: date | None = None,
    wallets: WalletPolicies = NO_WALLET_POLICIES,
) -> list[Answer]:
    """Write the steps in one commit. If an identity is given, steps that need a comparison are only written in the
    Postgres with that identity.

    Returns for each step its events; or the shortfall if its attempt does not fit, or what holds its group, or the halt
    or the broken limits of its owner, and then nothing of the step is written; or None if its claim was stale or
    another Postgres answers.
    """
    spending = [step.attempt.spending for step in steps if step.attempt and step.attempt.spending]
    grouped = [(step.order_id, step.group) for step in steps if step.group and (step.may_swap or step.swapped)]
    limited = {step.owner for step in steps if step.owner is not None and step.attempt and step.attempt.trade}
    async with database.connection(REFUSALS) as connection:
        of_owners = await policies.policies_of(connection, sorted(limited)) if limited else {}
        # Also for orders without a key: a wallet's limits hold for every order that it pays for.
        for step in steps:
            if step.attempt and step.attempt.trade:
                of_owners |= wallets.numbered(step.attempt.trade.wallet)
        by_client = any(step.handout or step.takes_handout for step in steps)
        if not spending and not grouped and not of_owners and not by_client:
            return [*await _advance(connection, steps, identity)]
        async with connection.transaction():
            return await _advance_locked(connection, steps, identity, of_owners, today)


async def _advance_locked(
    connection: Connection,
    steps: Sequence[Step],
    identity: str | None,
    of_owners: Mapping[int, Policy | None],
    today: date | None,
) -> list[Answer]:
    """Write the steps for which what others have recorded leaves room, in the transaction of `connection`."""
    spending = [step.attempt.spending for step in steps if step.attempt and step.attempt.spending]
    grouped = [(step.order_id, step.group) for step in steps if step.group and (step.may_swap or step.swapped)]
    # The wallets stay locked until the commit: another process must not reserve from the same balances meanwhile.
    reserved = await reservations.lock(connection, [each.wallet for each in spending])
    # So do the groups, which no other process may swap for meanwhile, and the keys, whose limits no other process may
    # use up. In this order in all processes.
    groups = await oco_groups.lock_for(connection, grouped)
    limits = await policies.lock_for(connection, of_owners, [step.order_id for step in steps if step.attempt], today)
    refused = {place: why for place, step in enumerate(steps) if (why := _refusal(reserved, groups, limits, step))}
    free = [groups.reported(step) for place, step in enumerate(steps) if place not in refused]
    answers = await _advance(connection, free, identity)
    written = {step.order_id for step, answer in zip(free, answers, strict=True) if isinstance(answer, list)}
    await policies.write_spends(connection, limits, written)
    # In the same commit: a transaction must not be with its client while the record has another one.
    await handouts.write(connection, [step for step in free if step.order_id in written])
    following = iter(answers)
    return [refused[n] if n in refused else next(following) for n in range(len(steps))]


def _refusal(
    reserved: WalletReservations, groups: LockedGroups, limits: LockedPolicies, step: Step
) -> Shortfall | GroupHeld | PolicyBreaches | None:
    if step.group is not None and step.may_swap:
        held = groups.take(step.order_id, step.group, step.group_lookups)
        if held is not None:
            return held
    attempt = step.attempt
    if attempt and attempt.trade:
        numbers = {wallet_number(attempt.trade.wallet)} | ({step.owner} if step.owner is not None else set())
        # The key first, whose number is positive: its limits are what a client has agreed on.
        owners = sorted(numbers & limits.policies.keys(), reverse=True)
        broken = limits.admit(step.order_id, owners, attempt.trade)
        if broken:
            return PolicyBreaches(tuple(broken))
    return reserved.reserve(attempt.spending, attempt.signed.genesis) if attempt and attempt.spending else None


async def _advance(
    connection: Connection, steps: Sequence[Step], identity: str | None
) -> list[list[Event] | Halt | None]:
    attempts = [_attempt_row(step.order_id, step.attempt) for step in steps if step.attempt]
    resolutions = [_resolution_row(step.order_id, step.resolution) for step in steps if step.resolution]
    resolutions += [
        _resolution_row(step.order_id, correction, corrects=True) for step in steps for correction in step.corrections
    ]
    events = [row for step in steps for row in _event_rows(step)]
    values = [
        json_rows(rows) for rows in ([_order_row(step, identity) for step in steps], attempts, resolutions, events)
    ]
    rows = await fetch_rows(connection, ADVANCE, values, prepare=True, binary=True)
    times: dict[UUID, datetime] = {row.id: row.at for row in rows if row.halted is None}
    halted = [row for row in rows if row.halted is not None]
    # Everybody's halt last, so that it is the one that is reported beside a key's own.
    halts = {row.id: Halt(row.halted, row.since, row.reason) for row in sorted(halted, key=lambda row: -row.halted)}
    return [halts.get(step.order_id) or _written(step, times.get(step.order_id)) for step in steps]


def _order_row(step: Step, identity: str | None) -> dict[str, object]:
    fill = step.fill
    size = len(step.events)
    fixed = step.bound
    amount = step.amount
    bound = fixed.bound if fixed else amount.bound if amount else None
    return {
        "id": step.order_id,
        "claim": step.claim,
        "version": step.version,
        "steps": size,
        "last": step.version + size,
        "status": step.events[-1][0],
        "venue": step.venue,
        "tx_hash": step.attempt.signed.signature if step.attempt else step.tx_hash,
        "reason": step.reason,
        "amount_in": fill.amount_in if fill else None,
        "amount_out": fill.amount_out if fill else None,
        "rounds": step.rounds,
        "attempts": 1 if step.attempt else 0,
        "refusals": step.refusals,
        "final": step.final,
        "resume_in_ms": step.resume_in_ms,
        "rest_ms": step.rest_ms,
        "unbind": step.unbind,
        "min_out": bound.min_out if bound else None,
        "max_in": bound.max_in if bound else None,
        "quoted_in": fixed.quoted_in if fixed else None,
        "quoted_out": fixed.quoted_out if fixed else None,
        "amount_base": amount.base_units if amount else None,
        "written_to": identity if step.needs_comparison else None,
        "owner": step.owner,
    }


def _attempt_row(order_id: UUID, attempt: NewAttempt) -> dict[str, object]:
    return {
        "id": order_id,
        "n": attempt.n,
        "venue": attempt.venue,
        "signature": attempt.signed.signature,
        "payload": b64encode(attempt.signed.payload).decode(),
        "last_valid_height": attempt.signed.last_valid_height,
        "quote": attempt.quoted,
        "network": attempt.signed.network,
        "genesis": attempt.signed.genesis,
        "wallet": attempt.spending.wallet if attempt.spending else None,
        "spends": attempt.spending.amounts() if attempt.spending else None,
    }


def _resolution_row(order_id: UUID, resolution: Resolution, *, corrects: bool = False) -> dict[str, object]:
    return {
        "id": order_id,
        "n": resolution.n,
        "outcome": resolution.outcome,
        "proof": resolution.proof,
        "sends": resolution.sends or None,
        "corrects": corrects,
    }


def _event_rows(step: Step) -> list[dict[str, object]]:
    return [
        {"id": step.order_id, "step": number, "status": status, "detail": detail}
        for number, (status, detail) in enumerate(step.events, 1)
    ]


def _written(step: Step, at: datetime | None) -> list[Event] | None:
    if at is None:
        return None
    last = step.version + len(step.events)
    return [
        Event(
            order_id=step.order_id,
            seq=seq,
            status=status,
            at=at,
            detail=detail,
            kind=step.kind,
            stages=step.stages if seq == last else NO_STAGES,
        )
        for seq, (status, detail) in enumerate(step.events, step.version + 1)
    ]
