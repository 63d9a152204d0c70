"""camviz.engine.cache: bounded, the least recently used goes first."""

from camviz.engine.cache import LRUCache


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
