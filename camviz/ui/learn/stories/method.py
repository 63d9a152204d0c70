"""How the map of a method comes about, from the picture to the fused map, stage by stage."""

from camviz.engine.explanation import Explanation
from camviz.engine.steps import CHANNELS, SUMS
from camviz.methods import METHODS
from camviz.ui.compute import engine
from camviz.ui.layers import layer_name
from camviz.ui.learn.stories import attending, whole
from camviz.ui.learn.stories.method_steps import is_even, picture_step, steps_of
from camviz.ui.viewer.stories import Maps, Story, StoryLayer, cells_for

KEY = "method"
INSTEAD = "layer_cam"  # whose steps are shown in the place of those of a method that has none
# Why the map of a method has no steps channel by channel.
_OTHERWISE = {
    "eigen_cam": (
        "Eigen-CAM takes the pattern that explains most of the features: no class and no gradient "
        "comes into it"
    ),
    "lpcam": f"LPCAM compares features with prototypes, as “{whole.TITLE}” tells",
    "gae": f"GAE follows attention, as “{attending.TITLE}” tells",
    "daam": f"DAAM follows attention, as “{attending.TITLE}” tells",
    "rollout": "Attention rollout multiplies the attention of all blocks, whatever the class",
    "attn_lrp": "AttnLRP passes the score back by rules of its own, token by token",
}
_FURTHER_PASSES = "{label} weighs by further passes of the network, which are not kept"
MOST_STAGES = 8  # whose steps are shown
MOST_BYTES = 200_000  # of their maps


def has_steps(method: str) -> bool:
    """Whether the map of a method is a sum over channels, which can be told."""
    return method in SUMS


def why_not(method: str) -> str:
    """Why another method's steps stand in the place of those of this one."""
    label = METHODS[method].label
    reason = _OTHERWISE.get(method, _FURTHER_PASSES.format(label=label))
    return f"{reason}. These are the steps of {METHODS[INSTEAD].label}."


def story(x: Explanation, maps: Maps, shown: str) -> Story:
    """The steps of an explanation at each of its stages. shown: the method of the other views."""
    label = METHODS[x.request.method].label
    opened = {stage: engine().steps(x, stage) for stage in shown_stages(x)}
    picture, makers = picture_step(x), steps_of(x.request.method)
    layers = tuple(
        StoryLayer(
            key=stage,
            name=layer_name(x.backbone, stage, x.notes[stage].grid),
            steps=(picture, *(make(x, stage, found, maps) for make in makers)),
        )
        for stage, found in opened.items()
    )
    uneven = [stage for stage, found in opened.items() if not is_even(found)]
    note = "" if shown == x.request.method else why_not(shown)
    if len(opened) < len(x.stages):
        note = f"{note} Shown for the {len(opened)} deepest of {len(x.stages)} stages.".strip()
    return Story(
        key=KEY,
        title=f"How {label} works",
        note=note,
        layers=layers,
        first=(uneven or list(opened))[0],
    )


def shown_stages(x: Explanation) -> list[str]:
    """The stages whose steps are shown, deep to shallow."""
    return list(reversed(x.stages))[:MOST_STAGES]


def maps_for(x: Explanation) -> Maps:
    """What holds the maps of all stories: as fine as there is room for."""
    grids = [x.notes[stage].grid for stage in shown_stages(x)]
    return Maps(cells_for(grids, 4 * CHANNELS + 4, MOST_BYTES))
