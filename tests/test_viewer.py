"""What the viewer is sent: every map once, true to half a step, and what is said about it."""

import asyncio
import base64
import io
import json
import re
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from camviz.engine.engine import Engine
from camviz.maps.fusion import FUSIONS, Placement
from camviz.maps.render import COLOR_MAPS, DIVERGING, color_table
from camviz.methods import METHODS
from camviz.ui import viewer
from camviz.ui.viewer import (
    FILES,
    SCRIPTS,
    Difference,
    Row,
    Shown,
    Viewer,
    drawn,
    explained,
    payload,
)


@pytest.fixture(scope="module")
def explain(tiny, photo):
    engine = Engine("cpu")

    def get(method="layer_cam", picture=photo, backbone="test_resnet", **options):
        return engine.explain(picture, tiny(backbone), method=method, target=3, **options)

    return get


def panels(said, row=0):
    return {panel["key"]: panel for panel in said["rows"][row]["panels"]}


def unpacked(panel, what="data"):
    data = np.frombuffer(base64.b64decode(panel[what]), np.uint8)
    return data.reshape(panel["grid"]) / 255


def opened(source):
    kind, _, data = source.partition(";base64,")
    assert kind.startswith("data:image/")
    return Image.open(io.BytesIO(base64.b64decode(data)))


# --- maps ---


def test_every_map_is_sent_once_and_true_to_half_a_step(explain):
    x = explain("hires_cam")
    said = payload({"layercam": x})
    assert list(panels(said)) == [*reversed(x.stages), "fused"], "coarse to fine, then fused"
    for name, panel in panels(said).items():
        exact = x.fused_grid[0] if name == "fused" else x.normalized[name]
        assert panel["grid"] == list(exact.shape)
        assert np.abs(unpacked(panel) - exact).max() <= 0.5 / 255 + 1e-7
    for name in x.stages:
        panel = panels(said)[name]
        assert panel["peak"] == pytest.approx(x.raw[name].max(), rel=1e-6)
        assert panel["stride"] == list(x.placements[name].stride)
        assert panel["offset"] == list(x.placements[name].offset)
    assert panels(said)["fused"]["peak"] == 1


def test_signed_maps_bring_both_signs(explain):
    x = explain("hires_cam")
    for name in x.stages:
        panel, raw = panels(payload({"layercam": x}))[name], x.raw[name]
        assert panel["lowest"] == pytest.approx(-raw.min(), rel=1e-6)
        both = unpacked(panel) * panel["peak"] - unpacked(panel, "against") * panel["lowest"]
        assert np.abs(both - raw).max() <= np.abs(raw).max() / 255
    unsigned = explain("layer_cam_elementwise")
    assert not any(panel["against"] for panel in panels(payload({"layercam": unsigned})).values())


def test_one_stage_is_not_fused(explain):
    x = explain("cam")
    assert list(panels(payload({"layercam": x}))) == list(x.stages)


def test_three_rows_are_small(explain):
    rows = {key: explain(m) for key, m in zip(viewer.TITLES, ("hires_cam",) * 3, strict=True)}
    said = payload(rows, link={})
    text = json.dumps(said, allow_nan=False)
    assert len(text) - len(said["picture"]["src"]) < 150_000
    titles = ["Hierarchical HiRes-CAM", *list(viewer.TITLES.values())[1:]]
    assert [row["title"] for row in said["rows"]] == titles


# --- the picture ---


def test_a_picture_is_sent_within_bounds_and_its_true_size_said(explain):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2100, 3), np.uint8)
    said = payload({"layercam": explain(picture=noise)})["picture"]
    assert (said["width"], said["height"]) == (2100, 1500)
    sent = opened(said["src"])
    assert max(sent.size) <= viewer.LONGEST and sent.width / sent.height == pytest.approx(1.4, 0.01)
    assert len(said["src"]) < 1.4 * viewer.MOST_BYTES
    narrow = payload({"layercam": explain(picture=noise[:32])})["picture"]
    assert opened(narrow["src"]).size == (1200, 18)


def test_a_small_picture_is_sent_as_it_is(explain, photo):
    sent = np.asarray(opened(payload({"layercam": explain()})["picture"]["src"]).convert("RGB"))
    assert sent.shape == photo.shape
    assert np.abs(sent.astype(int) - photo).mean() < 12


# --- rows that are no maps, and what does not belong together ---


def test_a_sentence_stands_where_a_row_cannot_be_had(explain):
    said = payload({"layercam": explain(), "prototypes": "There is no bank."})
    assert said["rows"][1] == {
        "key": "prototypes",
        "title": "Prototype similarity",
        "said": "There is no bank.",
    }
    alone = payload({"layercam": "Nothing.", "my_row": "Nothing either."}, link={"tab": "a"})
    assert alone["picture"] is None and alone["link"] == {"tab": "a"}
    assert alone["rows"][1]["title"] == "My row"


def test_rows_of_different_pictures_are_refused(explain, photo):
    other = explain(picture=photo[::-1].copy())
    with pytest.raises(ValueError, match="of one picture"):
        payload({"layercam": explain(), "denoised": other})
    with pytest.raises(ValueError, match="of one picture"):
        payload({"layercam": explain(), "denoised": explain(fit="crop")})


# --- truth ---


def test_truth_is_packed_one_bit_a_pixel(explain, photo):
    mask = np.zeros(photo.shape[:2], bool)
    mask[10:30, 5:50] = True
    said = payload({"layercam": explain()}, truth={"ram": mask, "none": mask & False})
    (row,) = said["truth"]
    assert row["label"] == "ram" and row["said"] is None
    assert opened(row["src"]).mode == "1"
    assert np.array_equal(np.asarray(opened(row["src"])), mask)
    with pytest.raises(ValueError, match=r"mask of 'ram' has shape \(60, 80\)"):
        payload({"layercam": explain()}, truth={"ram": mask[:, :80]})


def test_what_lies_outside_the_crop_is_said(explain, photo):
    x = explain(fit="crop")
    half = np.zeros(photo.shape[:2], bool)
    half[:, : photo.shape[1] // 2] = True
    said = payload({"layercam": x}, truth={"ram": half})
    share = 1 - x.visible.mean()
    assert (
        0.3 < share < 0.6 and not said["seen"] and f"{share:.0%} of the picture" in said["unseen"]
    )
    hidden = (half & ~x.visible).sum() / half.sum()
    assert said["truth"][0]["said"] == f"{hidden:.0%} of the ram lies outside the crop."
    assert payload({"layercam": explain()})["unseen"] is None


# --- the map doctor ---


def test_facts_say_grid_and_share(explain):
    x = explain()
    for name in x.stages:
        panel, note = panels(payload({"layercam": x}))[name], x.notes[name]
        assert panel["facts"] == [
            f"{note.grid[0]} × {note.grid[1]} cells",
            f"{note.positive_share:.0%} positive",
        ]
        assert panel["notes"] == list(note.sentences) and not panel["warnings"]


def test_a_truncated_row_says_what_was_taken_away(explain):
    x = explain(truncation=0.9)
    said = payload({"layercam": explain(), "denoised": x})
    row = said["rows"][1]
    assert "(truncated at 0.9; our reading of arXiv 2308.02118)" in row["says"]
    assert row["formula"].endswith("g_k → g_k if g_k ≥ τ, else 0") and "τ: " in row["symbols"]
    for name in x.stages:
        note, panel = x.notes[name], panels(said, 1)[name]
        last = "not truncated"
        if note.denoising is not None:
            last = f"{note.denoising.removed:.0%} removed"
        assert panel["facts"][1:] == [last]
    deepest = x.stages[-1]
    assert x.notes[deepest].denoising is None
    assert panels(said, 1)[deepest]["remarks"] == ["Same map as in Hierarchical LayerCAM."]
    capped = payload({"denoised": explain(truncation=0.9, truncation_mode="cap")})
    assert capped["rows"][0]["formula"].endswith("min(ReLU(g_k), τ)")


def test_prototypes_are_counted_and_their_origin_said(explain):
    x = explain("lpcam", prototypes="self")
    (row,) = payload({"prototypes": x})["rows"]
    assert row["tag"] == "from this picture alone"
    assert row["formula"] == "M = mean_i cos(A, F_i) − mean_j cos(A, B_j)"
    assert "F, B: prototypes" in row["symbols"]
    for panel in row["panels"][:-1]:
        held = x.bank.stage(panel["key"])
        count = len(held.kept("foreground")) + len(held.kept("context"))
        assert panel["facts"][1] == f"{count} prototypes" and count > 1
    assert payload({"layercam": explain()})["rows"][0]["tag"] is None


def test_symbols_are_those_of_the_formula():
    for method in METHODS.values():
        _, formula = explained(method.function)
        said = viewer._symbols(formula)
        assert ("A: " in said) == ("A" in formula) and ("g: " in said) == ("g_k" in formula)
    assert viewer._symbols("F = max_l n_l") == "n_l: the map of stage l over its maximum."
    assert viewer._symbols("") == ""


def test_an_empty_map_says_why(explain, tiny):
    silent = next(s.name for s in tiny("test_vit").stages if s.zero_gradient)
    loud = tiny("test_vit").default_stages[0]
    x = explain(backbone="test_vit", stages=[loud, silent])
    said = panels(payload({"layercam": x}))
    (warning,) = said[silent]["warnings"]
    assert warning.startswith("Empty: the class score does not depend on this map, because")
    assert not unpacked(said[silent]).any() and said[silent]["peak"] == 0
    assert "nowhere" in said[silent]["alt"]
    assert f"Left out, because empty: {silent}." in said["fused"]["notes"]

    nothing = replace(x, raw={name: -np.abs(raw) for name, raw in x.raw.items()})
    said = panels(payload({"layercam": nothing}))
    assert said["fused"]["warnings"] == ["Empty: every stage is."] and said["fused"]["peak"] == 0


def test_nearly_the_same_map_is_named(explain):
    x, y = explain(), explain("eigen_cam")
    said = payload({"layercam": x, "prototypes": y, "denoised": x})
    first, last = x.stages[0], x.stages[-1]
    for name in (first, "fused"):
        assert panels(said, 2)[name]["remarks"] == ["Same map as in Hierarchical LayerCAM."]
    assert not panels(said, 0)[last]["remarks"] and not panels(said, 1)[first]["remarks"]


def test_alike_is_measured_by_correlation_whatever_the_scale(explain):
    x = explain()
    name = x.stages[-1]
    raw = x.raw[name]
    noise = np.random.default_rng(0).random(raw.shape, np.float32)
    spread = raw.std() / noise.std()
    for amount, alike in ((0.1, True), (0.4, False)):
        changed = replace(x, raw={**x.raw, name: (5 * (raw + amount * spread * noise))})
        said = payload({"layercam": x, "denoised": changed})
        found = panels(said, 1)[name]["remarks"]
        assert bool(found) == alike, found
        assert not alike or re.fullmatch(
            r"Nearly the same map as in Hierarchical LayerCAM \(r = 0\.9[89]\d\)\.", found[0]
        )


def test_the_same_map_under_another_name_is_named(explain):
    x = explain(stages=["layer3", "layer4"])
    twice = {name: np.repeat(np.repeat(x.raw["layer4"], 2, 0), 2, 1) for name in x.stages}
    twice["layer4"] = x.raw["layer4"]
    y = replace(x, raw={**twice})
    assert panels(payload({"a": y}))["layer3"]["remarks"][0].startswith(
        "Nearly the same map as layer4 ("
    )
    z = replace(x, raw={"layer3": x.raw["layer3"], "layer4": x.raw["layer4"]})
    swapped = {"layer3": x.placements["layer4"], "layer4": x.placements["layer3"]}
    z = replace(z, raw={"layer3": z.raw["layer4"], "layer4": z.raw["layer3"]}, placements=swapped)
    said = panels(payload({"layercam": x, "b": z}), 1)
    assert said["layer3"]["remarks"] == ["Same map as layer4, Hierarchical LayerCAM."]


def test_maps_that_are_the_same_everywhere_are_compared_with_none(explain):
    x = explain(stages=["layer4"])
    flat = replace(x, raw={"layer4": np.ones_like(x.raw["layer4"])})
    said = payload({"layercam": flat, "denoised": flat})
    assert not panels(said, 1)["layer4"]["remarks"]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ((0, 0), "upper left"),
        ((4, 8), "lower right"),
        ((2, 4), "centre"),
        ((0, 4), "top"),
        ((2, 0), "left"),
        ((4, 4), "bottom"),
    ],
)
def test_alt_text_says_where(explain, cell, words):
    x = explain(stages=["layer4"])
    heat = np.zeros((5, 9), np.float32)
    heat[cell] = 1
    height, width = x.fit.input_size
    placed = {"layer4": Placement((height / 5, width / 9))}
    x = replace(x, raw={"layer4": heat}, placements=placed)
    alt = panels(payload({"layercam": x}))["layer4"]["alt"]
    assert alt == f"Where layer4 found evidence for {x.label}: strongest at the {words}"


# --- rows put together by hand ---


def test_a_row_by_hand_has_the_maps_it_was_given(explain):
    x, y = explain(), explain("grad_cam")
    last = x.stages[-1]
    row = Row("Mine", x, {last: Shown(x, last), "other": "Not to be had.", "all": Shown(y)})
    said = payload({"mine": row}, dense=True)
    assert said["dense"] and said["rows"][0]["title"] == "Mine"
    made = panels(said)
    assert np.abs(unpacked(made[last]) - x.normalized[last]).max() <= 0.5 / 255 + 1e-7
    assert np.abs(unpacked(made["all"]) - y.fused_grid[0]).max() <= 0.5 / 255 + 1e-7
    assert made["other"] == {"key": "other", "said": "Not to be had."}
    assert not made[last]["last"] and made["all"]["last"], "what is fused stands behind the stages"


def test_what_is_said_of_a_map_by_hand(explain):
    x = explain()
    last = x.stages[-1]
    shown = Shown(x, last, "Mine", {"new": "It is new."}, facts=("first",), shares=True)
    made = panels(payload({"a": Row("A", x, {"b": shown}, says="So it is.")}))["b"]
    assert made["name"] == "Mine" and made["marks"] == {"new": "It is new."}
    assert made["facts"][0] == "first" and made["notes"][0] == "It is new."
    assert (made["unit"], made["peak"], made["against"]) == (None, 1, None)
    nothing = replace(x, raw={name: -np.abs(raw) for name, raw in x.raw.items()})
    shown = replace(shown, x=nothing)
    assert panels(payload({"a": Row("A", nothing, {"b": shown})}))["b"]["peak"] == 0


def test_networks_that_see_differently_are_shown_each_in_its_own_way(explain):
    x, y = explain(), explain(fit="crop")
    said = payload({"a": Row("A", x, {"one": Shown(x), "two": Shown(y)})})
    made = panels(said)
    assert "scene" not in made["one"] and said["seen"]
    assert made["two"]["scene"] == {
        "rect": list(y.fit.rect), "input": list(y.fit.input_size), "seen": False
    }  # fmt: skip
    assert f"{y.visible.mean():.0%} of the picture seen" in made["two"]["facts"]


def test_maps_drawn_on_a_raster_are_the_engines_own(explain, photo):
    for x in (explain(), explain(fit="crop")):
        heat, seen = drawn(Shown(x), 1000)
        assert np.allclose(heat, x.fused, atol=1e-5) and np.array_equal(seen, x.visible)
    heat, _ = drawn(Shown(explain()), 45)
    assert heat.shape == (30, 45)


def test_a_difference_is_signed_and_zero_where_one_saw_nothing(explain):
    x, y = explain(), explain("hires_cam", fit="crop")
    pair = Difference(Shown(x), Shown(y), "x less y", ("more y", "more x"))
    made = panels(payload({"a": Row("A", x, {"x": Shown(x), "d": pair})}))["d"]
    both = unpacked(made) * made["peak"] - unpacked(made, "against") * made["lowest"]
    exact = np.where(y.visible, x.fused - y.fused, 0)
    assert np.abs(both - exact).max() < 0.01 and made["top"] == 1
    assert made["scene"] == {"rect": [0, 0, 90, 60], "input": (60, 90), "seen": True}
    same = Difference(Shown(x), Shown(x), "nothing", ("", ""))
    made = panels(payload({"a": Row("A", x, {"x": Shown(x), "d": same})}))["d"]
    assert made["peak"] == made["lowest"] == 0 and made["against"] is None


def test_a_row_that_repeats_another_says_so_once(explain):
    x = explain()
    maps = {name: Shown(x, name) for name in x.stages}
    said = payload({"one": Row("One", x, maps), "two": Row("Two", x, maps)})
    assert said["rows"][1]["tag"] == "The same maps as One"
    assert not any(panel["remarks"] for panel in said["rows"][1]["panels"])
    some = {**maps, x.stages[0]: Shown(explain("grad_cam"), x.stages[0])}
    said = payload({"one": Row("One", x, maps), "two": Row("Two", x, some)})
    assert panels(said, 1)[x.stages[-1]]["remarks"] == ["Same map as in One."]


def test_rows_by_hand_are_of_one_picture(explain, photo):
    other = explain(picture=photo[::-1].copy())
    row = Row("A", other, {"a": Shown(explain()), "b": Shown(other)})
    with pytest.raises(ValueError, match="of one picture"):
        payload({"a": row})


# --- formulas, read from docstrings ---


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_what_it_does(name):
    says, formula = explained(METHODS[name].function)
    assert re.fullmatch(r"[A-Z].{15,}\.", says), says
    assert " = " in formula and "*" not in formula and "relu" not in formula


def test_every_fusion_says_what_it_does():
    for fusion in FUSIONS.values():
        says, formula = explained(fusion.combine)
        assert says.startswith("What ") and says.endswith(".") and formula.startswith("F = ")


def test_known_formulas():
    assert explained(METHODS["layer_cam"].function) == (
        "Every place is weighted by its own positive gradient, so any layer will do.",
        "M = Σ_k ReLU(g_k) · A_k",
    )
    assert explained(FUSIONS["max_tanh"].combine) == ("What any stage saw.", "F = max_l n_l")
    assert explained(lambda: None) == ("", "")


# --- the component ---


def test_the_settings_are_the_browsers_own():
    defaults = re.search(r"const DEFAULTS = \{(.*?)\};", (FILES / "viewer.js").read_text(), re.S)
    assert tuple(re.findall(r"(\w+):", defaults[1])) == viewer.SETTINGS


def test_the_viewer_is_read_from_its_files(explain):
    said = payload({"layercam": explain()})

    async def config_of():  # gradio makes a loop of its own where it finds none
        with gr.Blocks() as page:
            made = Viewer(said, elem_id="maps")
        parts = page.get_config_file()["components"]
        return next(part["props"] for part in parts if part["id"] == made._id)

    config = asyncio.run(config_of())
    assert config["value"] == said and config["elem_id"] == "maps"
    for name in SCRIPTS:
        assert (FILES / name).read_text() in config["js_on_load"]
    assert config["props"] == {}  # a tab that has not been opened would lose them
    given = json.loads(config["js_on_load"].split("\n")[0].removeprefix("const GIVEN = "))
    tables = given["tables"]
    assert list(tables) == [*COLOR_MAPS, DIVERGING] and given["diverging"] == DIVERGING
    for name, text in tables.items():
        assert base64.b64decode(text) == color_table(name).tobytes()


@pytest.mark.parametrize("file", ["viewer.html", "viewer.css"])
def test_templates_hold_nothing_that_gradio_would_evaluate(file):
    """They pass through Handlebars and are then a template literal."""
    text = (FILES / file).read_text()
    for sign in ("`", "${", "{{", "\\"):
        assert sign not in text


def test_the_browsers_part_asks_no_host_and_evaluates_nothing():
    known = {"https://huggingface.co"}  # named to the frame around a Space, never fetched
    for path in FILES.iterdir():
        text = path.read_text()
        assert set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)) <= known
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "fetch(", "XMLHttp"):
            assert word not in text, f"{word} in {path.name}"


def test_no_interface_file_is_left_behind():
    """gradio writes one beside the module of every subclass of a component."""
    assert not list((FILES.parents[1] / "camviz" / "ui").glob("*.pyi"))
