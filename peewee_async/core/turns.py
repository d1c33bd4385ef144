"""Whose turn it is to use a connection that several tasks share."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from peewee_async.core.transactions import Block, Transactions

W = TypeVar("W")


class Turns(Generic[W]):
    """Gives the connection of a block to its tasks: to one at a time.

    A waiter belongs to a block. It gets its turn, in the order of coming, when nobody
    has the connection and its block is the innermost one; so those inside a nested
    block keep the others waiting until it ends.
    """

    __slots__ = ("_busy", "_queues", "_transactions")

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._busy = False
        # Without those that are empty: most of the time there are none at all.
        self._queues: dict[Block, OrderedDict[W, None]] = {}

    @property
    def busy(self) -> bool:
        """Whether somebody has the turn."""
        return self._busy

    @property
    def waiting(self) -> bool:
        """Whether anybody waits."""
        return bool(self._queues)

    def take(self, block: Block) -> bool:
        """Take the turn at once, if it is free for this block."""
        if self._busy or block is not self._transactions.top:
            return False
        self._busy = True
        return True

    def wait(self, waiter: W, block: Block) -> None:
        """Put a waiter in the queue, after `take` said no."""
        self._queues.setdefault(block, OrderedDict())[waiter] = None

    def withdraw(self, waiter: W) -> None:
        """Forget a waiter that gave up."""
        for block, queue in self._queues.items():
            if waiter in queue:
                del queue[waiter]
                self._forget_empty(block)
                return

    def give(self) -> tuple[W | None, list[W]]:
        """Give the turn back; then `next_one` tells whose it is."""
        self._busy = False
        return self.next_one() if self._queues else (None, [])

    def next_one(self) -> tuple[W | None, list[W]]:
        """Tell whose turn it is now, and those whose block has ended.

        To be asked when a block has ended without a turn being given back.
        """
        stranded: list[W] = []
        for ended in [block for block in self._queues if block.ended]:
            stranded += self._queues.pop(ended)
        if self._busy or not self._queues:
            return None, stranded
        top = self._transactions.top
        if top is None or top not in self._queues:
            return None, stranded
        self._busy = True
        waiter, _ = self._queues[top].popitem(last=False)
        self._forget_empty(top)
        return waiter, stranded

    def _forget_empty(self, block: Block) -> None:
        if not self._queues[block]:
            del self._queues[block]
