"""The view Classes without a browser: two classes, the sheet, the list of all, and what is said."""

import base64
import gc
import json
import re
from dataclasses import fields, replace
from html import unescape

import numpy as np
import pytest

from camviz import Engine, wrap_backbone
from camviz.errors import DataError
from camviz.examples import example
from camviz.network.weights import build_untrained
from camviz.resources import WEB
from camviz.ui import actions, contrast, html, service
from camviz.ui.compute import engine
from camviz.ui.state import BackboneChoice, Controls, Selection, Session
from camviz.ui.tabs import classes
from camviz.ui.viewer import Classes, class_list, classes_of, held_maps

RAM = str(example("a-ram").path)
MODULE = WEB / "classes" / "class-list.js"
DRAWING = WEB / "viewer" / "one-map.js"  # draws the maps that the module holds


@pytest.fixture
def scene(fresh):
    return Controls(picture=RAM, backbone=BackboneChoice("scenes-resnet"))


def panels(page):
    return {row.key: [panel.name for panel in row.panels] for row in page["maps"].rows}


# --- two classes ---


def test_two_classes_side_by_side(shown, scene):
    page = shown(classes, replace(scene, versus="sheep"))
    assert panels(page) == {
        "alone": ["A: ram", "B: sheep", "A − B", "B − A"],
        "rather": ["ram rather than sheep", "sheep rather than ram"],
    }
    *_, less, back = page["maps"].rows[0].panels
    assert less.ends == ("sheep", "ram") and back.ends == ("ram", "sheep")
    assert less.top == back.top == 1.0
    assert less.facts[-2:] == ("HiRes-CAM", "ram less sheep"), "it says by which method"
    assert (less.data, less.against) == (back.against, back.data), "the other sign"
    assert "differences by HiRes-CAM" in page["maps"].rows[0].paper


def test_what_is_said_is_what_was_computed(shown, scene):
    page = shown(classes, replace(scene, versus="sheep"))
    one, other = contrast.alone(scene, 1), contrast.alone(scene, 0)
    found = contrast.overlap(one, other)
    text = " ".join(unescape(re.sub(r"<[^>]+>", "", page["heading"])).split())
    assert text.startswith(f"ram or sheep? {found.words}.")
    assert f"{100 * found.shared:.0f}% of the hottest fifth of the picture is shared" in text
    assert f"({found.correlation})" in text
    part = contrast.telling_part(one, 0)
    alone, against = part.share(one), part.share(contrast.rather(scene, 1, 0))
    assert against > alone
    assert (
        f"horns, {part.area:.1%} of the picture. On it lies {alone:.1%} of the heat for ram alone, "
        f"and {against:.1%} for ram rather than sheep." in text
    )
    assert "Compare with" not in text


def test_the_telling_part_is_outlined(shown, scene):
    page = shown(classes, scene)
    labels = [thing.label for thing in page["maps"].truth]
    assert labels == ["ram", "horns of the ram"] and page["maps"].outline == "horns of the ram"
    assert 'data-label="sheep" data-rival="1">Compare with sheep' in page["heading"]


def test_a_photograph_has_no_telling_part(shown, controls):
    page = shown(classes, controls)
    assert page["maps"].outline is None and not page["maps"].truth
    assert "outlined" not in page["heading"]
    assert "untrained" in page["heading"]


@pytest.mark.parametrize("method", ["cam", "eigen_cam", "grad_cam_pp"])
def test_every_method_has_two_classes(shown, scene, method):
    page = shown(classes, scene.with_options(method=method))
    assert [len(names) for names in panels(page).values()] == [4, 2]
    instead = "Eigen-CAM is the same for every class, so LayerCAM is shown." in page["sheet"]
    assert instead == (method == "eigen_cam")


# --- the sheet ---


def test_the_sheet_has_the_best_classes_and_marks_the_two(shown, scene):
    page = shown(classes, replace(scene, target="sheep", versus="ram"))
    x = contrast.alone(scene, 0)
    best = [label for _, label, _ in contrast.best_classes(x)]
    explain = re.findall(r'data-label="([^"]+)" aria-pressed="(\w+)"', page["sheet"])
    assert 'aria-label="A sheep ' in page["sheet"], "the name begins with what is written"
    assert [label for label, _ in explain] == best and len(best) >= 6 and "sheep" in best
    assert [label for label, pressed in explain if pressed == "true"] == ["sheep"]
    rivals = re.findall(r'data-label="([^"]+)" data-rival="1" aria-pressed="(\w+)"', page["sheet"])
    assert [label for label, pressed in rivals if pressed == "true"] == ["ram"]
    assert [label for label, _ in rivals] == [label for label in best if label != "sheep"]
    assert "one common scale" in page["sheet"]


def test_a_press_explains_or_compares(session, scene):
    session.change(scene)
    actions.click_bar(session, Selection("zebra"))
    assert session.controls.target == "zebra"
    actions.click_bar(session, Selection("horse", selected=True))
    assert session.controls.versus == "horse"
    classes.choose(session, Selection("ram"))
    assert session.controls.target == "ram"


def test_there_is_a_sentence_where_there_is_no_picture(shown, scene):
    page = shown(classes, replace(scene, picture=None))
    assert page["maps"].rows[0].reason == classes.NO_PICTURE and page["every"] is None


# --- all classes ---


def test_every_class_has_its_cam_in_bytes(scene):
    x = contrast.alone(scene, 1)
    value = classes_of(x, engine().class_maps(x), "viewer")
    assert value.labels == tuple(label for _, label, _ in x.predictions)
    data = np.frombuffer(base64.b64decode(value.data), np.uint8)
    maps = data.reshape(len(value.labels), *value.grid).astype(np.float64) / 255
    for place in (0, 7, 15):
        index = x.predictions[place][0]
        cam = service.explain(scene, target=index, method="cam", versus=None)
        raw = cam.raw[cam.stages[0]].clip(min=0)
        assert value.peaks[place] == pytest.approx(raw.max(), rel=1e-5)
        assert np.allclose(maps[place] * value.peaks[place], raw, atol=raw.max() / 500)


def test_a_thousand_classes_are_smaller_than_a_photograph(controls):
    x = service.explain(controls)
    value = classes_of(x, engine().class_maps(x), "viewer")
    assert len(value.labels) == 1000
    assert len(json.dumps(value.to_json())) < class_list.MOST_BYTES == 400_000


def test_what_does_not_fit_is_left_out_from_the_end(controls, monkeypatch, shown):
    most = 20_000
    monkeypatch.setattr(class_list, "MOST_BYTES", most)
    x = service.explain(controls)
    maps = engine().class_maps(x)
    value = classes_of(x, maps, "viewer")
    count = len(value.labels)
    assert value.labels == tuple(label for _, label, _ in x.predictions[:count])
    assert 0.85 * most < len(json.dumps(value.to_json())) <= most
    assert value.known == 1000 and x.predictions[value.place][1] == value.explained == x.label
    page = shown(classes, controls)
    said = page["every_heading"]
    assert f"The maps of the {count} most probable of 1000 classes are here" in said


# --- very many classes: what was not sent is asked for ---

MANY = 30_000
WOODS = ("oak", "Elm", "ash", "fir", "yew")


@pytest.fixture(scope="module")
def forest():
    """A network of very many classes, and its least probable one: (engine, explanation)."""
    model = build_untrained("test_resnet", num_classes=MANY, zero_init_last=False)
    labels = [f"{WOODS[i % 5]} number {i}" for i in range(MANY)]
    backbone = wrap_backbone(model, labels=labels, device="cpu", input_size=64)
    here = Engine("cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    x = here.explain(pixels, backbone)
    return here, here.explain(pixels, backbone, target=x.predictions[-1][0])


@pytest.fixture
def sent(forest):
    """(value, ask): what the list was sent, and ask(**question), which must not run the network."""
    here, x = forest
    value = classes_of(x, here.class_maps(x), "viewer")

    def ask(**question):
        def run(*_):
            pytest.fail("the network ran")

        handle = x.backbone.model.register_forward_pre_hook(run)
        try:
            found = classes.answer(Session(), {"number": 7, "key": value.key, **question})
        finally:
            handle.remove()
        assert found.pop("number") == 7
        return found

    return value, ask


def test_of_very_many_classes_the_best_are_sent(forest, sent):
    _, x = forest
    value, _ = sent
    assert len(json.dumps(value.to_json())) <= class_list.MOST_BYTES
    assert 1000 < len(value.labels) < value.known == MANY
    assert value.explained == x.label and value.place == MANY - 1


def test_a_map_that_was_not_sent_is_the_classs_own(forest, sent):
    here, x = forest
    value, ask = sent
    raw = here.class_maps(x).raw
    for place in (0, len(value.labels), MANY - 1):
        index, label, share = x.predictions[place]
        found = ask(place=place)
        assert (found["label"], found["share"]) == (label, html.percent(share))
        heat = raw[index].clip(min=0)
        cells = np.frombuffer(base64.b64decode(found["data"]), np.uint8).reshape(value.grid)
        assert found["peak"] == pytest.approx(heat.max(), rel=1e-5) and found["place"] == place
        assert np.allclose(cells / 255 * found["peak"], heat, atol=heat.max() / 500)
    assert ask(place=3)["peak"] == value.peaks[3]


def test_every_name_can_be_reached_in_bounded_answers(forest, sent):
    _, x = forest
    value, ask = sent
    ranking = [(place, label) for place, (_, label, _) in enumerate(x.predictions)]
    start = len(value.labels)
    for _ in range(2):
        found = ask(text="", start=start)
        assert len(json.dumps(found)) <= class_list.ANSWER_BYTES and found["total"] == MANY
        rows = [(place, label) for place, label, _ in found["rows"]]
        assert len(rows) > 100 and rows == ranking[start : start + len(rows)]
        start += len(rows)
    last = ask(text="", start=MANY - 2)["rows"]
    assert [row[0] for row in last] == [MANY - 2, MANY - 1]
    assert ask(text="", start=MANY)["rows"] == []
    found = ask(text=" 29998 FIR", start=0)
    assert found["total"] == 1 and found["rows"][0][1] == "fir number 29998"
    found = ask(text="elm", start=10)
    wanted = [place for place, label in ranking if label.startswith("Elm")]
    assert found["total"] == len(wanted) == MANY // 5
    assert [row[0] for row in found["rows"][:50]] == wanted[10:60]
    assert ask(text="palm", start=0) == {"rows": [], "total": 0}


def test_what_cannot_be_answered_says_why(sent):
    _, ask = sent
    gone = "The maps of this picture are not held any more; open the view again."
    assert ask(key="another", place=1) == {"problem": gone}
    assert ask(place=MANY) == {"problem": "There are 30000 classes, and none is at 30000."}
    for wrong in ({}, {"place": "x"}, {"text": None, "start": 0}, {"text": "", "start": -1}):
        assert list(ask(**wrong)) == ["problem"]
    assert classes.answer(Session(), None)["problem"]
    assert list(ask(place=0)) == ["place", "label", "share", "peak", "data"]


def test_they_are_held_as_long_as_the_trace_of_the_picture(controls):
    here = Engine("cpu")
    x = here.explain(service.picture_at(controls.picture), "test_resnet", weights="random")
    key = classes_of(x, here.class_maps(x), "viewer").key
    assert held_maps(key) is here.class_maps(x)
    del here
    gc.collect()
    with pytest.raises(DataError, match="not held any more"):
        held_maps(key)


def test_a_head_that_is_not_linear_is_a_sentence(shown, scene, on_backbone):
    page = shown(classes, on_backbone(scene, "scenes-vit"))
    assert page["every"] is None
    assert "is not linear in the places of its map" in page["every_heading"]
    assert "Press a class on the sheet above instead." in page["every_heading"]


def test_a_norm_in_the_head_is_said(shown, scene, on_backbone):
    page = shown(classes, on_backbone(scene, "scenes-convnext"))
    assert "normalisation held as it is" in page["every_heading"] and page["every"]["labels"]


def test_both_sides_have_the_same_keys():
    text = MODULE.read_text(encoding="utf-8")
    block = re.search(r"@typedef \{object\} Classes\n(.*?)\*/", text, re.S)[1]
    assert re.findall(r"@property \{.*?\} (\w+)", block) == [one.name for one in fields(Classes)]
    code = text.replace(block, "") + DRAWING.read_text(encoding="utf-8")
    assert all(re.search(rf"\b{one.name}\b", code) for one in fields(Classes))
