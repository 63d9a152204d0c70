"""camviz.engine.cache: bounded, the least recently used goes first."""

import threading
from concurrent.futures import ThreadPoolExecutor

from camviz.engine.cache import LRUCache
from camviz.turns import OneByOne


def test_a_cache_drops_what_was_used_least_recently():
    cache = LRUCache(10, len)
    cache.put("a", "xxxx")
    cache.put("b", "xxxx")
    assert cache.get("a") == "xxxx"
    cache.put("c", "xxxx")  # 12 bytes: b is the one not used since
    assert cache.get("b") is None
    assert cache.get("a") and cache.get("c") and len(cache) == 2
    cache.put("large", "x" * 99)  # larger than the cache: held alone, for it is in use
    assert len(cache) == 1 and cache.get("large")
    cache.put("a", "x")
    assert cache.get("large") is None
    cache.put("a", "xxxxx")  # replaced, not added
    cache.put("b", "xxxxx")
    assert len(cache) == 2


def test_values_that_grow_are_measured_before_any_is_dropped():
    cache = LRUCache(10, len)
    one, other = bytearray(2), bytearray(2)
    cache.put("one", one)
    cache.put("other", other)
    one.extend(b"xxxx")
    cache.put("other", other)  # 8 bytes
    assert len(cache) == 2
    other.extend(b"xxxxxx")
    assert cache.put("other", other) and cache.keys() == ["other"]
    one.clear()
    cache.put("one", one)
    assert cache.size == 8
    cache.make_room(2)
    assert len(cache) == 2
    cache.remove(["other"])
    cache.put("third", b"xxxxxxxx")
    assert cache.size == 8 and len(cache) == 2


def test_what_is_put_again_costs_no_look_at_all_others():
    measured = []
    cache = LRUCache(10**6, lambda value: measured.append(value) or 1)
    for number in range(100):
        cache.put(number, number)
    measured.clear()
    for _ in range(300):
        cache.put(7, 7)
    assert set(measured) == set(range(100)), "all, now and then"
    assert len(measured) < 3 * 300


def test_what_several_threads_want_is_made_by_one():
    cache, one_by_one, made = LRUCache(10), OneByOne(), []
    together = threading.Barrier(4)

    def make():
        made.append(None)
        number = len(made)
        threading.Event().wait(0.05)  # the others come meanwhile
        return number

    def want(key):
        together.wait(10)
        return cache.get_or_make(key, one_by_one, make)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(want, "aabb")) == [1, 1, 2, 2]
    assert len(made) == 2 and not one_by_one._used


def test_every_lookup_of_a_trace_is_counted_once(photo):
    from camviz import Engine
    from camviz.engine.lookups import counted

    engine = Engine("cpu")
    backbone = engine.backbone("test_resnet.r160_in1k", "random")
    for held in (False, True, True):
        with counted() as found:
            engine.explain(photo, backbone, target=0)
        assert (found["traces", True], found["traces", False]) == (held, not held)
