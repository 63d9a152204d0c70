"""The seeds of a run against masks: what is counted, and the command."""

import csv

import numpy as np
import pytest
from PIL import Image

from camviz.benchmark.datasets import open_dataset
from camviz.benchmark.seeds import BACKGROUND, THRESHOLDS, score_seeds
from camviz.bulk.run import Geometry, Run, RunWriter
from camviz.bulk.schema import row_of
from camviz.bulk.voc_classes import VOC_CLASSES
from camviz.cli import main
from camviz.errors import DataError
from camviz.maps.localization import confusion_matrix, seed_labels, seed_miou
from camviz.scenes import draw_scene

# What VOC calls the things that are drawn, so that its folders can be laid out with them.
CALLED = {"sheep": "sheep", "ram": "cow", "horse": "horse", "zebra": "cat"}


@pytest.fixture(scope="module")
def laid_out(engine, tmp_path_factory):
    """VOC's folders with scenes of two things, a run of them, and the classes by their names."""
    folder = tmp_path_factory.mktemp("voc")
    for name in ("JPEGImages", "SegmentationClass"):
        (folder / name).mkdir()
    rows, x = [], None
    index = count = 0
    while count < 4:
        scene = draw_scene(5, index, two_objects=1)
        index += 1
        if len(scene.labels) < 2 or not set(scene.labels) <= set(CALLED):
            continue
        name = f"2007_{count:06d}"
        count += 1
        file = folder / "JPEGImages" / f"{name}.jpg"
        Image.fromarray(scene.image).save(file, quality=95)
        truth = np.zeros((224, 224), np.uint8)
        for thing in scene.objects:
            truth[thing.mask] = VOC_CLASSES.index(CALLED[thing.label]) + 1
        truth[:3] = 255
        image = Image.fromarray(truth).convert("P")
        image.save(folder / "SegmentationClass" / f"{name}.png")
        for label in scene.labels:
            x = engine.explain(file, "scenes-resnet", target=label)
            rows.append(row_of(x, f"{name} {label}", f"JPEGImages/{name}.jpg"))
    run = tmp_path_factory.mktemp("run")
    configuration = {"options": {"fit": "stretch"}, "source": str(folder)}
    with RunWriter(run, configuration, Geometry.of(x)) as writer:
        for row in rows:
            writer.add(row)
    return folder, Run.open(run), {name: label for label, name in CALLED.items()}


def test_scenes_of_two_things_were_found(laid_out):
    folder, run, _ = laid_out
    assert len(run) == 8 and len(list((folder / "JPEGImages").iterdir())) == 4


def test_miou_is_that_of_all_pixels_together(laid_out):
    folder, run, names = laid_out
    data = open_dataset(f"voc:{folder}")
    scored = score_seeds(run, data, names)
    assert scored.pictures == 4 and not scored.failures
    assert set(scored.maps) == {*run.geometry.stages, "fused", "refined"}
    for of in ("fused", run.geometry.stages[0]):
        seeds = scored.maps[of]
        for threshold in (seeds.threshold, 0.3):
            confusion = np.zeros((21, 21), np.int64)
            for index in range(4):
                confusion += _confusion(run, data, index, names, of, threshold)
            wanted = seed_miou(confusion)
            assert seeds.curve[THRESHOLDS.index(threshold)] == pytest.approx(wanted)
            if threshold == seeds.threshold:
                assert seeds.miou[0] == pytest.approx(wanted) == pytest.approx(seeds.curve.max())
                assert seeds.miou[1] <= seeds.miou[0] <= seeds.miou[2]
                for label, iou in seeds.classes.items():
                    k = 0 if label == BACKGROUND else VOC_CLASSES.index(label) + 1
                    union = confusion[k].sum() + confusion[:, k].sum() - confusion[k, k]
                    assert iou == pytest.approx(confusion[k, k] / union)
    assert scored.maps["fused"].miou[0] > 0.3


def _confusion(run, data, index, names, of, threshold):
    """Of one picture, in VOC's own numbers, without any code of `seeds`."""
    case = data.case(index)
    rows = {row["label"]: row for row in run.rows() if data.names[index] in row["path"]}
    labels = [thing.label for thing in case.things]
    heats = [run.heat(rows[names[label]], of) for label in labels]
    numbers = np.array([0, *(VOC_CLASSES.index(label) + 1 for label in labels)])
    truth = np.full(case.labels.shape, 255)
    counted = case.labels >= 0
    truth[counted] = numbers[case.labels[counted]]
    return confusion_matrix(numbers[seed_labels(heats, threshold)], truth, 21)


def test_the_command_prints_and_writes_both_tables(laid_out, tmp_path, capsys):
    folder, run, names = laid_out
    classes = tmp_path / "classes.csv"
    classes.write_text("".join(f"{name},{label}\n" for name, label in names.items()))
    command = ["benchmark", "--data", f"voc:{folder}", "--run", str(run.path),
               "--classes", str(classes), "--out", str(tmp_path / "out")]  # fmt: skip
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "| map | mIoU | threshold |" in printed and "| background |" in printed
    assert "4 of 4 measured" in printed
    with (tmp_path / "out" / "seeds.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert {row["class"] for row in rows} >= {"mean", BACKGROUND}
    assert main([*command, "--backbone", "scenes-resnet"]) == 2
    assert "--run brings the maps" in capsys.readouterr().err


def test_what_the_run_lacks_is_named(laid_out, tmp_path):
    folder, run, names = laid_out
    data = open_dataset(f"voc:{folder}")
    first = next(run.rows())
    with RunWriter(tmp_path / "less", run.configuration, run.geometry) as writer:
        for row in run.rows():
            if row["id"] != first["id"]:
                writer.add(row)
    scored = score_seeds(Run.open(tmp_path / "less"), data, names)
    assert scored.pictures == 3
    assert scored.failures == {
        "2007_000000": f"the run has no map of '{first['label']}' in '2007_000000'"
    }
    with pytest.raises(DataError, match="no picture of the data could be measured"):
        score_seeds(run, data, dict.fromkeys(names, "tractor"))


def test_a_run_of_every_class_of_a_picture_is_made_by_the_command(laid_out, tmp_path, capsys):
    folder, run, names = laid_out
    table = folder / "classes.csv"
    lines = [f"{row['path']},{row['label']}\n" for row in run.rows(["path", "label"])]
    table.write_text("path,label\n" + "".join([*lines, lines[0]]))  # a line that is there twice
    out = tmp_path / "run"
    command = ["maps", str(table), "--target", "label", "--backbone", "scenes-resnet"]
    assert main([*command, "--out", str(out)]) == 0
    made = Run.open(out)
    assert sorted((row["path"], row["label"]) for row in made.rows()) == sorted(
        (row["path"], row["label"]) for row in run.rows()
    )
    data = open_dataset(f"voc:{folder}")
    found, wanted = (score_seeds(each, data, names).maps["fused"] for each in (made, run))
    assert found.miou == pytest.approx(wanted.miou, abs=2e-3)
    assert main([*command, "--out", str(out)]) == 0 and len(Run.open(out)) == 8
