"""Pictures to begin with, each with a story and, where it was drawn, with its truth.

    for example in examples():
        example.title, example.story, example.open(), example.truth

Drawn ones ship in assets/examples as pictures with their masks; photographs are those of the
installed gradio package, named here and not copied. `index.json` lists them all.
"""

import io
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from camviz.errors import ImageError
from camviz.images import Picture, open_picture
from camviz.resources import ASSETS
from camviz.scenes import HELD_OUT_BACKGROUNDS, TRAIN_BACKGROUNDS, Scene, draw_scene

EXAMPLES = ASSETS / "examples"
QUALITY = {"quality": 90, "method": 6}  # at which drawn ones are saved


@dataclass(frozen=True, eq=False)
class TrueObject:
    """An object in a picture: its label, its pixels and those of its parts, bool (H, W)."""

    label: str
    mask: np.ndarray
    parts: dict[str, np.ndarray]


@dataclass(frozen=True)
class Example:
    """A picture to begin with. `backbones`: how the names of networks with its class begin.

    `scene`: the number by which `redraw` draws it; None of a photograph.
    """

    name: str
    title: str
    story: str
    backbones: str
    path: Path
    scene: int | None = None

    def open(self) -> Picture:
        """The picture, decoded."""
        return open_picture(self.path, name=self.name)

    def without(self, parts: Mapping[str, Collection[str]]) -> Picture:
        """The same picture, drawn without some parts of its things: as if they had never been.

        parts: by the thing's class; all parts of all things leave the place alone. Saved as the
        examples are, so that it differs in nothing else. Raises `ImageError` for a photograph, of
        which nobody has a picture without, and for parts that it does not have.
        """
        if self.scene is None:
            raise ImageError(
                f"'{self.name}' is a photograph, and only drawn scenes can be drawn without a part"
            )
        try:
            every = {thing.label: set(thing.parts) for thing in self.truth}
            gone = all(set(parts.get(label, ())) >= names for label, names in every.items())
            scene = redraw(self.scene, objects=False) if gone else redraw(self.scene, parts)
        except ValueError as error:
            raise ImageError(f"'{self.name}' cannot be drawn so: {error}") from None
        file = io.BytesIO()
        Image.fromarray(scene.image).save(file, "WEBP", **QUALITY)
        return open_picture(file.getvalue(), name=self.name)

    @property
    def truth(self) -> tuple[TrueObject, ...]:
        """What is in it, to the pixel; empty for photographs."""
        file = EXAMPLES / f"{self.name}.npz"
        if not file.exists():
            return ()
        with np.load(file) as masks:
            return tuple(
                TrueObject(
                    label,
                    masks[label],
                    {
                        name.removeprefix(f"{label}/"): masks[name]
                        for name in masks.files
                        if name.startswith(f"{label}/")
                    },
                )
                for label in masks.files
                if "/" not in label
            )


def examples() -> list[Example]:
    """All examples, drawn ones first; photographs that gradio no longer has are left out."""
    rows = json.loads((EXAMPLES / "index.json").read_text())
    found = []
    for row in rows:
        path = _photograph(row["photograph"]) if "photograph" in row else EXAMPLES / row["file"]
        if path is not None:
            texts = (row["name"], row["title"], row["story"], row["backbones"])
            found.append(Example(*texts, path, row.get("scene")))
    return found


def redraw(
    scene: int, without: Mapping[str, Collection[str]] | None = None, objects: bool = True
) -> Scene:
    """The scene of a drawn example; see `draw_scene`."""
    return draw_scene(
        11,
        scene,
        size=384,
        backgrounds=TRAIN_BACKGROUNDS + HELD_OUT_BACKGROUNDS,
        two_objects=0.25,
        objects=objects,
        without=without,
    )


def example(name: str) -> Example:
    """The example of that name. Raises `ImageError` with the names there are."""
    found = {row.name: row for row in examples()}
    if name not in found:
        raise ImageError(f"no example is called '{name}'; examples: {', '.join(found)}")
    return found[name]


def _photograph(name: str) -> Path | None:
    """A photograph in the installed gradio package; None if it is no longer there."""
    spec = find_spec("gradio")  # found without being imported: it takes seconds
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "media_assets" / "images" / name
    return path if path.exists() else None
