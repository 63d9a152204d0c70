"""HTML from templates, and the small texts that every part of the page writes alike.

Templates lie in assets/web/templates; Jinja2 escapes whatever is put into them. No other module
of the page writes tags of its own.
"""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from camviz.errors import CamvizError
from camviz.network.outputs import Value
from camviz.resources import WEB
from camviz.ui.sentences import hide_paths


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(WEB / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}  # keys in their order
    environment.filters |= {
        "bar": bar, "number": number, "percent": percent, "plural": plural, "signed": signed,
    }  # fmt: skip
    return environment


def render(template: str, **values: Any) -> Markup:
    """A template filled in; every value is escaped unless it was rendered itself."""
    return Markup(_environment().get_template(template).render(**values))


def script(name: str) -> str:
    """A file of assets/web as text: JavaScript or CSS."""
    return (WEB / name).read_text(encoding="utf-8")


def call(name: str, *values: Any) -> str:
    """JavaScript that calls the function in a file of assets/web with values that JSON knows."""
    given = ", ".join(json.dumps(value) for value in values)
    return f"() => (\n{script(name)})({given})"


def notice(text: str, actions: Mapping[str, str] | None = None) -> Markup:
    """Something that went wrong, with buttons for what can be done: value -> label."""
    return render("notice.html", text=text, actions=actions or {})


def message(text: str) -> Markup:
    """Something that went right and is worth a sentence."""
    return render("message.html", text=text)


def progress(label: str | None, share: float | None = None, outdated: bool = False) -> Markup:
    """How far work has come, in words and as a share of 1, and a button that stops it.

    label: None for a moment in which nothing is announced. outdated: what stands on the page is
    of another picture, and is dimmed.
    """
    return render("progress.html", label=label, share=share, outdated=outdated)


def sentence(error: CamvizError | str) -> str:
    """What went wrong, as the page writes it: a capital letter first, a full stop last.

    Paths of this server are cut down to names.
    """
    text = hide_paths(str(error))
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def percent(share: float) -> str:
    """A probability as people read it: "< 0.1%", "17.3%"; a value that is none: "-5.71"."""
    if isinstance(share, Value):
        return f"{share:.3g}"
    return "< 0.1%" if share < 0.001 else f"{share:.1%}"


def bar(share: float) -> str:
    """How long the bar behind a probability is, as a share of 1; there is none behind a value."""
    return "0" if isinstance(share, Value) else f"{share:.4f}"


def number(value: float, form: str) -> str:
    """A number in a format of Python's, with a minus sign for its hyphen: "−0.36"."""
    return format(value, form).replace("-", "−")


def signed(value: float) -> str:
    """A difference in three decimals, always with its sign: "+0.041", "−0.012"."""
    return number(value, "+.3f")


def plural(count: int, noun: str) -> str:
    """ "1 picture", "12 pictures"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names in a sentence, those beyond `most` counted only."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def either(names: Sequence[str]) -> str:
    """Names to choose from, in a sentence: "a, b or c"."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def data_url(pixels: np.ndarray, quality: int = 85) -> str:
    """uint8 (H, W, 3) or (H, W, 4) as a WebP that an <img> carries in itself."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=quality, method=0)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def thumbnail(pixels: np.ndarray, side: int) -> np.ndarray:
    """A picture whose longer side is `side` pixels, or fewer."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), reducing_gap=2.0)
    return np.asarray(image)
