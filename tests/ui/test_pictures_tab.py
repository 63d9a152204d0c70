"""Several pictures without a browser: what is held of them, the strip, the sheet."""

import base64
import io
import re
from dataclasses import fields, replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camviz.engine.cache import LRUCache
from camviz.errors import ImageError, MethodError
from camviz.examples import example
from camviz.maps import render
from camviz.ui import compare_tab, pictures_tab
from camviz.ui.compare_tab import NOBODY, TOP, explain
from camviz.ui.pictures_tab import (
    CONFIDENCE,
    FUSED,
    GIVEN,
    MOST,
    NAME,
    OWN,
    SAME,
    added,
    clicked,
    show,
    strip,
    thumbnail,
)

RESNET = "test_resnet.r160_in1k"


@pytest.fixture(autouse=True)
def forgetful(fresh, monkeypatch):
    monkeypatch.setattr(pictures_tab, "_answers", LRUCache(100))
    monkeypatch.setattr(pictures_tab, "_tiles", LRUCache(100))


@pytest.fixture
def write(tmp_path, photo):
    """write(name, seed): the path of a picture unlike any other seed's."""

    def get(name, seed=0):
        noise = np.random.default_rng(seed).integers(0, 200, photo.shape, np.uint8)
        Image.fromarray(photo // 2 + noise // 2).save(tmp_path / name)
        return str(tmp_path / name)

    return get


@pytest.fixture
def ask(asking):
    return asking(None)


@pytest.fixture
def three(ask, write):
    paths = (write("b.png", 1), write("C.png", 2), write("a.png", 3))
    return replace(ask, picture=paths[0], pictures=paths, shown=thumbnail(paths[0]).digest)


def last(steps):
    """What is seen when all steps are through: every view lies over the one before."""
    seen = {"held": {}, "tab": {}}
    for view in steps:
        said = {f.name: getattr(view, f.name) for f in fields(view)}
        for name, value in said.items():
            if name in ("held", "tab"):
                seen[name] = seen[name] | (value or {})
            elif value is not None:
                seen[name] = value
    return seen


def digests(html, kind="show"):
    return re.findall(rf'data-label="{kind}:([0-9a-f]+)"', html)


# -- Pictures that come and go -------------------------------------------------------------------


def test_the_first_new_one_is_shown(ask, write):
    paths = [write("x.png", 1), write("y.png", 2)]
    reports = []
    view = last(added(ask, paths, lambda *report: reports.append(report)))
    assert view["held"]["pictures"] == tuple(paths) and view["picture"] == paths[0]
    assert view["held"]["shown"] == thumbnail(paths[0]).digest
    assert (
        "It says" in view["verdict"]
        and view["notice"] == ""
        and reports == [(0, 2), (1, 2), (2, 2)]
    )


def test_an_upload_that_is_shown_already_comes_first(ask, write):
    one, two = write("x.png", 1), write("y.png", 2)
    view = last(added(replace(ask, picture=one), [two]))
    assert view["held"]["pictures"] == (one, two) and view["picture"] == two


def test_an_example_is_no_upload(ask, write):
    view = last(added(replace(ask, picture=str(example("a-ram").path)), [write("x.png")]))
    assert view["held"]["pictures"] == (str(write("x.png")),)


def test_bad_files_are_named_and_skipped(ask, write, tmp_path):
    bad = tmp_path / "holiday <1>.png"
    bad.write_text("no picture")
    good = write("x.png")
    view = last(added(ask, [str(bad), good, str(tmp_path / "gone.png")]))
    assert view["held"]["pictures"] == (good,)
    said = unescape(view["notice"])
    assert "Skipped. 'holiday <1>.png' is not a picture" in said and "gone.png" in said
    assert "<1>" not in view["notice"]


def test_nothing_is_lost_if_none_can_be_added(three, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    with pytest.raises(ImageError, match=r"none of them could be added\. 'bad\.png' is not"):
        list(added(three, [str(bad)]))
    with pytest.raises(ImageError, match="no pictures were given"):
        list(added(three, []))


def test_the_same_picture_is_held_once(three, write):
    copy = write("copy.png", 2)
    view = last(added(three, [copy]))
    assert view["held"]["pictures"] == three.pictures and view["picture"] == three.pictures[1]


def test_so_many_and_no_more(ask, write):
    paths = [write(f"{seed}.png", seed) for seed in range(MOST + 2)]
    view = last(added(ask, paths))
    assert view["held"]["pictures"] == tuple(paths[:MOST])
    assert f"{MOST} pictures are the most; left out: {MOST}.png, {MOST + 1}.png" in view["notice"]
    full = replace(ask, pictures=tuple(paths[:MOST]))
    assert last(added(full, [paths[3]]))["notice"] == ""  # held already


def test_a_thumbnail_is_shown_in_full(three):
    view = last(clicked(three, f"show:{thumbnail(three.pictures[2]).digest}"))
    x = explain(replace(three, picture=three.pictures[2]))
    assert view["picture"] == three.pictures[2] and x.label in view["verdict"]
    assert view["held"]["shown"] == x.picture.digest and view["held"]["target"] == TOP


def test_the_class_of_the_sheet_is_kept(three):
    wanted = f"show:{thumbnail(three.pictures[1]).digest}"
    label = compare_tab.network(three).labels[7]
    view = last(clicked(replace(three, target=label), wanted, keep=True))
    assert view["held"]["target"] == label and label in view["verdict"]
    top = explain(three).label  # of the picture on the left: what the sheet explained
    assert last(clicked(three, wanted, keep=True))["held"]["target"] == top
    assert last(clicked(replace(three, target=label), wanted))["held"]["target"] == TOP


@pytest.mark.parametrize("deed", ["show:00", "drop:00", "show:/etc/passwd", "", "other"])
def test_what_nobody_gave_is_not_opened(three, deed):
    assert list(clicked(three, deed)) == []


def test_one_is_removed_and_the_next_takes_its_place(three):
    view = last(clicked(three, f"drop:{three.shown}"))
    assert view["held"]["pictures"] == three.pictures[1:]
    assert view["picture"] == three.pictures[1]
    other = last(clicked(three, f"drop:{thumbnail(three.pictures[2]).digest}"))
    assert other["held"] == {"pictures": three.pictures[:2]} and "verdict" not in other


def test_the_last_one_leaves_an_empty_page(three):
    alone = replace(three, pictures=three.pictures[:1])
    view = last(clicked(alone, f"drop:{three.shown}"))
    assert view["tab"] == {"picture": None} and view["held"] == {
        "pictures": (),
        "shown": None,
        "answered": None,
    }
    assert "No picture yet" in view["verdict"]


def test_all_are_removed_but_what_is_shown_stays(three):
    view = last(clicked(three, "clear"))
    assert view["held"] == {"pictures": ()} and "verdict" not in view


# -- The strip -----------------------------------------------------------------------------------


def test_the_strip_says_what_the_network_says(three):
    html = last(strip(three))["strip"]
    assert digests(html) == digests(html, "drop") == [thumbnail(p).digest for p in three.pictures]
    for path in three.pictures:
        _, label, share = explain(replace(three, picture=path)).predictions[0]
        assert f"{Path(path).name}: {label} {share:.1%}" in unescape(html)
    assert re.findall(r'show:(\w+)" aria-pressed="true"', html) == [three.shown]


def test_every_picture_is_asked_about_once(three, monkeypatch):
    progress = [view.progress for view in strip(three) if view.progress]
    assert "Picture 1 of 3" in progress[0] and "Picture 3 of 3" in progress[-1]
    monkeypatch.setattr(pictures_tab, "explain", None)
    (again,) = strip(three)
    assert again.progress is None and "…" not in unescape(again.strip)


def test_one_picture_needs_no_strip(three):
    for pictures in ((), three.pictures[:1]):
        assert last(strip(replace(three, pictures=pictures)))["strip"] == ""


def test_uploads_that_were_deleted_are_named(three):
    Path(three.pictures[1]).unlink()
    view = last(strip(three))
    assert "these are gone: C.png" in view["notice"]
    assert view["held"]["pictures"] == (three.pictures[0], three.pictures[2])
    assert len(digests(view["strip"])) == 2


def test_names_and_classes_are_words(three, write):
    path = write("x' onclick=alert(1).png", 9)
    html = last(strip(replace(three, pictures=(path, *three.pictures))))["strip"]
    assert "x' onclick" not in html and "x&#x27; onclick" in html


def test_a_strip_without_a_backbone(three):
    html = last(strip(replace(three, backbone=None)))["strip"]
    assert len(digests(html)) == 3


# -- The sheet -----------------------------------------------------------------------------------


def sheet(ask, row="layercam", panel=FUSED, explained=OWN, order=GIVEN):
    return last(show(ask, row, panel, explained, order))["tab"]


def decoded(source):
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        return np.asarray(image)


def test_the_sheet_shows_one_map_of_every_picture(three):
    html = sheet(three)["sheet"]
    assert digests(html) == [thumbnail(p).digest for p in three.pictures]
    drawn = re.findall(r'<img src="([^"]+)" alt=""><img class="cv-heat" src="([^"]+)"', html)
    for path, (ground, heat) in zip(three.pictures, drawn, strict=True):
        x = explain(replace(three, picture=path))
        wanted = render.colorize(x.fused)
        assert np.abs(decoded(heat).astype(int) - wanted).mean() < 6  # of a lossy file
        assert np.abs(decoded(ground).astype(int) - x.picture.pixels).mean() < 20
        share = x.predictions[0][2]
        assert f"{Path(path).name}: {x.label} {share:.1%}. Show it large" in unescape(html)


def test_one_layer_of_every_row(three):
    for row in ("layercam", "denoised", "prototypes"):
        tab = sheet(three, row, "layer3")
        assert tab["sheet panel"]["value"] == "layer3"
        heats = re.findall(r'class="cv-heat" src="([^"]+)"', tab["sheet"])
        x = compare_tab.row_of(three, row)
        assert np.abs(decoded(heats[0]).astype(int) - render.colorize(x.maps["layer3"])).mean() < 6


def test_a_layer_that_is_gone_becomes_the_fused_map(three):
    tab = sheet(three, panel="blocks.7")
    assert tab["sheet panel"]["value"] == FUSED and "all layers, fused" in tab["sheet"]
    assert [value for _, value in tab["sheet panel"]["choices"]] == [
        FUSED, "layer4", "layer3", "layer2", "layer1",
    ]  # fmt: skip
    assert sheet(three, row="nonsense")["sheet"] == sheet(three)["sheet"]


def test_orders(three):
    names = {thumbnail(p).digest: Path(p).name for p in three.pictures}
    assert [names[d] for d in digests(sheet(three)["sheet"])] == ["b.png", "C.png", "a.png"]
    by_name = sheet(three, order=NAME)["sheet"]
    assert [names[d] for d in digests(by_name)] == ["a.png", "b.png", "C.png"]
    shares = {
        thumbnail(p).digest: explain(replace(three, picture=p)).predictions[0][2]
        for p in three.pictures
    }
    found = digests(sheet(three, order=CONFIDENCE)["sheet"])
    assert found == sorted(shares, key=lambda digest: -shares[digest])


def test_the_same_class_or_each_pictures_own(three):
    own = sheet(three)["sheet"]
    tops = {explain(replace(three, picture=p)).label for p in three.pictures}
    assert {unescape(label) for label in re.findall(r"<b>(.*?)</b>", own)} == tops
    label = compare_tab.network(three).labels[7]
    for ask, wanted in ((replace(three, target=label), label), (three, explain(three).label)):
        html = unescape(sheet(ask, explained=SAME)["sheet"])
        assert set(re.findall(r"<b>(.*?)</b>", html)) == {wanted}
        assert f"explained for <strong>{wanted}</strong>" in html
    # a class that is chosen, and compared, is nothing to those that have their own
    chosen = replace(three, target=label, versus=compare_tab.network(three).labels[3])
    assert digests(sheet(chosen)["sheet"]) and sheet(chosen)["sheet"] == own
    assert f"rather than {chosen.versus}" in unescape(sheet(chosen, explained=SAME)["sheet"])


def test_the_sheet_is_made_once_and_says_how_far_it_is(three, monkeypatch):
    views = list(show(three, "layercam", FUSED, OWN, GIVEN))
    said = [view.progress for view in views]
    assert [re.search(r"Picture \d of 3", text)[0] for text in said[:-1]] == [
        "Picture 1 of 3", "Picture 2 of 3", "Picture 3 of 3",
    ]  # fmt: skip
    assert said[-1] == "" and views[-1].notice is None
    monkeypatch.setattr(pictures_tab, "_tile", None)
    (again,) = show(three, "layercam", FUSED, OWN, NAME)
    assert again.progress is None


def test_what_cannot_be_had_is_said_under_its_picture(three, monkeypatch):
    def refuse(ask, row):
        if ask.picture == three.pictures[1]:
            raise MethodError("no such map")
        return "No <gradient> here."

    monkeypatch.setattr(pictures_tab, "row_of", refuse)
    html = sheet(three)["sheet"]
    assert html.count("No &lt;gradient&gt; here.") == 2 and html.count("no such map") == 1
    assert "cv-heat" not in html and len(digests(html)) == 3


def test_what_was_not_shown_to_the_network_has_no_map(three):
    cropped = replace(three, fit="crop")
    x = explain(cropped)
    assert not x.visible.all()
    heat = decoded(re.search(r'class="cv-heat" src="([^"]+)"', sheet(cropped)["sheet"])[1])
    assert heat.shape[2] == 4 and ((heat[..., 3] > 127) == x.visible).mean() > 0.98


@pytest.mark.parametrize("held", [0, 1])
def test_what_to_do_where_there_is_nothing_to_compare(three, held):
    few = replace(three, pictures=three.pictures[:held], versus=NOBODY)
    assert "Add pictures" in sheet(few)["sheet"]
