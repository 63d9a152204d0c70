"""Numbers and names that more than one package takes for granted, each once.

What the browser needs of them travels to it with the viewer (`camviz.ui.viewer`). Nothing is
imported here, so that everything may import it.
"""

# What the maps of all stages together are called, beside the names of stages.
FUSED, REFINED = "fused", "refined"

# The word for the classes whose logits are closest to the target's, and how many those are.
NEAREST, NEAREST_CLASSES = "nearest", 3

OPACITY = 0.55  # how much of the picture a coloured map covers
FULL_OPACITY = 0.7  # the same where opacity follows the heat, as it does at first on the page
HOT = 0.5  # share of the colour scale from which on opacity that follows the heat is full
# Share of the maximum at which boxes and contours are drawn: CAM's own rule; and of a refined map,
# whose outline stands between that of a thing and its ground (docs/figures.md).
THRESHOLD = 0.2
REFINED_THRESHOLD = 0.5


def usual_threshold(of: str) -> float:
    """The threshold of a map until another one is given; of: a stage, `FUSED` or `REFINED`."""
    return REFINED_THRESHOLD if of == REFINED else THRESHOLD


MAX_THRESHOLD = 0.95  # that a visitor can choose

# What is no object of its own: a part with less of the picture's area than this, or with less heat
# than this share of the largest part's.
SPECK_AREA = 0.01
SPECK_HEAT = 0.10

COLORS = "viridis"
UNEVEN_COLORS = ("turbo", "jet")  # whose steps do not look even

# What a visitor can change in the viewer, by its key in links, and what it is at first.
VIEWER_SETTINGS: dict[str, str | float | bool] = {
    "view": "overlay",
    "opacity": FULL_OPACITY,
    "blend": "heat",
    "threshold": 0.0,  # hides nothing
    "colors": COLORS,
    "scale": "own",
    "boxes": "none",
    "contours": False,
    "signed": False,
    "outline": "",
    "row": "",
}
# What the address says of *How it works*, which the browser alone reads and writes.
STORY_KEYS = ("story", "step", "layer")
VIEWER_CHOICES = {
    "view": ("overlay", "map", "picture"),
    "blend": ("heat", "even"),
    "scale": ("own", "same"),
    "boxes": ("none", "largest", "all"),
}
