"""Whose turn it is to use a connection that several tasks share."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from peewee_async.core.transactions import Block, Transactions

W = TypeVar("W")


class Turns(Generic[W]):
    """Gives the connection of a block to its tasks: to one at a time.

    A waiter belongs to a block. It gets its turn, in the order of coming, when nobody
    has the connection and its block is the innermost one; so those inside a nested
    block keep the others waiting until it ends.
    """

    __slots__ = ("_busy", "_transactions", "_waiting")

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._busy = False
        self._waiting: deque[tuple[W, Block]] = deque()

    @property
    def busy(self) -> bool:
        """Whether somebody has the turn."""
        return self._busy

    def take(self, block: Block) -> bool:
        """Take the turn at once, if it is free for this block."""
        if self._busy or block is not self._transactions.top:
            return False
        self._busy = True
        return True

    def wait(self, waiter: W, block: Block) -> None:
        """Put a waiter in the queue, after `take` said no."""
        self._waiting.append((waiter, block))

    def withdraw(self, waiter: W) -> None:
        """Forget a waiter that gave up."""
        self._waiting = deque(entry for entry in self._waiting if entry[0] != waiter)

    def give(self) -> tuple[W | None, list[W]]:
        """Give the turn back; then `next_one` tells whose it is."""
        self._busy = False
        return self.next_one() if self._waiting else (None, [])

    def next_one(self) -> tuple[W | None, list[W]]:
        """Tell whose turn it is now, and those whose block has ended.

        To be asked when a block has ended without a turn being given back.
        """
        stranded = [waiter for waiter, block in self._waiting if block.ended]
        for waiter in stranded:
            self.withdraw(waiter)
        for waiter, block in self._waiting:
            if not self._busy and block is self._transactions.top:
                self._busy = True
                self.withdraw(waiter)
                return waiter, stranded
        return None, stranded
