"""How an explanation shows itself in a notebook; called by `Explanation` when it is displayed.

The viewer stands in a frame of its own with everything that it needs, so that it works offline, in
a notebook that was saved, and apart from the notebook's styles.
"""

from markupsafe import Markup

from camviz.engine.explanation import Explanation
from camviz.ui import html, verdict
from camviz.ui.viewer import payload
from camviz.ui.viewer.source import configuration, inline, markup, style

HEIGHT = 560  # pixels of the frame, until its script has measured what is in it


def frame(x: Explanation) -> str:
    """The viewer with the maps of an explanation, as an <iframe>."""
    document = html.render(
        "notebook.html",
        heading=verdict.heading(x),
        style=Markup(f"{html.script('notebook.css')}\n#viewer {{ {style()} }}"),
        viewer=Markup(markup()),
        data={
            "configuration": configuration().to_json(),
            "value": payload({_row_of(x): x}).to_json(),
        },
        script=Markup(f'"use strict";\n{inline("notebook.js")}'),
    )
    # A plain string, which is escaped once more: it becomes the value of an attribute.
    return str(
        html.render(
            "frame.html",
            title=f"Maps of {x.label or 'features'}",
            document=str(document),
            height=HEIGHT,
        )
    )


def _row_of(x: Explanation) -> str:
    """The key of the row whose title says what an explanation is."""
    if x.request.truncation:
        return "denoised"
    return "prototypes" if x.bank is not None else "layercam"
