"""A server hangs up on a statement that is too long for it, perhaps without a word."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

from peewee_async import Manager
from tests.integration.checks import only
from tests.integration.faults.common import recovered
from tests.integration.models import Line
from tests.integration.proxy import UP, Fault, Proxy


@only("mysql")
@pytest.mark.parametrize("fault", [Fault.CUT, Fault.RESET])
@pytest.mark.parametrize("after", [2**20, 2**24 + 100, 2**25 - 1])
async def test_a_connection_that_ends_in_the_middle_of_one(
    through: Manager, proxy: Proxy, fault: Fault, after: int
) -> None:
    query: Any = Line.raw("SELECT LENGTH(%s) AS text", "x" * 2**25).tuples()
    await through.connect()
    proxy.arm(fault, UP, after)
    with pytest.raises(peewee.OperationalError, match="max_allowed_packet"):
        await through.execute(query)
    await recovered(through)
