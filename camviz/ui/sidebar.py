"""The left of the page: picture, backbone, class, layers, method; the rest folded away."""

import os
from dataclasses import dataclass
from typing import Any

import gradio as gr

from camviz.engine.export import SCREEN, SIZES, Size
from camviz.engine.option import option_table
from camviz.engine.options import MAX_GAMMA
from camviz.maps.fusion import FUSIONS
from camviz.ui import actions, choices, html
from camviz.ui.events import PageEvents
from camviz.ui.frame import COMPARED, EXPLAINED, OPTIONS
from camviz.ui.gradio_compat import served_path
from camviz.ui.hidden import hidden_value
from camviz.ui.state import DEFAULT, NOBODY, TOP
from camviz.ui.thumbnails import thumbnails

GAMMA_STEP = 0.1
SAVED: tuple[tuple[str, Size], ...] = (
    (f"for a screen, at most {SCREEN} pixels", "screen"),
    ("as large as yours", "original"),
)


@dataclass(frozen=True)
class Parts:
    """The components of the left side; what `frame.update` names is among them."""

    picture: Any
    examples: Any
    add: Any
    backbone: Any
    family: Any
    source: Any
    network: Any
    starters: Any
    offered: Any
    entries: Any
    bars: Any
    target: Any
    versus: Any
    stages: Any
    modules: Any
    method: Any
    fuse: Any
    gamma: Any
    refine: Any
    views: Any
    fit: Any
    tap: Any
    placement: Any
    saved: Any
    untrained: Any


def build() -> Parts:
    """Everything that is set once for all tabs."""
    made: dict[str, Any] = {}
    shown = choices.examples_first_known()
    with gr.Row(elem_id="ask-picture", elem_classes="cv-section"):
        with gr.Column(elem_id="given", min_width=0):
            made["picture"] = _picture(str(shown[0].path) if shown else None)
            gr.HTML(
                html_template=html.render("kept.html"),
                js_on_load=html.script("kept-uploads.js"),
                elem_id="kept",
                min_width=0,
            )
        with gr.Column(elem_id="others", scale=0, min_width=0):
            made["examples"] = gr.HTML(
                thumbnails(shown),
                elem_id="examples",
                js_on_load=html.script("click.js"),
                min_width=0,
            )
            made["add"] = gr.UploadButton(
                "Add pictures",
                file_count="multiple",
                file_types=["image"],
                elem_id="add",
                size="sm",
                min_width=0,
            )
    gr.HTML(html.render("unfold.html"), elem_id="unfold", js_on_load=html.script("unfold.js"))
    with gr.Column(elem_id="ask-backbone", elem_classes="cv-section", min_width=0):
        made["backbone"] = _menu("Backbone", "the network; type to search", "backbone")
        with gr.Row(elem_id="filters"):
            made["family"] = _slim(
                "Family of backbones", [("any family", choices.ANY)], choices.ANY
            )
            made["source"] = _slim(
                "Where its weights are", [("any source", choices.ANY)], choices.ANY
            )
        made["network"] = gr.HTML(elem_id="network", elem_classes="cv-fine")
        with gr.Row(elem_id="more-backbone"):
            made["offered"], made["entries"] = _searched(), _searched()
            made["untrained"] = gr.Checkbox(
                label="Untrained weights", value=False, elem_id="untrained", min_width=0
            )
            made["starters"] = gr.HTML(
                elem_id="starters", js_on_load=html.script("click.js"), min_width=0
            )
    with gr.Column(elem_id="ask-class", elem_classes="cv-section", min_width=0):
        gr.HTML(html.render("says.html"), elem_id="says", elem_classes="cv-title")
        made["bars"] = gr.HTML(elem_id="bars", js_on_load=html.script("click.js"))
        with gr.Row(elem_id="classes"):
            made["target"] = _slim("Class that is explained", EXPLAINED, TOP, "target")
            made["versus"] = _slim("Class that it is compared with", COMPARED, NOBODY, "versus")
    with gr.Column(elem_id="ask-layers", elem_classes="cv-section", min_width=0):
        made["stages"] = gr.CheckboxGroup(
            label="Layers",
            info="each ticked one has a map",
            elem_id="stages",
            interactive=True,
        )
        made["modules"] = gr.Dropdown(
            [],
            value=[],
            multiselect=True,
            label="Any module, by name",
            elem_id="modules",
            interactive=True,
            container=False,
        )
    with gr.Column(elem_id="ask-method", elem_classes="cv-section", min_width=0):
        made["method"] = _menu(
            "Method",
            "how a layer becomes a map",
            "method",
            choices.method_entries(),
            DEFAULT.options.method,
        )
    settings = _settings()
    if space := os.environ.get("SPACE_ID"):
        with gr.Column(elem_id="duplicate", elem_classes="cv-section", min_width=0):
            gr.HTML(html.render("duplicate.html", space=space))
    return Parts(**made, **settings)


def _settings() -> dict[str, Any]:
    """What has a sensible default."""
    made: dict[str, Any] = {}
    with gr.Accordion("More settings", open=False, elem_id="settings"):
        usual = DEFAULT.options
        made["fuse"] = _menu(
            "Fusion",
            "how the maps become one",
            "fuse",
            [("Automatic · the truest for each method", usual.fuse), *_fusions()],
            usual.fuse,
        )
        made["gamma"] = gr.Slider(
            GAMMA_STEP,
            MAX_GAMMA,
            DEFAULT.gamma,
            step=GAMMA_STEP,
            label="Contrast",
            info="how much a class that is compared with counts; 1: as much as the explained one",
            elem_id="gamma",
            buttons=[],
        )
        made["refine"] = _radio("refine", "Refined map", "the fused one, spread to a whole thing")
        made["views"] = _radio(
            "views", "The picture is shown", "the mean of several is steadier", "shown-as",
            choices.views_entries(),
        )  # fmt: skip
        made["fit"] = _radio("fit", "The network sees", "its input is a square")
        made["tap"] = _radio("tap", "A layer is read", "maps are cleaner after its activation")
        made["placement"] = _radio(
            "placement", "Cells are drawn", "measuring may take a minute, once"
        )
        made["saved"] = gr.Radio(
            list(SAVED), value=SIZES[0], label="A zip holds pictures", elem_id="saved",
            info="larger ones take a few seconds more",
        )  # fmt: skip
    return made


def wire(parts: Parts, events: PageEvents) -> None:
    """Connect every control on the left."""
    # Not `change`: it comes for what the page itself shows as well, behind whatever was clicked
    # since, and would choose that picture again. Not `input`: on a picture that is taken away it
    # still carries the one before. `upload` comes from the camera and the clipboard too.
    events.on_change(parts.picture.upload, actions.choose_picture, parts.picture)
    parts.picture.upload(
        None, parts.picture, None, js=html.script("keep-given.js"), api_visibility="private"
    )
    events.on_change(parts.picture.clear, actions.remove_picture, parts.picture)
    events.on_change(parts.examples.select, actions.choose_example)
    events.on_change(parts.backbone.input, actions.choose_backbone, parts.backbone)
    events.on_change(parts.starters.select, actions.choose_starter)
    events.on_change(parts.untrained.input, actions.choose_untrained, parts.untrained)
    events.on_change(parts.bars.select, actions.click_bar)
    events.on_change(parts.target.input, actions.choose_class, parts.target)
    events.on_change(parts.versus.input, actions.choose_rival, parts.versus)
    events.on_change(parts.gamma.input, actions.set_gamma, parts.gamma)
    events.on_change(parts.stages.input, actions.choose_stages, parts.stages)
    events.on_change(parts.modules.input, actions.choose_modules, parts.modules)
    for name in OPTIONS:
        component = getattr(parts, name)
        events.on_change(component.input, actions.set_option(name), component)
    for component in (parts.family, parts.source):
        component.input(
            _narrowed,
            [parts.family, parts.source, parts.backbone],
            [parts.backbone, parts.offered],
            api_visibility="private",
            queue=False,
            show_progress="hidden",
            show_progress_on=(),
        )


def _narrowed(family: str, source: str, backbone: str | None) -> list[Any]:
    """The menu of backbones, of a family and a source only; and what is searched in it."""
    found = choices.filtered(family, source, backbone)
    labels = [label for label, _ in found]
    return [gr.update(choices=found, value=backbone), {"backbone": labels}]


def _searched() -> gr.HTML:
    """What menus hold, for the search by typing: {id of a menu: labels}."""
    return hidden_value("keep-entries.js")


def _fusions() -> list[tuple[str, str]]:
    """(text, name) of the fusions; a setting of a method's paper is marked so."""
    papers = option_table(type(DEFAULT.options))["fuse"].papers
    return [
        (f"{row.label} · {'paper: ' if name in papers else ''}{row.paper}", name)
        for name, row in FUSIONS.items()
    ]


def _menu(
    label: str,
    info: str,
    elem_id: str,
    entries: list[tuple[str, str]] | None = None,
    value: str | None = None,
) -> gr.Dropdown:
    return gr.Dropdown(
        entries, value=value, label=label, info=info, elem_id=elem_id, interactive=True
    )


def _slim(
    label: str, entries: list[tuple[str, str]], value: str, elem_id: str | None = None
) -> gr.Dropdown:
    """A menu whose value says what it is for; the label is read out only."""
    return gr.Dropdown(
        entries,
        value=value,
        label=label,
        elem_id=elem_id,
        container=False,
        interactive=True,
        min_width=0,
    )


def _radio(
    option: str,
    label: str,
    info: str,
    elem_id: str | None = None,
    entries: list[tuple[str, str]] | None = None,
) -> gr.Radio:
    """The choices of an option; entries: what they are called, if not as in its table."""
    row = option_table(type(DEFAULT.options))[option]
    return gr.Radio(
        entries or [(text, value) for value, text in row.marked.items()],
        value=getattr(DEFAULT.options, option),
        label=label,
        info=info,
        elem_id=elem_id or option,
    )


def _picture(path: str | None) -> gr.Image:
    return gr.Image(
        served_path(path),
        label="Picture",
        show_label=False,
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard", "webcam"],
        buttons=["fullscreen"],
        alt_text="The picture that is explained",
        height=160,
        min_width=0,
        elem_id="picture",
    )
