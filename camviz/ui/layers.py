"""What a layer is called on the page."""

from camviz.engine.explanation import Explanation
from camviz.methods import METHODS
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


def place_of(x: Explanation, name: str) -> str:
    """The default stage in whose column the map of a stage stands.

    Methods of attention have maps of blocks: that of a block which a default stage lies in stands
    where this one's does, and is called like it. Any other is its own.
    """
    attention, usual = x.backbone.discovery.attention, x.backbone.default_stages
    if attention is None or name in usual or not METHODS[x.request.method].uses_attention:
        return name
    inside = [each for each in usual if getattr(attention.block(each), "name", None) == name]
    return inside[-1] if inside else name


def map_name(x: Explanation, name: str) -> str:
    """What the map of a stage is called; see `layer_name`."""
    return layer_name(x.backbone, place_of(x, name), x.notes[name].grid)


def map_in_words(x: Explanation, name: str) -> str:
    """The same within a sentence, with the module that the map is of."""
    return _in_words(map_name(x, name), name)


def layer_choice(backbone: Backbone, name: str, grid: tuple[int, int] | None = None) -> str:
    """The same for a menu, with its module on a line of its own."""
    return f"{layer_name(backbone, name, grid)}\n{name}"


def layer_in_words(backbone: Backbone, name: str, grid: tuple[int, int] | None = None) -> str:
    """The same within a sentence: "stage 4 of 4, 7 × 7 (layer4)"."""
    return _in_words(layer_name(backbone, name, grid), name)


def readers_in_words(backbone: Backbone) -> str:
    """The tokens that the classifier of a transformer reads."""
    attention = backbone.discovery.attention
    assert attention is not None
    if max(attention.readers) >= attention.layout.prefix:
        return "all places, whose mean the classifier reads,"
    return "the class token" if len(attention.readers) == 1 else "the tokens the classifier reads"


def _in_words(words: str, name: str) -> str:
    return f"{words[0].lower()}{words[1:]} ({name})"
