"""The zip: complete, coloured as the visitor had it, and the manifest last of all."""

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import timm
from PIL import Image
from timm.models._hub import save_for_hf

from camviz.defaults import REFINED_THRESHOLD, THRESHOLD
from camviz.engine import export
from camviz.maps import render
from camviz.turns import Stopped
from camviz.ui import service
from camviz.ui.downloads import bundle
from camviz.ui.state import AUTO, BackboneChoice, Covering, Task

NFNET = "test_nfnet.r160_in1k"


def unpack(path):
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read("manifest.json"))
        with archive.open("maps.npz") as file, np.load(file) as maps:
            arrays = {key: maps[key] for key in maps.files}
    return names, manifest, arrays


def test_zip_holds_what_is_shown(controls):
    names, manifest, arrays = unpack(bundle.make_zip(controls))
    rows = service.rows(controls)
    assert names == sorted([*manifest["files"], "manifest.json", "report.html"])
    assert "picture.png" in names
    for key, x in rows.items():
        assert manifest["rows"][key]["request"]["method"] == x.request.method
        for name in x.stages:
            assert np.array_equal(arrays[f"{key}/{name}"], x.raw[name])
        assert np.array_equal(arrays[f"{key}/fused"], x.fused_grid[0])
        assert np.array_equal(arrays[f"{key}/refined"], x.refined_grid[0])
        assert {f"{key}_fused.png", f"{key}_refined.png"} <= set(names)
    assert manifest["rows"]["denoised"]["request"]["truncation"] == 0.0  # as it was chosen
    assert manifest["link"]["example"] == "upload" and "truncation" not in manifest["link"]
    assert controls.picture not in json.dumps(manifest)  # no path of this machine


@pytest.mark.parametrize(("level", "found"), [(AUTO, 0.9), (0.5, 0.5)])
def test_the_level_that_was_chosen_is_in_the_zip(controls_of, photo_file, level, found):
    controls = replace(controls_of(photo_file, NFNET), truncation=level)
    names, manifest, arrays = unpack(bundle.make_zip(controls))
    x = service.row(controls, "denoised")
    assert manifest["rows"]["denoised"]["request"]["truncation"] == found
    assert manifest["rows"]["denoised"]["request"]["truncated"] == list(x.stages[:-1])
    assert manifest["link"].get("truncation") == (None if level == AUTO else "0.5")
    for name in x.stages[:-1]:
        assert np.array_equal(arrays[f"denoised/{name}"], x.raw[name])
        assert not np.array_equal(arrays[f"denoised/{name}"], arrays[f"layercam/{name}"])
    assert not any(name.startswith("removed") for name in (*names, *arrays, *manifest["rows"]))


def test_without_refinement_the_zip_has_no_such_map(controls):
    names, manifest, arrays = unpack(bundle.make_zip(controls.with_options(refine="none")))
    assert not any("refined" in name for name in (*names, *arrays))
    assert manifest["rows"]["layercam"]["refined_boxes"] is None
    assert "layercam_fused.png" in names and "layercam/fused" in arrays


def test_a_row_that_is_a_sentence_stays_one(controls):
    _, manifest, arrays = unpack(bundle.make_zip(controls.with_options(method="eigen_cam")))
    assert "no gradient" in manifest["rows"]["denoised"]["reason"]
    assert not any(key.startswith("denoised/") for key in arrays)


def test_overlays_are_coloured_as_the_address_bar_says(controls, tmp_path):
    rows = service.rows(controls)
    query = "?colors=magma&opacity=0.3&threshold=0.5&boxes=all"
    folder = bundle.write_rows(rows, tmp_path / "out", query)
    x = rows["layercam"]
    with Image.open(folder / "layercam_layer4.png") as image:
        drawn = np.asarray(image)
    heat = x.maps["layer4"]
    wanted = render.overlay(x.picture.pixels, heat, name="magma", opacity=0.3)
    wanted[heat < 0.5 * heat.max()] = x.picture.pixels[heat < 0.5 * heat.max()]
    boxes = x.boxes(0.5, stage="layer4", multi=True)
    wanted = render.draw_boxes(wanted, [box.xyxy for box in boxes])
    assert np.array_equal(drawn, wanted)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["rows"]["layercam"]["threshold"] == 0.5
    assert manifest["rows"]["layercam"]["refined_threshold"] == 0.5


@pytest.mark.parametrize("query", ["", "?colors=../../etc&opacity=much&threshold=-1", "?&&=;%00"])
def test_garbage_in_the_address_bar_does_no_harm(controls, tmp_path, query):
    folder = bundle.write_rows(service.rows(controls), tmp_path / "out", query)
    manifest = json.loads((folder / "manifest.json").read_text())
    found = manifest["rows"]["layercam"]
    assert (found["threshold"], found["refined_threshold"]) == (THRESHOLD, REFINED_THRESHOLD)


def test_the_report_links_to_the_view_of_its_own_picture(controls):
    address = "https://host/camviz/?colors=magma&method=grad_cam&utm_x=1#there"
    with zipfile.ZipFile(bundle.make_zip(controls, address)) as archive:
        text = archive.read("report.html").decode()
    assert "https://host/camviz/?backbone=test_resnet.r160_in1k&amp;example=upload" in text
    assert "colors=magma" in text and "utm_x" not in text and "method=grad_cam" not in text


# -- Several pictures ----------------------------------------------------------------------------


@pytest.fixture
def three(controls, tmp_path, photo):
    paths = []
    for name, pixels in (("b & c", photo[::-1]), ("a", photo[:, ::-1]), ("photo", photo[:40])):
        folder = tmp_path / name.replace(" ", "")
        folder.mkdir()
        paths.append(str(folder / f"{name}.png"))
        Image.fromarray(pixels).save(paths[-1])
    return replace(controls, picture=paths[1], pictures=tuple(paths))


class Reported(Task):
    """A task that remembers what was reported to it."""

    def __init__(self):
        super().__init__()
        self.reports = []

    def report(self, done, total, *rest):
        self.reports.append((self.label, done, total))
        super().report(done, total, *rest)


def test_every_picture_has_a_folder_of_its_own(three):
    task = Reported()
    path = bundle.make_zip(three, "", task)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        folders = sorted({name.split("/")[0] for name in names} - {"index.html"})
        assert folders == ["01-b---c", "02-a", "03-photo"]
        for folder, picture in zip(folders, three.pictures, strict=True):
            manifest = json.loads(archive.read(f"{folder}/manifest.json"))
            rows = service.rows(replace(three, picture=picture))
            x = rows["layercam"]
            assert manifest["rows"]["layercam"]["picture"]["sha256"] == x.picture.digest
            assert manifest["rows"]["layercam"]["target"]["index"] == x.target  # its own top class
            assert {f"{folder}/{file}" for file in manifest["files"]} < set(names)
            assert x.label in archive.read(f"{folder}/report.html").decode()
        index = archive.read("index.html").decode()
    assert all(f'href="{folder}/report.html"' in index for folder in folders)
    assert "b &amp; c.png" in index and str(Path(three.picture).parent) not in index
    assert shown_in(index) == [f"{folder}/layercam_fused.png" for folder in folders]


def shown_in(index):
    """The pictures that a page shows, as paths."""
    return [unquote(src) for src in re.findall(r'<img src="([^"]+)"', index)]


def test_large_pictures_are_shown_in_the_index_too(three, tmp_path):
    """Their maps are saved as JPEG."""
    large = str(tmp_path / "large.png")
    Image.fromarray(np.zeros((1000, 1200, 3), np.uint8)).save(large)
    with zipfile.ZipFile(
        bundle.make_zip(replace(three, pictures=(*three.pictures, large)))
    ) as zipped:
        shown = shown_in(zipped.read("index.html").decode())
        assert len(shown) == 4 and shown[-1].endswith(".jpg")
        assert set(shown) < set(zipped.namelist())


def test_progress_is_told_before_every_picture_and_every_map(three, controls):
    task = Reported()
    bundle.make_zip(three, "", task)
    starts = [(label, done) for label, done, total in task.reports if total == 3]
    assert starts == [(f"Packing picture {n + 1} of 3 …", n) for n in range(3)]
    inner = [(done, total) for _, done, total in task.reports if total != 3]
    assert len(inner) > 12 and all(done < total for done, total in inner)
    alone = Reported()
    with zipfile.ZipFile(bundle.make_zip(controls, "", alone)) as archive:
        drawn = {archive.read(n) for n in archive.namelist() if n.endswith(".png")}
    assert alone.reports == [("Drawing the maps …", n, len(drawn)) for n in range(len(drawn))]


def test_drawing_can_be_stopped_between_two_maps(controls, monkeypatch):
    task = Task()
    drawn = []

    def encode(pixels, *_):
        drawn.append(pixels)
        task.cancel()
        return b""

    monkeypatch.setattr(export, "encode", encode)
    with pytest.raises(Stopped):
        bundle.make_zip(controls, "", task)
    assert 1 <= len(drawn) <= 3


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The path of a photograph larger than a screen, with the grain of a camera."""
    rng = np.random.default_rng(0)
    colors = Image.fromarray(rng.integers(40, 216, (9, 12, 3), dtype=np.uint8))
    smooth = np.asarray(colors.resize((2000, 1500), Image.Resampling.BICUBIC))
    path = tmp_path_factory.mktemp("large") / "large.jpg"
    grain = rng.integers(0, 9, (1500, 2000, 1), dtype=np.uint8)
    Image.fromarray(smooth + grain).save(path, quality=92)
    return str(path)


@pytest.mark.sampled
@pytest.mark.parametrize(("size", "sides"), [("screen", (1600, 1200)), ("original", (2000, 1500))])
def test_a_zip_is_for_a_screen_or_as_large_as_the_picture(controls_of, large, size, sides):
    given = replace(controls_of(large), cover=Covering("mean", hottest=20))
    with zipfile.ZipFile(bundle.make_zip(given, "", Task(), size)) as archive:
        for name in archive.namelist():
            if name.endswith((".jpg", ".png")):
                with archive.open(name) as file, Image.open(file) as picture:
                    assert picture.size == sides, name
        assert "covered.jpg" in archive.namelist() and "mask.png" in archive.namelist()
        stored = {i.filename: i.compress_type for i in archive.infolist()}
    assert stored["covered.jpg"] == zipfile.ZIP_STORED
    assert stored["manifest.json"] == zipfile.ZIP_DEFLATED


def test_pictures_share_the_bytes_that_they_may_have(controls_of, large, monkeypatch):
    def size_of(most):
        monkeypatch.setattr(bundle, "MOST_BYTES", most)
        with zipfile.ZipFile(bundle.make_zip(controls_of(large), "", Task(), "original")) as found:
            return sum(i.file_size for i in found.infolist() if i.filename.endswith(".jpg"))

    free, bound = size_of(10**9), size_of(3_000_000)
    assert free > 3_300_000 and bound < 3_300_000


def test_rows_that_look_the_same_are_the_same_files(controls):
    with zipfile.ZipFile(bundle.make_zip(controls)) as archive:
        for name in service.row(controls, "layercam").stages:
            one, other = (archive.read(f"{row}_{name}.png") for row in ("layercam", "denoised"))
            assert one == other


def test_a_class_that_was_chosen_is_explained_in_all(three):
    label = service.load(three.backbone).labels[7]
    with zipfile.ZipFile(bundle.make_zip(replace(three, target=label))) as archive:
        for name in archive.namelist():
            if name.endswith("manifest.json"):
                manifest = json.loads(archive.read(name))
                assert manifest["rows"]["layercam"]["target"]["label"] == label
                assert manifest["link"]["class"] == label


def test_a_picture_beside_the_others_is_not_forgotten_and_none_is_there_twice(three, controls):
    with zipfile.ZipFile(bundle.make_zip(replace(three, picture=controls.picture))) as archive:
        assert "01-photo/manifest.json" in archive.namelist()
        assert "04-photo/manifest.json" in archive.namelist()
    copied = Path(controls.picture).with_name("copy.png")
    copied.write_bytes(Path(three.picture).read_bytes())
    with zipfile.ZipFile(bundle.make_zip(replace(three, picture=str(copied)))) as again:
        assert not any("copy" in name for name in again.namelist())


def test_what_cannot_be_explained_has_its_reason_in_the_zip(three):
    Path(three.pictures[0]).write_text("no picture any more")
    with zipfile.ZipFile(bundle.make_zip(three)) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {
            "02-a",
            "03-photo",
            "index.html",
        }
        assert "is not a picture" in archive.read("index.html").decode()


def test_packing_can_be_stopped(three):
    task = Task()
    task.cancel()
    with pytest.raises(Stopped):
        bundle.make_zip(three, "", task)


def test_the_rival_is_that_of_the_picture_shown(three):
    """With a class it is compared in every picture; without one, in that one alone."""
    labels = service.load(three.backbone).labels
    with zipfile.ZipFile(bundle.make_zip(replace(three, versus=labels[3]))) as archive:
        manifests = sorted(name for name in archive.namelist() if name.endswith("manifest.json"))
        rivals = [
            json.loads(archive.read(name))["rows"]["layercam"]["request"]["versus"]
            for name in manifests
        ]
        assert rivals == [3 if path == three.picture else None for path in three.pictures]
    chosen = replace(three, target=labels[7], versus=labels[3])
    with zipfile.ZipFile(bundle.make_zip(chosen)) as archive:
        for name in archive.namelist():
            if name.endswith("manifest.json"):
                request = json.loads(archive.read(name))["rows"]["layercam"]["request"]
                assert request["versus"] == 3


def test_nothing_in_a_zip_tells_where_the_network_lies(controls, tmp_path, monkeypatch, fresh):
    place = tmp_path / "private" / "mine"
    model = timm.create_model("test_resnet", num_classes=5, zero_init_last=False)
    save_for_hf(model, place, model_args={"zero_init_last": False})
    monkeypatch.setenv("CAMVIZ_BACKBONE", f"local-dir:{place}")
    path = bundle.make_zip(replace(controls, backbone=BackboneChoice("mine")), "https://host/")
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            assert b"private" not in archive.read(name), name
