"""What one request may cost, refused in a sentence before any work is done.

    check_layers(names)                    # of one explanation
    check_drawing(picture, maps, size)     # what is drawn and written of one picture

The numbers are CAMVIZ_LAYERS and CAMVIZ_DRAWN_MEGAPIXELS (`camviz.environment`).
"""

from collections.abc import Sequence

from camviz.engine.export import Size, drawn_size
from camviz.environment import environment
from camviz.errors import ImageError, StageError
from camviz.images import Picture


def check_layers(names: Sequence[str] | None) -> None:
    """Raise `StageError` if more layers are named than one explanation may have."""
    most = environment().layers
    if names is not None and len(names) > most:
        raise StageError(
            f"{len(names)} layers were chosen, and {most} at once are the most here; choose fewer"
        )


def check_drawing(picture: Picture, maps: int, size: Size) -> None:
    """Raise `ImageError` if so many maps of a picture are too much to draw at this size."""
    height, width = drawn_size(picture, size)
    needed, most = maps * height * width / 1e6, environment().drawn_megapixels
    if needed > most:
        cures = ["choose fewer layers", "give a smaller picture"]
        if size == "original" and (height, width) != drawn_size(picture, "screen"):
            cures.insert(0, "choose size 'screen'")
        raise ImageError(
            f"{maps} maps of {width} x {height} pixels are {needed:,.0f} million pixels, and "
            f"{most:,.0f} million at once are the most here; {', or '.join(cures)}"
        )
