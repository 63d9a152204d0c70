"""`camviz teach FOLDER` and `camviz explain --head FILE`."""

import json
import shutil

import pytest
from PIL import Image

from camviz.cli import main


@pytest.fixture(scope="module")
def folder(pictures, tmp_path_factory):
    """A folder that has a folder of pictures for each kind."""
    place = tmp_path_factory.mktemp("kinds")
    for kind, images in pictures.items():
        (place / kind).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(place / kind / f"{kind}-{number}.png")
    (place / ".hidden").mkdir()
    return place


def test_a_head_is_taught_saved_and_used(folder, tmp_path, capsys):
    out = tmp_path / "head.safetensors"
    assert main(["teach", str(folder), "--backbone", "scenes-resnet", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "taught scenes-resnet: church (3), house (3)" in said
    assert "classified by all the others: 6 of 6 rightly" in said and f"written to {out}" in said
    picture = str(folder / "house" / "house-0.png")
    assert main(["explain", picture, "--head", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("scenes-resnet, taught, weights bundled:")
    assert "house (1)" in said.splitlines()[1] and said.splitlines()[1].startswith("*")
    with_class = ["explain", picture, "--head", str(out), "--target", "church", "--json"]
    assert main(with_class) == 0
    assert json.loads(capsys.readouterr().out)["target"] == {"index": 0, "label": "church"}


def test_a_drawn_scene_is_explained_by_a_head(folder, tmp_path, capsys):
    out = tmp_path / "head.safetensors"
    assert main(["teach", str(folder), "--backbone", "scenes-convnext", "--out", str(out)]) == 0
    assert main(["explain", "--scene", "3", "--head", str(out)]) == 0
    assert "scenes-convnext, taught" in capsys.readouterr().out


def test_the_result_as_json(folder, tmp_path, capsys):
    command = ["teach", str(folder), "--backbone", "scenes-resnet", "--json"]
    assert main([*command, "--out", str(tmp_path / "head.safetensors")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kinds"] == ["church", "house"] and found["mistaken"] == []
    assert (found["right"], found["tried"]) == (6, 6)


def test_a_picture_that_is_taken_for_another_kind_is_named(folder, tmp_path, capsys):
    place = tmp_path / "kinds"
    shutil.copytree(folder, place)
    (place / "house" / "house-0.png").rename(place / "church" / "strange.png")
    out = str(tmp_path / "head.safetensors")
    command = ["teach", str(place), "--backbone", "scenes-resnet", "--out", out]
    assert main(command) == 0
    assert "  strange.png: church, taken for house\n" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    mistaken = json.loads(capsys.readouterr().out)["mistaken"]
    assert {"picture": "strange.png", "is": "church", "predicted": "house"} in mistaken


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["teach", "{none}", "--out", "{out}"], "there is no folder"),
        (["teach", "{empty}", "--out", "{out}"], "has 0 folders of pictures"),
        (["teach", "{folder}", "--out", "{empty}"], "is a folder"),
        (["teach", "{folder}", "--out", "{out}", "--penalty", "0"], "penalty is a number above 0"),
        (["explain", "x.png", "--head", "{none}"], "no file"),
    ],
)
def test_what_the_person_can_mend(folder, tmp_path, capsys, words, said):
    places = {
        "none": tmp_path / "none", "empty": tmp_path / "empty", "folder": folder,
        "out": tmp_path / "head.safetensors",
    }  # fmt: skip
    places["empty"].mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    words = [word.format(**places) for word in words]
    words = [str(tmp_path / "x.png") if word == "x.png" else word for word in words]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
