"""A run: resumed where it stopped, refused where it differs, and whole after every failure."""

import json
import os
import re
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from camviz.benchmark import runner
from camviz.benchmark.datasets import open_dataset
from camviz.benchmark.location import Location
from camviz.benchmark.records import Folder, Record
from camviz.benchmark.report import write_report
from camviz.benchmark.rows import read_settings
from camviz.benchmark.runner import Run
from camviz.errors import BackboneError, CamvizError, DataError, OutputError
from camviz.network.settings import Settings
from camviz.scenes import draw_scene


@pytest.fixture
def make(engine, tmp_path):
    """make(count=4, ...): a run into one folder."""

    def run(count=4, methods=("cam",), data="scenes", out="run", **options):
        measure = Location(open_dataset(data, count), {})
        backbones = [engine.backbone("scenes-resnet")]
        return Run(engine, backbones, read_settings(methods), measure, tmp_path / out, **options)

    return run


def same(a, b):
    return (
        a.rows == b.rows
        and a.labels == b.labels
        and all(np.array_equal(a.values[name], b.values[name], equal_nan=True) for name in a.values)
    )


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = Record(("a|b|c", "d||"), ("ram", "église"), {"x": np.arange(6.0).reshape(2, 3)})
    record.save(tmp_path / "deep" / "1.npz")
    assert same(record, Record.load(tmp_path / "deep" / "1.npz"))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["1.npz"]


def test_a_run_goes_on_where_it_stopped(make, monkeypatch, unchanged):
    whole = make(out="whole")
    whole.go()

    class Stopped(Exception):
        pass

    def stop(done, of, text):
        assert of == 4 and text.startswith("scenes-resnet, scene 6002:")
        if done == 3:
            raise Stopped

    run = make()
    with unchanged(run.backbones[0].model), pytest.raises(Stopped):
        run.go(stop)
    kept = len(run.records(run.backbones[0]))
    assert kept == 3  # what was begun is finished and kept
    again = make()
    measured = []
    inner = Location.measure
    monkeypatch.setattr(
        Location,
        "measure",
        lambda self, maps, index: measured.append(index) or inner(self, maps, index),
    )
    again.go()
    assert len(measured) == 4 - kept  # and no more
    pairs = zip(again.records(again.backbones[0]), whole.records(whole.backbones[0]), strict=True)
    assert all(same(*pair) for pair in pairs)
    measured.clear()
    make().go()
    assert measured == []


def test_a_process_measures_the_same_and_what_it_began_is_kept(make, monkeypatch):
    whole = make(out="whole")
    whole.go()
    monkeypatch.setattr(runner, "_FEW", 0)
    run = make(jobs=1)
    monkeypatch.setattr(runner, "_save", partial(_note_process, owners_of(run)))

    def stop(done, of, text):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.go(stop)
    owners = {path.read_text() for path in owners_of(run).iterdir()}
    assert len(owners) == 1 and str(os.getpid()) not in owners
    ours, theirs = run.records(run.backbones[0]), whole.records(whole.backbones[0])
    assert all(same(*pair) for pair in zip(ours, theirs[:3], strict=True))


@pytest.mark.long
def test_a_process_that_is_killed_ends_the_run_with_a_sentence(make, monkeypatch):
    monkeypatch.setattr(runner, "_FEW", 0)
    monkeypatch.setattr(runner, "_save", _die)
    with pytest.raises(DataError, match=r"was killed.* what was measured is kept"):
        make(jobs=1).go()


def owners_of(run):
    folder = run.folder.path.parent / "owners"
    folder.mkdir(exist_ok=True)
    return folder


def _note_process(folder, finish, file):
    (folder / file.name).write_text(str(os.getpid()))
    finish().save(file)


def _die(finish, file):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"count": 5}, "pictures 4 there, 5 now"),
        ({"methods": ("eigen_cam",)}, r'methods \[\["cam", ""\]\] there'),
    ],
)
def test_another_configuration_in_the_same_folder_is_refused(make, other, message):
    make()
    with pytest.raises(OutputError, match=message):
        make(**other)
    make()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"input_size": (3, 64, 64)},
            r"preprocessing, n, input_size \[3, 128, 128\] there, \[3, 64",
        ),
        ({"mean": (0.9, 0.9, 0.9)}, r"preprocessing, n, mean \[.*\] there, \[0.9, 0.9, 0.9\] now"),
        ({"interpolation": "nearest"}, 'interpolation ".*" there, "nearest" now'),
        ({"labels": ("x",) * 16}, "outputs, n, labels"),
    ],
)
def test_a_network_that_pictures_reach_otherwise_is_refused(make, other, message):
    here = make()
    backbone = replace(here.backbones[0], name="n", settings=Settings())
    arguments = (here.settings, here.measure, here.folder.path.parent / "other")
    Run(here.engine, [backbone], *arguments)
    with pytest.raises(OutputError, match=message) as caught:
        Run(here.engine, [replace(backbone, **other)], *arguments)
    assert len(set(re.findall(r"\b[0-9a-f]{16}\b", str(caught.value)))) == 2
    Run(here.engine, [replace(backbone)], *arguments)
    with pytest.raises(BackboneError, match="two networks are called 'n'"):
        Run(here.engine, [backbone, replace(backbone)], *arguments[:2], here.folder.path / "x")


def test_two_networks_never_share_a_file(tmp_path):
    names = ["local-dir:/a/b", "local-dir:/a_b", "local-dir_a_b", "..", ".", "x" * 300, "x" * 301]
    folder = Folder(tmp_path, {})
    files = {folder.file(name, 0) for name in names}
    assert len(files) == len(names)
    for file in files:
        assert file.parent.parent == tmp_path / "records" and len(file.parent.name) < 128
        Record((), (), {}).save(file)
    assert folder.file("scenes-resnet", 3) == tmp_path / "records/scenes-resnet/000003.npz"


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds something else than a benchmark"):
        Folder(tmp_path, {"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "benchmark.json").write_text("{")
    with pytest.raises(OutputError, match="cannot be read"):
        Folder(broken, {"a": 1})


def test_a_picture_that_fails_is_named_once_and_tried_again(make, tmp_path):
    scenes = [draw_scene(1, index, two_objects=0) for index in range(3)]
    lines = ["file,class,x0,y0,x1,y1"]
    for index, scene in enumerate(scenes):
        if index != 1:
            Image.fromarray(scene.image).save(tmp_path / f"{index}.png")
        box = ",".join(map(str, scene.objects[0].box))
        lines.append(f"{index}.png,{scene.labels[0] if index < 2 else 'unicorn'},{box}")
    (tmp_path / "b.csv").write_text("\n".join(lines))
    told = []
    run = make(data=f"boxes:{tmp_path / 'b.csv'}", methods=("cam", "gae"))
    run.go(tell=told.append)
    assert told == run.failures
    by_name = {each.name: each.reason for each in told}
    assert list(by_name) == ["gae", "1.png", "2.png"]
    assert "GAE does not exist" in by_name["gae"] and "unicorn" in by_name["2.png"]
    assert all("\n" not in str(each) for each in told)
    assert len(run.records(run.backbones[0])) == 1
    Image.fromarray(scenes[1].image).save(tmp_path / "1.png")
    again = make(data=f"boxes:{tmp_path / 'b.csv'}", methods=("cam", "gae"))
    again.go()
    assert len(again.records(again.backbones[0])) == 2


def test_the_report_of_a_run(make):
    run = make(methods=("cam", "layer_cam"))
    run.go()
    written = {path.name: path for path in write_report(run)}
    assert list(written) == [
        "results.md", "results.csv", "curves.csv", "curves-scenes-resnet.svg",
        "figures-scenes-resnet.svg", "failures.csv",
    ]  # fmt: skip
    table = written["results.md"].read_text()
    assert "## scenes-resnet, 4 pictures" in table and "| CAM |  | refined |" in table
    assert "7 x 7 noise" in table and "centred Gaussian" in table
    lines = written["results.csv"].read_text().splitlines()
    head, first = (line.split(",") for line in lines[:2])
    row = dict(zip(head, first, strict=True))
    assert row["method"] == "cam" and row["pictures"] == "4"
    assert float(row["ap_low"]) <= float(row["ap"]) <= float(row["ap_high"])
    assert (
        len(lines) == 1 + 2 + 6 + 2
    )  # CAM, LayerCAM at four stages and of all, what reads nothing
    assert len(written["curves.csv"].read_text().splitlines()) == 1 + 100 * 10
    for name in ("curves-scenes-resnet.svg", "figures-scenes-resnet.svg"):
        drawn = written[name].read_text()
        assert "<svg" in drawn and "LayerCAM, fused</text>" in drawn
    assert json.loads((run.folder.path / "benchmark.json").read_text())["pictures"] == 4


def test_nothing_measured_is_no_table(make):
    run = make()
    with pytest.raises(CamvizError, match="no picture could be measured"):
        write_report(run)
