"""The first page: what stands where, and which control asks what.

    build_app().launch(**launch_options())

`_answer` is the one place where an error becomes a sentence.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from html import escape
from typing import Any

import gradio as gr

from camviz import render
from camviz.backbones import ASSETS
from camviz.engine import PlacementKind
from camviz.errors import BackboneError, CamvizError, WeightsError
from camviz.examples import EXAMPLES, Example, example, examples
from camviz.images import MAX_BYTES
from camviz.maps import FUSIONS
from camviz.methods import METHODS
from camviz.stages import TapKind
from camviz.ui import explain_tab
from camviz.ui.explain_tab import (
    DRAWN,
    TOP,
    WAIT,
    Ask,
    Menu,
    View,
    new_backbone,
    new_picture,
    new_view,
    same_picture,
)

log = logging.getLogger(__name__)

TAPS: tuple[tuple[str, TapKind], ...] = (
    ("last activation", "activation"),
    ("stage output", "output"),
)
PLACEMENTS: tuple[tuple[str, PlacementKind], ...] = (
    ("evenly spread", "plain"),
    ("where cells look (measured, may take a minute once)", "true"),
)
FITS = (("whole picture, stretched", "stretch"), ("the model's own centre crop", "crop"))


def examples_first_known() -> list[Example]:
    """The examples, those that the backbone of a new visitor knows before the others."""
    backbone = explain_tab.default_choice() or ""
    drawn = backbone.startswith(DRAWN)
    return sorted(examples(), key=lambda row: (row.backbones == DRAWN) != drawn)


# -- The door between page and handlers ----------------------------------------------------------


def _answer(work: Callable[[Ask], View], *values: Any) -> View:
    """The one place where an error becomes a sentence: a short call-out, and it stays in sight."""
    without_backbone = False
    try:
        return work(Ask(*values))
    except CamvizError as error:
        sentence = str(error)
        without_backbone = isinstance(error, BackboneError)
        if isinstance(error, WeightsError):
            sentence += " On this page: choose another backbone, or tick 'untrained weights'."
    except Exception:
        log.exception("unexpected, in %s", getattr(work, "__name__", work))
        sentence = "Something unexpected happened; it was written to the server's log."
    sentence = sentence[:1].upper() + sentence[1:]
    gr.Warning(escape(sentence), duration=6)
    notice = View(f'<div class="cv-notice" role="alert">{escape(sentence)}</div>')
    if without_backbone:  # what the menus name belongs to the backbone before
        notice = replace(notice, targets=Menu([(TOP, TOP)], TOP), stages=Menu([], []))
    return notice


def _updates(view: View) -> list[Any]:
    """A view as gradio wants it, in the order of the outputs; menus and what they hold."""
    updates: list[Any] = [view.verdict, view.bars, view.layers]
    for menu in (view.targets, view.stages):
        if menu is None:
            updates += [gr.skip(), gr.skip()]
        else:
            updates += [gr.update(choices=menu.choices, value=menu.value), menu.value]
    return [*updates, gr.skip() if view.stages is None else ""]


def handler(work: Callable[[Ask], View]) -> Callable[..., list[Any]]:
    """An event function for gradio: values of the controls in, updates of the outputs out."""

    def handle(*values: Any) -> list[Any]:
        return _updates(_answer(work, *values))

    return handle


def opened_page() -> Any:
    """A visitor comes: what is on offer right now."""
    explain_tab.offer.cache_clear()
    choices = [(choice.label, choice.name) for choice in explain_tab.offer().values()]
    value = explain_tab.default_choice()
    return gr.update(
        choices=choices, value=value, info=f"{len(choices):,} on offer, type to search"
    )


def clicked_class(event: gr.SelectData) -> tuple[str, str]:
    """A bar was clicked: the class it stands for, for the menu and to be held."""
    return str(event.value), str(event.value)


def chosen_class(label: str) -> str:
    """A class was chosen in the menu."""
    return label


def chosen_stages(ticked: list[str], modules: str | None) -> list[str]:
    """Stages were ticked, or further modules named."""
    return [*ticked, *(modules or "").replace(",", " ").split()]


def clicked_example(backbone: str, event: gr.SelectData) -> tuple[Any, ...]:
    """An example was clicked: its picture, a backbone that knows what it shows, and its stages."""
    picked = example(str(event.value))
    fitting = explain_tab.knowing(picked, backbone)
    changed = fitting != backbone
    return str(picked.path), fitting if changed else gr.skip(), [] if changed else gr.skip()


# -- The page itself -----------------------------------------------------------------------------

INTRODUCTION = """
<h1>camviz</h1>
<p>Give a picture, choose a backbone, and see where each of its stages found its evidence.</p>"""

SELECT_ALL = "() => { document.querySelector('#backbone input')?.select() }"

# One listener for buttons that come and go.
CLICK = """
element.addEventListener('click', event => {
  const button = event.target.closest('button')
  if (button) trigger('select', {index: +button.dataset.index, value: button.dataset.label ?? ''})
})"""


def build_app() -> gr.Blocks:
    """The page, ready to be launched. Nothing is loaded before the first visitor comes."""
    with gr.Blocks(title="camviz", fill_width=True, delete_cache=(3600, 7200)) as page:
        gr.HTML(INTRODUCTION, elem_id="introduction")
        with gr.Row(elem_id="page"):
            with gr.Column(elem_id="left", scale=0, min_width=0):
                picture, thumbnails = _picture_controls()
                controls = _controls(picture)
            with gr.Column(elem_id="right", min_width=0):
                with gr.Row(elem_id="top"):
                    verdict = gr.HTML(WAIT.verdict, elem_id="verdict")
                    bars = gr.HTML(elem_id="bars", js_on_load=CLICK)
                layers = gr.HTML(elem_id="layers")
        # What is chosen in a menu that changes with the backbone is held here, and not read off
        # the menu: an event that waits for a backbone would bring what the menu held before.
        held = {"target": gr.State(TOP), "stages": gr.State([])}
        asked = [(controls | held)[field.name] for field in fields(Ask)]
        shown = [verdict, bars, layers]
        shown += [part[name] for name in held for part in (controls, held)]
        shown += [controls["modules"]]

        def ask(event: Callable[..., Any], work: Callable[[Ask], View]) -> None:
            event(
                handler(work),
                asked,
                shown,
                api_visibility="private",
                concurrency_id="engine",
                concurrency_limit=1,
                trigger_mode="always_last",
                show_progress="minimal" if work is same_picture else "full",
                show_progress_on=verdict,
            )

        def choose(
            event: Callable[..., Any], fn: Callable[..., Any], inputs: Any, outputs: Any
        ) -> Any:
            """A quick answer that needs no network; what comes next waits for it."""
            return event(
                fn, inputs, outputs, api_visibility="private", queue=False, show_progress="hidden"
            ).then

        ask(choose(page.load, opened_page, None, controls["backbone"]), new_backbone)
        for name in ("backbone", "untrained"):
            ask(controls[name].input, new_backbone)

        # Not `input`: on a picture that is taken away it still carries the one before.
        ask(picture.change, new_picture)
        fitted = [picture, controls["backbone"], held["stages"]]
        # The picture may stay the same while the backbone changes: that is no change of picture.
        clicked = choose(thumbnails.select, clicked_example, controls["backbone"], fitted)
        ask(clicked, new_picture)
        ask(controls["fit"].input, new_view)

        both = [controls["target"], held["target"]]
        ask(choose(bars.select, clicked_class, None, both), same_picture)
        ask(choose(controls["target"].input, chosen_class, *both), same_picture)
        for event in (controls["stages"].input, controls["modules"].submit):
            named = [controls["stages"], controls["modules"]]
            ask(choose(event, chosen_stages, named, held["stages"]), same_picture)
        for name in ("method", "fuse", "tap", "placement", "threshold", "colors", "opacity"):
            ask(controls[name].input, same_picture)
        controls["backbone"].focus(None, js=SELECT_ALL, api_visibility="private")
    page.queue(max_size=32)
    return page


def _picture_controls() -> tuple[gr.Image, gr.HTML]:
    shown = examples_first_known()
    with gr.Column(elem_id="picture", min_width=0):
        picture = gr.Image(
            str(shown[0].path) if shown else None,
            label="Picture",
            type="filepath",
            image_mode=None,
            sources=["upload", "clipboard", "webcam"],
            buttons=["fullscreen"],
            alt_text="The picture that is explained",
            height=260,
        )
        # gradio would open the file itself, and say of a damaged one that it "could not
        # preprocess input component 0"; `open_picture` does better.
        picture.preprocess = lambda upload: upload.path if upload else None
        return picture, gr.HTML(explain_tab.thumbnails(shown), elem_id="examples", js_on_load=CLICK)


def _controls(picture: gr.Image) -> dict[str, Any]:
    """Everything that an `Ask` asks for, by the name of its field."""
    default = Ask(None, None)
    made: dict[str, Any] = {"picture": picture}
    with gr.Column(elem_id="controls", min_width=0):
        made["backbone"] = gr.Dropdown(label="Backbone", elem_id="backbone", interactive=True)
        made["untrained"] = gr.Checkbox(
            label="untrained weights, to try out an architecture", value=default.untrained
        )
        made["target"] = gr.Dropdown(
            [(TOP, TOP)], value=TOP, label="Class", elem_id="target", interactive=True
        )
        made["stages"] = gr.CheckboxGroup(label="Stages", elem_id="stages", interactive=True)
        made["method"] = gr.Dropdown(
            _labels(METHODS.items()), value=default.method, label="Method", elem_id="method"
        )
        made["fuse"] = gr.Dropdown(
            _labels(FUSIONS.items()), value=default.fuse, label="Fusion", elem_id="fuse"
        )
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            made["colors"] = gr.Dropdown(
                list(render.COLOR_MAPS), value=default.colors, label="Colour map"
            )
            made["opacity"] = gr.Slider(0, 1, default.opacity, step=0.05, label="Opacity")
            made["threshold"] = gr.Slider(
                0.05, 0.95, default.threshold, step=0.05, label="Boxes at this share of the maximum"
            )
            made["fit"] = gr.Radio(FITS, value=default.fit, label="The network sees")
            made["tap"] = gr.Radio(TAPS, value=default.tap, label="A stage is read at its")
            made["placement"] = gr.Radio(
                PLACEMENTS, value=default.placement, label="Cells are drawn"
            )
            made["modules"] = gr.Textbox(
                label="Further modules, by name", placeholder="layer2.0.conv1", max_lines=1
            )
    return made


def _labels(rows: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(f"{row.label} · {row.paper}", name) for name, row in rows]


def theme() -> gr.themes.Base:
    """Soft, with the fonts of the visitor's own system, calmer labels and legible small print."""
    plain = gr.themes.Soft(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    return plain.set(
        background_fill_primary="*neutral_50",  # Soft's own, which set() would forget
        body_text_color_subdued="*neutral_500",
        block_label_background_fill="*background_fill_primary",
        block_label_background_fill_dark="*background_fill_primary",
        block_label_text_color="*body_text_color",
        block_label_text_size="*text_sm",
        block_title_background_fill="none",
        block_title_background_fill_dark="none",
        block_title_padding="0",
        block_title_text_color="*body_text_color",
        block_title_text_size="*text_sm",
        checkbox_border_color="*neutral_400",
        checkbox_label_background_fill_selected="*primary_100",
        checkbox_label_background_fill_selected_dark="*primary_900",
        checkbox_label_text_color_selected="*body_text_color",
    )


def launch_options() -> dict[str, Any]:
    """What `launch` is told: looks, limits, and that nothing is recorded."""
    return {
        "theme": theme(),
        "css_paths": [ASSETS / "style.css"],
        "allowed_paths": [str(EXAMPLES)],
        "max_file_size": MAX_BYTES,
        "footer_links": ["gradio", "settings"],
        "run_history": False,
        "enable_monitoring": False,
        "show_error": False,
    }
