"""The view Collection without a browser: which runs may be opened, what is sent, what is opened."""

import base64
import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from camviz.bulk.collection import FIGURES
from camviz.bulk.groups import MOST_GROUPS
from camviz.bulk.run import Run, RunWriter
from camviz.errors import CamvizError, DataError, ImageError
from camviz.ui import collection as runs_of
from camviz.ui.state import BackboneChoice, Controls, Selection
from camviz.ui.tabs import collection

ROWS = list(Run.open(runs_of.EXAMPLE).rows())


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """kept(name, rows): a run of the operator's own."""
    run = Run.open(runs_of.EXAMPLE)

    def keep(name, rows, **options):
        with RunWriter(tmp_path / name, {**run.configuration, **options}, run.geometry) as writer:
            for row in rows:
                writer.add(row)
        there = os.environ.get("CAMVIZ_RUNS")
        folder = str(tmp_path / name)
        monkeypatch.setenv("CAMVIZ_RUNS", f"{there}{os.pathsep}{folder}" if there else folder)
        return tmp_path / name

    return keep


def told(session, **asked):
    found, other = collection._opened(session)
    return collection.answer(session, {"number": 7, "key": runs_of.key_of(found, other), **asked})


def test_the_example_is_there_and_its_mark_is_spoken_of(shown):
    page = shown(collection, Controls())
    assert page["run"].value == runs_of.EXAMPLE_NAME and not page["run"].visible
    assert "printed mark" in page["heading"] and "<em>200</em>" in page["heading"]
    value = page["sheet"]
    assert len(value.explained) == 200
    labels = [value.names[place] for place in value.explained]
    assert labels == [row["label"] for row in ROWS]
    assert [value.names[place] for place in value.truths] == [row["truth"] for row in ROWS]
    wanted = [round(1000 * (1 - row["top"][0]["share"])) for row in ROWS]
    assert value.figures["doubt"] == wanted and set(value.figures) == {"doubt", "outside"}
    assert len(json.dumps(value.to_json())) < 10_000, "200 pictures in a few bytes each"


def test_runs_are_those_that_the_operator_names(shown, kept, session):
    kept("birds", ROWS[:3])
    kept("fish", ROWS[3:5])
    page = shown(collection, Controls())
    assert [value for _, value in page["run"].choices] == ["birds", "fish", runs_of.EXAMPLE_NAME]
    assert page["run"].value == "birds" and len(page["sheet"].explained) == 3
    assert len(shown(collection, Controls(), run="fish")["sheet"].explained) == 2
    for name in ("../birds", str(runs_of.EXAMPLE), "", "no such"):
        with pytest.raises(DataError, match="there is no run"):
            runs_of.opened(name)
    session.settings[collection.ID] = {"run": "/etc"}
    with pytest.raises(DataError, match="there is no run '/etc' here"):
        list(collection.show(session, Controls(), None))


def test_two_runs_are_compared(shown, kept):
    kept("one", ROWS[:4])
    kept("two", [*ROWS[2:4], *ROWS[10:12]], other=True)
    page = shown(collection, Controls(), run="one", other="two")
    assert page["sheet"].figures["disagreement"] == [None, None, 0, 0]
    assert "disagreement" not in shown(collection, Controls(), run="one")["sheet"].figures


def test_every_figure_is_sent(shown, kept):
    """By which the page sorts: in thousandths, in the order of the run."""
    shares = [0.9, 0.2, 0.61]
    rows = [
        {
            **row,
            "top": [{**row["top"][0], "share": 1 - share}],
            "removed": None if number == 1 else share / 2,
            "boxes": [{**row["boxes"][0], "of": "fused", "heat": 1 - share / 3}],
        }
        for number, (row, share) in enumerate(zip(ROWS, shares, strict=False))
    ]
    kept("one", rows)
    fused = [{**row, "fused": ROWS[-1]["fused"]} for row in rows]
    kept("two", fused[1:], other=True)
    value = shown(collection, Controls(), run="one", other="two")["sheet"]
    assert list(value.figures) == list(FIGURES) == list(value.titles)
    assert value.figures["doubt"] == [900, 200, 610]
    assert value.figures["removed"] == [450, None, 305]
    assert value.figures["outside"] == [300, 67, 203]
    none, *others = value.figures["disagreement"]
    assert none is None and all(0 < other < 1000 for other in others)


def test_a_run_that_grew_is_read_anew_and_a_long_one_is_cut(shown, kept, monkeypatch):
    folder = kept("growing", ROWS[:2])
    assert len(shown(collection, Controls())["sheet"].explained) == 2
    run = Run.open(folder)
    with RunWriter(folder, run.configuration, run.geometry) as writer:
        for row in ROWS[:6]:
            writer.add(row)
    assert len(shown(collection, Controls())["sheet"].explained) == 6
    monkeypatch.setenv("CAMVIZ_RUN_PICTURES", "4")
    page = shown(collection, Controls())
    assert len(page["sheet"].explained) == 4 and "The first 4 of 6" in page["heading"]


def test_tiles_come_as_they_are_asked_for(session):
    answer = told(session, places=[5, 0, 199, 200, -1, "x", None])
    assert answer["number"] == 7
    assert [tile["place"] for tile in answer["tiles"]] == [5, 0, 199]
    run = Run.open(runs_of.EXAMPLE)
    for tile in answer["tiles"]:
        row = ROWS[tile["place"]]
        assert row["path"] == f"pictures/{tile['name']}" and tile["aspect"] == 1
        heat = np.frombuffer(base64.b64decode(tile["map"]), np.uint8)
        assert np.array_equal(heat, np.rint(run.heat(row, size=(28, 28)) * 255).ravel())
        file = io.BytesIO(base64.b64decode(tile["picture"].partition(",")[2]))
        with Image.open(file) as small, Image.open(runs_of.EXAMPLE / row["path"]) as picture:
            assert small.size == (112, 112)
            difference = np.abs(np.asarray(small, float) - np.asarray(picture.convert("RGB")))
            assert difference.mean() < 12
    assert len(told(session, places=list(range(200)))["tiles"]) == runs_of.MOST_TILES


def test_a_question_of_another_run_or_no_sense_has_no_answer(session):
    empty = {"number": 7}
    assert told(session, places=[1], key="old") == empty
    assert told(session) == told(session, places="1") == told(session, label=99, count=4) == empty
    assert collection.answer(session, "nonsense") == {"number": None}


def test_groups_of_a_class_find_the_mark(session):
    found = collection._opened(session)[0]
    names = runs_of.run_value(found).names
    first, second = told(session, label=names.index("ram"), count=2)["groups"]
    paths = [found.paths[member] for member in first["members"]]
    assert len(paths) >= 25 and all("marked" in path for path in paths)
    assert not any("marked" in found.paths[member] for member in second["members"])
    mean = np.frombuffer(base64.b64decode(first["mean"]), np.uint8).reshape(14, 14)
    assert mean.max() == 255 and min(np.unravel_index(mean.argmax(), mean.shape)) >= 11
    assert first["likeness"] > second["likeness"]
    for count in (0, MOST_GROUPS + 1):
        assert told(session, label=names.index("ram"), count=count)["groups"] == []


def test_too_few_pictures_are_not_grouped(session, kept):
    kept("few", [row for row in ROWS if row["label"] == "ram"][:15])
    assert told(session, label=0, count=2)["groups"] == []


def test_a_press_opens_the_picture_in_look(session):
    place = next(n for n, row in enumerate(ROWS) if "marked" in row["path"])
    collection.choose(session, Selection(place))
    assert session.controls.picture == str(runs_of.EXAMPLE / ROWS[place]["path"])
    assert session.controls.target == ROWS[place]["label"]
    assert session.controls.backbone == BackboneChoice("scenes-resnet")


def test_a_network_that_is_not_here_leaves_the_visitors_own(session, kept):
    row = {**ROWS[0], "path": str(runs_of.EXAMPLE / ROWS[0]["path"])}
    kept("far", [row], backbone="hf-hub:somebody/private")
    session.controls = Controls(backbone=BackboneChoice("scenes-vit"))
    collection.choose(session, Selection(0))
    assert session.controls.backbone == BackboneChoice("scenes-vit")


def test_a_picture_that_is_gone_is_shown_by_its_map_alone(session, kept):
    kept("moved", [{**ROWS[0], "path": "pictures/gone.png"}])
    (tile,) = told(session, places=[0])["tiles"]
    assert tile["picture"] == "" and len(tile["map"]) > 100
    with pytest.raises(ImageError, match=r"'gone\.png' is not on this machine"):
        collection.choose(session, Selection(0))
    for number in (1, -1):
        with pytest.raises(CamvizError, match="no picture of the number"):
            collection.choose(session, Selection(number))
    with pytest.raises(DataError, match="a picture of a run is a number"):
        collection.choose(session, Selection("../../etc/passwd"))


def test_small_pictures_of_every_kind(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (300, 500, 3), np.uint8)
    for name in ("a.jpg", "a.png"):
        Image.fromarray(pixels).save(tmp_path / name)
        data = runs_of.small_picture(tmp_path / name, 0).partition(",")[2]
        with Image.open(io.BytesIO(base64.b64decode(data))) as small:
            assert small.size == (112, 67)
    turned = Image.fromarray(pixels)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    data = runs_of.small_picture(tmp_path / "turned.jpg", 0).partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(data))) as small:
        assert small.size == (67, 112)
    (tmp_path / "no.jpg").write_bytes(b"nothing")
    assert runs_of.small_picture(tmp_path / "no.jpg", 0) == ""
