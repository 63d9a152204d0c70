"""What the viewer is sent: every map once, true to half a step, and what is said about it."""

import base64
import gc
import io
import json
import re
import weakref
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from camviz.engine.engine import Engine
from camviz.fit import Fit
from camviz.images import Picture, open_picture
from camviz.maps.fusion import FUSIONS, Placement
from camviz.methods import METHODS
from camviz.ui.layers import layer_in_words, layer_name
from camviz.ui.state import Unavailable
from camviz.ui.viewer import (
    TITLES,
    Description,
    DifferencePanel,
    MapPanel,
    MapRow,
    RawPanel,
    Words,
    payload,
    rasterize,
)
from camviz.ui.viewer.encode import LONGEST, MOST_BYTES, encode_picture
from camviz.ui.viewer.schema import Absent, Row, Scene
from camviz.ui.viewer.words import REFINED_WORDS, symbols_in, words_of
from tests.support.pixels import random_pixels


@pytest.fixture(scope="module")
def explain(tiny, photo):
    engine = Engine("cpu")

    def get(method="layer_cam", picture=photo, backbone="test_resnet", **options):
        return engine.explain(picture, tiny(backbone), method=method, target=3, **options)

    return get


def panels(value, row=0):
    return {panel.key: panel for panel in value.rows[row].panels}


def unpacked(panel, what="data"):
    data = np.frombuffer(base64.b64decode(getattr(panel, what)), np.uint8)
    return data.reshape(panel.grid) / 255


def opened(source):
    kind, _, data = source.partition(";base64,")
    assert kind.startswith("data:image/")
    return Image.open(io.BytesIO(base64.b64decode(data)))


# --- maps ---


def test_every_map_is_sent_once_and_true_to_half_a_step(explain):
    x = explain("hires_cam")
    value = payload({"layercam": x})
    wanted = [*reversed(x.stages), "fused", "refined"]
    assert list(panels(value)) == wanted, "coarse to fine, then of all"
    grids = {**x.normalized, "fused": x.fused_grid[0], "refined": x.refined_grid[0]}
    for name, panel in panels(value).items():
        exact = grids[name]
        assert panel.grid == exact.shape
        assert np.abs(unpacked(panel) - exact).max() <= 0.5 / 255 + 1e-7
    for name in x.stages:
        panel = panels(value)[name]
        assert panel.peak == pytest.approx(x.raw[name].max(), rel=1e-6)
        assert panel.stride == x.placements[name].stride
        assert panel.offset == x.placements[name].offset
    for name, (_, placement) in (("fused", x.fused_grid), ("refined", x.refined_grid)):
        panel = panels(value)[name]
        assert (panel.peak, panel.unit, panel.last) == (1, None, True)
        assert (panel.stride, panel.offset) == (placement.stride, placement.offset)


def test_without_refinement_no_such_map_is_sent(explain):
    x = explain(refine="none")
    assert list(panels(payload({"layercam": x}))) == [*reversed(x.stages), "fused"]


def test_the_refined_map_says_how_it_was_spread(explain):
    x = explain(refine_power=2.5, refine_steps=1, refine_keep=0.5)
    height, width = x.refined_grid[0].shape
    panel = panels(payload({"layercam": x}))["refined"]
    assert panel.name == "Refined" and panel.facts == (f"{height} × {width} cells",)
    assert panel.notes == (
        "The cosine of the features of any two places to the power 2.5; 1 step from place to "
        "place; weighted by the fused map to the power 0.5.",
    )
    assert panel.words == REFINED_WORDS and "looks alike" in panel.words.summary
    assert panel.alt.startswith(f"The fused map for {x.label} spread to what looks alike: ")


def test_signed_maps_bring_both_signs(explain):
    x = explain("hires_cam")
    for name in x.stages:
        panel, raw = panels(payload({"layercam": x}))[name], x.raw[name]
        assert panel.lowest == pytest.approx(-raw.min(), rel=1e-6)
        both = unpacked(panel) * panel.peak - unpacked(panel, "against") * panel.lowest
        assert np.abs(both - raw).max() <= np.abs(raw).max() / 255
    unsigned = explain("layer_cam_elementwise")
    assert not any(panel.against for panel in panels(payload({"layercam": unsigned})).values())


def test_one_stage_is_not_fused(explain):
    x = explain("cam")
    assert list(panels(payload({"layercam": x}))) == [*x.stages, "refined"]
    x = explain("cam", refine="none")
    assert list(panels(payload({"layercam": x}))) == list(x.stages)


def test_three_rows_are_small(explain):
    rows = {key: explain(m) for key, m in zip(TITLES, ("hires_cam",) * 3, strict=True)}
    value = payload(rows, linked=True)
    text = json.dumps(value.to_json(), allow_nan=False)
    assert len(text) - len(value.picture.src) < 150_000
    titles = ["Hierarchical HiRes-CAM", *list(TITLES.values())[1:]]
    assert [row.title for row in value.rows] == titles


# --- the picture ---


def test_a_picture_is_sent_within_bounds_and_with_its_true_size(explain):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2100, 3), np.uint8)
    picture = payload({"layercam": explain(picture=noise)}).picture
    assert (picture.width, picture.height) == (2100, 1500)
    sent = opened(picture.src)
    assert max(sent.size) <= LONGEST and sent.width / sent.height == pytest.approx(1.4, 0.01)
    assert len(picture.src) < 1.4 * MOST_BYTES
    narrow = payload({"layercam": explain(picture=noise[:32])}).picture
    assert opened(narrow.src).size == (1200, 18)


def test_a_small_picture_is_sent_as_it_is(explain, photo):
    sent = np.asarray(opened(payload({"layercam": explain()}).picture.src).convert("RGB"))
    assert sent.shape == photo.shape
    assert np.abs(sent.astype(int) - photo).mean() < 12


# --- rows that are no maps, and what does not belong together ---


def test_a_sentence_stands_where_a_row_cannot_be_had(explain):
    value = payload({"layercam": explain(), "prototypes": Unavailable("There is no bank.")})
    assert value.rows[1] == Row(
        key="prototypes", title="Prototype similarity", reason="There is no bank."
    )
    alone = payload(
        {"layercam": Unavailable("Nothing."), "my_row": Unavailable("Nothing either.")},
        linked=True,
    )
    assert alone.picture is None and alone.linked
    assert alone.rows[1].title == "My row"


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
    value = payload({"layercam": explain()}, truth={"ram": mask, "none": mask & False})
    (row,) = value.truth
    assert row.label == "ram" and row.note is None
    assert opened(row.src).mode == "1"
    assert np.array_equal(np.asarray(opened(row.src)), mask)
    with pytest.raises(ValueError, match=r"mask of 'ram' has shape \(60, 80\)"):
        payload({"layercam": explain()}, truth={"ram": mask[:, :80]})


def test_what_lies_outside_the_crop_is_said(explain, photo):
    x = explain(fit="crop")
    half = np.zeros(photo.shape[:2], bool)
    half[:, : photo.shape[1] // 2] = True
    value = payload({"layercam": x}, truth={"ram": half})
    share = 1 - x.visible.mean()
    assert 0.3 < share < 0.6 and f"{share:.0%} of the picture" in value.crop_note
    assert not any(panel.scene.shows_all for panel in value.rows[0].panels)
    hidden = (half & ~x.visible).sum() / half.sum()
    assert value.truth[0].note == f"{hidden:.0%} of the ram lies outside the crop."
    assert payload({"layercam": explain()}).crop_note is None


# --- the map doctor ---


def test_facts_say_grid_and_share(explain):
    x = explain()
    for name in x.stages:
        panel, note = panels(payload({"layercam": x}))[name], x.notes[name]
        assert panel.facts == (f"{note.positive_share:.0%} in favour",)
        assert panel.name == layer_name(x.backbone, name, note.grid) and panel.module == name
        made = payload({"row": MapRow("Row", x, {"a": MapPanel(x, name, "Mine")})})
        named = made.rows[0].panels[0]
        assert named.facts == (f"{note.grid[0]} × {note.grid[1]} cells", *panel.facts)
        assert (named.name, named.module) == ("Mine", "")
        assert panel.notes == note.sentences and not panel.warnings


def test_a_truncated_row_says_what_was_taken_away(explain):
    x = explain(truncation=0.9)
    value = payload({"layercam": explain(), "denoised": x})
    words = value.rows[1].words
    level = "its weak values set to 0, at level 0.9"
    assert f"({level}; our reading of Dong et al., 2025, arXiv 2308.02118)" in words.summary
    assert words.formula.endswith("g_k → g_k if g_k ≥ τ, else 0") and "τ: " in words.symbols
    for name in x.stages:
        note, panel = x.notes[name], panels(value, 1)[name]
        last = "not denoised"
        if note.denoising is not None:
            last = f"{1 - note.denoising.removed:.0%} of the plain map"
        assert panel.facts == (last,)
    deepest = x.stages[-1]
    assert x.notes[deepest].denoising is None
    assert panels(value, 1)[deepest].remarks == ("Same map as in Hierarchical LayerCAM.",)
    capped = payload({"denoised": explain(truncation=0.9, truncation_mode="cap")})
    assert capped.rows[0].words.formula.endswith("min(ReLU(g_k), τ)")


def test_prototypes_are_counted_and_their_origin_said(explain):
    x = explain("lpcam", prototypes="picture")
    (row,) = payload({"prototypes": x}).rows
    assert row.tag == "from this picture alone"
    assert row.words.formula == "M = mean_i cos(A, F_i) − mean_j cos(A, B_j)"
    assert "F, B: prototypes" in row.words.symbols
    assert [panel.key for panel in row.panels[-2:]] == ["fused", "refined"]
    for panel in row.panels[:-2]:
        held = x.bank.stage(panel.key)
        count = len(held.kept("foreground")) + len(held.kept("context"))
        assert panel.facts == (f"{count} prototypes",) and count > 1
    assert payload({"layercam": explain()}).rows[0].tag is None


def test_symbols_are_those_of_the_formula():
    for row in (*METHODS.values(), *FUSIONS.values()):
        words = words_of(row)
        assert (words.summary, words.formula) == (row.summary, row.formula)
        assert ("A: " in words.symbols) == ("A" in words.formula)
        assert ("g: " in words.symbols) == ("g_" in words.formula)
    assert symbols_in("F = max_l n_l") == "n_l: the map of stage l over its maximum."
    assert symbols_in("") == ""


def test_an_empty_map_says_why(explain, tiny):
    silent = next(s.name for s in tiny("test_vit").stages if s.zero_gradient)
    loud = tiny("test_vit").default_stages[0]
    x = explain(backbone="test_vit", stages=[loud, silent])
    found = panels(payload({"layercam": x}))
    (warning,) = found[silent].warnings
    assert warning.startswith("Empty: the class score does not depend on this map, because")
    assert not unpacked(found[silent]).any() and found[silent].peak == 0
    assert "nowhere" in found[silent].alt
    assert f"Left out, because empty: {silent}." in found["fused"].notes

    nothing = replace(x, raw={name: -np.abs(raw) for name, raw in x.raw.items()})
    for name in ("fused", "refined"):
        panel = panels(payload({"layercam": nothing}))[name]
        assert panel.warnings == ("Empty: every stage is.",) and panel.peak == 0
        assert not unpacked(panel).any()


def test_nearly_the_same_map_is_named(explain):
    x, y = explain(), explain("eigen_cam")
    value = payload({"layercam": x, "prototypes": y, "denoised": x})
    first, last = x.stages[0], x.stages[-1]
    for name in (first, "fused", "refined"):
        assert panels(value, 2)[name].remarks == ("Same map as in Hierarchical LayerCAM.",)
    assert not panels(value, 0)[last].remarks and not panels(value, 1)[first].remarks


def test_alike_is_measured_by_correlation_whatever_the_scale(explain):
    x = explain()
    name = x.stages[-1]
    raw = x.raw[name]
    noise = np.random.default_rng(0).random(raw.shape, np.float32)
    spread = raw.std() / noise.std()
    for amount, alike in ((0.1, True), (0.4, False)):
        changed = replace(x, raw={**x.raw, name: (5 * (raw + amount * spread * noise))})
        value = payload({"layercam": x, "denoised": changed})
        found = panels(value, 1)[name].remarks
        assert bool(found) == alike, found
        assert not alike or re.fullmatch(
            r"Nearly the same map as in Hierarchical LayerCAM \(r = 0\.9[89]\d\)\.", found[0]
        )


def test_the_same_map_under_another_name_is_named(explain):
    x = explain(stages=["layer3", "layer4"])
    twice = {name: np.repeat(np.repeat(x.raw["layer4"], 2, 0), 2, 1) for name in x.stages}
    twice["layer4"] = x.raw["layer4"]
    y = replace(x, raw={**twice})
    words = layer_in_words(x.backbone, "layer4", x.notes["layer4"].grid)
    (remark, *_) = panels(payload({"a": y}))["layer3"].remarks
    assert remark.startswith(f"Nearly the same map as {words} (")
    z = replace(x, raw={"layer3": x.raw["layer3"], "layer4": x.raw["layer4"]})
    swapped = {"layer3": x.placements["layer4"], "layer4": x.placements["layer3"]}
    z = replace(z, raw={"layer3": z.raw["layer4"], "layer4": z.raw["layer3"]}, placements=swapped)
    found = panels(payload({"layercam": x, "b": z}), 1)
    assert found["layer3"].remarks == (
        f"Same map as {layer_in_words(x.backbone, 'layer4', x.notes['layer4'].grid)} "
        "in Hierarchical LayerCAM.",
    )


def test_maps_that_are_the_same_everywhere_are_compared_with_none(explain):
    x = explain(stages=["layer4"])
    flat = replace(x, raw={"layer4": np.ones_like(x.raw["layer4"])})
    value = payload({"layercam": flat, "denoised": flat})
    assert not panels(value, 1)["layer4"].remarks


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
    alt = panels(payload({"layercam": x}))["layer4"].alt
    name = layer_in_words(x.backbone, "layer4", x.notes["layer4"].grid)
    assert alt == f"Where {name} found evidence for {x.label}: strongest at the {words}"


# --- rows put together by hand ---


def test_a_row_by_hand_has_the_maps_it_was_given(explain):
    x, y = explain(), explain("grad_cam")
    last = x.stages[-1]
    absent = Unavailable("Not to be had.")
    row = MapRow("Mine", x, {last: MapPanel(x, last), "other": absent, "all": MapPanel(y)})
    value = payload({"mine": row}, dense=True)
    assert value.dense and value.rows[0].title == "Mine"
    made = panels(value)
    assert np.abs(unpacked(made[last]) - x.normalized[last]).max() <= 0.5 / 255 + 1e-7
    assert np.abs(unpacked(made["all"]) - y.fused_grid[0]).max() <= 0.5 / 255 + 1e-7
    assert value.rows[0].absent == (Absent("other", "other", "Not to be had."),)
    assert not made[last].last and made["all"].last, "what is fused stands behind the stages"


def test_what_is_said_of_a_map_by_hand(explain):
    x = explain()
    last = x.stages[-1]
    panel = MapPanel(x, last, "Mine", {"new": "It is new."}, facts=("first",), shares=True)
    row = MapRow("A", x, {"b": replace(panel, ring=(7, 5))}, summary="So it is.")
    value = payload({"a": row})
    made = panels(value)["b"]
    assert made.name == "Mine" and made.marks == {"new": "It is new."} and made.ring == (7, 5)
    assert made.facts[0] == "first" and made.notes[0] == "It is new."
    assert (made.unit, made.peak, made.top, made.against) == (None, 1, 1, None)
    assert value.rows[0].words == replace(words_of(METHODS["layer_cam"]), summary="So it is.")
    nothing = replace(x, raw={name: -np.abs(raw) for name, raw in x.raw.items()})
    panel = replace(panel, x=nothing)
    assert panels(payload({"a": MapRow("A", nothing, {"b": panel})}))["b"].peak == 0


def test_networks_that_see_differently_are_shown_each_in_its_own_way(explain):
    x, y = explain(), explain(fit="crop")
    made = panels(payload({"a": MapRow("A", x, {"one": MapPanel(x), "two": MapPanel(y)})}))
    assert made["one"].scene == Scene(x.fit.rect, x.fit.input_size, True)
    assert made["two"].scene == Scene(y.fit.rect, y.fit.input_size, False)
    assert f"{y.visible.mean():.0%} of the picture seen" in made["two"].facts


def test_maps_on_a_raster_are_the_engines_own(explain, photo):
    for x in (explain(), explain(fit="crop")):
        heat, visible = rasterize(MapPanel(x), 1000)
        assert np.allclose(heat, x.fused, atol=1e-5) and np.array_equal(visible, x.visible)
    heat, _ = rasterize(MapPanel(explain()), 45)
    assert heat.shape == (30, 45)


def test_a_difference_is_signed_and_zero_where_one_saw_nothing(explain):
    x, y = explain(), explain("hires_cam", fit="crop")
    pair = DifferencePanel(MapPanel(x), MapPanel(y), "x less y", ("more y", "more x"))
    value = payload({"a": MapRow("A", x, {"x": MapPanel(x), "d": pair})})
    made = panels(value)["d"]
    both = unpacked(made) * made.peak - unpacked(made, "against") * made.lowest
    exact = np.where(y.visible, x.fused - y.fused, 0)
    assert np.abs(both - exact).max() < 0.01 and made.top == 1
    assert made.scene == Scene((0, 0, 90, 60), (60, 90), True)
    assert made.ends == ("more y", "more x") and not value.has_signs, "it always has both signs"
    same = DifferencePanel(MapPanel(x), MapPanel(x), "nothing", ("", ""))
    made = panels(payload({"a": MapRow("A", x, {"x": MapPanel(x), "d": same})}))["d"]
    assert made.peak == made.lowest == 0 and made.against is None


def test_a_row_that_repeats_another_says_so_once(explain):
    x = explain()
    maps = {name: MapPanel(x, name) for name in x.stages}
    value = payload({"one": MapRow("One", x, maps), "two": MapRow("Two", x, maps)})
    assert value.rows[1].tag == "The same maps as One"
    assert not any(panel.remarks for panel in value.rows[1].panels)
    some = {**maps, x.stages[0]: MapPanel(explain("grad_cam"), x.stages[0])}
    value = payload({"one": MapRow("One", x, maps), "two": MapRow("Two", x, some)})
    assert panels(value, 1)[x.stages[-1]].remarks == ("Same map as in One.",)
    assert value.rows[1].tag is None


def test_nearly_the_same_map_of_a_row_by_hand_is_a_note(explain):
    x = explain()
    name = x.stages[-1]
    noise = np.random.default_rng(0).random(x.raw[name].shape, np.float32)
    raw = x.raw[name] + 0.1 * x.raw[name].std() / noise.std() * noise
    y = replace(x, raw={**x.raw, name: raw})
    value = payload({"one": MapRow("One", x, {name: MapPanel(x, name)}),
                     "two": MapRow("Two", y, {name: MapPanel(y, name)})})  # fmt: skip
    (panel,) = value.rows[1].panels
    assert not panel.remarks and panel.notes[-1].startswith("Nearly the same map as in One (r = ")


def test_rows_by_hand_are_of_one_picture(explain, photo):
    other = explain(picture=photo[::-1].copy())
    row = MapRow("A", other, {"a": MapPanel(explain()), "b": MapPanel(other)})
    with pytest.raises(ValueError, match="of one picture"):
        payload({"a": row})


# --- maps that belong to no explanation ---


@dataclass(frozen=True)
class Cosines:
    """A map as a row of similar places has them."""

    raw: np.ndarray
    placement: Placement
    picture: Picture
    fit: Fit


def test_maps_of_another_origin_say_what_they_are_given(explain):
    x = explain(fit="crop")
    raw = np.linspace(-0.5, 1, 45, dtype=np.float32).reshape(5, 9)
    height, width = x.fit.input_size
    found = Cosines(raw, Placement((height / 5, width / 9)), x.picture, x.fit)
    words = Words("How similar each place is.", "S = Σ_k A_k", "A: what the layer answers.")
    panel = RawPanel(found, "layer4", "Similar places.", ("cosine −0.50 to 1.00",), ring=(30, 20))
    empty = RawPanel(replace(found, raw=-raw[:, :1]), "layer1", "None.", warnings=("Empty.",))
    about = Description("Similarity.", "cosine similarity", words, unit="cosine")
    row = MapRow("In this picture", about, {"layer4": panel, "layer1": empty})
    value = payload({"similar": row}, pick="Click a place.", follows="other")
    assert (value.pick, value.follows, value.has_signs) == ("Click a place.", "other", True)
    assert value.crop_note and value.picture.width == x.picture.width
    made = value.rows[0]
    assert (made.title, made.method, made.paper) == (
        "In this picture", "Similarity.", "cosine similarity"
    )  # fmt: skip
    assert made.words == words and made.tag is None
    shown = panels(value)["layer4"]
    assert (shown.name, shown.alt, shown.ring) == ("layer4", "Similar places.", (30, 20))
    assert shown.facts == ("5 × 9 cells", "cosine −0.50 to 1.00") and not shown.remarks
    assert (shown.unit, shown.peak, shown.lowest, shown.last) == ("cosine", 1, 0.5, False)
    both = unpacked(shown) * shown.peak - unpacked(shown, "against") * shown.lowest
    assert np.abs(both - raw).max() <= 0.5 / 255 + 1e-6
    assert shown.scene == Scene(x.fit.rect, x.fit.input_size, False)
    nothing = replace(empty, map=replace(found, raw=-np.abs(raw)))
    made = panels(payload({"similar": replace(row, panels={"layer1": nothing})}))["layer1"]
    assert made.peak == 0 and made.warnings == ("Empty.",)


def test_a_picture_that_was_encoded_is_not_held():
    picture = open_picture(random_pixels(40, 60))
    found = encode_picture(picture)
    assert encode_picture(open_picture(random_pixels(40, 60))) is found, "the text is"
    pixels = weakref.ref(picture.pixels)
    del picture
    gc.collect()
    assert pixels() is None
