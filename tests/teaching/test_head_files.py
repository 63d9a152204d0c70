"""The file of a taught head: what it holds, what it refuses, and files made to do harm."""

import json
import pickle
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import camviz
from camviz import TaughtHead, load_backbone
from camviz.errors import OutputError, TeachingError
from camviz.teaching.head import MOST_HEADER

KEY = "camviz.head"


@pytest.fixture(scope="module")
def taught(engine, pictures):
    return engine.teach(pictures, "scenes-resnet")


@pytest.fixture(scope="module")
def saved(taught, tmp_path_factory):
    return taught.save(tmp_path_factory.mktemp("heads") / "head.safetensors")


def parts(file):
    """(tensors, table) of a file."""
    with safe_open(file, "pt") as archive:
        table = json.loads(archive.metadata()[KEY])
    return load_file(file), table


def written(file, tensors, table):
    save_file(tensors, file, {KEY: json.dumps(table)})
    return file


def raw(file, header, data=b"", length=None):
    """A file of these bytes, whatever the library would say to them."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(head) if length is None else length) + head + data)
    return file


def test_it_comes_back_as_it_was(taught, saved, engine, pictures):
    head = TaughtHead.load(saved)
    assert head.table == taught.head.table
    for name in ("mean", "weights", "offsets"):
        assert torch.equal(getattr(head, name), getattr(taught.head, name))
    again = engine.use_head(saved)
    images = [image for images in pictures.values() for image in images]
    logits = [engine.logits(images, each.backbone).tolist() for each in (taught, again)]
    assert logits[0] == logits[1] and again.answers == () and again.accuracy == taught.accuracy


def test_it_holds_numbers_and_names_alone(saved):
    tensors, table = parts(saved)
    assert set(tensors) == {"mean", "weights", "offsets"}
    assert set(table) == {
        "format", "backbone", "digest", "kinds", "counts", "penalty", "scale", "fit", "input_size",
        "normalisation", "tried", "right",
    }  # fmt: skip
    assert table["kinds"] == ["church", "house"] and table["counts"] == [3, 3]
    assert "/" not in json.dumps(table) and saved.stat().st_size < 20_000


def test_another_network_is_refused(saved, tiny, engine):
    with pytest.raises(TeachingError, match="of scenes-resnet, not of scenes-convnext"):
        engine.use_head(saved, "scenes-convnext")
    with pytest.raises(TeachingError, match="of other weights of scenes-resnet than the ones at"):
        engine.use_head(saved, load_backbone("scenes-resnet", "random"))
    with pytest.raises(TeachingError, match="of 128 x 128 pixels in 3 channels, and scenes-resnet"):
        engine.use_head(saved, "scenes-resnet", input_size=96)


def test_a_network_that_is_not_here(saved, tmp_path, engine):
    tensors, table = parts(saved)
    file = written(tmp_path / "head.safetensors", tensors, {**table, "backbone": "nowhere"})
    with pytest.raises(TeachingError, match=r"cannot be loaded by that name .*give the backbone"):
        engine.use_head(file)


def test_places_that_cannot_be_written_to(taught, tmp_path):
    with pytest.raises(OutputError):
        taught.save(tmp_path)
    with pytest.raises(TeachingError, match=r"no file .* with a taught head"):
        TaughtHead.load(tmp_path / "none.safetensors")


ROW = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "data", "length"),
    [
        (b"{}", b"", 2**63),
        (b"{}", b"", 3),
        ({"mean": {**ROW, "shape": [2**40]}}, b"x" * 8, None),
        ({"mean": {**ROW, "shape": [-1]}}, b"x" * 8, None),
        ({"mean": {**ROW, "dtype": "OBJECT"}}, b"x" * 8, None),
        ({"mean": ROW}, b"x" * 7, None),
        ({"mean": 7}, b"x" * 8, None),
        (b"[" * 5000, b"", None),
        (b"\xff\xfe\x00", b"", None),
        ({"__metadata__": {"x": "y" * MOST_HEADER}}, b"", None),
        (pickle.dumps({"a": 1}), b"", None),
    ],
)  # fmt: skip
def test_a_header_that_lies(tmp_path, header, data, length):
    file = raw(tmp_path / "head.safetensors", header, data, length)
    with pytest.raises(TeachingError, match=r"'head.safetensors' is not a \.safetensors file"):
        TaughtHead.load(file)


def test_a_file_that_is_cut_short(saved, tmp_path):
    file = tmp_path / "head.safetensors"
    for kept in (0, 5, 100, -4):
        file.write_bytes(saved.read_bytes()[:kept])
        with pytest.raises(TeachingError, match="cut short"):
            TaughtHead.load(file)


def test_files_of_other_things(saved, tmp_path):
    tensors, _ = parts(saved)
    save_file(tensors, tmp_path / "plain.safetensors")
    with pytest.raises(TeachingError, match="holds tensors but no taught head"):
        TaughtHead.load(tmp_path / "plain.safetensors")
    with pytest.raises(camviz.PrototypeError, match="no prototypes"):
        camviz.PrototypeBank.load(saved)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("mean", torch.zeros(3)),
        ("mean", torch.full((96,), float("nan"))),
        ("mean", torch.zeros(96, dtype=torch.float64)),
        ("mean", torch.zeros(0)),
        ("weights", torch.zeros(3, 96)),
        ("weights", torch.zeros(51, 96)),
        ("weights", torch.zeros(2, 96, 1)),
        ("weights", torch.full((2, 96), float("inf"))),
        ("offsets", torch.zeros(1)),
        ("offsets", None),
    ],
)
def test_tensors_that_cannot_be(saved, tmp_path, name, tensor):
    tensors, table = parts(saved)
    tensors[name] = tensor
    kept = {key: value for key, value in tensors.items() if value is not None}
    file = written(tmp_path / "head.safetensors", kept, table)
    with pytest.raises(TeachingError, match="damaged"):
        TaughtHead.load(file)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("format", 99, "written in format 99"),
        ("kinds", ["church"], "damaged"),
        ("kinds", ["church", "church"], "two kinds are called"),
        ("kinds", ["church", "x" * 200], "damaged"),
        ("kinds", ["church", "a\u202eb"], "kinds"),
        ("kinds", ["church", 3], "damaged"),
        ("kinds", None, "damaged"),
        ("counts", [3, -1], "counts"),
        ("counts", [3], "counts"),
        ("counts", [3, True], "counts"),
        ("counts", [300, 300], "too many"),
        ("penalty", float("nan"), "penalty"),
        ("penalty", -1, "penalty"),
        ("scale", "10", "scale"),
        ("scale", float("inf"), "scale"),
        ("tried", -1, "how many were right"),
        ("right", 7, "how many were right"),
        ("input_size", [3, 128], "input_size"),
        ("input_size", [3, 128, 10**9], "input_size"),
        ("digest", None, "a name"),
        ("backbone", "x" * 5000, "a name"),
        ("fit", [], "a name"),
        ("__class__", "x", "damaged"),
        ("other", 1, "damaged"),
    ],
)
def test_a_table_with_what_cannot_be(saved, tmp_path, key, value, words):
    tensors, table = parts(saved)
    file = written(tmp_path / "head.safetensors", tensors, {**table, key: value})
    with pytest.raises(TeachingError, match=words) as caught:
        TaughtHead.load(file)
    assert len(str(caught.value)) < 600


def test_a_table_without_one_of_its_rows(saved, tmp_path):
    tensors, table = parts(saved)
    for key in table:
        left = {name: row for name, row in table.items() if name != key}
        file = written(tmp_path / "head.safetensors", tensors, left)
        with pytest.raises(TeachingError, match="damaged"):
            TaughtHead.load(file)
