"""The zip: complete, coloured as the visitor had it, and the manifest last of all."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from camviz import render
from camviz.ui import bundle, compare_tab
from camviz.ui.compare_tab import Ask, rows_of

RESNET = "test_resnet.r160_in1k"


@pytest.fixture
def ask(tmp_path, photo):
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    stages = tuple(compare_tab.engine().backbone(RESNET, "random").default_stages)
    return Ask(str(path), RESNET, True, RESNET, True, stages=stages)


def unpacked(path):
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read("manifest.json"))
        with archive.open("maps.npz") as file, np.load(file) as maps:
            arrays = {key: maps[key] for key in maps.files}
    return names, manifest, arrays


def test_zip_holds_what_is_shown(ask):
    names, manifest, arrays = unpacked(bundle.zipped(ask))
    rows = rows_of(ask)
    assert names == sorted([*manifest["files"], "manifest.json"]) and "picture.png" in names
    for key, x in rows.items():
        assert manifest["rows"][key]["request"]["method"] == x.request.method
        for name in ask.stages:
            assert np.array_equal(arrays[f"{key}/{name}"], x.raw[name])
        assert np.array_equal(arrays[f"{key}/fused"], x.fused_grid[0])
    assert manifest["rows"]["denoised"]["request"]["truncation"] == ask.truncation
    assert manifest["link"]["example"] == "upload"
    assert ask.picture not in json.dumps(manifest)  # no path of this machine


def test_a_row_that_is_a_sentence_stays_one(ask):
    from dataclasses import replace

    _, manifest, arrays = unpacked(bundle.zipped(replace(ask, method="eigen_cam")))
    assert "no gradient" in manifest["rows"]["denoised"]["said"]
    assert not any(key.startswith("denoised/") for key in arrays)


def test_overlays_are_coloured_as_the_address_bar_says(ask, tmp_path):
    rows = rows_of(ask)
    query = "?colors=magma&opacity=0.3&threshold=0.5"
    folder = bundle.write_rows(rows, tmp_path / "out", query)
    x = rows["layercam"]
    with Image.open(folder / "layercam_layer4.png") as image:
        drawn = np.asarray(image)
    wanted = render.overlay(x.picture.pixels, x.maps["layer4"], name="magma", opacity=0.3)
    assert np.array_equal(drawn, wanted)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["rows"]["layercam"]["threshold"] == 0.5


@pytest.mark.parametrize("query", ["", "?colors=../../etc&opacity=much&threshold=-1", "?&&=;%00"])
def test_garbage_in_the_address_bar_does_no_harm(ask, tmp_path, query):
    folder = bundle.write_rows(rows_of(ask), tmp_path / "out", query)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["rows"]["layercam"]["threshold"] == bundle.THRESHOLD
