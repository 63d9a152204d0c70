"""What a layer is called on the page."""

from camviz.network.backbone import Backbone

TIMES = "\u00a0×\u00a0"  # stays on one line


def layer_name(backbone: Backbone, name: str, grid: tuple[int, int] | None = None) -> str:
    """ "Stage 4 of 4, 7 × 7": which of the default stages it is, and its cells.

    "Layer, 7 × 7" for any other. name: of its module, which is to stand beside. grid: its cells;
    None: those at the network's own input size.
    """
    height, width = grid or backbone.stage(name).grid
    usual = backbone.default_stages
    which = f"Stage {usual.index(name) + 1} of {len(usual)}" if name in usual else "Layer"
    return f"{which}, {height}{TIMES}{width}"


def layer_choice(backbone: Backbone, name: str, grid: tuple[int, int] | None = None) -> str:
    """The same for a menu, with its module on a line of its own."""
    return f"{layer_name(backbone, name, grid)}\n{name}"


def layer_in_words(backbone: Backbone, name: str, grid: tuple[int, int] | None = None) -> str:
    """The same within a sentence: "stage 4 of 4, 7 × 7 (layer4)"."""
    words = layer_name(backbone, name, grid)
    return f"{words[0].lower()}{words[1:]} ({name})"
