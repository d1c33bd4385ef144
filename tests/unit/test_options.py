"""Options of the pool are told from those of the driver, under all their names."""

from __future__ import annotations

from typing import Any

import pytest

from peewee_async.io.pool import PoolOptions
from peewee_async.options import split


def test_what_is_not_the_pools_is_left_alone() -> None:
    given = {"host": "db", "max_connections": 7, "timeout": 5}
    pool, others = split(given, 20)
    assert pool == PoolOptions(1, 7)
    assert others == {"host": "db", "timeout": 5}
    assert given == {"host": "db", "max_connections": 7, "timeout": 5}


def test_the_defaults() -> None:
    pool, others = split({}, 20)
    assert pool == PoolOptions(
        min_connections=1,
        max_connections=20,
        connect_timeout=10.0,
        acquire_timeout=30.0,
        query_timeout=None,
        max_lifetime=None,
        max_idle=600.0,
        ping_idle=30.0,
        close_timeout=5.0,
    )
    assert others == {}


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("min_connections", "min_connections"),
        ("minsize", "min_connections"),
        ("min_size", "min_connections"),
        ("max_connections", "max_connections"),
        ("maxsize", "max_connections"),
        ("max_size", "max_connections"),
        ("connect_timeout", "connect_timeout"),
        ("acquire_timeout", "acquire_timeout"),
        ("query_timeout", "query_timeout"),
        ("max_lifetime", "max_lifetime"),
        ("max_idle", "max_idle"),
        ("ping_idle", "ping_idle"),
        ("close_timeout", "close_timeout"),
    ],
)
def test_names(name: str, option: str) -> None:
    for options in ({name: 2}, {"pool_params": {name: 2}}):
        pool, others = split(options, 20)
        assert getattr(pool, option) == 2
        assert others == {}


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("timeout", "acquire_timeout"),
        ("connection_timeout", "connect_timeout"),
        ("pool_recycle", "max_lifetime"),
    ],
)
def test_names_of_pool_params_alone(name: str, option: str) -> None:
    pool, _ = split({"pool_params": {name: 2}}, 20)
    assert getattr(pool, option) == 2
    assert split({name: 2}, 20)[1] == {name: 2}


def test_no_limit() -> None:
    pool, _ = split({"connect_timeout": None, "acquire_timeout": None}, 1)
    assert (pool.connect_timeout, pool.acquire_timeout) == (None, None)


@pytest.mark.parametrize(
    "options",
    [
        {"minsize": 1, "min_size": 2},
        {"max_connections": 5, "pool_params": {"maxsize": 6}},
        {"pool_params": {"timeout": 1, "acquire_timeout": 2}},
    ],
)
def test_what_is_given_twice_must_agree(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is given twice"):
        split(options, 20)


def test_what_is_given_twice_may_agree() -> None:
    pool, _ = split({"maxsize": 5, "pool_params": {"max_size": 5}}, 20)
    assert pool.max_connections == 5


def test_an_unknown_option_of_the_pool() -> None:
    with pytest.raises(ValueError, match="'size' is no option of a pool: use one of"):
        split({"pool_params": {"size": 5}}, 20)


@pytest.mark.parametrize(
    "options", [{"max_connections": 0}, {"min_connections": 3}, {"min_size": -1}]
)
def test_a_pool_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="connections cannot be: max_connections must"):
        split(options, 2)


def test_no_pool_params() -> None:
    assert split({"pool_params": None}, 3) == (PoolOptions(1, 3), {})


@pytest.mark.parametrize(
    "options",
    [
        {"max_connections": "20"},
        {"max_connections": 2.5},
        {"min_connections": None},
        {"max_connections": True},
        {"acquire_timeout": "5"},
        {"connect_timeout": -1},
        {"pool_params": {"pool_recycle": "1h"}},
    ],
)
def test_a_value_that_will_not_do(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="will not do: give a"):
        split(options, 20)
