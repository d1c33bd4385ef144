"""Some things are kept, and of too many the older half is forgotten."""

from peewee_async.core.caching import Cache


def test_what_is_kept_is_found() -> None:
    cache: Cache[str] = Cache(4)
    cache.put("a", "x")
    assert cache.get("a") == "x"
    assert cache.get("b") is None
    assert len(cache) == 1


def test_the_older_half_is_forgotten_when_it_is_full() -> None:
    forgotten: list[int] = []
    cache: Cache[int] = Cache(4, forgotten.append)
    for number in range(5):
        cache.put(number, number)
    assert forgotten == [0, 1]
    assert [cache.get(number) for number in range(5)] == [None, None, 2, 3, 4]


def test_it_never_grows_beyond_its_limit() -> None:
    cache: Cache[int] = Cache(4)
    for number in range(100):
        cache.put(number, number)
        assert len(cache) <= 4


def test_a_value_in_the_place_of_another_takes_no_room() -> None:
    cache: Cache[int] = Cache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.put("a", 3)
    assert (cache.get("a"), cache.get("b")) == (3, 2)


def test_what_is_dropped_is_forgotten_once() -> None:
    forgotten: list[int] = []
    cache: Cache[int] = Cache(2, forgotten.append)
    cache.put("a", 1)
    cache.drop("a")
    cache.drop("a")
    assert forgotten == [1]
    assert cache.get("a") is None
