"""Sources of many pictures: the same pictures, in one order, under keys of their own."""

import io
import json
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from camviz.bulk.item import Item
from camviz.bulk.run import Run
from camviz.bulk.sources import check_column, expand_braces, open_source
from camviz.cli import main
from camviz.errors import DataError, ImageError
from camviz.images import open_picture


def png(shade):
    held = io.BytesIO()
    Image.fromarray(np.full((20, 30, 3), shade, np.uint8)).save(held, "PNG")
    return held.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Five pictures, in three classes and none, and what is no picture."""
    root = tmp_path / "photos"
    for number, name in enumerate(
        ["ram/b.png", "ram/a.PNG", "a/zebra/c.png", "top.png", "ram/d.jpg"]
    ):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(10 * number))
    (root / "ram/notes.txt").write_text("no picture")
    (root / ".hidden").mkdir()
    (root / ".hidden/x.png").write_bytes(png(0))
    (root / ".y.png").write_bytes(png(0))
    return root


def shades(items):
    return [int(open_picture(item.read()).pixels[0, 0, 0]) for item in items]


def test_a_folder_gives_every_picture_below_it(folder):
    source = open_source(str(folder))
    items = list(source.items())
    keys = ["top.png", "a/zebra/c.png", "ram/a.PNG", "ram/b.png", "ram/d.jpg"]
    assert [item.key for item in items] == keys
    assert [item.label for item in items] == [None, "zebra", "ram", "ram", "ram"]
    assert shades(items) == [30, 20, 10, 0, 40]
    assert source.count == 5
    assert [item.key for item in open_source(folder).items()] == [item.key for item in items]


def test_a_folder_without_pictures_is_told_at_once(tmp_path):
    with pytest.raises(DataError, match="no picture in"):
        _ = open_source(tmp_path).count


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_names_pictures_beside_it(folder, kind):
    rows = [("ram/b.png", "ram", 3), ("top.png", "", 1), ("missing.png", "ram", 0)]
    file = folder.parent / f"table.{kind}"
    rows = [(f"photos/{path}", *rest) for path, *rest in rows]
    if kind == "csv":
        lines = ["filename,label,where", *(f"{path},{label},{n}" for path, label, n in rows), ""]
        file.write_text("\n".join(lines), encoding="utf-8-sig")
    else:
        columns = zip(*rows, strict=True)
        pq.write_table(
            pa.table(dict(zip(("filename", "label", "where"), columns, strict=True))), file
        )
    source = open_source(file)
    assert source.columns == ("filename", "label", "where") and source.count == 3
    items = list(source.items())
    assert [item.key for item in items] == [row[0] for row in rows]
    assert [item.label for item in items] == ["ram", None, "ram"]
    assert shades(items[:2]) == [0, 30]
    assert [str(item.target("where")) for item in items] == ["3", "1", "0"]
    with pytest.raises(ImageError):
        open_picture(items[2].read())


def test_a_picture_has_a_key_of_its_own_with_each_class_that_is_asked_for(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("path,label,other\na.png,ram,1\na.png,sheep,1\nb.png,,2\n")

    def keys(target):
        return [item.key for item in open_source(file, target).items()]

    assert keys("top") == ["a.png", "a.png", "b.png"]
    assert keys("label") == ["a.png\tram", "a.png\tsheep", "b.png"]
    assert keys("other") == ["a.png\t1", "a.png\t1", "b.png\t2"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name,label\nx,y\n", "no column of paths"),
        ("", "its columns: none"),
        ("path,label\na.png\n", "row 2 has 1 values"),
        (b"\xff\xfe\x00path", "cannot read"),
    ],
)
def test_a_table_that_is_none_says_what_is_wrong(tmp_path, text, match):
    file = tmp_path / "t.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=match):
        list(open_source(file).items())


def test_a_damaged_parquet_file(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match="cannot read"):
        _ = open_source(tmp_path / "t.parquet").count


def write_shard(file, samples):
    with tarfile.open(file, "w") as shard:
        for name, data in samples:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            shard.addfile(member, io.BytesIO(data))


@pytest.fixture
def shards(tmp_path):
    for number in range(2):
        write_shard(
            tmp_path / f"s-{number:04}.tar",
            [
                (f"x/{number}a.jpg", png(10 + number)), (f"x/{number}a.cls", b"ram\n"),
                (f"x/{number}b.seg.png", png(0)), (f"x/{number}b.png", png(20 + number)),
                (f"x/{number}b.json", json.dumps({"class": "zebra", "far": 7}).encode()),
                (f"x/{number}c.txt", b"no picture at all"),
                (f"{number}d.v1.webp", png(30 + number)),
            ],
        )  # fmt: skip
    return str(tmp_path / "s-{0000..0001}.tar")


def test_shards_give_samples_in_the_layout_of_webdataset(shards):
    source = open_source(shards)
    items = list(source.items())
    assert source.count is None and source.columns is None
    assert [item.key for item in items] == [
        f"s-000{n}.tar/{key}" for n in range(2) for key in (f"x/{n}a", f"x/{n}b", f"{n}d")
    ]
    assert items[0].path == "s-0000.tar/x/0a.jpg"
    assert [item.label for item in items] == ["ram", "zebra", None] * 2
    assert shades(items) == [10, 20, 30, 11, 21, 31]
    assert items[1].path == "s-0000.tar/x/0b.png"  # and not x/0b.seg.png, which comes first
    assert items[1].target("far") == 7


def test_the_first_picture_is_taken_where_none_has_the_plain_suffix(tmp_path):
    write_shard(tmp_path / "s.tar", [("1.left.png", png(10)), ("1.right.png", png(20))])
    assert shades(open_source(tmp_path / "s.tar").items()) == [10]


def test_shards_of_one_name_in_two_folders_have_keys_of_their_own(tmp_path):
    for number, place in enumerate(("a/000", "b/000", "b/001")):
        file = tmp_path / f"{place}.tar"
        file.parent.mkdir(exist_ok=True)
        write_shard(file, [("x/1.png", png(10 * number))])

    def found(text):
        return [(item.key, item.path) for item in open_source(f"{tmp_path}/{text}.tar").items()]

    assert found("{a,b}/000") == [
        ("a/000.tar/x/1", "a/000.tar/x/1.png"), ("b/000.tar/x/1", "b/000.tar/x/1.png"),
    ]  # fmt: skip
    # Where names tell shards apart, as they do in one folder, they are all that is in a key.
    assert [key for key, _ in found("b/{000..001}")] == ["000.tar/x/1", "001.tar/x/1"]
    assert [key for key, _ in found("{a/000,b/001}")] == ["000.tar/x/1", "001.tar/x/1"]
    assert [key for key, _ in found("{a,a}/000")] == ["000.tar/x/1"] * 2  # the same one twice


def test_keys_of_shards_do_not_depend_on_where_the_command_is_given(tmp_path, monkeypatch):
    for place in "ab":
        (tmp_path / place).mkdir()
        write_shard(tmp_path / place / "0.tar", [("1.png", png(0))])
    monkeypatch.chdir(tmp_path)
    here = [item.key for item in open_source("{a,b}/0.tar").items()]
    assert here == [item.key for item in open_source(f"{tmp_path}/{{a,b}}/0.tar").items()]
    assert here == ["a/0.tar/1", "b/0.tar/1"]


def test_a_shard_that_is_not_there_is_told_at_once(shards):
    with pytest.raises(DataError, match="1 of 3 shards are not there"):
        open_source(shards.replace("0001}", "0002}"))


@pytest.mark.parametrize("size", [1100, 1500])  # in a header, and in a picture
def test_a_shard_that_is_cut_off_says_which(shards, tmp_path, size):
    file = tmp_path / "s-0001.tar"
    file.write_bytes(file.read_bytes()[: size + 400])
    found = []
    with pytest.raises(DataError, match="s-0001"):
        for item in open_source(shards).items():
            found.append(item)
    assert len(found) >= 3


def test_braces_are_those_of_a_shell():
    assert expand_braces("a-{08..11}.tar") == [f"a-{n}.tar" for n in ("08", "09", "10", "11")]
    assert expand_braces("{a,b}{1..2}") == ["a1", "a2", "b1", "b2"]
    assert expand_braces("plain.tar") == ["plain.tar"]
    assert expand_braces("{one}.tar") == ["{one}.tar"]
    with pytest.raises(DataError, match="no range"):
        expand_braces("{3..1}.tar")
    with pytest.raises(DataError, match="at most"):
        expand_braces("{0..999}{0..999}.tar")


@pytest.mark.parametrize("given", ["nowhere", "a.txt", "hf:name-without-a-split", "x.csv"])
def test_what_is_no_source_says_what_is_one(given, tmp_path):
    with pytest.raises(DataError, match=r"give|there is no file"):
        open_source(str(tmp_path / given) if ":" not in given else given)


@pytest.mark.parametrize("rule", ["label", "where"])
def test_a_picture_without_a_target_says_so(rule):
    with pytest.raises(DataError, match=f"'a.png' has no {rule}"):
        Item("a.png", "a.png", "a.png").target(rule)


def test_a_column_that_is_not_there_is_told_at_once(folder, shards):
    check_column(open_source(folder), "label")
    check_column(open_source(shards), "anything")  # each sample has its own
    with pytest.raises(DataError, match="no column 'where'"):
        check_column(open_source(folder), "where")


def test_a_data_set_in_the_form_of_the_hub(folder):
    datasets = pytest.importorskip("datasets")
    root = folder.parent / "set"
    for label in ("ram", "zebra"):
        (root / "train" / label).mkdir(parents=True)
        for number in range(2):
            shade = 50 * (label == "zebra") + number
            (root / f"train/{label}/{number}.png").write_bytes(png(shade))
    source = open_source(f"hf:{root}:train")
    items = list(source.items())
    assert "label" in source.columns
    assert [(item.key, item.label) for item in items] == [
        ("train/000000000", "ram"), ("train/000000001", "ram"),
        ("train/000000002", "zebra"), ("train/000000003", "zebra"),
    ]  # fmt: skip
    assert shades(items) == [0, 1, 50, 51]
    assert datasets.__version__


def test_a_data_set_whose_files_are_packed(folder):
    """As on the hub, where pictures have no path of their own on this machine."""
    pytest.importorskip("datasets")
    root = folder.parent / "packed"
    root.mkdir()
    with zipfile.ZipFile(root / "train.zip", "w") as packed:
        for number in range(3):
            packed.writestr(f"{number}.png", png(40 + number))
    items = list(open_source(f"hf:{root}:train").items())
    assert all(isinstance(item.held, bytes) for item in items)
    assert shades(items) == [40, 41, 42]


def test_a_data_set_of_the_hub_is_streamed(tmp_path, monkeypatch):
    """Parquet files with pictures and class labels, as most of the hub are, by the command."""
    datasets = pytest.importorskip("datasets")
    given = datasets.Dataset.from_dict(
        {
            "photo": [{"bytes": png(60 + number), "path": f"{number}.png"} for number in range(5)],
            "kind": [1, 0, 0, 1, -1],
        },
        features=datasets.Features(
            {"photo": datasets.Image(), "kind": datasets.ClassLabel(names=["ram", "zebra"])}
        ),
    )
    (tmp_path / "set/data").mkdir(parents=True)
    given.to_parquet(tmp_path / "set/data/test-00000-of-00001.parquet")
    kept, asked = tmp_path / "cache", []
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", kept)
    load = datasets.load_dataset

    def loaded(*arguments, **options):
        asked.append(options)
        return load(*arguments, **options)

    monkeypatch.setattr(datasets, "load_dataset", loaded)
    name = f"hf:{tmp_path}/set:test"
    items = list(open_source(name).items())
    assert shades(items) == [60, 61, 62, 63, 64]
    assert [item.label for item in items] == ["zebra", "ram", "ram", "zebra", None]
    words = ["maps", name, "--out", str(tmp_path / "run"), "--backbone", "scenes-resnet"]
    assert main([*words, "--target", "label", "--options", "refine=none"]) == 0
    run = Run.open(tmp_path / "run")
    assert [(row["path"], row["label"]) for row in run.rows()] == [
        (f"test/{number:09d}", label)
        for number, label in enumerate(["zebra", "ram", "ram", "zebra"])
    ]
    assert [each["path"] for each in run.errors()] == ["test/000000004"]  # it has no label
    assert len(asked) >= 2 and all(each["streaming"] for each in asked)
    held = [file for file in kept.rglob("*") if file.is_file() and file.stat().st_size]
    assert not held, "nothing is kept on the disk"


def test_a_hub_that_cannot_be_reached_is_a_sentence(monkeypatch):
    datasets = pytest.importorskip("datasets")

    def unreachable(*_, **__):
        raise ConnectionError("Network is unreachable")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(DataError, match=r"Network is unreachable.*can the hub be reached"):
        list(open_source("hf:some/set:train").items())
