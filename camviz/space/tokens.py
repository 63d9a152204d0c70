"""Access tokens of the hub: how they are recognised, and how text is kept free of them."""

import re

from camviz.errors import one_line

TOKEN_PATTERN = re.compile(r"hf_[A-Za-z0-9]{16,}")


def redact_tokens(text: object, token: str | None = None) -> str:
    """One line of text with the token, and whatever is written like one, replaced by "hf_…"."""
    line = " ".join(str(text).split())
    if token:
        line = line.replace(token, "hf_…")
    return one_line(TOKEN_PATTERN.sub("hf_…", line))
