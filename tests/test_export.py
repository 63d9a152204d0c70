"""camviz.export: a folder with a manifest is a complete one, whatever happened on the way."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camviz.engine import export
from camviz.engine.export import file_name, write_folder

GREY = np.full((4, 6, 3), 128, np.uint8)
PICTURES = {"picture": GREY, "overlay_layer1": GREY // 2}
ARRAYS = {"raw/layer1": np.arange(6.0).reshape(2, 3), "fused": np.ones((4, 6), np.float32)}
FILES = ["manifest.json", "maps.npz", "overlay_layer1.png", "picture.png"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_pictures_arrays_and_manifest_are_written(tmp_path):
    folder = write_folder(tmp_path / "a" / "b", PICTURES, ARRAYS, {"camviz": "0", "note": "é"})
    assert folder == tmp_path / "a" / "b" and names(folder) == FILES
    with Image.open(folder / "overlay_layer1.png") as picture:
        assert np.array_equal(np.asarray(picture), GREY // 2)
    with np.load(folder / "maps.npz") as arrays:
        assert set(arrays) == set(ARRAYS)
        assert all(np.array_equal(arrays[name], value) for name, value in ARRAYS.items())
    text = (folder / "manifest.json").read_text(encoding="utf-8")
    assert text.endswith("}\n") and "é" in text
    assert json.loads(text) == {
        "camviz": "0",
        "note": "é",
        "files": ["picture.png", "overlay_layer1.png", "maps.npz"],
    }


def test_a_text_path_will_do(tmp_path):
    assert write_folder(str(tmp_path / "x"), PICTURES, ARRAYS, {}) == tmp_path / "x"


def test_other_files_stay_and_old_ones_are_replaced(tmp_path):
    (tmp_path / "diary.txt").write_text("mine")
    write_folder(tmp_path, PICTURES, ARRAYS, {"run": 1})
    write_folder(tmp_path, {"picture": GREY + 1}, ARRAYS, {"run": 2})
    assert (tmp_path / "diary.txt").read_text() == "mine"
    assert json.loads((tmp_path / "manifest.json").read_text())["run"] == 2
    with Image.open(tmp_path / "picture.png") as picture:
        assert np.array_equal(np.asarray(picture), GREY + 1)


def test_the_manifest_is_the_last_to_appear(tmp_path, monkeypatch):
    order = []
    move = shutil.move

    def noted(source, target):
        assert not (tmp_path / "out" / "manifest.json").exists()
        order.append(Path(source).name)
        return move(source, target)

    monkeypatch.setattr(export.shutil, "move", noted)
    write_folder(tmp_path / "out", PICTURES, ARRAYS, {})
    assert sorted(order) == FILES and order[-1] == "manifest.json"


def broken_arrays():
    class Broken:
        def __array__(self, *arguments, **options):
            raise ValueError("no such array")

    return {"fused": Broken()}


@pytest.mark.parametrize(
    ("pictures", "arrays", "manifest"),
    [
        ({"picture": GREY, "bad": np.zeros((2, 2, 7))}, ARRAYS, {}),
        (PICTURES, broken_arrays(), {}),
        (PICTURES, ARRAYS, {"not JSON": object()}),
    ],
)
def test_a_failure_leaves_nothing_behind(tmp_path, pictures, arrays, manifest):
    with pytest.raises((ValueError, TypeError)):
        write_folder(tmp_path / "out", pictures, arrays, manifest)
    assert not (tmp_path / "out").exists() or names(tmp_path / "out") == []
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "diary.txt").write_text("mine")
    with pytest.raises((ValueError, TypeError)):
        write_folder(tmp_path / "kept", pictures, arrays, manifest)
    assert names(tmp_path / "kept") == ["diary.txt"]


def fail_at(monkeypatch, place):
    """The disk is full at the `place`-th file."""
    move, count = shutil.move, []

    def failing(source, target):
        count.append(1)
        if len(count) == place:
            raise OSError("no space left on device")
        return move(source, target)

    monkeypatch.setattr(export.shutil, "move", failing)


@pytest.mark.parametrize("place", [1, 2, 4])
def test_a_failure_while_the_files_are_put_in_place_leaves_no_manifest(
    tmp_path, monkeypatch, place
):
    fail_at(monkeypatch, place)
    with pytest.raises(OSError, match="no space"):
        write_folder(tmp_path / "out", PICTURES, ARRAYS, {})
    left = names(tmp_path / "out") if (tmp_path / "out").exists() else []
    assert "manifest.json" not in left
    assert not any(name.startswith(".camviz") for name in left)


@pytest.mark.parametrize("place", [2, 4])
def test_an_old_manifest_never_describes_new_files(tmp_path, monkeypatch, place):
    write_folder(tmp_path, PICTURES, ARRAYS, {"run": 1})
    fail_at(monkeypatch, place)
    with pytest.raises(OSError, match="no space"):
        write_folder(tmp_path, {name: p + 1 for name, p in PICTURES.items()}, ARRAYS, {"run": 2})
    if (tmp_path / "manifest.json").exists():
        assert json.loads((tmp_path / "manifest.json").read_text())["run"] == 1
        with Image.open(tmp_path / "picture.png") as picture:
            assert np.array_equal(np.asarray(picture), GREY), "the manifest is of another picture"


def test_a_failure_while_the_files_are_put_in_place_leaves_nothing(tmp_path, monkeypatch):
    """As the docstring promises."""
    fail_at(monkeypatch, 3)
    with pytest.raises(OSError, match="no space"):
        write_folder(tmp_path / "out", PICTURES, ARRAYS, {})
    assert not (tmp_path / "out").exists() or names(tmp_path / "out") == []


def test_names_are_made_fit_for_files():
    assert file_name("layer1.0-bn_2") == "layer1.0-bn_2"
    assert file_name("blocks.2[1]") == "blocks.2-1-"
    assert file_name("../../etc/passwd") == "..-..-etc-passwd"
    assert file_name("a b\\c:d\n") == "a-b-c-d-"


def test_stage_names_cannot_leave_the_folder(tmp_path):
    write_folder(tmp_path / "out", {"../evil": GREY}, {}, {})
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["..-evil.png", "manifest.json", "maps.npz"]
