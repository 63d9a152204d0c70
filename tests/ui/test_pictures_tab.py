"""The sheet of all pictures, without a browser."""

import base64
import io
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camviz.engine.cache import LRUCache
from camviz.errors import MethodError
from camviz.maps import render
from camviz.turns import Stopped
from camviz.ui import service, strip
from camviz.ui.service import explain
from camviz.ui.state import NOBODY, TOP, BackboneChoice, Selection, Task, Unavailable
from camviz.ui.strip import thumbnail
from camviz.ui.tabs import pictures
from camviz.ui.tabs.pictures import CONFIDENCE, FUSED, NAME, OWN, REFINED, SAME
from camviz.ui.viewer import TITLES


@pytest.fixture(autouse=True)
def no_tiles(monkeypatch):
    """No tile was made yet."""
    monkeypatch.setattr(pictures, "_tiles", LRUCache(100))


@pytest.fixture
def sheet(shown):
    """sheet(controls, **settings): the HTML of the sheet."""
    return lambda controls, **settings: shown(pictures, controls, **settings)["sheet"]


def digests(html):
    return re.findall(r'data-label="show:([0-9a-f]+)[":]', html)


def decoded(source):
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        return np.asarray(image)


def is_map(source, heat):
    """Whether a coloured layer is that of this heat: no more than a lossy file is off."""
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        layer = np.asarray(image.convert("RGBA"), int)  # without alpha where all is opaque
    seen = render.heat_opacity(1.0, signed=False)[(heat * 255).round().astype(int)]
    colors = (np.abs(layer[..., :3] - render.colorize(heat)) * seen[..., None]).mean()
    return colors < 6 and np.abs(layer[..., 3] / 255 - seen).mean() < 0.03


def test_the_sheet_shows_one_map_of_every_picture(three, sheet):
    html = sheet(three)
    assert digests(html) == [thumbnail(p).digest for p in three.pictures]
    images = re.findall(r'<img src="([^"]+)" alt=""><img class="cv-heat" src="([^"]+)"', html)
    for path, (ground, heat) in zip(three.pictures, images, strict=True):
        x = explain(replace(three, picture=path))
        assert is_map(heat, x.fused)
        assert np.abs(decoded(ground).astype(int) - x.picture.pixels).mean() < 20
        share = x.predictions[0][2]
        assert f"{x.label} {share:.1%} {Path(path).name}. Show it large" in unescape(html)


def test_one_layer_of_every_row(three, shown):
    for row in ("layercam", "denoised", "prototypes"):
        tab = shown(pictures, three, row=row, panel="layer3")
        assert tab["panel"].value == "layer3" and TITLES[row] in tab["sheet"]
        heats = re.findall(r'class="cv-heat" src="([^"]+)"', tab["sheet"])
        x = service.row(three, row)
        assert is_map(heats[0], x.maps["layer3"])


def test_a_transformer_has_the_block_of_a_layer_and_a_title_of_its_own(three, shown):
    three = replace(three, backbone=BackboneChoice("test_vit.r160_in1k", True))
    stage = service.load(three.backbone).default_stages[-1]
    tab = shown(pictures, three, row=service.LAYERCAM, panel=stage)
    assert "There is no map" not in tab["sheet"]
    assert "<strong>Hierarchical DAAM</strong>" in tab["sheet"]
    assert ("Hierarchical DAAM", service.LAYERCAM) in tab["row"].choices


def test_the_refined_map_of_every_picture(three, shown):
    for row in ("layercam", "denoised", "prototypes"):
        tab = shown(pictures, three, row=row, panel=REFINED)
        assert tab["panel"].value == REFINED and "all layers, refined" in tab["sheet"]
        heats = re.findall(r'class="cv-heat" src="([^"]+)"', tab["sheet"])
        assert len(heats) == 3
        assert is_map(heats[0], service.row(three, row).refined)
    off = shown(pictures, three.with_options(refine="none"), panel=REFINED)
    assert off["panel"].value == FUSED and "all layers, fused" in off["sheet"]
    assert REFINED not in [value for _, value in off["panel"].choices]


def test_a_layer_that_is_gone_becomes_the_fused_map(three, shown, sheet):
    tab = shown(pictures, three, panel="blocks.7")
    assert tab["panel"].value == FUSED and "all layers, fused" in tab["sheet"]
    assert [value for _, value in tab["panel"].choices] == [
        FUSED, REFINED, "layer4", "layer3", "layer2", "layer1",
    ]  # fmt: skip
    assert sheet(three, row="nonsense") == sheet(three)


def test_orders(three, sheet):
    names = {thumbnail(p).digest: Path(p).name for p in three.pictures}
    assert [names[d] for d in digests(sheet(three))] == ["b.png", "C.png", "a.png"]
    by_name = sheet(three, order=NAME)
    assert [names[d] for d in digests(by_name)] == ["a.png", "b.png", "C.png"]
    shares = {
        thumbnail(p).digest: explain(replace(three, picture=p)).predictions[0][2]
        for p in three.pictures
    }
    found = digests(sheet(three, order=CONFIDENCE))
    assert found == sorted(shares, key=lambda digest: -shares[digest])


def test_the_same_class_or_each_pictures_own(three, sheet):
    own = sheet(three)
    assert "is explained for <strong>its own top class</strong>" in own
    tops = {explain(replace(three, picture=p)).label for p in three.pictures}
    assert {unescape(label) for label in re.findall(r"<b>(.*?)</b>", own)} == tops
    labels = service.load(three.backbone).labels
    label = labels[7]
    for controls, wanted in ((replace(three, target=label), label), (three, explain(three).label)):
        html = unescape(sheet(controls, explained=SAME))
        assert set(re.findall(r"<b>(.*?)</b>", html)) == {wanted}
        assert f"explained for <strong>{wanted}</strong>" in html
    # a class that is chosen, and compared, is nothing to those that have their own
    chosen = replace(three, target=label, versus=labels[3])
    assert digests(sheet(chosen)) and sheet(chosen) == own
    assert f"rather than {chosen.versus}" in unescape(sheet(chosen, explained=SAME))


def test_the_sheet_is_made_once_and_says_how_far_it_is(three, session, monkeypatch):
    task = Task()
    updates = list(pictures.show(session, three, task))
    texts = [update.frame["progress"] for update in updates]
    assert (task.label, task.done, task.total) == ("Picture 3 of 3 …", 2, 3)
    assert [re.search(r"Picture \d of 3", text)[0] for text in texts[:-1]] == [
        "Picture 1 of 3", "Picture 2 of 3", "Picture 3 of 3",
    ]  # fmt: skip
    assert texts[-1] == "" and all(update.frame.keys() == {"progress"} for update in updates)
    monkeypatch.setattr(pictures, "_make_tile", None)
    session.set(pictures.ID, "order", NAME)
    (again,) = pictures.show(session, three, task)
    assert "progress" not in again.frame


def test_the_sheet_can_be_stopped(three, session):
    task = session.answering = Task()
    updates = pictures.show(session, three, task)
    next(updates)
    session.touch()
    with pytest.raises(Stopped):
        next(updates)


def test_what_cannot_be_had_is_said_under_its_picture(three, sheet, monkeypatch):
    def refuse(controls, row, progress):
        if controls.picture == three.pictures[1]:
            raise MethodError("no such map")
        return Unavailable("No <gradient> here.")

    monkeypatch.setattr(service, "row", refuse)
    html = sheet(three)
    assert html.count("No &lt;gradient&gt; here.</span>") == 2
    assert html.count("no such map</span>") + html.count("no such map.</span>") == 1
    assert "cv-heat" not in html and len(digests(html)) == 3


def test_what_was_not_shown_to_the_network_has_no_map(three, sheet):
    cropped = three.with_options(fit="crop")
    x = explain(cropped)
    assert not x.visible.all()
    heat = decoded(re.search(r'class="cv-heat" src="([^"]+)"', sheet(cropped))[1])
    seen = render.heat_opacity(255.0, signed=False)[(x.fused * 255).round().astype(int)]
    assert not heat[..., 3][~x.visible].any()
    assert np.array_equal(heat[..., 3][x.visible], seen.round()[x.visible])
    assert heat[..., 3][x.visible].max() == 255


@pytest.mark.parametrize("held", [0, 1])
def test_what_to_do_where_there_is_nothing_to_compare(three, sheet, held):
    few = replace(three, pictures=three.pictures[:held], versus=NOBODY)
    assert "Add pictures" in sheet(few)


def test_without_a_backbone_there_is_no_sheet(three, shown):
    tab = shown(pictures, replace(three, backbone=BackboneChoice()))
    assert "Add pictures" in tab["sheet"]
    assert [value for _, value in tab["panel"].choices] == [FUSED, REFINED]


# -- A click -------------------------------------------------------------------------------------


def click(session, html, number):
    """Press the button of a map: what the browser sends reaches the tab."""
    labels = re.findall(r'data-label="([^"]+)"', html)
    strip.click(session, Selection(unescape(labels[number])))


def test_a_click_shows_the_picture_for_its_own_class(three, session, sheet):
    session.change(replace(three, target=service.load(three.backbone).labels[7]))
    click(session, sheet(session.controls, explained=OWN), 1)
    assert session.controls.picture == three.pictures[1] and session.controls.target == TOP


def test_a_click_keeps_the_class_that_the_sheet_explains(three, session, sheet):
    label = service.load(three.backbone).labels[7]
    session.change(replace(three, target=label))
    click(session, sheet(session.controls, explained=SAME), 1)
    assert (session.controls.picture, session.controls.target) == (three.pictures[1], label)
    session.change(three)
    top = explain(three).label  # of the picture on the left: what the sheet explained
    click(session, sheet(session.controls, explained=SAME), 1)
    assert (session.controls.picture, session.controls.target) == (three.pictures[1], top)


def test_no_class_is_chosen_by_a_sheet_that_was_never_finished(three, session, sheet):
    """After "the same for all" and Stop the sheet still explains each picture's own class."""
    session.change(three)
    html = sheet(three, explained=OWN)
    session.set(pictures.ID, "explained", SAME)
    click(session, html, 1)
    assert session.controls.picture == three.pictures[1] and session.controls.target == TOP
