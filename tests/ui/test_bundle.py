"""The zip: complete, coloured as the visitor had it, and the manifest last of all."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camviz.maps import render
from camviz.ui import compare_tab
from camviz.ui.compare_tab import rows_of
from camviz.ui.downloads import bundle

RESNET = "test_resnet.r160_in1k"


@pytest.fixture
def ask(asking, photo_file):
    return asking(photo_file)


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
    assert names == sorted([*manifest["files"], "manifest.json", "report.html"])
    assert "picture.png" in names
    for key, x in rows.items():
        assert manifest["rows"][key]["request"]["method"] == x.request.method
        for name in x.stages:
            assert np.array_equal(arrays[f"{key}/{name}"], x.raw[name])
        assert np.array_equal(arrays[f"{key}/fused"], x.fused_grid[0])
    assert manifest["rows"]["denoised"]["request"]["truncation"] == ask.truncation
    assert manifest["link"]["example"] == "upload"
    assert ask.picture not in json.dumps(manifest)  # no path of this machine


def test_a_row_that_is_a_sentence_stays_one(ask):
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


def test_the_report_links_to_the_view_of_its_own_picture(ask):
    address = "https://host/camviz/?colors=magma&method=grad_cam&utm_x=1#there"
    with zipfile.ZipFile(bundle.zipped(ask, address)) as archive:
        text = archive.read("report.html").decode()
    assert "https://host/camviz/?backbone=test_resnet.r160_in1k&amp;example=upload" in text
    assert "colors=magma" in text and "utm_x" not in text and "method=grad_cam" not in text


# -- Several pictures ----------------------------------------------------------------------------


@pytest.fixture
def three(ask, tmp_path, photo):
    paths = []
    for name, pixels in (("b & c", photo[::-1]), ("a", photo[:, ::-1]), ("photo", photo[:40])):
        folder = tmp_path / name.replace(" ", "")
        folder.mkdir()
        paths.append(str(folder / f"{name}.png"))
        Image.fromarray(pixels).save(paths[-1])
    return replace(ask, picture=paths[1], pictures=tuple(paths))


def test_every_picture_has_a_folder_of_its_own(three):
    done = []
    path = bundle.zipped(three, "", lambda *report: done.append(report))
    assert done == [(0, 3), (1, 3), (2, 3)]
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        folders = sorted({name.split("/")[0] for name in names} - {"index.html"})
        assert folders == ["01-b---c", "02-a", "03-photo"]
        for folder, picture in zip(folders, three.pictures, strict=True):
            manifest = json.loads(archive.read(f"{folder}/manifest.json"))
            rows = rows_of(replace(three, picture=picture))
            x = rows["layercam"]
            assert manifest["rows"]["layercam"]["picture"]["sha256"] == x.picture.digest
            assert manifest["rows"]["layercam"]["target"]["index"] == x.target  # its own top class
            assert {f"{folder}/{file}" for file in manifest["files"]} < set(names)
            assert x.label in archive.read(f"{folder}/report.html").decode()
        index = archive.read("index.html").decode()
    assert all(f'href="{folder}/report.html"' in index for folder in folders)
    assert "b &amp; c.png" in index and str(Path(three.picture).parent) not in index


def test_a_class_that_was_chosen_is_explained_in_all(three):
    label = compare_tab.network(three).labels[7]
    with zipfile.ZipFile(bundle.zipped(replace(three, target=label))) as archive:
        for name in archive.namelist():
            if name.endswith("manifest.json"):
                manifest = json.loads(archive.read(name))
                assert manifest["rows"]["layercam"]["target"]["label"] == label
                assert manifest["link"]["class"] == label


def test_a_picture_beside_the_others_is_not_forgotten_and_none_is_there_twice(three, ask):
    with zipfile.ZipFile(bundle.zipped(replace(three, picture=ask.picture))) as archive:
        assert "01-photo/manifest.json" in archive.namelist()
        assert "04-photo/manifest.json" in archive.namelist()
    shown = compare_tab.opened(three.picture).digest
    copied = Path(ask.picture).with_name("copy.png")
    copied.write_bytes(Path(three.picture).read_bytes())
    with zipfile.ZipFile(bundle.zipped(replace(three, picture=str(copied), shown=shown))) as again:
        assert not any("copy" in name for name in again.namelist())


def test_what_cannot_be_explained_has_its_reason_in_the_zip(three):
    Path(three.pictures[0]).write_text("no picture any more")
    with zipfile.ZipFile(bundle.zipped(replace(three, shown="x"))) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {
            "02-a",
            "03-photo",
            "index.html",
        }
        assert "is not a picture" in archive.read("index.html").decode()
