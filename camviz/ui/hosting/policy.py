"""Content security policies: what a page may load and run.

A page runs the scripts that were written into it, and no others: its policy has the hash of each.
gradio makes functions of the templates and scripts of its components, so that eval cannot be
closed, and sets styles on elements, so that inline styles cannot.
"""

import base64
import hashlib
import re
from collections.abc import Iterable

_SCRIPT = re.compile(rb"<script\b([^>]*)>(.*?)</script\s*>", re.S | re.I)


def page_policy(hashes: Iterable[str], ancestors: str) -> str:
    """The policy of a page of this server with inline scripts of these hashes.

    ancestors: whose pages may show it in a frame.
    """
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(("'self' 'unsafe-eval'", *hashes)),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' blob:",
        "font-src": "'self' data:",
        "connect-src": "'self' data: blob:",
        "manifest-src": "'self'",
        "frame-src": "'self' blob:",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": ancestors,
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def script_hashes(page: bytes) -> list[str]:
    """The hash of each inline script of a page, as a policy names it."""
    inline = (text for attributes, text in _SCRIPT.findall(page) if b"src=" not in attributes)
    return [script_hash(text) for text in inline]


def script_hash(script: bytes) -> str:
    """How a policy names an inline script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
