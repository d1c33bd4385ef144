"""Loads that are disturbed on purpose, and what has to be true of them afterwards.

Run as a program it is `make soak`, or a part of the test suite:
`python -m tests.integration.load WHAT SECONDS SEED EXPRESSION`, with an expression that
makes a database object, and a second one that makes one of peewee's own.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import resource
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import peewee

import peewee_async
from peewee_async import AioDatabase, AioModel
from tests.integration.cancelling import LASTING, Cancelling

ACCOUNTS = 10
BALANCE = 1000


class Account(AioModel):
    id: Any
    balance: Any = peewee.IntegerField()


class Entry(AioModel):
    """What clients write, each key once."""

    key: Any = peewee.CharField(primary_key=True)
    copies: Any = peewee.IntegerField(default=1)


MODELS = (Account, Entry)

OTHER_SESSIONS = {
    "PostgresqlDatabase": (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ),
    "MySQLDatabase": (
        "SELECT id FROM information_schema.processlist "
        "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    ),
}
KILL = {
    "PostgresqlDatabase": "SELECT pg_terminate_backend(%s)",
    "MySQLDatabase": "KILL %s",
}


class Killer:
    """Ends sessions of the server, by a connection of peewee's own."""

    def __init__(self, sync: Any, chance: random.Random) -> None:
        self._sync = sync
        self._chance = chance
        self.killed = 0

    def sessions(self) -> list[int]:
        sql = OTHER_SESSIONS[type(self._sync).__name__]
        return [number for (number,) in self._sync.execute_sql(sql).fetchall()]

    def kill(self) -> None:
        """End one session, whatever it is at."""
        if type(self._sync).__name__ == "SqliteDatabase":
            return
        try:
            numbers = self.sessions()
            if numbers:
                chosen = self._chance.choice(numbers)
                self._sync.execute_sql(KILL[type(self._sync).__name__], (chosen,))
                self.killed += 1
        except peewee.PeeweeException:
            self.close()  # the session has ended, or the server has

    def close(self) -> None:
        with suppress(peewee.PeeweeException):
            self._sync.close()


class Load:
    """Tasks that work until a time, and are cancelled at random.

    journal: the keys of the entries whose COMMIT was acknowledged. doubtful: those
    whose answer was lost, which may be there or not, but once.
    """

    def __init__(self, database: AioDatabase, seed: int) -> None:
        self.database = database
        self.chance = random.Random(seed)
        self.journal: set[str] = set()
        self.doubtful: set[str] = set()
        self.operations = self.cancelled = self.broken = 0
        self.mistakes: list[str] = []

    async def prepare(self) -> None:
        await Account.aio_bulk_create(
            [Account(balance=BALANCE) for _ in range(ACCOUNTS)]
        )

    # What tasks do.

    async def transfer(self) -> None:
        """Move money, read before it is written."""
        source, target = self.chance.sample(range(1, ACCOUNTS + 1), 2)
        amount = self.chance.randrange(1, 50)
        async with self.database.aio_atomic():
            await (
                Account.update(balance=Account.balance - amount)
                .where(Account.id == source)
                .aio_execute()
            )
            if self.chance.random() < 0.2:
                await asyncio.sleep(0)
            await (
                Account.update(balance=Account.balance + amount)
                .where(Account.id == target)
                .aio_execute()
            )

    async def write(self) -> None:
        """Write one entry, in one of several ways, and note that it is there."""
        key = f"{self.chance.getrandbits(64):x}"
        self.doubtful.add(key)
        way = self.chance.randrange(4)
        if way == 0:
            await Entry.aio_create(key=key)
        elif way == 1:
            async with self.database.aio_atomic():
                await Entry.aio_create(key=key)
                with suppress(ZeroDivisionError):
                    async with self.database.aio_atomic():
                        await Entry.aio_create(key=f"{key}-never")
                        raise ZeroDivisionError
        elif way == 2:
            async with self.database.aio_transaction() as tx:
                await Entry.aio_create(key=key)
                await tx.commit()
                await Entry.update(copies=7).where(Entry.key == key).aio_execute()
                await tx.rollback()
        else:
            _, created = await Entry.aio_get_or_create(key=key)
            assert created
        self.doubtful.discard(key)
        self.journal.add(key)

    async def read(self) -> None:
        """Ask for a number, which nobody else asks for."""
        number = self.chance.getrandbits(31)
        found = await Account.select(peewee.Value(number)).limit(1).aio_scalar()
        if found != number:
            self.mistakes.append(f"asked for {number}, got {found}")

    async def total(self) -> None:
        rows = await Account.select(Account.balance).tuples().aio_execute()
        total = sum(balance for (balance,) in rows)
        if total != ACCOUNTS * BALANCE:
            self.mistakes.append(f"the total is {total}")

    async def stream(self) -> None:
        rows = self.database.aio_iterator(Account.select(), batch_size=3)
        count = sum([1 async for _ in rows])
        if count != ACCOUNTS:
            self.mistakes.append(f"{count} accounts in a stream")

    async def several(self) -> None:
        async with self.database.aio_atomic():
            await asyncio.gather(*(self.read() for _ in range(3)))

    @property
    def ways(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        return [
            self.transfer,
            self.transfer,
            self.write,
            self.write,
            self.read,
            self.total,
            self.stream,
            self.several,
        ]

    # How they are disturbed.

    async def operate(self, operation: Coroutine[Any, Any, None]) -> None:
        """Do one operation, and perhaps cancel it, at one of its awaits or at any time.

        At an await it is cancelled before an answer can be there, which may come sooner
        than any time does; at any time it may be there already.
        """
        self.operations += 1
        at, times = self.chance.randrange(8), self.chance.choice([0, 1, 2, LASTING])
        work = Cancelling(operation, at, times)
        task = asyncio.create_task(work.run())
        await asyncio.sleep(0)  # cancelled before that, it is not begun at all
        for _ in range(self.chance.choice([0, 0, 0, 1, 2])):
            await self.pause()
            task.cancel()
        try:
            was_cancelled = await task
        except asyncio.CancelledError:
            was_cancelled = True
        except peewee.PeeweeException as error:
            # Two transactions may lock one another out: the server gives one up.
            self.broken += "deadlock" not in str(error).lower()
            return
        self.cancelled += was_cancelled

    async def pause(self) -> None:
        """Wait for some turns of the loop, or for about as long as a statement."""
        if self.chance.random() < 0.5:
            for _ in range(self.chance.randrange(30)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(self.chance.random() * 0.004)

    async def worker(self, goes_on: Callable[[], bool], *ways: Any) -> None:
        while goes_on():
            await self.operate(self.chance.choice(ways or self.ways)())

    # What has to be true.

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        async with asyncio.timeout(20):
            while True:
                count = self.database.pool_statistics()
                if (count.busy, count.waiting, count.opening) == (0, 0, 0):
                    return
                await asyncio.sleep(0.01)

    async def check(self) -> None:
        await self.settle()
        await self.total()
        entries = await Entry.select().tuples().aio_execute()
        keys = [key for key, _ in entries]
        found = set(keys)
        assert self.mistakes == []
        assert len(keys) == len(found)
        assert {copies for _, copies in entries} <= {1}
        assert self.journal <= found, f"lost: {self.journal - found}"
        assert found <= self.journal | self.doubtful, "written by nobody"
        count = self.database.pool_statistics()
        assert count.size == count.idle


async def storm(load: Load, killer: Killer, seconds: float) -> None:
    """A thousand operations cancelled at random points, and the state as before."""
    await load.settle()

    def goes_on() -> bool:
        return load.cancelled < 1000

    await asyncio.gather(*(load.worker(goes_on) for _ in range(20)))
    assert load.operations > load.cancelled
    assert load.broken == 0
    await load.check()


async def bank(load: Load, killer: Killer, seconds: float) -> None:
    """Transfers by 50 tasks, whose connections are killed."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds

    def goes_on() -> bool:
        return loop.time() < ends

    tasks = [load.worker(goes_on, load.transfer, load.total) for _ in range(50)]
    await asyncio.gather(*tasks, kill_until(killer, goes_on, 0.05))
    await load.check()


async def kill_until(killer: Killer, goes_on: Callable[[], bool], pause: float) -> None:
    while goes_on():
        await asyncio.sleep(pause)
        killer.kill()


def held() -> list[str]:
    """Give what the descriptors of this process are."""
    found = []
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):  # that of the list itself
            found.append(os.readlink(f"/dev/fd/{name}"))
    return found


def memory() -> int:
    """Give the largest amount of memory that this process has had, in kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def soak(load: Load, killer: Killer, seconds: float) -> None:
    """Everything at once; a line on stdin half-way says that the server is back."""
    loop = asyncio.get_running_loop()
    await load.database.aio_close()
    descriptors, ends = held(), loop.time() + seconds

    def goes_on() -> bool:
        return loop.time() < ends

    sizes: list[int] = []

    async def measure() -> None:
        while goes_on():
            await asyncio.sleep(seconds / 10)
            sizes.append(memory())

    async def restart() -> None:
        await asyncio.sleep(seconds / 2)
        print("restart", flush=True)
        assert await asyncio.to_thread(sys.stdin.readline) == "restarted\n"

    await asyncio.gather(
        *(load.worker(goes_on) for _ in range(30)),
        kill_until(killer, goes_on, 0.1),
        measure(),
        restart(),
    )
    await load.check()
    await load.database.aio_close()
    killer.close()
    gc.collect()
    left = sorted(set(held()) - set(descriptors))
    assert left == [], f"{len(descriptors)} descriptors became {len(held())}: {left}"
    grown = sizes[-1] - sizes[len(sizes) // 3]
    assert grown < 20_000, f"{grown} kB more: {sizes}"


LOADS: dict[str, Callable[[Load, Killer, float], Awaitable[None]]] = {
    "storm": storm,
    "bank": bank,
    "soak": soak,
}


async def main(
    what: str, seconds: float, seed: int, made: AioDatabase, sync: Any
) -> None:
    load, killer = Load(made, seed), Killer(sync, random.Random(seed))
    with made.bind_ctx(MODELS, False, False):
        await load.prepare()
        await LOADS[what](load, killer, seconds)
        await made.aio_close()
    killer.close()
    print(
        f"{load.operations} operations, {load.cancelled} cancelled, "
        f"{load.broken} broken, {killer.killed} sessions killed, "
        f"{len(load.journal)} entries"
    )


if __name__ == "__main__":
    made, sync = (
        eval(text, {"peewee": peewee, "peewee_async": peewee_async})
        for text in sys.argv[4:6]
    )
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), made, sync))
