"""Small helpers for sentences: lists cut short, secrets taken out."""

import re

TOKEN_PATTERN = re.compile(r"hf_[A-Za-z0-9]{16,}")


def clean_line(text: object, token: str | None = None) -> str:
    """One line without anything that looks like a token."""
    line = " ".join(str(text).split())
    if token:
        line = line.replace(token, "hf_…")
    return TOKEN_PATTERN.sub("hf_…", line)[:300]


def and_more(count: int) -> str:
    return f" (and {count} more; `python -m camviz space check` lists them)" if count else ""
