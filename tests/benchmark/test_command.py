"""`camviz benchmark` from a shell: what is printed and written, and one line for what is wrong."""

import csv
import json

import numpy as np
import pytest

from camviz.benchmark.datasets import open_dataset
from camviz.cli import main
from camviz.maps.localization import best_iou

SMALL = ("--backbone", "scenes-resnet", "--count", "2", "--seed", "3")


def test_scenes(tmp_path, capsys):
    out = tmp_path / "out"
    command = ["benchmark", "--data", "scenes", *SMALL, "--out", str(out)]
    command += ["--methods", "layer_cam,gae", "--options", "truncation=0.9", "--options"]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "| LayerCAM | truncation=0.9 | fused |" in printed.out
    assert f"2 of 2 measured; written to {out}" in printed.out
    assert printed.err.count("\n") == 2 and "GAE does not exist" in printed.err
    with (out / "failures.csv").open() as lines:
        assert [row["name"] for row in csv.DictReader(lines)] == ["gae truncation=0.9", "gae"]
    assert main([*command, "--count", "3"]) == 2
    assert "they differ in pictures 2 there, 3 now" in capsys.readouterr().err


def test_views_are_an_option_like_others(tmp_path, engine):
    command = ["benchmark", "--data", "scenes", *SMALL, "--count", "1", "--out", str(tmp_path)]
    assert main([*command, "--methods", "cam", "--options", "views=flip", "--options"]) == 0
    with (tmp_path / "results.csv").open() as lines:
        found = {
            row["options"]: float(row["best_iou"])
            for row in csv.DictReader(lines)
            if (row["method"], row["map"]) == ("cam", "layer4")
        }
    wanted = {"views=flip": [], "": []}
    case = open_dataset("scenes", 1, 3).case(0)
    for thing in case.things:
        for text, views in (("views=flip", "flip"), ("", "one")):
            x = engine.explain(
                case.picture, "scenes-resnet", target=thing.label, method="cam", views=views
            )
            wanted[text].append(best_iou(x.fused, thing.mask)[0])
    assert found == {text: pytest.approx(np.mean(values)) for text, values in wanted.items()}
    assert found["views=flip"] != found[""]


def test_parts(tmp_path, capsys):
    command = ["benchmark", "--data", "parts", *SMALL, "--methods", "cam", "--out", str(tmp_path)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "# Parts as truth" in printed and "even map" in printed
    with (tmp_path / "results.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert {row["method"] for row in rows} == {"cam", "7 x 7 noise", "centred Gaussian", "even map"}
    assert all(-1 <= float(row["sum_rho"]) <= 1 for row in rows)


def test_claims(tmp_path, capsys):
    out = tmp_path / "claims"
    assert main(["benchmark", "--claims", *SMALL, "--out", str(out)]) == 0
    table = json.loads((out / "claims.json").read_text())
    assert [claim["key"] for claim in table["claims"]] == [
        "fused", "truncation", "prototypes", "refinement",
    ]  # fmt: skip
    assert (out / "claims.md").read_text() in capsys.readouterr().out


def test_classes_by_another_name(tmp_path, capsys):
    from PIL import Image

    from camviz.scenes import draw_scene

    scene = draw_scene(1, 0, two_objects=0)
    Image.fromarray(scene.image).save(tmp_path / "a.png")
    box = ",".join(map(str, scene.objects[0].box))
    (tmp_path / "b.csv").write_text(f"file,class,x0,y0,x1,y1\na.png,bestiole,{box}\n")
    command = ["benchmark", "--data", f"boxes:{tmp_path / 'b.csv'}", "--methods", "cam",
               "--backbone", "scenes-resnet", "--out", str(tmp_path / "out")]  # fmt: skip
    assert main(command) == 2
    assert "no picture could be measured" in capsys.readouterr().err
    names = tmp_path / "names.csv"
    names.write_text(f"bestiole,{scene.labels[0]}\n")
    command[-1] = str(tmp_path / "other")
    assert main([*command, "--classes", str(names)]) == 0
    names.write_text("one,two,three\n")
    assert main([*command, "--classes", str(names)]) == 2
    assert "is not a name, a comma and a class" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "coco"], "there is no data 'coco'"),
        (["--data", "scenes", "--count", "0"], "count is a whole number from 1, not 0"),
        (["--data", "parts", "--count", "-1"], "count is a whole number from 1, not -1"),
        (["--data", "scenes", "--jobs", "-1"], "jobs is a whole number from 0, not -1"),
        (["--data", "scenes", "--methods", "nothing"], "unknown method 'nothing'"),
        (["--data", "scenes", "--options", "a=b"], "'a=b' is no option"),
        (["--data", "scenes", "--weights", "x.pt"], "weights belong to one backbone"),
        (["--data", "scenes", "--classes", "/no.csv"], "cannot read '/no.csv'"),
        (["--claims", "--count", "0"], "count is a whole number from 1, not 0"),
    ],
)
def test_what_the_person_can_mend(words, message, tmp_path, capsys):
    assert main(["benchmark", *words, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_help_names_the_data(capsys):
    with pytest.raises(SystemExit):
        main(["benchmark", "--help"])
    assert "voc:FOLDER" in capsys.readouterr().out
