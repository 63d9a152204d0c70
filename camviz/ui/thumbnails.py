"""Examples as small pictures to click."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from camviz.examples import Example
from camviz.ui import html

THUMBNAIL = 112  # pixels of an example's side


def thumbnails(examples: Iterable[Example]) -> str:
    """Small pictures as buttons."""
    return html.render("thumbnails.html", rows=[_thumbnail(row) for row in examples])


@lru_cache(maxsize=64)
def _thumbnail(row: Example) -> Mapping[str, Any]:
    with Image.open(row.path) as image:
        small = np.asarray(ImageOps.fit(image.convert("RGB"), (THUMBNAIL, THUMBNAIL)))
    return {
        "name": row.name,
        "title": row.title,
        "story": row.story,
        "src": html.data_url(small),
        "width": THUMBNAIL,
        "height": THUMBNAIL,
    }
