"""The options of a database class that are the pool's, told from the driver's."""

from __future__ import annotations

from typing import Any

from peewee_async.core.pool import require_sizes
from peewee_async.io.pool import PoolOptions

# The names that both older generations of this API used, and what they are called now.
NAMES = {
    "min_connections": "min_connections",
    "minsize": "min_connections",
    "min_size": "min_connections",
    "max_connections": "max_connections",
    "maxsize": "max_connections",
    "max_size": "max_connections",
    "connect_timeout": "connect_timeout",
    "acquire_timeout": "acquire_timeout",
    "query_timeout": "query_timeout",
    "max_lifetime": "max_lifetime",
    "max_idle": "max_idle",
    "ping_idle": "ping_idle",
    "close_timeout": "close_timeout",
}
POOL_PARAMS = NAMES | {
    "connection_timeout": "connect_timeout",
    "timeout": "acquire_timeout",
    "pool_recycle": "max_lifetime",
}


def split(
    options: dict[str, Any], max_connections: int
) -> tuple[PoolOptions, dict[str, Any]]:
    """Separate the options of a pool from all others.

    max_connections: what holds unless the options say otherwise.

    Raises ValueError for a pool option that is not known or given twice, and for a
    pool that cannot be.
    """
    others = dict(options)
    chosen: dict[str, Any] = {}
    for name, value in dict(others.pop("pool_params", None) or {}).items():
        _choose(chosen, name, value, POOL_PARAMS)
    for name in options:
        if name in NAMES:
            _choose(chosen, name, others.pop(name), NAMES)
    chosen.setdefault("max_connections", max_connections)
    chosen.setdefault("min_connections", min(1, chosen["max_connections"]))
    require_sizes(chosen["min_connections"], chosen["max_connections"])
    return PoolOptions(**chosen), others


def _choose(
    chosen: dict[str, Any], name: str, value: Any, names: dict[str, str]
) -> None:
    option = names.get(name)
    if option is None:
        raise ValueError(
            f"{name!r} is no option of a pool: use one of {', '.join(sorted(names))}."
        )
    if chosen.get(option, value) != value:
        raise ValueError(f"{option} is given twice, as {chosen[option]} and {value}.")
    _require_number(option, value)
    chosen[option] = value


def _require_number(option: str, value: Any) -> None:
    if option.endswith("_connections"):
        fits = isinstance(value, int) and not isinstance(value, bool)
        wanted = "a whole number"
    else:
        fits = value is None or (isinstance(value, int | float) and value >= 0)
        wanted = "a number of seconds, or None for no limit"
    if not fits:
        raise ValueError(f"{option}={value!r} will not do: give {wanted}.")
