"""Values that no argument and no control takes, or hardly any: for everything that takes values."""

NAN, INFINITE = float("nan"), float("inf")


def nested(depth):
    """A list in a list in a list ..."""
    value = []
    for _ in range(depth):
        value = [value]
    return value


WRONG = {
    "null": None, "true": True, "minus one": -1, "a half": 1.5, "large": 10**30, "nan": NAN,
    "infinite": INFINITE, "written nan": "nan", "written huge": "1e400",
    "empty": "", "unknown": "layer9", "long": "x" * 300_000,
    "odd": "\u202e\x00<b>&'\"", "empty list": [], "list": ["layer9"], "long list": ["a"] * 5000,
    "list of null": [None], "nested": nested(150), "object": {"a": {"b": [1]}},
    "a file": {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    "an address": {"path": "http://127.0.0.1:9/x", "meta": {"_type": "gradio.FileData"}},
}  # fmt: skip
