"""Files of prototypes that somebody made to do harm: refused in a sentence, without much memory."""

import io
import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from camviz import PrototypeBank
from camviz.errors import PrototypeError
from camviz.network.bundled import bundled_folder
from camviz.prototypes.bank import MOST_HEADER

SHIPPED = bundled_folder("scenes-resnet") / "prototypes" / "13.safetensors"


def parts(file=SHIPPED):
    """(tensors, table) of a file."""
    with safe_open(file, "pt") as archive:
        table = json.loads(archive.metadata()["camviz.prototypes"])
    return load_file(file), table


def written(file, tensors, table):
    save_file(tensors, file, {"camviz.prototypes": json.dumps(table)})
    return file


def raw(file, header, data=b"", length=None):
    """A file of these bytes, whatever the library would say to them."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(head) if length is None else length) + head + data)
    return file


def sheet(width, height):
    """A sheet of one colour: thousands of pixels a byte."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "WEBP", lossless=True, method=0, quality=0)
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)


ROW = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    ("header", "data", "length"),
    [
        (b"{}", b"", 2**63),
        (b"{}", b"", 2**31),
        (b"{}", b"", 3),
        ({"a/vectors": {**ROW, "shape": [2**40, 2**40]}}, b"x" * 16, None),
        ({"a/vectors": {**ROW, "shape": [-1, 2]}}, b"x" * 16, None),
        ({"a/vectors": {**ROW, "shape": [True, 2]}}, b"x" * 16, None),
        ({"a/vectors": {**ROW, "shape": "2x2"}}, b"x" * 16, None),
        ({"a/vectors": {**ROW, "dtype": "OBJECT"}}, b"x" * 16, None),
        ({"a/vectors": {**ROW, "dtype": ["F32"]}}, b"x" * 16, None),
        ({"a/vectors": ROW, "b/vectors": ROW}, b"x" * 32, None),
        ({"a/vectors": {**ROW, "data_offsets": [8, 24]}}, b"x" * 24, None),
        ({"a/vectors": {**ROW, "data_offsets": [16, 0]}}, b"x" * 16, None),
        ({"a/vectors": ROW}, b"x" * 15, None),
        ({"a/vectors": 7}, b"x" * 16, None),
        (b"[" * 5000, b"", None),
        (b"[1, 2]", b"", None),
        (b'{"a": NaN}', b"", None),
        (b"\xff\xfe\x00", b"", None),
        (pickle.dumps({"a": 1}), b"", None),
    ],
)  # fmt: skip
def test_a_header_that_lies(tmp_path, header, data, length):
    file = raw(tmp_path / "bank.safetensors", header, data, length)
    with pytest.raises(PrototypeError, match=r"'bank.safetensors' is not a \.safetensors file"):
        PrototypeBank.load(file)


def test_a_header_that_is_too_long(tmp_path):
    file = raw(tmp_path / "bank.safetensors", {"__metadata__": {"x": "y" * MOST_HEADER}})
    with pytest.raises(PrototypeError, match=r"its header has 4,000,0.. bytes, and 4,000,000 are"):
        PrototypeBank.load(file)


@pytest.mark.parametrize("size", [(8000, 8000), (120, 16383), (120, 40), (4000, 960), (160, 961)])
def test_a_sheet_of_another_size_is_not_decoded(tmp_path, monkeypatch, size):
    tensors, table = parts()
    tensors["layer2/thumbnails"] = sheet(*size)
    file = written(tmp_path / "bank.safetensors", tensors, table)
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(PrototypeError, match=f"a sheet of {size[0]} x {size[1]} pixels for"):
        PrototypeBank.load(file)


MEASURE = """
import resource, sys
from camviz import PrototypeBank
from camviz.errors import PrototypeError
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
PrototypeBank.load(sys.argv[1])
before = peak()
for file in sys.argv[2:]:
    try:
        PrototypeBank.load(file)
    except PrototypeError:
        pass
print(peak() - before)
"""


@pytest.mark.long
def test_memory_stays_where_it_is(tmp_path):
    """One sheet would take 190 MB."""
    tensors, table = parts()
    tensors["layer2/thumbnails"] = sheet(8000, 8000)
    bombs = [written(tmp_path / "sheets.safetensors", tensors, table)]
    bombs.append(raw(tmp_path / "shape.safetensors", {"a/vectors": {**ROW, "shape": [2**30, 8]}}))
    rows = {f"{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(100_000)}
    bombs.append(raw(tmp_path / "header.safetensors", rows))
    assert bombs[0].stat().st_size < 1_000_000
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(SHIPPED), *map(str, bombs)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert float(done.stdout) < 60, done.stdout


def change(place, value):
    def apply(table):
        *path, last = place
        for key in path:
            table = table[key]
        table[last] = value

    return apply


PROTOTYPE = ("stages", "layer4", "prototypes", 0)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("seed",), 1e308, "seed"),
        (("seed",), -1, "seed"),
        (("target",), True, "target"),
        (("target",), -1, "target"),
        (("clusters",), 10**9, "clusters"),
        (("tau",), True, "tau"),
        (("mu_f",), float("nan"), "mu_f"),
        (("label",), "x" * 100_000, "a name"),
        (("tap",), ["activation"], "a name"),
        (("fit",), {}, "a name"),
        (("digest",), None, "a name"),
        (("pictures",), ["x"] * 65, "too many pictures"),
        (("pictures",), [["x"]], "a name"),
        (("skipped",), [["a", {}]], "a name"),
        (("source",), "elsewhere", "its origin"),
        (("split",), [], "its origin"),
        (("stages",), {}, "its stages"),
        (("stages",), [], ""),
        (("stages", "layer4", "scoring"), "x", "how layer4 is scored"),
        (("stages", "layer4", "relaxed"), "yes", "how layer4 is scored"),
        ((*PROTOTYPE, "kept"), "no", "a prototype at layer4"),
        ((*PROTOTYPE, "size"), -1, "a prototype at layer4"),
        ((*PROTOTYPE, "name"), "x" * 5000, "a prototype at layer4"),
        ((*PROTOTYPE, "kind"), ["foreground"], "a prototype at layer4"),
        ((*PROTOTYPE, "members"), [[0, [0, 0], [0, 0, 1, 1], 0.5]] * 5, "a prototype at layer4"),
        ((*PROTOTYPE, "members"), [[-1, [0, 0], [0, 0, 1, 1], 0.5]], "a prototype at layer4"),
        ((*PROTOTYPE, "members"), [[0, ["a", 0], [0, 0, 1, 1], 0.5]], "a prototype at layer4"),
        ((*PROTOTYPE, "members"), [[0, [0, 0], [0, 0, 1, -1], 0.5]], "a prototype at layer4"),
        ((*PROTOTYPE, "members"), [[0, [0, 0], [0, 0, 1, 1], "x"]], "a prototype at layer4"),
        ((*PROTOTYPE, "__class__"), "x", ""),
        ((*PROTOTYPE, "other"), 1, ""),
    ],
)
def test_a_table_with_what_cannot_be(tmp_path, place, value, words):
    tensors, table = parts()
    change(place, value)(table)
    file = written(tmp_path / "bank.safetensors", tensors, table)
    with pytest.raises(PrototypeError, match=f"is damaged .*{words}") as caught:
        PrototypeBank.load(file)
    assert len(str(caught.value)) < 600


def test_a_table_without_one_of_its_rows(tmp_path):
    tensors, table = parts()
    for key in table:
        left = {name: row for name, row in table.items() if name != key}
        if key in ("skipped",):  # older files have none
            continue
        file = written(tmp_path / "bank.safetensors", tensors, left)
        with pytest.raises(PrototypeError, match="damaged"):
            PrototypeBank.load(file)


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short(tmp_path, share):
    data = SHIPPED.read_bytes()
    (tmp_path / "bank.safetensors").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PrototypeError, match=r"not a \.safetensors file, or damaged"):
        PrototypeBank.load(tmp_path / "bank.safetensors")


def test_bytes_that_flipped_end_in_a_bank_or_a_sentence(tmp_path):
    data, random = SHIPPED.read_bytes(), np.random.default_rng(0)
    refused = 0
    for place in random.integers(0, 30_000, 150):
        flipped = bytearray(data)
        flipped[place] ^= int(random.integers(1, 256))
        (tmp_path / "bank.safetensors").write_bytes(flipped)
        try:
            PrototypeBank.load(tmp_path / "bank.safetensors")
        except PrototypeError:
            refused += 1
    assert refused > 50


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (self.path, "it ran"))


def test_nothing_is_unpickled(tmp_path):
    harmful, mark = tmp_path / "bank.safetensors", tmp_path / "mark"
    for save in (
        lambda file, it: file.write_bytes(pickle.dumps(it)),
        lambda f, it: torch.save(it, f),
    ):
        save(harmful, {"x": Harmful(mark)})
        with pytest.raises(PrototypeError, match=r"not a \.safetensors file"):
            PrototypeBank.load(harmful)
        assert not mark.exists()
    pickle.loads(pickle.dumps(Harmful(mark)))  # and it would have
    assert mark.exists()
