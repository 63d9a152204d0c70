"""The shell door: what is printed and written, and one line for what the person can mend."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from camviz.cli import main


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (70, 100, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


UNTRAINED = ("--backbone", "test_resnet", "--weights", "random")


def test_explain_writes_what_it_says(picture, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["explain", picture, *UNTRAINED, "--target", "lion", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "untrained weights: its maps mean nothing" in said
    assert "lion (291)" in said and "layer3:" in said and f"written to {out}" in said
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["target"] == {"index": 291, "label": "lion"}
    assert all((out / name).exists() for name in manifest["files"])
    with np.load(out / "maps.npz") as maps:
        assert maps["fused"].shape == (70, 100)
        assert maps["raw/layer1"].shape == (40, 40)
    with Image.open(out / "overlay_fused.png") as overlay:
        assert overlay.size == (100, 70)


def test_json_is_the_manifest_and_nothing_else(picture, capsys):
    options = ["--json", "--method", "hires_cam", "--stages", "layer2,layer4", "--fuse", "mean"]
    assert main(["explain", picture, *UNTRAINED, *options, "--versus", "7", "--target", "5"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["request"]["stages"] == ["layer2", "layer4"]
    assert said["request"]["versus"] == 7 and said["request"]["method"] == "hires_cam"
    assert {"predictions", "target", "notes", "boxes"} <= set(said)


def test_denoised_from_a_shell(picture, capsys):
    options = ["--json", "--truncation", "0.9", "--truncated", "layer2", "--calibration", "self"]
    assert main(["explain", picture, *UNTRAINED, *options]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["request"]["truncated"] == ["layer2"] and said["request"]["truncation"] == 0.9
    assert said["notes"]["layer1"]["denoising"] is None
    denoising = said["notes"]["layer2"]["denoising"]
    assert denoising["floor"]["kept"] == pytest.approx(0.1, abs=0.01)  # by its own quantile


def test_prototypes_are_built_shown_and_used(picture, tmp_path, capsys):
    file = str(tmp_path / "lion.safetensors")
    build = ["prototypes", "build", picture, "gone.png", *UNTRAINED, "--target", "lion"]
    assert main([*build, "--out", file, "--clusters", "3", "--stages", "layer3,layer4"]) == 0
    said = capsys.readouterr().out
    assert "prototypes of 'lion' (291) as test_resnet sees it" in said
    assert "skipped gone.png: there is no file" in said and f"written to {file}" in said
    assert main(["prototypes", "show", file]) == 0
    assert capsys.readouterr().out == said.rpartition("written")[0]
    assert main(["prototypes", "show", file, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["pictures"] == ["noise.png"] and table["clusters"] == 3
    assert len(table["stages"]["layer3"]["prototypes"]) >= 2
    asked = ["explain", picture, *UNTRAINED, "--method", "lpcam", "--prototypes", file, "--json"]
    assert main([*asked, "--aggregate", "max"]) == 0
    request = json.loads(capsys.readouterr().out)["request"]
    assert request["target"] == 291 and request["stages"] == ["layer3", "layer4"]
    assert request["prototypes"] == f"bank:{table['id']}" and request["aggregate"] == "max"


def test_a_scene_is_explained_by_a_network_that_knows_it(capsys):
    assert main(["explain", "--scene", "3", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["request"]["backbone"] == "scenes-resnet"
    (drawn,) = said["truth"]
    assert said["target"]["label"] == drawn == said["predictions"][0]["label"]
    assert said["truth"][drawn]["fused"]["pointing"] == 1


@pytest.mark.parametrize("scene", ["-1", "3:-1", "abc", "1:x", ""])
def test_what_is_no_scene_is_a_sentence(scene, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["explain", f"--scene={scene}"])
    assert "SEED or SEED:INDEX, whole numbers from 0" in capsys.readouterr().err


def test_a_scene_is_measured_against_its_truth(capsys):
    assert main(["explain", "--scene", "3:2", *UNTRAINED, "--json"]) == 0
    truth = json.loads(capsys.readouterr().out)["truth"]
    (figures,) = list(truth.values())[:1]
    assert {"layer1", "fused"} <= set(figures)
    assert {"iou", "ap", "pointing", "best_iou", "energy_inside"} <= set(figures["fused"])
    assert any(name.startswith("energy:") for name in figures["fused"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["explain", "nowhere.png"], "no file 'nowhere.png'"),
        (["explain", "PICTURE", "--backbone", "resnet999"], "unknown backbone 'resnet999'"),
        (["explain", "PICTURE", *UNTRAINED, "--target", "terrier"], "fits several classes"),
        (["explain", "PICTURE", *UNTRAINED, "--method", "cam2"], "unknown method 'cam2'"),
        (["explain", "PICTURE", *UNTRAINED, "--stages", "layer9"], "'layer9'"),
        (["explain", "PICTURE", *UNTRAINED, "--prototypes", "self"], "knows no prototypes"),
        (["prototypes", "show", "PICTURE"], "is not a .safetensors file"),
        (
            ["prototypes", "build", "nowhere.png", *UNTRAINED, "--target", "1", "--out", "x"],
            "no file 'nowhere.png'",
        ),
        (["models", "no-such-thing"], "no backbone is called like"),
        (["models", "no-such-thing", "--check"], "no architecture is called like"),
    ],
)
def test_what_the_person_can_mend_is_one_line_and_status_2(picture, capsys, arguments, words):
    assert main([picture if word == "PICTURE" else word for word in arguments]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("camviz: ") and words in said.err
    assert said.err.count("\n") == 1 and said.out == ""


@pytest.mark.parametrize("value", ["0", "1", "-0.1", "half"])
def test_thresholds_outside_zero_to_one_are_refused(picture, value):
    with pytest.raises(SystemExit) as caught:
        main(["explain", picture, "--threshold", value])
    assert caught.value.code == 2


def test_models_lists_names_weights_and_licences(capsys):
    assert main(["models", "resnet50"]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = lines[1].split()
    assert first[0].startswith("resnet50.") and "apache-2.0" in lines[1] and "25.6" in first
    assert main(["models", "vit_tiny_patch16_224*", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(row["architecture"] == "vit_tiny_patch16_224" for row in rows)


def test_check_says_what_was_found_of_each(capsys):
    assert main(["models", "test_vit", "--check"]) == 0
    said = capsys.readouterr().out
    assert "blocks.5.norm1" in said and "zero gradient: blocks.5" in said
    assert said.splitlines()[-1].endswith("can be traced")


def test_help_waits_for_neither_torch_nor_gradio():
    code = (
        "import sys; from camviz.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'timm', 'gradio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
