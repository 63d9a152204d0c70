"""A run in the formats of other tools, read back by those tools where they can be installed."""

import csv
import io
import json
import shutil
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image, ImageOps

from camviz import draw_scenes, images
from camviz.benchmark.cases import box_around
from camviz.benchmark.datasets import open_dataset
from camviz.bulk.cut import Cut
from camviz.bulk.exports import huggingface, voc
from camviz.bulk.exports.files import Names
from camviz.bulk.exports.table import EXPORTS, export
from camviz.bulk.job import Job
from camviz.bulk.run import Geometry, Run, RunWriter
from camviz.bulk.schema import decode, encode
from camviz.bulk.work import run_job
from camviz.cli import main
from camviz.cli_export import FORMATS, SHEET
from camviz.defaults import FUSED, REFINED
from camviz.errors import DataError, OutputError
from camviz.images import open_picture


@pytest.fixture
def made(small_run, tmp_path):
    def made(format, **cut):
        return export(Cut(small_run, **cut), format, tmp_path / format)

    return made


@pytest.fixture
def rows(small_run):
    return list(small_run.rows())


def paths_of(rows):
    return list(dict.fromkeys(row["path"] for row in rows))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # its own
def test_coco_is_read_by_pycocotools(made, small_run, rows):
    coco_of = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed").COCO
    coco = coco_of(made("coco", threshold=0.3) / "instances.json")
    images = coco.loadImgs(coco.getImgIds())
    assert [each["file_name"] for each in images] == paths_of(rows)
    cut = Cut(small_run, threshold=0.3)
    for image in images:
        parts = [
            (cut.name(row), part)
            for row in rows
            if row["path"] == image["file_name"]
            for part in cut.parts(row)
        ]
        found = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert len(found) == len(parts) > 0
        for annotation, (name, part) in zip(found, parts, strict=True):
            assert coco.cats[annotation["category_id"]]["name"] == name
            mask = coco.annToMask(annotation)
            assert np.array_equal(mask, part.mask) and mask.sum() == annotation["area"]
            x, y, width, height = annotation["bbox"]
            assert (x, y, x + width, y + height) == part.box.xyxy
            assert mask[y : y + height, x : x + width].sum() == mask.sum()


def test_yolo_is_laid_out_as_documented(made, small_run, rows):
    folder = made("yolo", of=REFINED)
    held = yaml.safe_load((folder / "data.yaml").read_text())
    assert held["names"] == dict(enumerate(small_run.geometry.labels))
    images = {file.stem: file for file in (folder / held["train"]).iterdir()}
    labels = {file.stem: file for file in (folder / "labels").iterdir()}
    assert images.keys() == labels.keys() and len(images) == 4
    cut, sizes = Cut(small_run, of=REFINED), set()
    for path, stem in zip(paths_of(rows), _names(rows), strict=True):
        with Image.open(images[stem]) as picture:
            width, height = picture.size
        sizes.add((width, height))
        wanted = [
            (cut.index(row), *box.xyxy) for row in rows if row["path"] == path
            for box in cut.boxes(row)
        ]  # fmt: skip
        lines = [line.split() for line in labels[stem].read_text().splitlines()]
        assert len(lines) == len(wanted)
        for (index, *shares), (target, *box) in zip(lines, wanted, strict=True):
            x, y, w, h = np.array(shares, float) * (width, height, width, height)
            assert int(index) == target
            assert np.allclose((x - w / 2, y - h / 2, x + w / 2, y + h / 2), box, atol=1e-3)
    assert sizes == {(224, 200)}


def _names(rows):
    names = Names()
    first = {row["path"]: row["id"] for row in reversed(rows)}
    return [names.of(path, first[path]) for path in paths_of(rows)]


def test_voc_is_read_as_a_data_set(made, small_run, rows):
    folder = made("voc", threshold=0.3)
    data = open_dataset(f"voc:{folder}")
    assert list(data.names) == _names(rows)
    labels = (folder / "labels.txt").read_text().splitlines()
    cut = Cut(small_run, threshold=0.3)
    for number, path in enumerate(paths_of(rows)):
        own = [row for row in rows if row["path"] == path]
        with Image.open(folder / "SegmentationClass" / f"{data.names[number]}.png") as image:
            seed = np.asarray(image)
        assert np.array_equal(seed, cut.seed(own))
        assert {labels[each] for each in np.unique(seed)} <= {"background", *map(cut.name, own)}
        root = ElementTree.parse(folder / "Annotations" / f"{data.names[number]}.xml")
        boxes = [
            (thing.findtext("name"), *(int(thing.findtext(f"bndbox/{key}")) - (key[1:] == "min")
             for key in ("xmin", "ymin", "xmax", "ymax")))
            for thing in root.iter("object")
        ]  # fmt: skip
        assert boxes == [(cut.name(row), *box.xyxy) for row in own for box in cut.boxes(row)]
        assert root.findtext("source/image") == path
        with Image.open(folder / "JPEGImages" / f"{data.names[number]}.jpg") as picture:
            assert (picture.format, picture.size) == ("JPEG", (224, 200))


def test_a_seed_is_the_hottest_class_above_the_threshold(small_run, rows):
    pair = [row for row in rows if row["path"] == "a/one.png"]
    assert len(pair) == 2 and pair[0]["target"] != pair[1]["target"]
    heats = [small_run.heat(row) for row in pair]
    seed = Cut(small_run, threshold=0.25).seed(pair)
    assert set(np.unique(seed)) == {0, *(row["target"] + 1 for row in pair)}
    for y, x in np.ndindex(seed.shape):
        one, other = heats[0][y, x], heats[1][y, x]
        wanted = 0 if max(one, other) <= 0.25 else pair[int(other > one)]["target"] + 1
        assert seed[y, x] == wanted


def test_colors_are_those_of_voc():
    palette = voc.voc_palette()
    wanted = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 15: (192, 128, 128),
              20: (0, 64, 128), 255: (224, 224, 192)}  # fmt: skip
    assert {number: tuple(palette[number].tolist()) for number in wanted} == wanted


def test_label_studio_predictions_fit_their_configuration(made, small_run, rows):
    folder = made("label-studio")
    tasks = json.loads((folder / "tasks.json").read_text())
    assert [task["data"]["path"] for task in tasks] == paths_of(rows)
    prefix = "/data/local-files/?d="
    assert not any(set(' &"\t') & set(task["data"]["image"]) for task in tasks)
    assert [unquote(task["data"]["image"].removeprefix(prefix)) for task in tasks] == paths_of(rows)
    cut = Cut(small_run)
    for task in tasks:
        own = [row for row in rows if row["path"] == task["data"]["path"]]
        found = []
        for region in task["predictions"][0]["result"]:
            value = region["value"]
            x, y = value["x"] * 2.24, value["y"] * 2.0
            right, low = x + value["width"] * 2.24, y + value["height"] * 2.0
            found.append((value["rectanglelabels"][0], *np.rint([x, y, right, low]).tolist()))
        assert found == [(cut.name(row), *box.xyxy) for row in own for box in cut.boxes(row)]
    root = ElementTree.parse(folder / "label-config.xml").getroot()
    assert {each.get("value") for each in root.iter("Label")} == {cut.name(row) for row in rows}


def test_label_studio_itself_accepts_the_predictions(made):
    interface = pytest.importorskip(
        "label_studio_sdk.label_interface", reason="label-studio-sdk is not installed"
    ).LabelInterface
    folder = made("label-studio")
    config = interface((folder / "label-config.xml").read_text())
    config.validate()
    tasks = json.loads((folder / "tasks.json").read_text())
    for task in tasks:
        assert config.validate_task({"data": task["data"]})  # its own slip with predictions in it
        for prediction in task["predictions"]:
            assert config.validate_prediction(prediction, return_errors=True) == []
    tasks[0]["predictions"][0]["result"][0]["value"]["rectanglelabels"] = ["no such class"]
    assert not config.validate_prediction(tasks[0]["predictions"][0])


def test_fiftyone_is_laid_out_as_documented(made, small_run, rows):
    folder = made("fiftyone")
    files = json.loads((folder / "data.json").read_text())
    labels = json.loads((folder / "labels.json").read_text())["labels"]
    assert files.keys() == labels.keys() and len(files) == 4
    cut = Cut(small_run)
    for row in rows:
        if row["id"] not in labels:
            continue
        assert Path(files[row["id"]]).parts[-2:] == Path(row["path"]).parts
        own = [each for each in rows if each["path"] == row["path"]]
        found = [
            (each["label"], *np.rint(np.multiply(each["bounding_box"], (224, 200) * 2)).tolist())
            for each in labels[row["id"]]
        ]
        assert found == [
            (cut.name(one), box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0)
            for one in own
            for box in cut.boxes(one)
        ]


def test_hugging_face_data_sets_are_loaded(made, small_run, rows, tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    folder = made("hf", threshold=0.4)
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))["train"]
    assert loaded["path"][:] == [row["path"] for row in rows]
    assert loaded.features["label"].names == list(small_run.geometry.labels)
    cut = Cut(small_run, threshold=0.4)
    for found, row in zip(loaded, rows, strict=True):
        assert found["image"].size == (224, 200) and found["label"] == row["target"]
        assert np.array_equal(np.asarray(found["map"], np.float32) / 255, decode(row[FUSED]))
        assert [tuple(box) for box in found["boxes"]] == [box.xyxy for box in cut.boxes(row)]


def test_a_map_that_is_no_square_keeps_its_sides():
    heat = np.arange(6, dtype=np.float32).reshape(2, 3) / 5
    with Image.open(io.BytesIO(huggingface.png_of({FUSED: encode(heat)}, FUSED))) as image:
        assert np.array_equal(np.asarray(image), np.rint(heat * 255))


def test_tables_are_read_as_boxes_of_a_benchmark(made, small_run, rows):
    folder = made("csv")
    with (folder / "pictures.csv").open(newline="", encoding="utf-8") as lines:
        pictures = list(csv.DictReader(lines))
    assert [each["file"] for each in pictures] == [row["path"] for row in rows]
    cut = Cut(small_run)
    wanted = {}
    for row in rows:
        wanted.setdefault(row["path"], []).extend(
            (cut.name(row), box.xyxy) for box in cut.boxes(row)
        )
    assert open_dataset(f"boxes:{folder / 'boxes.csv'}").rows == wanted
    assert [int(each["boxes"]) for each in pictures] == [len(cut.boxes(row)) for row in rows]


# -- Pictures that readers would see otherwise --


EXIF = Image.Exif()
EXIF[0x0112] = 6


@pytest.fixture
def odd_files(tmp_path):
    """A run of files that are turned, transparent, of 16 bits, an array, or another format."""
    folder = tmp_path / "odd"
    folder.mkdir()
    colors = np.asarray(draw_scenes(1, seed=3)[0].image)[:150]
    image = Image.fromarray(colors)
    image.save(folder / "turned.jpg", exif=EXIF)
    image.save(folder / "turned.png", exif=EXIF)
    image.save(folder / "plain.jpg")
    image.save(folder / "in truth a png.jpg", "PNG")
    alpha = Image.new("L", image.size, 0)
    alpha.paste(255, (50, 50, 200, 140))
    Image.merge("RGBA", [*image.split(), alpha]).save(folder / "transparent.png")
    grey = np.asarray(image.convert("L")).astype(np.uint16)
    Image.fromarray(grey * 16).save(folder / "sixteen.png")
    np.save(folder / "array.npy", colors)
    run_job(Job(str(folder), "scenes-resnet", options={"refine": "none"}), tmp_path / "run")
    return Run.open(tmp_path / "run"), folder


LINKED = {
    "voc": {"plain.jpg"},
    "yolo": {"plain.jpg", "in truth a png.jpg"},
}


@pytest.mark.parametrize("format", LINKED)
def test_exports_show_the_picture_that_was_explained(odd_files, tmp_path, format):
    run, folder = odd_files
    out = export(Cut(run), format, tmp_path / "out")
    shown = out / {"voc": "JPEGImages", "yolo": "images"}[format]
    files = {file.stem: file for file in shown.iterdir()}
    names, linked = Names(), set()
    for row in run.rows():
        wanted = open_picture(folder / row["path"]).pixels.astype(int)
        file = files[names.of(row["path"], row["id"])]
        with Image.open(file) as image:  # as a reader does that knows nothing of orientation
            assert image.mode == "RGB" and image.size == (row["width"], row["height"])
            assert np.abs(np.asarray(image) - wanted).mean() < 4
            assert format != "voc" or (image.format, file.suffix) == ("JPEG", ".jpg")
        if file.is_symlink():
            linked.add(row["path"])
    assert linked == LINKED[format] and len(files) == 7


def test_pictures_of_hugging_face_are_those_that_were_explained(odd_files, tmp_path):
    run, folder = odd_files
    export(Cut(run), "hf", tmp_path / "out")
    table = pq.read_table(next((tmp_path / "out/data").iterdir()))
    for row, held in zip(run.rows(), table.to_pylist(), strict=True):
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(held["image"]["bytes"])))
        assert np.array_equal(np.asarray(image), open_picture(folder / row["path"]).pixels)
        own = held["image"]["bytes"] == (folder / row["path"]).read_bytes()
        assert own == (row["path"] not in ("transparent.png", "sixteen.png", "array.npy"))
        assert held["image"]["path"].endswith(Path(row["path"]).suffix if own else ".png")


# -- JPEG files that are decoded at half their size --


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A run of a JPEG file of odd sides, one that is turned as well, and a small one."""
    monkeypatch.setattr(images, "EXACT_JPEG_PIXELS", 40_000)
    folder = tmp_path / "large"
    folder.mkdir()
    image = Image.fromarray(np.asarray(draw_scenes(1, seed=3)[0].image)).resize((251, 301))
    image.save(folder / "large.jpg")
    image.save(folder / "turned.jpg", exif=EXIF)
    image.resize((120, 100)).save(folder / "small.jpg")
    run_job(Job(str(folder), "scenes-resnet", options={"refine": "none"}), tmp_path / "run")
    return Run.open(tmp_path / "run"), folder


def test_coordinates_are_those_of_the_file(large, tmp_path):
    run, _ = large
    rows = {row["path"]: row for row in run.rows()}
    cut = Cut(run)
    sizes = {"large.jpg": (301, 251), "turned.jpg": (251, 301), "small.jpg": (100, 120)}
    assert {path: cut.size(row) for path, row in rows.items()} == sizes
    assert (rows["large.jpg"]["width"], rows["large.jpg"]["height"]) == (126, 151)
    for path, row in rows.items():
        times = 1 if path == "small.jpg" else 2
        limits = np.array(sizes[path][::-1] * 2)
        plain, boxes, parts = run.boxes(row), cut.boxes(row), cut.parts(row)
        assert len(plain) == len(boxes) > 0
        for one, box, part in zip(plain, boxes, parts, strict=True):
            assert box == part.box
            assert box.xyxy == tuple(np.minimum(times * np.array(one.xyxy), limits))
            assert box.area_fraction == one.area_fraction
            assert part.mask.shape == sizes[path]
            assert box_around(part.mask).tolist() == [list(box.xyxy)]
        assert cut.seed([row]).shape == sizes[path]


def test_every_export_is_in_pixels_of_the_file(large, tmp_path):
    run, _ = large
    cut = Cut(run)
    rows = list(run.rows())
    boxes = {row["path"]: [box.xyxy for box in cut.boxes(row)] for row in rows}
    sizes = {row["path"]: cut.size(row)[::-1] for row in rows}
    out = {name: export(cut, name, tmp_path / name) for name in EXPORTS}
    coco = json.loads((out["coco"] / "instances.json").read_text())
    assert {e["file_name"]: (e["width"], e["height"]) for e in coco["images"]} == sizes
    first = coco["annotations"][0]
    assert first["segmentation"]["size"] == list(sizes["large.jpg"][::-1])
    x, y, width, height = first["bbox"]
    assert (x, y, x + width, y + height) == boxes["large.jpg"][0]
    assert open_dataset(f"boxes:{out['csv'] / 'boxes.csv'}").rows.keys() == boxes.keys()
    with (out["csv"] / "pictures.csv").open(newline="") as lines:
        found = {e["file"]: (int(e["width"]), int(e["height"])) for e in csv.DictReader(lines)}
    assert found == sizes
    for path, size in sizes.items():
        stem = Path(path).stem
        with Image.open(out["voc"] / f"JPEGImages/{stem}.jpg") as image:
            assert image.size == size
        with Image.open(out["voc"] / f"SegmentationClass/{stem}.png") as image:
            assert image.size == size
        root = ElementTree.parse(out["voc"] / f"Annotations/{stem}.xml")
        assert [int(root.findtext(f"size/{side}")) for side in ("width", "height")] == list(size)
        line = (out["yolo"] / f"labels/{stem}.txt").read_text().splitlines()[0].split()
        x, y, w, h = np.array(line[1:], float) * (size * 2)
        edges = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        assert np.allclose(edges, boxes[path][0], atol=1e-3)
    held = pq.read_table(next((out["hf"] / "data").iterdir())).to_pylist()
    assert {e["path"]: [tuple(box) for box in e["boxes"]] for e in held} == boxes
    tasks = json.loads((out["label-studio"] / "tasks.json").read_text())
    regions = [e["predictions"][0]["result"][0] for e in tasks]
    assert [(e["original_width"], e["original_height"]) for e in regions] == list(sizes.values())


def test_what_was_exported_is_read_as_truth_of_the_same_picture(large, tmp_path):
    """A benchmark opens such a file at half its size, too."""
    run, folder = large
    cut = Cut(run)
    out = {name: export(cut, name, tmp_path / name) for name in ("voc", "csv")}
    for picture in folder.iterdir():
        (out["csv"] / picture.name).symlink_to(picture)
    segmented = open_dataset(f"voc:{out['voc']}")
    masks = [segmented.case(number).things[0].mask for number in range(3)]
    shutil.rmtree(out["voc"] / "SegmentationClass")
    for name in (f"voc:{out['voc']}", f"boxes:{out['csv']}/boxes.csv"):
        data = open_dataset(name)
        for number, row in enumerate(run.rows()):
            case = data.case(number)
            size = case.picture.height, case.picture.width
            assert size == (row["height"], row["width"]) == masks[number].shape
            assert np.array_equal(masks[number], run.heat(row) > cut.level)
            boxes = [box.xyxy for box in run.boxes(row)]
            assert [tuple(box) for box in case.things[0].boxes.tolist()] == boxes


def test_a_run_without_sizes_of_files_is_exported_as_before(small_run, tmp_path):
    """As versions before wrote it."""
    folder = tmp_path / "before"
    shutil.copytree(small_run.path, folder)
    for part in Run.open(folder).parts:
        pq.write_table(pq.read_table(part).drop_columns(["own_width", "own_height"]), part)
    run = Run.open(folder)
    assert run.table()["own_width"].null_count == len(run)
    row = next(run.rows())
    assert row["own_height"] is None and row == run.row(row["id"])
    for format in EXPORTS:
        one = export(Cut(run), format, tmp_path / f"{format}-before")
        other = export(Cut(small_run), format, tmp_path / format)
        for file in (file for file in one.rglob("*") if file.is_file()):
            assert file.read_bytes() == (other / file.relative_to(one)).read_bytes()


# -- All of them ---------------------------------------------------------------------------------


def test_the_command_offers_every_format():
    assert (*EXPORTS, SHEET) == FORMATS


def test_the_command_writes_beside_the_run(small_run, capsys):
    assert main(["export", str(small_run.path), "--to", "csv", "--threshold", ".5"]) == 0
    written = small_run.path.with_name("small-csv")
    assert str(written) in capsys.readouterr().out and (written / "boxes.csv").is_file()
    assert main(["export", str(small_run.path), "--to", "csv"]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_the_command_is_given_within_the_run_or_the_folder(small_run, tmp_path, monkeypatch):
    run = tmp_path / "birds"
    shutil.copytree(small_run.path, run)
    monkeypatch.chdir(run)
    assert main(["export", ".", "--to", "csv"]) == 0
    assert (tmp_path / "birds-csv/boxes.csv").is_file()
    (run / "below").mkdir()
    monkeypatch.chdir(run / "below")
    assert main(["export", "..", "--to", "coco"]) == 0
    assert (tmp_path / "birds-coco/instances.json").is_file()
    (tmp_path / "link").symlink_to(run)
    assert main(["export", str(tmp_path / "link"), "--to", "hf"]) == 0
    assert (tmp_path / "birds-hf/README.md").is_file()
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert main(["export", str(run), "--to", "csv", "--out", "."]) == 0
    assert sorted(file.name for file in empty.iterdir()) == ["boxes.csv", "pictures.csv"]
    assert Path("boxes.csv").is_file()  # whoever works in the folder sees it
    assert main(["export", str(run), "--to", "csv", "--out", "../empty/x/.."]) == 2  # not empty


def test_what_cannot_be_exported_is_named(small_run, tmp_path):
    with pytest.raises(DataError, match="no format 'coc'; formats: coco"):
        export(Cut(small_run), "coc", tmp_path / "x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(OutputError, match="not empty"):
        export(Cut(small_run), "csv", tmp_path / "full")
    geometry = Geometry.from_json(small_run.geometry.to_json())
    with RunWriter(tmp_path / "empty", small_run.configuration, geometry):
        pass
    with pytest.raises(DataError, match="no picture yet"):
        export(Cut(small_run.open(tmp_path / "empty")), "csv", tmp_path / "x")
    with RunWriter(tmp_path / "plain", small_run.configuration, geometry) as writer:
        writer.add(next(small_run.rows()) | {"refined": None})
    with pytest.raises(DataError, match="no refined maps"):
        export(Cut(small_run.open(tmp_path / "plain"), REFINED), "csv", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_an_export_that_fails_leaves_nothing(small_run, tmp_path, monkeypatch):
    def fail(cut, folder):
        (folder / "half").touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(EXPORTS, "csv", EXPORTS["csv"]._replace(write=fail))
    with pytest.raises(OSError):
        export(Cut(small_run), "csv", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_are_gone_are_left_out(small_run, rows, tmp_path):
    folder = tmp_path / "moved"
    with RunWriter(
        folder, {**small_run.configuration, "source": "nowhere"}, small_run.geometry
    ) as w:
        for row in rows:
            w.add(row)
    for name in EXPORTS:
        export(Cut(small_run.open(folder)), name, tmp_path / name)
    assert not list((tmp_path / "yolo" / "images").iterdir())
    assert len(list((tmp_path / "yolo" / "labels").iterdir())) == 4


def test_names_of_files_are_safe_and_differ():
    names = Names()
    paths = ["a/One.jpg", "b/one.png", "c\\..\\con.jpg", "../../etc/passwd", "x/ a:b?\n.jpg", ""]
    found = [names.of(path, f"{number}" * 12) for number, path in enumerate(paths)]
    assert found == ["One", "one-111111111111", "con-222222222222", "passwd", "_a_b_", "5" * 12]
    assert names.of("y/ONE.jpg", "6" * 64) == "ONE-666666666666"


def test_classes_of_one_name_are_told_apart(small_run):
    geometry = small_run.geometry
    labels = ("crane", "crane", *geometry.labels[2:])
    other = type(geometry)(geometry.input_size, geometry.stages, geometry.placements, labels)
    assert Cut(type(small_run)(small_run.path, {}, other)).classes[:3] == (
        "crane (0)", "crane (1)", labels[2],
    )  # fmt: skip
