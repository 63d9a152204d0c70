"""Features in colours: a row of maps that needs no class, for any network.

Nothing here imports gradio.
"""

from camviz.engine.explanation import Explanation
from camviz.ui.compute import engine
from camviz.ui.layers import layer_name
from camviz.ui.viewer.panels import ColorPanel, Description, MapRow
from camviz.ui.viewer.schema import Words

FEATURES = "features"  # the key of the row
TITLE = "Features in colours"
SUMMARY = "Places of one colour look alike to the network. Colours have no meaning of their own."
FORMULA = "P_i = s_i · u_i"
SYMBOLS = (
    "s_i, u_i: the i-th singular value and left singular vector of what the layer answers, place "
    "by place, less its mean; i = 1, 2, 3: red, green, blue."
)


def features_row(x: Explanation) -> MapRow:
    """The features of every stage of an explanation in colours, coarse to fine."""
    panels = {
        name: ColorPanel(
            engine().components(x, name),
            layer_name(x.backbone, name, x.notes[name].grid),
            name,
            x.backbone.display_name,
        )
        for name in reversed(x.stages)
    }
    about = Description(
        "Principal components", "as in DINOv2, TMLR 2024", Words(SUMMARY, FORMULA, SYMBOLS)
    )
    return MapRow(TITLE, about, panels)
