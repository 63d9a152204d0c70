"""A job on a Ray cluster: the rows of one process, none lost and none twice when a worker dies."""

import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from camviz.bulk.job import Job
from camviz.bulk.run import Run
from camviz.bulk.schema import id_of
from camviz.bulk.work import run_job
from camviz.cli import main
from camviz.errors import DataError
from tests.support.pictures import write_photos

ray = pytest.importorskip("ray", reason="needs the extra ray")
COUNT = 12
ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.long,
    # Ray's own: sockets that it leaves open, and names that it is about to change.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), COUNT, seed=5)


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster on this machine, small, without what only looks at it.

    It has two GPUs as far as it knows, so that each of two actors is given one.
    """
    from camviz.bulk import on_ray

    ray.init(
        num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False,
        object_store_memory=200 * 2**20,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}},
    )  # fmt: skip
    yield on_ray.run_on_ray
    ray.shutdown()


def rows_of(out):
    found = [{**row, "notes": None} for row in Run.open(out).rows()]
    assert len({row["id"] for row in found}) == len(found), "one is there twice"
    return {row["path"]: row for row in found}


def actors():
    found = []
    for each in Path("/proc").iterdir():
        try:
            line = (each / "cmdline").read_bytes() if each.name.isdigit() else b""
        except OSError:
            continue
        if line.startswith(b"ray::") and b"_Actor" in line:
            found.append(int(each.name))
    return found


@pytest.fixture
def odd_photos(photos):
    """The photographs, and two files with names that are no UTF-8; they go at the end."""
    added = [photos / os.fsdecode(name) for name in (b"z-gr\xfcn.png", b"z-kaputt-\xf6.png")]
    try:
        added[0].write_bytes((photos / "3.png").read_bytes())
    except OSError:
        pytest.skip("this file system has text for names only")
    added[1].write_bytes(b"no picture")
    yield photos
    for path in added:
        path.unlink()


def test_the_command_starts_a_ray_of_its_own(photos, tmp_path, capsys):
    """With an actor on each of two CPUs, where there are no more; it is gone on with elsewhere."""
    words = [
        "maps", str(photos), "--out", str(tmp_path / "run"), "--backbone", "scenes-resnet",
        "--method", "layer_cam", "--options", "refine=none",
    ]  # fmt: skip
    command = [sys.executable, "-m", "camviz", *words, "--engine", "ray", "--workers", "2"]
    ended = subprocess.run(
        [*command, "--limit", "8"], cwd=ROOT, capture_output=True, text=True, timeout=600,
        env={key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("8 pictures explained in ")
    assert len(rows_of(tmp_path / "run")) == 8
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.startswith("4 pictures explained in ") and "8 were there, 1 failed" in said
    run_job(Job(str(photos), "scenes-resnet", options={"method": "layer_cam", "refine": "none"}),
            tmp_path / "here")  # fmt: skip
    assert rows_of(tmp_path / "run").keys() == rows_of(tmp_path / "here").keys()
    assert Run.open(tmp_path / "run").name == Run.open(tmp_path / "here").name


def test_a_run_on_ray_survives_a_killed_worker(odd_photos, tmp_path, cluster):
    """And goes on from what was done before it, whatever the names of the files."""
    job = Job(str(odd_photos), "scenes-resnet", batch=1, options={"method": "score_cam"})
    killed = []

    def kill_one():
        end = time.monotonic() + 120
        while not killed and time.monotonic() < end:
            killed.extend(actors()[:1])
            time.sleep(0.1)
        time.sleep(3)  # it has begun with its pictures
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    run_job(replace(job, limit=2), tmp_path / "ray")
    killer = threading.Thread(target=kill_one)
    killer.start()
    done = cluster(job, tmp_path / "ray", workers=2)
    killer.join()
    assert killed
    run_job(job, tmp_path / "here")
    assert (done.before, done.done, done.failed) == (2, COUNT + 1, 2)
    ours, theirs = rows_of(tmp_path / "here"), rows_of(tmp_path / "ray")
    assert len(theirs) == COUNT + 1 and ours.keys() == theirs.keys()
    assert theirs["z-gr\ufffdfcn.png"]["id"] == id_of(os.fsdecode(b"z-gr\xfcn.png"))
    for path, row in ours.items():
        for name in ("id", "target", "label", "width", "height", "truth", "rect"):
            assert theirs[path][name] == row[name]
        assert theirs[path]["fused"]["map"] == row["fused"]["map"]
    here, errors = (
        sorted(Run.open(tmp_path / name).errors(), key=lambda each: each["path"])
        for name in ("here", "ray")
    )
    assert errors[0] == here[0]
    assert errors[1]["id"] == here[1]["id"] and "is not a picture" in errors[1]["error"]
    assert [each["path"] for each in errors] == ["broken.png", "z-kaputt-\ufffdf6.png"]
    assert Run.open(tmp_path / "ray").name == Run.open(tmp_path / "here").name


def test_a_run_that_is_stopped_before_ray_starts_keeps_what_failed(
    photos, tmp_path, cluster, monkeypatch
):
    job = Job(str(photos), "scenes-resnet", options={"refine": "none"})
    run_job(job, tmp_path / "run")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("camviz.bulk.on_ray._list", stop)
    with pytest.raises(KeyboardInterrupt):
        cluster(job, tmp_path / "run")
    assert [each["path"] for each in Run.open(tmp_path / "run").errors()] == ["broken.png"]


def test_what_has_no_files_is_refused(tmp_path, cluster, photos):
    pytest.importorskip("datasets")
    (tmp_path / "set").mkdir()
    with zipfile.ZipFile(tmp_path / "set/train.zip", "w") as packed:
        packed.write(photos / "0.png", "0.png")
    with pytest.raises(DataError, match="without Ray"):
        cluster(Job(f"hf:{tmp_path}/set:train", "scenes-resnet"), tmp_path / "run")


def test_several_methods_are_refused(tmp_path, photos):
    from camviz.bulk.on_ray import run_on_ray

    job = Job(str(photos), "scenes-resnet", methods=("layer_cam", "cam"))
    with pytest.raises(DataError, match="one method at a time; give one of layer_cam, cam"):
        run_on_ray(job, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_actor_for_each_device():
    from camviz.bulk.on_ray import actors_for

    def found(workers, cpus, gpus):
        asked = actors_for(workers, cpus, gpus)
        return asked["concurrency"], asked["num_cpus"], asked["num_gpus"]

    assert found(None, 8, 0) == (1, 1, 0) and found(4, 8, 0) == (4, 1, 0)
    assert found(2, 2, 0) == (2, 0, 0), "a CPU is left for what reads and writes"
    assert found(None, 8, 2.0) == (2, 1, 1) == found(2, 8, 2.0)
    assert found(1, 8, 2.0) == (1, 1, 1)
    assert found(3, 8, 2.0) == (3, 1, 0.5), "two of them on a GPU, none without"
    assert found(4, 8, 2.0) == (4, 1, 0.5)
