"""The kill soak: orders arrive while processes, servers and networks fail at random; then all faults end.

uv run python -m tests.chaos.soak --minutes 20 --seed 7 --chain localnet
"""

# The seed decides which faults happen and when, but not how the processes interleave: the same seed repeats the faults
# and not the run. The exit code is 0 only if no promise was broken.

import argparse
import asyncio
import random
import sys
import time
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg

from dexexec.venue import Network
from tests.support.chaos import restarts
from tests.support.chaos.clients import Follower, insist
from tests.support.chaos.networks import Fault, Server
from tests.support.chaos.order_mix import any_order
from tests.support.chaos.processes import ChaosSetup, chaos_setup
from tests.support.chaos.report import Report
from tests.support.service.client import Http, http
from tests.support.service.localnet_promise_checks import LocalnetChain
from tests.support.service.promise_checks import (
    Chain,
    agree,
    check_promises,
    held,
    on_the_simulated_chain,
    rows,
    unfinished,
)

POSTERS, FOLLOWERS = 5, 4
CROWD = 80
"""Orders on their way at once: more would measure how busy the machine is, and not how soon all is well again."""
TWICE = 0.1
"""Share of orders that are posted twice at once, under one key."""
WATCHED_KILLS = 0.5
"""Share of the kills of a worker after which nothing else is hurt until its orders have moved: only so can the time be
taken that recovery needs by itself."""
HEALING_SECONDS = 240.0
"""Promised for these settings: a lease (2 s), an entry taken over (5 s), the longest pause of an order whose workers
were killed again and again (30 s), and the retries' own time. Such orders are taken up one at a time at first, and
twice as many after each that went well (ADR 17), so dozens of them need several turns. A bound, not a measure."""
RECOVERY_SECONDS = 20.0
LONGEST_WAY = "SELECT extract(epoch FROM max(finished_at - created_at)) AS seconds FROM orders"
TAKEN_BACK = """
SELECT FROM (SELECT status, lag(status) OVER (PARTITION BY order_id ORDER BY seq) AS before FROM order_events) e
WHERE status = 'submitted' AND before = 'confirmed'
"""
LOOK_SECONDS = 0.02
LOSS_EVERY = 60.0
"""Seconds between two losses of the last commits, on average: the short form has one at most."""
COMPARED = "SELECT FROM chain_comparisons WHERE identity = record_identity() AND pending IS NULL"
RESTORED = "SELECT id FROM orders WHERE client = 'unknown'"
"""Orders that came back. Of some no client has heard: it got another order for its key, which failed as a duplicate."""


NOT_ENDED = """
SELECT id::text, parent::text, type, status, terms, oco_group, resting, attempts, worker, waiting,
       due_at::text, quiet_until::text, (
           SELECT detail - 'quotes' FROM order_events WHERE order_id = o.id ORDER BY seq DESC LIMIT 1) AS last
FROM orders o WHERE finished_at IS NULL LIMIT 5
"""


class Soak:
    """One run."""

    def __init__(self, setup: ChaosSetup, seed: int, seconds: float) -> None:
        self._setup, self._seconds = setup, seconds
        self._chance = random.Random(seed)  # for faults only, so that a seed gives the same ones
        self._taste = random.Random(seed)  # for what clients do
        self._accepted: list[str] = []
        self._over = asyncio.Event()
        self._begun = 0.0  # when the faults began
        self._losses = 0  # how often the last commits were lost
        self._compared = asyncio.Event()  # no loss is going on
        self._compared.set()
        self._beside: set[asyncio.Task[None]] = set()  # stops that have not ended, and starts
        self._followers = [Follower(lambda: self._taste.choice(setup.urls)) for _ in range(FOLLOWERS)]
        self.report = Report(seed, seconds, setup.faults, setup.starts, problems=setup.problems)

    def progress(self) -> str:
        """One line about now."""
        return f"{len(self._accepted)} orders, {self._on_their_way()} on their way; {self._setup.faults.total()} faults"

    def _on_their_way(self) -> int:
        return sum(len(follower.unfinished) for follower in self._followers)

    async def run(self) -> Report:
        """Faults, healing, verdict."""
        await self._setup.start_all()
        async with http(timeout=3) as calls:
            posters = [asyncio.create_task(self._post(calls)) for _ in range(POSTERS)]
            followers = [asyncio.create_task(follower.run()) for follower in self._followers]
            try:
                await self._hurt()
                async with asyncio.timeout(HEALING_SECONDS):
                    await self._heal(posters)
                    await asyncio.gather(*followers)
            except TimeoutError:
                self.report.problems.append(f"not all was over and seen {HEALING_SECONDS:.0f} s after healing")
            except AssertionError as error:
                self.report.problems.append(f"a client was told otherwise: {error}")
            finally:
                await _cancel([*posters, *followers, *self._beside])
        await asyncio.to_thread(self._judge)
        return self.report

    async def _heal(self, posters: Sequence[asyncio.Task[None]]) -> None:
        """No new order, and every one that was accepted to its end."""
        healed = time.monotonic()
        self._over.set()
        await asyncio.gather(*posters)
        while await asyncio.to_thread(unfinished, self._setup.servers.address):
            await asyncio.sleep(LOOK_SECONDS)
        self.report.healing = time.monotonic() - healed
        for follower in self._followers:
            follower.these_are_all()

    # Orders

    async def _post(self, calls: Http) -> None:
        while not self._over.is_set():
            order = any_order(self._taste, has_balances=self._setup.localnet is not None)
            losses = self._losses
            key, times = uuid.uuid4().hex, 2 if self._taste.random() < TWICE else 1
            answers = await asyncio.gather(
                *(insist(calls, lambda: self._taste.choice(self._setup.urls), order, key) for _ in range(times))
            )
            orders = set(answers)
            if self._losses != losses:
                orders &= await self._kept()
            elif len(orders) != 1:
                self.report.problems.append(f"one key gave several orders: {answers}")
            self._accepted += orders
            self._taste.choice(self._followers).also(orders)
            await asyncio.sleep(self._taste.uniform(0, 0.2))
            while self._on_their_way() >= CROWD and not self._over.is_set():
                await asyncio.sleep(LOOK_SECONDS)

    # Faults

    async def _hurt(self) -> None:
        """One fault after the other; then all that was stopped goes on, and all that is missing is started."""
        self._begun = time.monotonic()
        over = self._begun + self._seconds
        faults = {
            self._kill_worker: 4,
            self._kill_api: 2,
            self._freeze_worker: 3,
            self._freeze_api: 2,
            self._hang_up: 3,
            self._flush_redis: 2,
            self._kill_redis: 1,
            self._freeze_redis: 1,
            self._stop_postgres: 1,
            self._spoil_a_network: 6,
            self._end_sessions: 1,
            self._restart_workers: 1,
        }
        localnet = self._setup.localnet
        if localnet is not None:  # what settles on the simulated chain is lost with its ledger
            faults[self._lose_last_commits] = 1
        async with asyncio.TaskGroup() as beside:
            if localnet is not None:
                beside.create_task(localnet.suffer(self.report.seed, self._seconds))
            while time.monotonic() < over:
                await asyncio.sleep(self._chance.uniform(0.1, 0.8))
                [fault] = self._chance.choices(list(faults), list(faults.values()))
                await fault()
                await self._fill_the_ranks()
        await self._calm()
        await self._fill_the_ranks()
        if localnet is not None:
            await localnet.heal()

    async def _fill_the_ranks(self) -> None:
        for rank in self._setup.look_for_the_dead():
            await self._setup.start(rank)

    async def _kill_worker(self) -> None:
        watched = self._chance.random() < WATCHED_KILLS
        if watched:
            await self._calm()
        victim = self._chance.choice(self._setup.ranks["worker"])
        await self._setup.kill(victim)
        killed = time.monotonic()
        orphans = await asyncio.to_thread(held, self._setup.servers.address, victim)
        self._do_beside(self._setup.start("worker"))
        if watched:
            await self._all_move(orphans, killed)
        else:
            await self._someone_left("worker")

    async def _all_move(self, orphans: Mapping[str, tuple[int, str]], killed: float) -> None:
        """Take the time until each order of a killed worker was claimed anew."""
        waiting = {order_id: claim for order_id, (claim, _) in orphans.items()}
        statement = "SELECT id, claim FROM orders WHERE id = ANY(%s)"
        while waiting:
            found = await asyncio.to_thread(rows, self._setup.servers.address, statement, [list(waiting)])
            took = time.monotonic() - killed
            for order_id in [str(row["id"]) for row in found if int(str(row["claim"])) > waiting[str(row["id"])]]:
                del waiting[order_id]
                self.report.recovery.append(took)
            if took > RECOVERY_SECONDS:
                self.report.problems.append(f"not moving {took:.0f} s after a kill: {', '.join(waiting)}")
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _kill_api(self) -> None:
        await self._setup.kill(self._chance.choice(self._setup.ranks["api"]))
        self._do_beside(self._setup.start("api"))
        await self._someone_left("api")

    async def _someone_left(self, rank: str) -> None:
        """Faults go on while another of the rank is there."""
        while not self._setup.ranks[rank]:
            await asyncio.sleep(LOOK_SECONDS)

    async def _freeze_worker(self) -> None:
        victim = self._chance.choice(self._setup.ranks["worker"])
        self._do_beside(self._setup.freeze(victim, self._chance.uniform(0.2, 5)))

    async def _freeze_api(self) -> None:
        victim = self._chance.choice(self._setup.ranks["api"])
        self._do_beside(self._setup.freeze(victim, self._chance.uniform(0.2, 3)))

    async def _hang_up(self) -> None:
        self._setup.faults["sockets hung up"] += 1
        self._chance.choice(self._followers).hang_up()

    async def _flush_redis(self) -> None:
        await self._setup.flush_redis()

    async def _kill_redis(self) -> None:
        await self._setup.kill_redis(self._chance.uniform(0, 1.5))

    async def _freeze_redis(self) -> None:
        await self._setup.freeze_redis(self._chance.uniform(0.2, 4))

    async def _stop_postgres(self) -> None:
        await self._setup.stop_postgres(self._chance.uniform(0, 1.5))

    async def _spoil_a_network(self) -> None:
        server, fault = self._chance.choice(list(Server)), self._chance.choice(list(Fault))
        self._do_beside(self._setup.spoil(server, fault, self._chance.uniform(0.2, 5)))

    async def _end_sessions(self) -> None:
        await self._calm()
        await restarts.end_sessions(self._setup, self._chance)

    async def _restart_workers(self) -> None:
        await self._calm()
        await restarts.restart_workers(self._setup, self._chance)

    async def _lose_last_commits(self) -> None:
        """Events after the cut may be sent again, and orders that had not swapped are gone: from
        here on clients must receive the record's events after the comparison, from the first one on."""
        if self._losses > (time.monotonic() - self._begun) / LOSS_EVERY:
            return  # the comparison takes some 10 s
        await self._calm()
        self._compared.clear()
        before: set[str] = set()

        def forget() -> None:
            self._losses += 1
            before.update(self._accepted)
            for follower in self._followers:
                follower.forget()

        await self._setup.lose_last_commits(self._chance.uniform(0.1, 1.5), forget)
        if self._chance.random() < 0.5:  # one may be comparing by now: another goes on
            await self._setup.kill(self._chance.choice(self._setup.ranks["worker"]))
            self._do_beside(self._setup.start("worker"))
        async with asyncio.timeout(HEALING_SECONDS):
            while not await asyncio.to_thread(rows, self._setup.servers.address, COMPARED):
                await asyncio.sleep(LOOK_SECONDS)
        self._compared.set()
        kept = await self._kept()
        self.report.gone += len(before - kept)
        self._accepted = [one for one in self._accepted if one not in before - kept]
        for order_id in before & kept:
            self._taste.choice(self._followers).also({order_id})

    async def _kept(self) -> set[str]:
        """The orders that the record has, once it has all that it will get back."""
        while True:
            await self._compared.wait()
            losses = self._losses
            with suppress(psycopg.OperationalError):  # it is stopped just now
                found = await asyncio.to_thread(rows, self._setup.servers.address, "SELECT id FROM orders")
                if losses == self._losses:
                    return {str(row["id"]) for row in found}
            await asyncio.sleep(LOOK_SECONDS)

    def _do_beside(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)

    async def _calm(self) -> None:
        """Wait until nothing is stopped, and all that was killed is started again."""
        await asyncio.gather(*self._beside)
        self._beside.clear()

    # Verdict

    def _judge(self) -> None:
        report, address = self.report, self._setup.servers.address
        [longest] = rows(address, LONGEST_WAY)
        ended = {str(row["id"]) for row in rows(address, "SELECT id FROM orders WHERE finished_at IS NOT NULL")}
        report.orders, report.lost = len(self._accepted), len(set(self._accepted) - ended)
        report.longest = float(str(longest["seconds"] or 0))
        report.unlanded = len(rows(address, TAKEN_BACK))
        report.events = sum(len(events) for follower in self._followers for events in follower.events.values())
        report.closes = sum(len(follower.closes) for follower in self._followers)
        chain: Chain = self._setup.localnet.chain if self._setup.localnet else on_the_simulated_chain
        if poisoned := rows(address, restarts.POISONED):
            report.problems.append(f"promise 11: failed for crashes that were not theirs: {poisoned}")
        # Also orders that the service made itself, which no client follows.
        not_ended = rows(address, NOT_ENDED)
        if report.lost or not_ended:
            # The record still moves, so it is not judged.
            report.problems += [f"has not ended: {row}" for row in not_ended]
            return
        try:
            landed = chain(address)
            report.landings = sum(map(len, landed.values()))
            report.doubles = sum(len(swaps) > 1 for swaps in landed.values())
            restored = {str(row["id"]) for row in rows(address, RESTORED)}
            report.restored = len(restored)
            report.statuses = check_promises(address, [*{*self._accepted, *restored}], chain).statuses
            for follower in self._followers:
                agree(follower.events, address)
        except AssertionError as error:
            report.problems.append(f"the record: {error}")
        if isinstance(chain, LocalnetChain):
            report.failures, report.conserved = chain.failed, chain.conserved


async def _cancel(tasks: Sequence[asyncio.Task[None] | asyncio.Task[Follower]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def soak(seed: int, seconds: float, network: str = Network.LOCALNET, *, watch: bool = False) -> Report:
    """Run one soak on servers of its own, settling on this network; with `watch`, a line about it every second."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(32))
    async with chaos_setup(network) as setup:
        run = Soak(setup, seed, seconds)
        task = asyncio.create_task(run.run())
        begun = time.monotonic()
        while watch and not task.done():
            passed = time.monotonic() - begun
            say(f"\r{passed:6.0f} of {seconds:.0f} s and healing: {run.progress()}   ", end="")
            await asyncio.wait([task], timeout=1)
        return await task


def say(text: str, end: str = "\n") -> None:
    """To people."""
    print(text, end=end, flush=True)  # noqa: T201


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the long form; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description="Kill everything; lose nothing.")
    parser.add_argument("--minutes", type=float, default=20.0, metavar="N", help="of faults (default: 20)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="default: a random one")
    networks = [str(Network.LOCALNET), str(Network.SIMULATED)]
    parser.add_argument("--chain", choices=networks, default=networks[0], help="settle on this (default: localnet)")
    options = parser.parse_args(arguments)
    say(f"seed {options.seed}")
    report = asyncio.run(soak(options.seed, options.minutes * 60, options.chain, watch=True))
    say(f"\n{report.text()}")
    return 0 if report.clean else 1


if __name__ == "__main__":
    sys.exit(main())
