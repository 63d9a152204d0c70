"""The viewer's element: one wire format on both sides, one script of many modules."""

import asyncio
import base64
import json
import re
import typing
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace

import gradio as gr
import numpy as np
import pytest

from camviz import defaults
from camviz.engine.engine import Engine
from camviz.images import open_picture
from camviz.maps.render import COLOR_MAPS, DIVERGING, color_table
from camviz.resources import WEB
from camviz.ui import links
from camviz.ui.state import DEFAULT, BackboneChoice, Unavailable
from camviz.ui.viewer import (
    ColorPanel,
    DifferencePanel,
    MapPanel,
    MapRow,
    Viewer,
    component,
    payload,
    schema,
    viewer_head,
)
from camviz.ui.viewer.source import FILES, configuration, inline

CLASSES = [kind for kind in vars(schema).values() if is_dataclass(kind)]
MODULES = sorted(FILES.glob("*.js"))


@pytest.fixture(scope="module")
def full(tiny, photo):
    """A payload in which every key has a value."""
    engine = Engine("cpu")

    def explain(method, **options):
        picture = replace(open_picture(photo), name="photo.png")
        return engine.explain(picture, tiny("test_resnet"), method=method, target=3, **options)

    x, y = explain("hires_cam", fit="crop"), explain("grad_cam")
    panel = MapPanel(x, x.stages[0], "Mine", {"new": "It is new."}, ("first",), ring=(3, 4))
    panels = {
        "mine": panel,
        "fused": MapPanel(x),
        "colors": ColorPanel(engine.components(x, x.stages[0]), "In colours", "a", "b"),
        "difference": DifferencePanel(panel, MapPanel(y), "one less the other", ("less", "more")),
        "none": Unavailable("It cannot be had."),
    }
    z = explain("lpcam", fit="crop", prototypes="picture")
    silent = {name: replace(note, empty=True) for name, note in z.notes.items()}
    return payload(
        {
            "mine": MapRow("Mine", x, panels),
            "again": x,
            "empty": replace(z, notes=silent),
            "none": Unavailable("There is none."),
        },
        truth=dict.fromkeys(("ram", x.label), np.ones(photo.shape[:2], bool)),
        linked=True,
        dense=True,
        small=True,
        pick="Click a place.",
        follows="other",
        holds={"again": "slider"},
        outline="ram",
    )


# --- the wire format ---


def read(kind, value):
    """A value of JSON as a type of the schema has it."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        assert value.keys() == hints.keys()
        return kind(**{name: read(hints[name], value[name]) for name in hints})
    if type(None) in arguments:
        return None if value is None else read(arguments[0], value)
    if origin is tuple and arguments[-1] is ...:
        return tuple(read(arguments[0], each) for each in value)
    if origin is tuple:
        return tuple(read(each, part) for each, part in zip(arguments, value, strict=True))
    return dict(value) if origin is Mapping else value


def values_of(value, kind):
    """Every object of a class inside of another."""
    if isinstance(value, kind):
        yield value
    if is_dataclass(value):
        for field in fields(value):
            yield from values_of(getattr(value, field.name), kind)
    elif isinstance(value, tuple):
        for each in value:
            yield from values_of(each, kind)


def test_every_key_survives_the_way_to_the_browser(full):
    text = json.dumps(full.to_json(), allow_nan=False)
    assert read(schema.Payload, json.loads(text)) == full
    text = json.dumps(configuration().to_json(), allow_nan=False)
    found = read(schema.Configuration, json.loads(text))
    assert {k: tuple(v) for k, v in found.choices.items()} == dict(configuration().choices)
    assert replace(found, choices=configuration().choices) == configuration()


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_key_has_a_value_somewhere(full, kind):
    found = list(values_of(configuration() if kind is schema.Configuration else full, kind))
    for field in fields(kind):
        values = [getattr(value, field.name) for value in found]
        assert any(value not in (None, "", (), {}, False) for value in values), field.name


def typedefs():
    """Type in schema.js -> its keys, each with what it may be."""
    text = (FILES / "schema.js").read_text(encoding="utf-8")
    found = {}
    for block in re.findall(r"/\*\*(.*?)\*/", text, re.S):
        (name,) = re.findall(r"@typedef \{object\} (\w+)", block)
        keys = re.findall(r"@property \{(.*?)\} (\w+)", block)
        found[name] = {key: kind for kind, key in keys}
    return found


def test_both_sides_have_the_same_types():
    assert typedefs().keys() - {"Settings"} == {kind.__name__ for kind in CLASSES}
    settings = typedefs()["Settings"]
    names = {str: "string", float: "number", bool: "boolean"}
    usual = defaults.VIEWER_SETTINGS
    assert settings == {name: names[type(value)] for name, value in usual.items()}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_both_sides_have_the_same_keys(kind):
    there = typedefs()[kind.__name__]
    assert list(there) == [field.name for field in fields(kind)]
    for name, hint in typing.get_type_hints(kind).items():
        assert there[name].endswith("|null") == (type(None) in typing.get_args(hint)), name
        plain = {str: "string", float: "number", int: "number", bool: "boolean"}
        if hint in plain:
            assert there[name] == plain[hint], name


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_browser_uses_every_key(kind):
    text = "\n".join(p.read_text(encoding="utf-8") for p in MODULES if p.name != "schema.js")
    unused = [field.name for field in fields(kind) if not re.search(rf"\b{field.name}\b", text)]
    assert not unused


def test_the_server_may_take_every_key_of_its_links_out_again():
    controls = replace(DEFAULT, backbone=BackboneChoice("a", True), target="b", versus="c")
    controls = replace(controls, truncation=0.5)
    assert links.write(controls, links.UPLOAD).keys() <= set(configuration().link_keys)
    assert set(links.page_options()) <= set(configuration().link_keys)
    assert not set(configuration().link_keys) & set(defaults.VIEWER_SETTINGS)


# --- one script of many modules ---


def test_all_modules_become_one_script():
    text = inline(*component.MODULES)
    assert not re.search(r"^\s*(?:import|export)\b", text, re.M)
    for path in MODULES:
        source = path.read_text(encoding="utf-8")
        assert source.startswith("// @ts-check\n"), path.name
        if path.name not in ("schema.js", "gradio.js"):  # types only; gradio's own script
            code = re.findall(r"^ +(?:const|if|return|for) .*", source, re.M)
            assert code and all(line in text for line in code), f"{path.name} is not part of it"
    assert "@param" not in text and "@typedef" not in text, "types are for tools"


def test_no_name_of_a_module_hides_that_of_another():
    declared = re.findall(
        r"^(?:async )?(?:function\*?|class|const|let|var) (\w+)",
        inline(*component.MODULES),
        re.M,
    )
    assert len(declared) > 50 and max(Counter(declared).values()) == 1
    for path in MODULES:
        assert not re.search(r"^import .*\b(?:as|default)\b", path.read_text(), re.M), path.name


def test_a_module_stands_before_those_that_use_it():
    text = inline("viewer/map-viewer.js")
    order = [text.index(name) for name in ("function make", "class MapDialog", "class MapViewer")]
    assert order == sorted(order) and text.count("class MapViewer ") == 1


# --- the component ---


def config_of(value, **options):
    async def build():  # gradio makes a loop of its own where it finds none
        with gr.Blocks() as page:
            made = Viewer(value, **options)
        parts = page.get_config_file()["components"]
        return next(part["props"] for part in parts if part["id"] == made._id)

    return asyncio.run(build())


def test_the_component_has_markup_style_and_script(full):
    config = config_of(full, elem_id="maps")
    assert config["value"] == json.loads(json.dumps(full.to_json()))
    assert config["value"] == config_of(full.to_json())["value"]
    assert config["elem_id"] == "maps"
    assert config["props"] == {}  # a tab that has not been opened would lose them
    assert config["js_on_load"] == (FILES / "gradio.js").read_text(encoding="utf-8")


def test_the_head_of_a_page_has_source_and_configuration_once():
    head = viewer_head()
    assert head.startswith("<script>") and head.count("</script>") == 1
    assert inline("viewer/map-viewer.js") in head
    assert inline(*component.MODULES) in head
    given = re.search(r"^window.mapViewerConfiguration = (.*);$", head, re.M)
    found = json.loads(given[1])
    assert found == json.loads(json.dumps(configuration().to_json()))
    assert list(found["tables"]) == [*COLOR_MAPS, DIVERGING] and found["diverging"] == DIVERGING
    for name, text in found["tables"].items():
        assert base64.b64decode(text) == color_table(name).tobytes()


def test_what_a_visitor_sees_first_is_what_python_takes_for_granted():
    found = configuration()
    assert found.settings["opacity"] == defaults.FULL_OPACITY
    assert found.threshold == defaults.THRESHOLD
    assert found.settings["colors"] in found.tables and set(found.uneven) <= set(found.tables)
    for name, choices in found.choices.items():
        assert found.settings[name] in choices


@pytest.mark.parametrize("file", ["viewer.html", "viewer.css"])
def test_templates_hold_nothing_that_gradio_would_evaluate(file):
    """They pass through Handlebars and are then a template literal."""
    text = (FILES / file).read_text(encoding="utf-8")
    for sign in ("`", "${", "{{", "\\"):
        assert sign not in text


def test_the_browsers_part_requests_no_host_and_evaluates_nothing():
    # Named to the frame around a Space, and as what SVG is; neither is fetched.
    known = {"https://huggingface.co", "http://www.w3.org"}
    for path in WEB.rglob("*.*"):
        text = path.read_text(encoding="utf-8")
        text = text.replace("fetch(picture.url)", "")  # what was uploaded, from this server
        assert set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)) <= known, path.name
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "fetch(", "XMLHttp"):
            assert word not in text, f"{word} in {path.name}"


def test_no_interface_file_is_left_behind():
    """gradio writes one beside the module of every subclass of a component."""
    assert not list((WEB.parents[1] / "camviz" / "ui").rglob("*.pyi"))
