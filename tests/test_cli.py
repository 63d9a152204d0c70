"""The shell door: what is printed and written, and one line for what the person can mend."""

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from camviz.cli import main
from camviz.engine.option import option_table
from camviz.engine.options import Options
from camviz.environment import environment
from camviz.resources import ASSETS


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
    output = capsys.readouterr().out
    assert "untrained weights: its maps mean nothing" in output
    assert "lion (291)" in output and "layer3:" in output and f"written to {out}" in output
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["target"] == {"index": 291, "label": "lion"}
    assert all((out / name).exists() for name in manifest["files"])
    with np.load(out / "maps.npz") as maps:
        assert maps["fused"].shape == maps["refined"].shape == (70, 100)
        assert maps["raw/layer1"].shape == (40, 40)
    for name in ("fused", "refined"):
        with Image.open(out / f"overlay_{name}.png") as overlay:
            assert overlay.size == (100, 70)


def boxes_in(output):
    return re.findall(r"^  box (\(.*\)), ", output, re.M)


def test_boxes_are_printed_of_the_map_that_is_named(picture, capsys):
    explain = ["explain", picture, *UNTRAINED, "--target", "5", "--threshold", "0.7"]
    assert main([*explain, "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)
    wanted = {
        name: [str((box["x0"], box["y0"], box["x1"], box["y1"])) for box in manifest[key]]
        for name, key in (("fused", "boxes"), ("refined", "refined_boxes"))
    }
    assert wanted["fused"] != wanted["refined"] and all(wanted.values())
    for options, name in (([], "fused"), (["--boxes-of", "fused"], "fused"),
                          (["--boxes-of", "refined"], "refined")):  # fmt: skip
        assert main([*explain, *options]) == 0
        assert boxes_in(capsys.readouterr().out) == wanted[name]


def test_refinement_from_a_shell(picture, capsys):
    explain = ["explain", picture, *UNTRAINED, "--json"]
    given = ["--refine-power", "2.5", "--refine-steps", "4", "--refine-keep", "0.5"]
    assert main([*explain, *given]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["method"]["refinement"] == {"power": 2.5, "steps": 4, "keep": 0.5}
    assert output["refined_boxes"]
    assert main([*explain, "--refine", "none"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["method"]["refinement"] is output["refined_boxes"] is None
    assert output["request"]["refine"] == "none"


def test_json_is_the_manifest_and_nothing_else(picture, capsys):
    options = ["--json", "--method", "hires_cam", "--stages", "layer2,layer4", "--fuse", "mean"]
    assert main(["explain", picture, *UNTRAINED, *options, "--versus", "7", "--target", "5"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["request"]["stages"] == ["layer2", "layer4"]
    assert output["request"]["versus"] == 7 and output["request"]["method"] == "hires_cam"
    assert {"predictions", "target", "notes", "boxes"} <= set(output)


def test_denoised_from_a_shell(picture, capsys):
    options = ["--json", "--truncation", "0.9", "--truncated", "layer2", "--calibration", "self"]
    assert main(["explain", picture, *UNTRAINED, *options]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["request"]["truncated"] == ["layer2"] and output["request"]["truncation"] == 0.9
    assert output["notes"]["layer1"]["denoising"] is None
    denoising = output["notes"]["layer2"]["denoising"]
    assert denoising["noise"]["kept"] == pytest.approx(0.1, abs=0.01)  # by its own quantile


def test_prototypes_are_built_shown_and_used(picture, tmp_path, capsys):
    file = str(tmp_path / "lion.safetensors")
    build = ["prototypes", "build", picture, "gone.png", *UNTRAINED, "--target", "lion"]
    assert main([*build, "--out", file, "--clusters", "3", "--stages", "layer3,layer4"]) == 0
    output = capsys.readouterr().out
    assert "prototypes of 'lion' (291) as test_resnet sees it" in output
    assert "skipped gone.png: there is no file" in output and f"written to {file}" in output
    assert main(["prototypes", "show", file]) == 0
    assert capsys.readouterr().out == output.rpartition("written")[0]
    assert main(["prototypes", "show", file, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["pictures"] == ["noise.png"] and table["clusters"] == 3
    assert len(table["stages"]["layer3"]["prototypes"]) >= 2
    explain = ["explain", picture, *UNTRAINED, "--method", "lpcam", "--prototypes", file, "--json"]
    assert main([*explain, "--aggregate", "max"]) == 0
    request = json.loads(capsys.readouterr().out)["request"]
    assert request["target"] == 291 and request["stages"] == ["layer3", "layer4"]
    assert request["prototypes"] == f"bank:{table['id']}" and request["aggregate"] == "max"


def test_a_scene_is_explained_by_a_network_that_knows_it(capsys):
    assert main(["explain", "--scene", "3", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["request"]["backbone"] == "scenes-resnet"
    (drawn,) = output["truth"]
    assert output["target"]["label"] == drawn == output["predictions"][0]["label"]
    assert output["truth"][drawn]["fused"]["pointing"] == 1


@pytest.mark.parametrize("scene", ["-1", "3:-1", "abc", "1:x", ""])
def test_what_is_no_scene_is_a_sentence(scene, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["explain", f"--scene={scene}"])
    assert "SEED or SEED:INDEX, whole numbers from 0" in capsys.readouterr().err


def test_a_scene_is_measured_against_its_truth(capsys):
    assert main(["explain", "--scene", "3:2", *UNTRAINED, "--json"]) == 0
    truth = json.loads(capsys.readouterr().out)["truth"]
    (figures,) = list(truth.values())[:1]
    assert {"layer1", "fused", "refined"} <= set(figures)
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
        (["explain", "PICTURE", *UNTRAINED, "--prototypes", "self"], "uses no prototypes"),
        (["explain", "PICTURE", *UNTRAINED, "--refine-steps", "17"], "refine steps is a whole"),
        (["prototypes", "show", "PICTURE"], "is not a .safetensors file"),
        (
            ["prototypes", "build", "nowhere.png", *UNTRAINED, "--target", "1", "--out", "x"],
            "no file 'nowhere.png'",
        ),
        (["models", "no-such-thing"], "no backbone matches 'no-such-thing'"),
        (["models", "no-such-thing", "--check"], "no architecture matches 'no-such-thing'"),
    ],
)
def test_what_the_person_can_mend_is_one_line_and_status_2(picture, capsys, arguments, words):
    assert main([picture if word == "PICTURE" else word for word in arguments]) == 2
    output = capsys.readouterr()
    assert output.err.startswith("camviz: ") and words in output.err
    assert output.err.count("\n") == 1 and output.out == ""


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


@pytest.mark.long
def test_check_says_what_was_found_of_each(capsys):
    assert main(["models", "test_vit", "--check"]) == 0
    output = capsys.readouterr().out
    assert "blocks.5.norm1" in output and "zero gradient: blocks.5" in output
    assert output.splitlines()[-1].endswith("can be traced")


def test_help_waits_for_neither_torch_nor_gradio():
    code = (
        "import sys; from camviz.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'timm', 'gradio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.fixture
def served(monkeypatch):
    """What `camviz serve` gives to the page's server."""
    given = {}

    def serve(page, options, **launch):
        given.update(launch, public=environment().public)
        return 0

    module = SimpleNamespace(build_app=None, launch_options=None, serve=serve)
    monkeypatch.setitem(sys.modules, "camviz.ui", module)
    monkeypatch.delenv("CAMVIZ_PUBLIC", raising=False)
    return given


def test_serve_opens_the_page_at_an_address(served):
    assert main(["serve", "--port", "7999", "--host", "0.0.0.0"]) == 0
    assert served == {"server_name": "0.0.0.0", "server_port": 7999, "public": False}
    assert main(["serve"]) == 0  # gradio reads its own settings then
    assert served["server_name"] is served["server_port"] is None


def test_serve_offers_runs(served, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CAMVIZ_RUNS", "one")
    run = ASSETS / "runs" / "marked-rams"
    assert main(["serve", "--run", str(run)]) == 0
    assert environment().runs == f"one{os.pathsep}{run.resolve()}"
    assert main(["serve", "--run", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_serve_for_the_public(served, monkeypatch):
    monkeypatch.setenv("CAMVIZ_PUBLIC", "0")  # and is put back after the test
    assert main(["serve", "--public"]) == 0
    assert served["public"]


@pytest.mark.parametrize("name", ["CAMVIZ_THREADS", "GRADIO_SERVER_PORT"])
def test_a_variable_that_cannot_be_read_is_named_before_anything_is_served(
    served, monkeypatch, capsys, name
):
    monkeypatch.setenv(name, "many")
    assert main(["serve"]) == 2
    assert not served and f"camviz: {name} is a whole number" in capsys.readouterr().err


def test_old_spellings_are_taken(picture, capsys):
    for options, found in (
        (["--grid", "raw"], {"checkerboard": "keep"}),
        (["--grid", "smooth"], {"checkerboard": "smooth"}),
        (["--checkerboard", "keep"], {"checkerboard": "keep"}),
        (["--method", "lpcam", "--prototypes", "self"], {"prototypes": "picture"}),
    ):
        assert main(["explain", picture, *UNTRAINED, "--json", *options]) == 0
        assert found.items() <= json.loads(capsys.readouterr().out)["request"].items()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--truncation", "much"], "'much' is not a number"),
        (["--grid", "none"], "--checkerboard/--grid: invalid choice: 'none'"),
        (["--tap", "input"], "--tap: invalid choice: 'input'"),
    ],
)
def test_options_out_of_the_table_are_refused(picture, capsys, options, words):
    with pytest.raises(SystemExit, match="2"):
        main(["explain", picture, *options])
    assert words in capsys.readouterr().err


def test_the_options_of_explain_are_those_of_the_table(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["explain", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, row in option_table(Options).items():
        assert f"--{name.replace('_', '-')}" in text and row.help in text
        assert row.own_settings in text
    assert "fifteen times the time); paper (paper: LPCAM) (default: one)" in text


def test_serve_takes_a_memory_budget(monkeypatch, capsys):
    monkeypatch.setenv("CAMVIZ_MEMORY_BUDGET", "64")  # which is put back
    served = []

    def note(page, options, **launch):
        served.append(environment().memory_budget)
        return 0

    monkeypatch.setattr("camviz.ui.serve", note)
    assert main(["serve", "--memory-budget", "512"]) == 0 and served == [512]
    assert main(["serve", "--memory-budget", "little"]) == 2
    assert "CAMVIZ_MEMORY_BUDGET is a whole number from 64, not 'little'" in capsys.readouterr().err
