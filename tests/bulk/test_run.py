"""A run on disk: what is written is read back, whole or not at all, and continued."""

import hashlib
import json
import os
import stat
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from camviz import Engine, draw_scenes
from camviz.bulk.run import Geometry, Run, RunWriter, name_of
from camviz.bulk.schema import (
    ROWS,
    VERSION,
    decode,
    encode,
    id_of,
    map_in,
    restored,
    row_of,
    storable,
)
from camviz.defaults import FUSED, REFINED
from camviz.errors import DataError, OutputError, StageError
from camviz.version import version_of

CONFIGURATION = {"backbone": "scenes-resnet", "method": "layer_cam", "options": {"fit": "stretch"}}


@pytest.fixture(scope="module")
def explained():
    engine = Engine()
    return [engine.explain(s.image, "scenes-resnet") for s in draw_scenes(3, seed=11)]


@pytest.fixture
def write(tmp_path, explained):
    def write(count=3, folder=tmp_path / "run", **options):
        geometry = Geometry.of(explained[0])
        with RunWriter(folder, CONFIGURATION, geometry, **options) as writer:
            for number, x in enumerate(explained[:count]):
                writer.add(row_of(x, f"key {number}", f"{number}.png", truth="ram"))
        return Run.open(folder)

    return write


def test_a_row_is_the_explanation(write, explained):
    run = write()
    assert len(run) == 3 and run.name == name_of(CONFIGURATION)
    for row, x in zip(run.rows(), explained, strict=True):
        assert (row["width"], row["height"]) == (x.picture.width, x.picture.height)
        assert row["label"] == x.label and row["target"] == x.target and row["truth"] == "ram"
        assert [each["label"] for each in row["top"]] == [
            label for _, label, _ in x.predictions[:5]
        ]
        assert row["score"] == pytest.approx(x.predictions[0][2])
        for of in (*x.stages, FUSED, REFINED):
            assert np.allclose(map_in(row, of), x.grid(of)[0], atol=1 / 509)
            assert np.allclose(run.heat(row, of), x.heat(of), atol=1 / 509)
        peaks = {stage["name"]: stage["maximum"] for stage in row["stages"]}
        assert peaks == pytest.approx({name: float(raw.max()) for name, raw in x.raw.items()})
        boxes = [tuple(box[key] for key in ("x0", "y0", "x1", "y1")) for box in row["boxes"]]
        wanted = [box.xyxy for of in (FUSED, REFINED) for box in x.boxes(of=of, multi=True)]
        assert boxes == wanted
        assert run.row(row["id"]) == row


def test_boxes_at_another_threshold_come_from_the_map(write, explained):
    run = write(1)
    row = next(run.rows())
    for threshold in (0.1, 0.4, 0.8):
        found, wanted = run.boxes(row, threshold), explained[0].boxes(threshold, multi=True)
        for box, other in zip(found, wanted, strict=True):
            assert np.abs(np.subtract(box.xyxy, other.xyxy)).max() <= 2


def test_a_map_is_within_half_a_step():
    heat = np.linspace(0, 1, 35, dtype=np.float32).reshape(5, 7)
    assert np.abs(decode(encode(heat)) - heat).max() <= 1 / 510 + 1e-7
    assert encode(heat * 0)["maximum"] == 0


def test_parts_have_so_many_rows_and_are_compressed(write):
    run = write(part_rows=2)
    assert [pq.read_metadata(part).num_rows for part in run.parts] == [2, 1]
    assert pq.read_metadata(run.parts[0]).row_group(0).column(0).compression == "ZSTD"
    assert pq.read_schema(run.parts[0]).equals(ROWS)
    assert run.table(["id", "label"]).column_names == ["id", "label"]


def test_a_part_has_512_rows(tmp_path, explained):
    row = row_of(explained[0], "key", "a.png")
    with RunWriter(tmp_path / "run", CONFIGURATION, Geometry.of(explained[0])) as writer:
        for number in range(513):
            writer.add({**row, "id": id_of(str(number))})
    run = Run.open(tmp_path / "run")
    assert [pq.read_metadata(part).num_rows for part in run.parts] == [512, 1]


def test_a_run_goes_on_where_it_stopped(write, explained, tmp_path):
    write(1)
    with RunWriter(tmp_path / "run", CONFIGURATION, Geometry.of(explained[0])) as writer:
        assert writer.done == {id_of("key 0")}
        for number, x in enumerate(explained):
            writer.add(row_of(x, f"key {number}", f"{number}.png"))
    run = Run.open(tmp_path / "run")
    assert [row["path"] for row in run.rows(["path"])] == ["0.png", "1.png", "2.png"]


def test_what_was_added_is_kept_when_the_work_ends_early(explained, tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        RunWriter(tmp_path / "run", CONFIGURATION, Geometry.of(explained[0])) as writer,
    ):
        writer.add(row_of(explained[0], "a", "a.png"))
        writer.fail(id_of("b"), "b.png", "no picture")
        raise KeyboardInterrupt
    run = Run.open(tmp_path / "run")
    assert len(run) == 1
    assert run.errors() == [{"id": id_of("b"), "path": "b.png", "error": "no picture"}]


def errors_of(folder):
    return {row["path"]: row["error"] for row in Run.open(folder).errors()}


def test_what_failed_stays_noted_until_there_are_maps_of_it(explained, tmp_path):
    out, arguments = tmp_path / "run", (CONFIGURATION, Geometry.of(explained[0]))
    with RunWriter(out, *arguments) as writer:
        for name in "abc":
            writer.fail(id_of(name), f"{name}.png", "first")
    with pytest.raises(KeyboardInterrupt), RunWriter(out, *arguments) as writer:
        writer.fail(id_of("a"), "a.png", "second")
        raise KeyboardInterrupt
    assert errors_of(out) == {"a.png": "second", "b.png": "first", "c.png": "first"}
    with RunWriter(out, *arguments) as writer:
        writer.add(row_of(explained[0], "a", "a.png"))
        writer.flush()
        assert errors_of(out) == {"b.png": "first", "c.png": "first"}
    with RunWriter(out, *arguments) as writer, RunWriter(out, *arguments, keeps_errors=False) as w:
        w.add(row_of(explained[0], "b", "b.png"))  # as a worker does
    assert errors_of(out) == {"c.png": "first"}
    with RunWriter(out, *arguments) as writer:
        writer.add(row_of(explained[0], "c", "c.png"))
    assert errors_of(out) == {} and not (out / "errors.parquet").exists()


def test_names_that_are_no_text_can_be_written(explained, tmp_path):
    """As files have them that were copied from a system of another encoding."""
    key, other = (os.fsdecode(name) for name in (b"gr\xfcn.png", b"gr\xfan.png"))
    source = os.fsdecode(b"f\xf6lder")
    configuration, geometry = {**CONFIGURATION, "source": source}, Geometry.of(explained[0])
    with RunWriter(tmp_path / "run", configuration, geometry) as writer:
        writer.add(row_of(explained[0], key, key, truth=source))
        writer.add(row_of(explained[0], "plain", "plain.png"))
        writer.fail(id_of(other), other, f"'{other}' is no picture")
    run = Run.open(tmp_path / "run")
    assert run.configuration["source"] == source and run.name == name_of(configuration)
    rows = [(row["id"], row["path"], row["truth"]) for row in run.rows()]
    assert rows == [
        (id_of(key), "gr\ufffdfcn.png", "f\ufffdf6lder"), (id_of("plain"), "plain.png", None),
    ]  # fmt: skip
    assert run.errors() == [{
        "id": id_of(other), "path": "gr\ufffdfan.png", "error": "'gr\ufffdfan.png' is no picture",
    }]  # fmt: skip
    with RunWriter(tmp_path / "run", configuration, geometry) as writer:
        assert id_of(key) in writer.done


def test_a_text_is_stored_as_it_is_and_a_name_is_found_again():
    for text in ("öl & <b>.png", "\ufffd", "日本.jpg", ""):
        assert storable(text) == text == restored(text)
    name = os.fsdecode(b"\xe2\x82 and \xff")
    assert storable(name) == "\ufffde2\ufffd82 and \ufffdff" and restored(storable(name)) == name
    assert storable("a\ud800b") == "a\ufffdb"  # of a column in JSON


def test_a_part_that_could_not_be_written_leaves_nothing(explained, tmp_path, monkeypatch):
    def full(table, part, **_):
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with (
        pytest.raises(OSError),
        RunWriter(tmp_path / "run", CONFIGURATION, Geometry.of(explained[0])) as writer,
    ):
        writer.add(row_of(explained[0], "a", "a.png"))
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["run.json"]


def test_a_part_is_on_the_disk_before_it_has_its_name(write, monkeypatch):
    """Flushed, renamed, and the folder flushed: whole or not at all, if the power fails between."""
    steps, there = [], {}
    fsync, replace = os.fsync, Path.replace

    def flushed(descriptor):
        kept = os.fstat(descriptor)
        steps.append(("flush", "folder" if stat.S_ISDIR(kept.st_mode) else kept.st_ino))
        fsync(descriptor)

    def renamed(self, target):
        assert not target.exists()
        steps.append(("rename", self.stat().st_ino))
        there[target.name] = self.stat().st_ino
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", renamed)
    run = write(part_rows=2)
    names = ["run.json", *(part.name for part in run.parts)]
    assert list(there) == names and len(names) == 3
    assert steps == [
        step
        for name in names
        for step in (("flush", there[name]), ("rename", there[name]), ("flush", "folder"))
    ]


def held_in(run):
    return json.loads((run.path / "run.json").read_text())


def test_the_name_is_the_digest_of_the_configuration_alone(write):
    run = write(1)
    held = held_in(run)
    text = json.dumps(CONFIGURATION, sort_keys=True, separators=(",", ":"))
    assert held["configuration"] == CONFIGURATION and held["camviz"] == [version_of("camviz")]
    assert held["name"] == run.name == hashlib.sha256(text.encode()).hexdigest()
    assert held["version"] == VERSION and run.written_by == (version_of("camviz"),)


def test_another_version_goes_on_with_a_run_and_is_noted(write, explained, monkeypatch):
    """Maps that differ are told by the format in the configuration, and not by camviz's version."""
    before = held_in(write(1))
    monkeypatch.setattr("camviz.bulk.run.version_of", lambda _: "99.1")
    after = held_in(write(2))
    assert after == {**before, "camviz": [version_of("camviz"), "99.1"]}
    monkeypatch.undo()
    run = write(3)
    assert len(run) == 3 and run.written_by == (version_of("camviz"), "99.1")
    file = run.path / "run.json"
    file.write_text(json.dumps({k: v for k, v in after.items() if k != "camviz"}))
    assert Run.open(run.path).written_by == (), "as runs of before are"
    assert write(3).written_by == (version_of("camviz"),)
    with pytest.raises(OutputError, match="differ in version"):
        RunWriter(run.path, {**CONFIGURATION, "version": 2}, Geometry.of(explained[0]))


def test_another_configuration_is_refused_with_both_names(write, explained, tmp_path):
    run = write(1)
    other = {**CONFIGURATION, "method": "grad_cam"}
    with pytest.raises(OutputError) as caught:
        RunWriter(tmp_path / "run", other, Geometry.of(explained[0]))
    assert run.name in str(caught.value) and name_of(other) in str(caught.value)
    assert "differ in method" in str(caught.value)
    assert len(Run.open(tmp_path / "run")) == 1


def test_a_folder_of_something_else_is_left_alone(explained, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(OutputError, match="something else than a run"):
        RunWriter(tmp_path, CONFIGURATION, Geometry.of(explained[0]))
    assert [file.name for file in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 1, "configuration": {}}'])
def test_a_damaged_description_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DataError, match=r"run\.json' cannot be read"):
        Run.open(tmp_path)


def test_what_is_no_run_or_a_later_one_is_named(tmp_path, write):
    with pytest.raises(DataError, match="holds no run"):
        Run.open(tmp_path)
    file = write(1).path / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": 99}))
    with pytest.raises(DataError, match="later camviz"):
        Run.open(file.parent)


def test_a_damaged_part_is_named(write):
    run = write()
    run.parts[0].write_bytes(run.parts[0].read_bytes()[:-100])
    for read in (lambda: len(run), lambda: list(run.rows()), lambda: run.table(["id"])):
        with pytest.raises(DataError, match=r"part-000000.*remove it and run again"):
            read()


def test_maps_and_pictures_that_are_not_there_are_named(write):
    run = write(1)
    with pytest.raises(StageError, match="no map of 'layer9'; maps: "):
        run.heat(next(run.rows()), "layer9")
    with pytest.raises(DataError, match="no picture 'nothing'"):
        run.row("nothing")
