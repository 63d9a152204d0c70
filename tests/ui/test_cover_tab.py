"""The view Cover it without a browser: what is covered, what is said of it, and what links hold."""

import base64
import io
import re
import zipfile
from dataclasses import fields, replace
from html import unescape

import numpy as np
import pytest
from PIL import Image

from camviz import Engine
from camviz.errors import MethodError
from camviz.examples import example
from camviz.maps.cover import COVERS
from camviz.maps.localization import hottest
from camviz.maps.runs import read_mask, resize_mask, write_mask
from camviz.resources import WEB
from camviz.ui import actions, covering, html, links, on_request, service
from camviz.ui.compute import engine
from camviz.ui.downloads.bundle import make_zip
from camviz.ui.events import glimpse
from camviz.ui.state import BackboneChoice, Controls, Covering, Selection, Session, Update
from camviz.ui.strip import show_picture
from camviz.ui.tabs import compare, cover, sanity
from camviz.ui.tabs.table import TABS
from camviz.ui.viewer import Painting

RAM = str(example("a-ram").path)


@pytest.fixture
def scene(fresh):
    return Controls(picture=RAM, backbone=BackboneChoice("scenes-resnet"))


@pytest.fixture
def blot():
    """Something painted in the upper left corner, as a browser writes it."""
    mask = np.zeros((224, 224), bool)
    mask[10:50, 20:90] = True
    return write_mask(mask)


def covered(controls, **covering_):
    return replace(controls, cover=Covering(**covering_))


def text_of(markup):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", str(markup))).split())


def pixels_of(url):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))


# -- What is covered ------------------------------------------------------------------------------


def test_what_was_painted_is_covered_at_the_size_of_the_picture(scene, blot):
    x = service.explain(scene)
    mask = covering.mask_of(Covering(painted=blot), x)
    assert mask.shape == (384, 384)
    rows, columns = np.nonzero(mask)
    assert (rows.min(), columns.min()) == (17, 34) and (rows.max(), columns.max()) == (85, 153)


@pytest.mark.parametrize("share", [5, 20, 60])
def test_the_hottest_part_is_that_of_the_fused_map(scene, share):
    x = service.explain(scene)
    mask = covering.mask_of(Covering(hottest=share), x)
    np.testing.assert_array_equal(mask, hottest(x.fused, share / 100))
    others = covering.mask_of(Covering(hottest=share, others=True), x)
    np.testing.assert_array_equal(others, ~mask)


def test_parts_are_covered_with_their_edges(scene):
    x = service.explain(scene)
    horns = example("a-ram").truth[0].parts["horns"]
    mask = covering.mask_of(Covering(parts=("ram/horns", "ram/wings", "cat/head")), x)
    assert (mask & horns).sum() == horns.sum()
    far = np.ones_like(mask)
    for y, x_ in np.argwhere(horns):
        far[max(0, y - 2) : y + 3, max(0, x_ - 2) : x_ + 3] = False
    np.testing.assert_array_equal(mask, ~far)


@pytest.mark.parametrize("kind", COVERS)
def test_what_is_said_is_what_the_covered_picture_gets(shown, scene, blot, kind):
    page = shown(cover, covered(scene, kind=kind, painted=blot, parts=("ram/horns",)))
    found = covering.covered(
        covered(scene, kind=kind, painted=blot, parts=("ram/horns",)), service.explain(scene)
    )
    y = Engine("cpu").explain(found.after.picture, service.load(scene.backbone), target=1)
    np.testing.assert_array_equal(y.logits, found.after.logits)
    now = {label: share for _, label, share in y.predictions}
    x = service.explain(scene)
    for bar in page["canvas"].bars:
        then = next(share for _, label, share in x.predictions if label == bar["label"])
        assert bar["texts"] == [html.percent(then), html.percent(now[bar["label"]])]
    assert [bar["label"] for bar in page["canvas"].bars if bar["explained"]] == ["ram"]
    assert page["canvas"].logits == (float(x.logits[1]), float(y.logits[1]))
    whole = found.after.picture.pixels.astype(int)
    assert np.abs(pixels_of(page["canvas"].covered) - whole).mean() < 4


@pytest.mark.parametrize(
    ("before", "after", "arrow"),
    [(0.2, 0.9, "↗"), (0.9, 0.2, "↘"), (0.2, 0.2, "→"), (0.20001, 0.20002, "→")],
)
def test_an_arrow_says_which_way_a_class_went_as_far_as_it_is_seen(before, after, arrow):
    bar = covering.Bar("ram", before, after, explained=True)
    assert bar.arrow == bar.to_json()["arrow"] == arrow


def test_both_maps_stand_side_by_side_with_what_is_covered_outlined(shown, scene, blot):
    page = shown(cover, covered(scene, painted=blot))
    rows = page["maps"].rows
    assert [row.title for row in rows] == [
        "All layers together", "Which thing it is on", "The deepest layer",
    ]  # fmt: skip
    for row in rows:
        assert [panel.name for panel in row.panels] == ["As it is", "Covered"]
    assert page["maps"].outline == "what is covered"
    found = covering.covered(covered(scene, painted=blot), service.explain(scene))
    data = np.frombuffer(base64.b64decode(rows[0].panels[1].data), np.uint8)
    np.testing.assert_array_equal(data, np.rint(found.after.grid("fused")[0] * 255).ravel())
    assert rows[0].panels[0].data != rows[0].panels[1].data


def test_nothing_covered_is_an_invitation(shown, scene):
    page = shown(cover, scene)
    assert "Cover it and see" in page["heading"] and page["canvas"].covered == ""
    assert not text_of(page["conclusion"]) and page["real"] == ""
    assert [len(row.panels) for row in page["maps"].rows] == [1, 1, 1]
    assert all(bar["arrow"] == "→" for bar in page["canvas"].bars)


def test_there_is_a_sentence_where_there_is_no_picture(shown, scene):
    page = shown(cover, replace(scene, picture=None))
    assert page["maps"].rows[0].reason == cover.NO_PICTURE and page["canvas"] is None


# -- What follows ---------------------------------------------------------------------------------


def headline(controls, **given):
    given = covered(controls, **given)
    return covering.covered(given, service.explain(given)).conclusion


def test_without_what_is_needed_it_says_something_else(scene):
    found = headline(scene, parts=("ram/horns",))
    assert re.fullmatch(
        r"Without the horns it says sheep, \d+\.\d%: for ram, the horns were needed\.",
        found.headline,
    )
    assert re.fullmatch(
        r"The logit of ram goes from 4\.01 to −?\d\.\d\d \(−\d\.\d\d\)\.", found.logit
    )
    assert re.fullmatch(r"4\.\d% of the picture is covered\.", found.details[0])
    assert found.details[1].endswith("covering tells the truth here.")


def test_without_what_is_not_needed_it_still_says_the_same(scene, blot):
    found = headline(scene, painted=blot)
    assert re.fullmatch(
        r"It still says ram, \d\d\.\d%: what is covered was not needed\.", found.headline
    )
    assert len(found.details) == 1


def test_of_the_hottest_part_alone_it_says_whether_that_is_enough(scene):
    much = headline(scene, hottest=45, others=True).headline
    little = headline(scene, hottest=1, others=True).headline
    assert much.endswith("what is left is enough.") and much.startswith("It still says ram")
    assert re.fullmatch(
        r"From what is left it says .+, [\d.]+%: that is not enough for ram\.", little
    )


def test_of_a_class_that_is_not_first_it_says_which_way_it_went(scene):
    found = headline(replace(scene, target="sheep"), parts=("ram/horns",)).headline
    assert re.fullmatch(r"sheep goes from 0\.\d% to \d\d\.\d%: the horns spoke against it\.", found)


BARELY = "It still says a, but less than half as surely, 40.0%: "


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ((0.9, 0.1), (0.6, 0.4), "It still says a, 60.0%: what is covered counted"),
        ((0.9, 0.1, 0), (0.4, 0.3, 0.3), f"{BARELY}what is covered counted much."),
        ((0.6, 0.4), (0.9, 0.1), "It says a more surely, 90.0%: what is covered spoke against"),
        ((0.9, 0.1), (0.88, 0.12), "It still says a, 88.0%: what is covered was not needed"),
        ((0.9, 0.1), (0.2, 0.8), "Without what is covered it says b, 80.0%: for a, what is"),
    ],
)
def test_every_change_has_its_sentence(before, after, said, scene):
    class Answer:
        target, label = 0, "a"
        backbone = type("B", (), {"output": "softmax"})
        picture = type("P", (), {"digest": "0"})

        def __init__(self, shares):
            ranked = [(i, "abc"[i], p) for i, p in enumerate(shares)]
            self.predictions = sorted(ranked, key=lambda row: -row[2])
            self.logits = np.log(np.add(shares, 1e-9))

    mask = np.zeros((4, 4), bool)
    mask[0] = True
    found = covering.Covered(Covering(painted="x"), Answer(before), Answer(after), mask, None)
    assert found.conclusion.headline.startswith(said)
    mostly = replace(found, mask=~mask).conclusion.headline
    if said.startswith(BARELY):
        assert mostly == f"{BARELY}what is left is not all that counts."
    else:
        assert mostly.endswith((": what is left is enough.", ": that is not enough for a."))


def test_the_caution_stands_beside_every_conclusion(shown, scene, blot):
    page = shown(cover, covered(scene, painted=blot))
    text = text_of(page["conclusion"])
    assert re.match(r"\d+\.\d% of the picture is covered\. The network was trained on no", text)
    assert "logit" not in text, "it stands beside the bars"


def test_values_are_raised_and_lowered(shown, controls_of, photo_file, blot, monkeypatch, tiny):
    backbone = replace(tiny("test_resnet"), output="value")
    x = engine().explain(photo_file, backbone, target=3)
    found = covering.Covered(
        Covering(painted=blot), x, engine().cover(x, covering.mask_of(Covering(painted=blot), x)),
        covering.mask_of(Covering(painted=blot), x), None,
    )  # fmt: skip
    text = found.conclusion.headline
    assert re.search(r": what is covered (raises it|lowers it|hardly counts)\.$", text)
    assert "%" not in text and "says" not in text
    assert found.conclusion.details == ("3.6% of the picture is covered.",) or "covered" in text


def test_without_classes_features_are_compared(shown, controls_of, photo_file, blot, fresh):
    from camviz.network.weights import load_backbone

    backbone = load_backbone("test_resnet", "random", "cpu", num_classes=0)
    x = engine().explain(photo_file, backbone)
    mask = covering.mask_of(Covering(painted=blot), x)
    y = engine().cover(x, mask)
    found = covering.Covered(Covering(painted=blot), x, y, mask, None)
    cosine = x.logits @ y.logits / np.linalg.norm(x.logits) / np.linalg.norm(y.logits)
    assert f"alike by {cosine:.2f} (cosine" in found.conclusion.headline
    assert found.bars == () and found.logits is None


# -- The scene drawn without ----------------------------------------------------------------------


def test_the_counterfactual_is_the_scene_drawn_without(shown, scene):
    given = covered(scene, parts=("ram/horns",))
    x = service.explain(given)
    real = covering.covered(given, x).real
    assert real.picture == example("a-ram").without({"ram": ["horns"]})
    alone = Engine("cpu").explain(real.picture, x.backbone, target=1)
    np.testing.assert_array_equal(real.logits, alone.logits)
    page = shown(cover, given)
    assert [panel.name for panel in page["maps"].rows[0].panels] == [
        "As it is", "Covered", "Drawn without",
    ]  # fmt: skip
    sources = re.findall(r'<img src="([^"]+)"', page["real"])
    pixels = pixels_of(unescape(sources[1])).astype(int)
    assert np.abs(pixels - real.picture.pixels).mean() < 4
    share = {label: p for _, label, p in real.predictions}["sheep"]
    assert html.percent(share) in page["real"]


def test_where_anything_else_is_covered_too_there_is_none(scene, blot):
    x = service.explain(scene)
    for more in ({"painted": blot}, {"hottest": 3}):
        assert covering.counterfactual(Covering(parts=("ram/horns",), **more), x) is None
    assert covering.counterfactual(Covering(painted=blot), x) is None


def test_a_photograph_has_no_parts(shown, controls, blot):
    page = shown(cover, covered(controls, painted=blot, parts=("ram/horns",)))
    assert page["canvas"].parts == () and page["real"] == ""
    assert "untrained" in page["heading"]


# -- While the brush moves ------------------------------------------------------------------------


def test_a_glance_says_what_the_answer_will_say(session, scene, blot):
    session.change(scene)
    data = {"kind": "mean", "painted": blot, "out": ["ram/horns"], "number": 7}
    found = glimpse(session, cover.glance, data)
    given = covered(scene, kind="mean", painted=blot, parts=("ram/horns",))
    final = covering.covered(given, service.explain(given))
    assert found["number"] == 7
    shown = {bar["label"]: bar for bar in found["bars"]}
    assert {"ram", "sheep"} <= set(shown)
    for wanted in final.bars:
        bar = shown.get(wanted.label)
        if bar is None:  # the least of them may be another one
            continue
        assert abs(bar["after"] - wanted.after) < 0.05 and bar["before"] == pytest.approx(
            wanted.before, abs=1e-4
        )
    assert abs(found["logit"] - final.logits[1]) < 0.5
    assert session.controls == scene and session.controls.cover.is_empty, "it changes nothing"


@pytest.mark.parametrize("data", [None, 3, {"kind": "paint"}, {"painted": "9x9.AA"}, {"out": 4}])
def test_a_glance_of_nonsense_is_nothing(session, scene, data):
    session.change(scene)
    found = glimpse(session, cover.glance, data)
    assert found is None or found["number"] is None


# -- Events, links, the report --------------------------------------------------------------------


def test_a_stroke_is_kept(session, scene, blot):
    session.change(scene)
    cover.choose(session, Selection({"kind": "mean", "painted": blot, "out": ["ram/head"]}))
    assert session.controls.cover == Covering("mean", blot, parts=("ram/head",))
    cover.choose(session, Selection({"hottest": 20, "others": True}))
    assert session.controls.cover == Covering(hottest=20, others=True)


@pytest.mark.parametrize(
    ("value", "said"),
    [({"kind": "paint"}, "no cover"), ({"hottest": 0}, "1 to 99"), ({"hottest": 100}, "1 to 99"),
     ({"painted": "x"}, "cannot be read"), ({"painted": "9x9.AA"}, "do not fill it")],
)  # fmt: skip
def test_what_cannot_be_covered_is_refused(session, scene, value, said):
    session.change(scene)
    with pytest.raises(MethodError, match=said):
        cover.choose(session, Selection(value))
    assert session.controls.cover.is_empty


def test_another_picture_is_not_covered(session, scene, blot):
    given = covered(scene, kind="mean", painted=blot)
    session.change(given)
    actions.choose_picture(session, str(example("a-zebra").path))
    assert session.controls.cover == Covering("mean")
    assert show_picture(given, str(example("a-zebra").path)).cover == Covering("mean")
    assert show_picture(given, RAM).cover == given.cover


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "mean", "hottest": 20},
        {"hottest": 5, "others": True},
        {"kind": "neighbours", "parts": ("ram/horns", "ram/head")},
        {"kind": "background", "painted": write_mask(np.eye(50, dtype=bool))},
    ],
    ids=lambda given: ", ".join(given),
)
def test_a_link_holds_it(session, scene, given):
    controls = covered(scene, **given)
    link = service.link_of(controls, service.explain(controls))
    actions.open_link(session, link, None)
    assert session.controls.cover == controls.cover and not session.problems
    assert len("&".join(map("=".join, link.items()))) < 2000


def test_every_key_of_it_is_cleared_from_the_address():
    from camviz.ui.viewer.source import LINK_KEYS

    full = Covering("mean", "2x1.AAI", 20, True, ("a/b",))
    assert set(links._write_cover(full)) <= set(LINK_KEYS)
    assert len(links._write_cover(full)) == len(fields(Covering))


@pytest.mark.parametrize(
    "query",
    [{"cover": "paint"}, {"covered": "9x9.AA"}, {"covered": "A" * 9000}, {"hottest": "0"},
     {"hottest": "x"}, {"others": "2"}, {"without": "horns"}, {"without": "a/b," * 40}],
    ids=lambda query: "=".join(*query.items())[:20],
)  # fmt: skip
def test_a_link_with_nonsense_covers_nothing(session, query):
    actions.open_link(session, {"example": "a-ram", **query}, None)
    assert session.controls.cover.is_empty and len(session.problems) == 1


def test_what_is_too_fine_for_a_link_is_said(shown, scene):
    speckles = write_mask(np.random.default_rng(0).random((224, 224)) < 0.3)
    given = covered(scene, painted=speckles)
    assert "covered" not in service.link_of(given, service.explain(given))
    page = shown(cover, given)
    assert "too fine for a link" in text_of(page["conclusion"])
    assert "too fine" not in text_of(shown(cover, covered(scene, hottest=20))["conclusion"])


def test_a_brush_stroke_fits_into_a_link():
    rows, columns = np.mgrid[:224, :224]
    wave = np.abs(rows - 112 - 60 * np.sin(columns / 20)) < 14
    assert links.fits(Covering(painted=write_mask(wave)))


def test_a_link_of_an_upload_waits_for_it(session, photo_file, blot):
    actions.open_link(session, {"example": "upload", "covered": blot}, None)
    actions.choose_picture(session, photo_file)
    assert session.controls.cover.painted == blot


def test_look_is_not_answered_anew(visit, scene, blot):
    visit.tabs = (compare, cover)
    view = visit.open(scene)
    view.session.open_tab(cover.ID)
    view.do(cover.choose, Selection({"painted": blot}))
    answered = {update.of for update in view.updates if update.tab}
    assert answered == {cover.ID}


def test_the_zip_has_the_mask_and_the_report_says_it(scene, tmp_path):
    given = covered(scene, kind="mean", parts=("ram/horns",))
    with zipfile.ZipFile(make_zip(given, "http://here/?tab=cover")) as archive:
        names = {name.rpartition("/")[2]: name for name in archive.namelist()}
        mask = np.asarray(Image.open(io.BytesIO(archive.read(names["mask.png"]))))
        pixels = np.asarray(Image.open(io.BytesIO(archive.read(names["covered.png"]))))
        report = archive.read(names["report.html"]).decode()
    x = service.explain(scene)
    found = covering.covered(given, x)
    np.testing.assert_array_equal(mask, found.mask)
    np.testing.assert_array_equal(pixels, found.after.picture.pixels)
    assert found.conclusion.headline in text_of(report)
    assert found.conclusion.logit in text_of(report)
    assert "Mean colour (Zeiler" in text_of(report) and "drawn without" in text_of(report)
    assert "without=ram%2Fhorns" in report and "cover=mean" in report


def test_the_zip_of_an_uncovered_picture_has_no_mask(scene):
    with zipfile.ZipFile(make_zip(scene)) as archive:
        assert not any(name.endswith(("mask.png", "covered.png")) for name in archive.namelist())
        report = next(name for name in archive.namelist() if name.endswith("report.html"))
        assert "<h2>Cover it</h2>" not in archive.read(report).decode()


# -- What depends on it ---------------------------------------------------------------------------


def test_one_view_reads_what_is_covered():
    assert [tab.ID for tab in TABS if tab.READS_COVER] == [cover.ID]


@pytest.mark.parametrize("tab", [tab for tab in TABS if tab is not cover], ids=lambda tab: tab.ID)
def test_a_stroke_makes_no_other_view_anew(visit, scene, blot, monkeypatch, tab):
    asked = []

    def show(session, controls, task):
        asked.append(controls)
        yield Update(tab={"heading": "shown"})

    monkeypatch.setattr(tab, "show", show)
    visit.tabs = (tab,)
    visit.open(scene)
    visit.session.open_tab(tab.ID)
    visit.answer()
    assert asked == [scene]
    assert visit.change(cover=Covering(painted=blot)).link["covered"] == blot
    assert asked == [scene], "it is the same view as before"
    visit.change(target="sheep")
    assert asked == [scene, replace(scene, target="sheep")], "and knows of nothing covered"


def test_a_cascade_that_was_asked_for_stays_whatever_is_covered(visit, scene, blot, monkeypatch):
    monkeypatch.setattr(on_request, "AT_ONCE", -1.0)  # everything waits for a click
    visit.tabs = (sanity,)
    visit.open(covered(scene, hottest=20))
    visit.session.open_tab(sanity.ID)
    assert "Make it random" in visit.answer().tab["heading"]
    made = visit.do(sanity.begin, Selection("go")).tab["maps"]
    assert len(made.rows[0].panels) > 3
    again = visit.change(cover=Covering(painted=blot))
    assert again.tab["maps"] is made and not any(update.tab for update in again.updates)


# -- What the browser is given --------------------------------------------------------------------


def test_the_browser_reads_what_python_writes():
    text = (WEB / "cover" / "cover-canvas.js").read_text()
    named = set(re.findall(r"@property \{[^}]+(?:\[\])?\}? ?(\w+)", text))
    named |= {"kind", "painted", "hottest", "others", "out"}
    assert {each.name for each in fields(Painting)} == named


def test_the_raster_keeps_what_is_painted(scene, shown, blot):
    page = shown(cover, covered(scene, painted=blot))
    assert page["canvas"].painted == blot
    hot = shown(cover, covered(scene, hottest=20))["canvas"]
    x = service.explain(scene)
    np.testing.assert_array_equal(
        read_mask(hot.painted), resize_mask(hottest(x.fused, 0.2), hot.height, hot.width)
    )


def test_sessions_start_with_nothing_covered():
    assert Session().controls.cover == Covering() and Covering().is_empty
