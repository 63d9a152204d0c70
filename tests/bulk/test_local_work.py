"""A job: the rows of `explain`, in one process and in several, stopped and gone on with."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camviz import Engine, draw_scenes
from camviz.bulk.cut import Cut
from camviz.bulk.exports.table import export
from camviz.bulk.job import Job
from camviz.bulk.pictures import by_picture, picture_file
from camviz.bulk.run import Run, name_of
from camviz.bulk.schema import id_of, map_in, row_of
from camviz.bulk.sources import open_source
from camviz.bulk.work import Progress, _interrupts_held, _Team, run_job
from camviz.cli import main
from camviz.cli_maps import line_of
from camviz.errors import DataError, MethodError, OutputError

ROOT = Path(__file__).resolve().parents[2]
COUNT = 12


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve drawn scenes below a folder for each class, and a file that is no picture."""
    root = tmp_path_factory.mktemp("photos")
    for number, scene in enumerate(draw_scenes(COUNT, seed=5)):
        file = root / scene.objects[0].label / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(scene.image[: 128 - number]).save(file)
    (root / "ram").mkdir(exist_ok=True)
    (root / "ram/broken.png").write_bytes(b"no picture")
    return root


@pytest.fixture
def job(photos):
    return Job(str(photos), "scenes-resnet", batch=4)


def check_whole(out, photos, target="top"):
    """The run has every picture once, with the maps that `explain` gives."""
    run = Run.open(out)
    rows = {row["path"]: row for row in run.rows()}
    assert len(rows) == len(run) == COUNT
    assert [each["path"] for each in run.errors()] == ["ram/broken.png"]
    assert "not a picture" in run.errors()[0]["error"]
    engine = Engine()
    for path, row in rows.items():
        label = path.split("/")[0]
        x = engine.explain(
            photos / path, "scenes-resnet", target=None if target == "top" else label
        )
        wanted = row_of(x, path, path, label)
        assert row["id"] == id_of(path) and row["truth"] == label
        for name in ("width", "height", "target", "label", "notes", "rect"):
            assert row[name] == wanted[name]
        for of in (*x.stages, "fused", "refined"):  # to a step of its bytes
            assert np.abs(map_in(row, of) - map_in(wanted, of)).max() <= 1.01 / 255


@pytest.mark.long
def test_a_run_has_the_maps_of_explain(job, photos, tmp_path):
    told = []
    done = run_job(job, tmp_path / "run", tell=told.append)
    check_whole(tmp_path / "run", photos)
    assert (done.done, done.failed, done.before, done.count) == (COUNT + 1, 1, 0, COUNT + 1)
    assert [each.done for each in told] == list(range(1, COUNT + 2))


@pytest.mark.long
def test_targets_are_labels_or_a_column(job, photos, tmp_path):
    run_job(Job(str(photos), "scenes-resnet", target="label"), tmp_path / "run")
    check_whole(tmp_path / "run", photos, "label")
    lines = [f"{photos}/{path},{n % 16}" for n, path in enumerate(map(str, photos.rglob("*.png")))]
    lines = [line.replace(f"{photos}/{photos}/", f"{photos}/") for line in lines]
    (tmp_path / "t.csv").write_text("\n".join(["path,which", *lines]))
    run_job(Job(str(tmp_path / "t.csv"), "scenes-resnet", target="which"), tmp_path / "by column")
    found = {row["path"]: row["target"] for row in Run.open(tmp_path / "by column").rows()}
    wanted = dict(line.rsplit(",", 1) for line in lines)
    assert len(found) == COUNT
    assert found == {path: int(wanted[path]) for path in found}


def test_what_is_there_is_not_explained_again(job, photos, tmp_path, monkeypatch):
    out = tmp_path / "run"
    first = run_job(Job(str(photos), "scenes-resnet", limit=5), out)
    assert len(Run.open(out)) == 5 - first.failed
    opened = []
    read = Job._ask
    monkeypatch.setattr(Job, "_ask", lambda self, item: opened.append(item.key) or read(self, item))
    before = set(Run.open(out).table(["path"])["path"].to_pylist())
    done = run_job(job, out)
    assert done.before == len(before) and not before & set(opened)
    check_whole(out, photos)
    opened.clear()
    assert run_job(job, out).done == 1  # the one that failed is tried again
    assert opened == ["ram/broken.png"]


def test_pictures_are_read_as_they_are_needed(job, photos):
    """Three batches and a few for each thread are in memory, however many the source has."""
    engine, taken = Engine(), []

    def endless():
        (item,) = islice(open_source(str(photos)).items(), 1)
        while True:
            taken.append(item)
            yield item

    with closing(job.rows(engine, job.load(engine), endless())) as found:
        assert len(list(islice(found, 3))) == 3
    assert len(taken) <= 3 + 3 * job.batch + 8 * job.threads


@pytest.fixture
def odd_photos(photos, tmp_path):
    """Three pictures and one that is none, in a folder and under names that are not UTF-8."""
    root = tmp_path / "odd" / os.fsdecode(b"bilder-\xe4")
    found = sorted(path for path in photos.rglob("*.png") if path.name != "broken.png")[:3]
    names = [os.fsdecode(name) for name in (b"gr\xfcn.png", b"gr\xfan.png")]
    try:
        (root / os.fsdecode(b"k\xe4se")).mkdir(parents=True)
        for name, path in zip((*names, "plain.png"), found, strict=True):
            (root / os.fsdecode(b"k\xe4se") / name).write_bytes(path.read_bytes())
        (root / os.fsdecode(b"kaputt-\xf6.png")).write_bytes(b"no picture")
    except OSError:
        pytest.skip("this file system has text for names only")
    return root


def check_odd(out, root):
    run = Run.open(out)
    rows = {row["id"]: row for row in run.rows()}
    paths = [os.fsdecode(b"k\xe4se/" + name) for name in (b"gr\xfcn.png", b"gr\xfan.png")]
    assert rows.keys() == {id_of(path) for path in (*paths, os.fsdecode(b"k\xe4se/plain.png"))}
    assert {row["truth"] for row in rows.values()} == {"k\ufffde4se"}
    for path in paths:
        assert picture_file(run, rows[id_of(path)]) == root / path
    assert len(list(by_picture(run))) == 3
    assert [each["path"] for each in run.errors()] == ["kaputt-\ufffdf6.png"]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
def test_names_that_are_not_utf8_stop_no_run(odd_photos, tmp_path, workers):
    job = Job(str(odd_photos), "scenes-resnet", options={"refine": "none"})
    done = run_job(job, tmp_path / "run", workers=workers)
    assert (done.done, done.failed) == (4, 1)
    check_odd(tmp_path / "run", odd_photos)
    again = run_job(job, tmp_path / "run")
    assert (again.before, again.done, again.failed) == (3, 1, 1)
    check_odd(tmp_path / "run", odd_photos)
    export(Cut(Run.open(tmp_path / "run")), "yolo", tmp_path / "yolo")
    assert len(list((tmp_path / "yolo/images").iterdir())) == 3


@pytest.mark.long
def test_an_interrupted_run_keeps_what_failed_before(job, tmp_path):
    first = run_job(job, tmp_path / "run")
    assert first.failed == 1

    def stop(_):
        raise KeyboardInterrupt

    for part in Run.open(tmp_path / "run").parts:
        part.unlink()
    with pytest.raises(KeyboardInterrupt):
        run_job(job, tmp_path / "run", tell=stop)
    assert [each["path"] for each in Run.open(tmp_path / "run").errors()] == ["ram/broken.png"]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "change",
    [
        {"options": {"method": "grad_cam"}},
        {"options": {"refine_keep": 0.5}},
        {"backbone": "scenes-convnext"},
        {"settings": {"crop_pct": 0.5}},
        {"target": "label"},
    ],
    ids=str,
)
def test_another_configuration_is_refused(photos, tmp_path, change):
    out = tmp_path / "run"
    same = {"source": str(photos), "backbone": "scenes-resnet", "limit": 1}
    run_job(Job(**same), out)
    with pytest.raises(OutputError, match="holds another run"):
        run_job(Job(**{**same, **change}), out)
    run_job(Job(**same, batch=3), out)  # that changes no row


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"mean": (0.9, 0.9, 0.9)}, "preprocessing"),
        ({"std": (0.1, 0.1, 0.1)}, "preprocessing"),
        ({"input_size": (3, 64, 64)}, "preprocessing"),
        ({"labels": tuple("abcdefghijklmnop")}, "outputs"),
    ],
)
def test_a_network_that_pictures_reach_otherwise_is_refused(
    photos, tmp_path, monkeypatch, change, differs
):
    """Though its weights and what was set are the same, as in a folder that was edited."""
    job = Job(str(photos), "scenes-resnet", limit=1, options={"refine": "none"})
    run_job(job, tmp_path / "run")
    load = Job.load
    monkeypatch.setattr(Job, "load", lambda self, engine: replace(load(self, engine), **change))
    backbone = job.load(Engine())
    with pytest.raises(OutputError, match=f"they differ in {differs};") as caught:
        run_job(job, tmp_path / "run")
    for name in (Run.open(tmp_path / "run").name, name_of(job.configuration(backbone))):
        assert name in str(caught.value)


def test_a_configuration_has_no_path_but_the_source(photos, tmp_path):
    from safetensors.torch import save_file

    from camviz import load_backbone

    file = tmp_path / "secret-folder" / "w.safetensors"
    file.parent.mkdir()
    save_file(load_backbone("scenes-resnet", device="cpu").model.state_dict(), file)
    settings = {"labels": tuple(f"class {n}" for n in range(16)), "input_size": (128, 128)}
    job = Job(str(photos), "scenes-resnet", str(file), settings=settings, limit=1)
    run_job(job, tmp_path / "run")
    text = (tmp_path / "run/run.json").read_text()
    assert "secret-folder" not in text and str(photos) in text


def test_a_target_that_is_compared_with_is_no_obstacle(photos, tmp_path):
    """The picture of which the geometry is taken may be predicted to be what is compared with."""
    options = {"method": "layer_cam", "versus": "windmill,tower,bucket,church,house"}
    done = run_job(
        Job(str(photos), "scenes-resnet", options=options, target="label"), tmp_path / "run"
    )
    assert len(Run.open(tmp_path / "run")) == done.done - done.failed > 0


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"source": "nowhere"}, DataError),
        ({"target": "column"}, DataError),
        ({"options": {"method": "no_cam"}}, MethodError),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_written(photos, tmp_path, change, error):
    with pytest.raises(error):
        run_job(
            Job(**{"source": str(photos), "backbone": "scenes-resnet", **change}), tmp_path / "r"
        )
    assert not (tmp_path / "r").exists()


# -- Several processes, and processes that end --


@pytest.mark.long
def test_two_workers_share_the_pictures(job, photos, tmp_path):
    done = run_job(job, tmp_path / "run", workers=2)
    check_whole(tmp_path / "run", photos)
    assert (done.done, done.failed) == (COUNT + 1, 1)
    assert len(Run.open(tmp_path / "run").parts) == 2


def children():
    tasks = Path(f"/proc/{os.getpid()}/task")
    found = [int(n) for task in tasks.iterdir() for n in (task / "children").read_text().split()]
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found}
    return [pid for pid, line in lines.items() if b"spawn_main" in line]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
def test_a_worker_that_is_killed_is_replaced(job, photos, tmp_path):
    killed = []

    def kill_one(progress):
        if progress.done == 2 and not killed:
            killed.append(children()[0])
            os.kill(killed[0], signal.SIGKILL)

    done = run_job(job, tmp_path / "run", workers=2, tell=kill_one)
    assert killed
    check_whole(tmp_path / "run", photos)
    assert (done.done, done.failed) == (COUNT + 1, 1)
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.long
def test_what_ends_a_worker_is_raised_here(photos, tmp_path, monkeypatch):
    """The shard is damaged behind its first pictures."""
    import io
    import tarfile

    shard = tmp_path / "s-0.tar"
    with tarfile.open(shard, "w") as opened:
        for path in sorted(photos.rglob("*.png"))[:4]:
            data = path.read_bytes()
            member = tarfile.TarInfo(path.name)
            member.size = len(data)
            opened.addfile(member, io.BytesIO(data))
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    with pytest.raises(DataError, match=r"cannot read the shard.*s-0\.tar"):
        run_job(Job(str(shard), "scenes-resnet"), tmp_path / "one")
    with pytest.raises(DataError, match=r"cannot read the shard.*s-0\.tar"):
        run_job(Job(str(shard), "scenes-resnet"), tmp_path / "two", workers=2)


@pytest.fixture
def interruptible():
    """Interrupts have their effect, here and in what is started, whoever started the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.long
def test_workers_end_when_the_start_of_another_is_interrupted(photos, tmp_path, monkeypatch):
    """Or they would go on, or end in a traceback, when the first process is gone."""
    start, started = _Team._start, []

    def interrupted(team, number):
        if number:
            raise KeyboardInterrupt
        start(team, number)
        started.extend(process for _, process in team._running.values())

    monkeypatch.setattr(_Team, "_start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_job(Job(str(photos), "scenes-resnet"), tmp_path / "run", workers=2)
    (process,) = started
    process.join(10)
    assert process.exitcode == 0


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.long), 2])
def test_ctrl_c_keeps_what_was_done(photos, tmp_path, workers):
    out = tmp_path / "run"
    command = [
        sys.executable, "-m", "camviz", "maps", str(photos), "--out", str(out),
        "--backbone", "scenes-resnet", "--batch", "1",
        "--options", "method=score_cam", "channels=64",
    ]  # fmt: skip
    process = subprocess.Popen(
        [*command, "--workers", str(workers)],
        cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 120
    while not (out / "run.json").is_file() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of them
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert said.strip().splitlines()[-1] == "camviz: stopped; the same command goes on from here"
    assert "Traceback" not in said
    assert len(Run.open(out)) < COUNT
    assert main(command[3:]) == 0
    assert len(Run.open(out)) == COUNT


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_while_a_worker_is_started_is_not_lost():
    code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with pytest.raises(KeyboardInterrupt), _interrupts_held():
        os.kill(os.getpid(), signal.SIGINT)
        held = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert held.stdout.strip() == "True"  # of what is started meanwhile
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


# -- The command --


def test_the_command_says_what_was_done(photos, tmp_path, capsys):
    words = ["maps", str(photos), "--out", str(tmp_path / "run"), "--backbone", "scenes-resnet"]
    options = ["--method", "layer_cam", "--options", "truncation=auto", "refine=none"]
    assert main([*words, *options, "--target", "label", "--limit", "4"]) == 0
    said = capsys.readouterr().out
    assert "4 pictures explained in 0:0" in said or "3 pictures explained in" in said
    run = Run.open(tmp_path / "run")
    assert run.configuration["options"]["truncation"] == "auto"
    assert run.configuration["target"] == "label" and run.configuration["source"] == str(photos)
    assert next(run.rows())["refined"] is None


def test_the_command_averages_several_views(photos, tmp_path):
    words = ["maps", str(photos), "--out", str(tmp_path / "run"), "--backbone", "scenes-resnet"]
    assert main([*words, "--options", "views=flip", "--limit", "2"]) == 0
    run, engine = Run.open(tmp_path / "run"), Engine()
    assert run.configuration["options"]["views"] == "flip" and len(run)
    for row in run.rows():
        x, one = (
            engine.explain(photos / row["path"], "scenes-resnet", views=v) for v in ("flip", "one")
        )
        wanted, other = (row_of(each, row["path"], row["path"]) for each in (x, one))
        for of in (*x.stages, "fused", "refined"):  # to a step of its bytes
            assert np.abs(map_in(row, of) - map_in(wanted, of)).max() <= 1.01 / 255
        assert np.abs(map_in(row, "fused") - map_in(other, "fused")).max() > 5 / 255


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--options", "views"], "give NAME=VALUE"),
        (["--options", "view=flip"], "unknown option 'view'; similar: views"),
        (["--options", "gamma=much"], "gamma is a number"),
        (["--target", "colour"], "no column 'colour'"),
    ],
)
def test_the_command_says_what_was_wrong(photos, tmp_path, capsys, words, said):
    command = ["maps", str(photos), "--out", str(tmp_path / "r"), "--backbone", "scenes-resnet"]
    assert main([*command, *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_the_line_of_progress():
    progress = Progress(done=50, failed=2, before=10, count=100, seconds=10)
    assert line_of(progress) == "60/100 pictures, 5.0 a second, 0:08 left, 2 failed"
    assert line_of(Progress(50, 0, 0, None, 0)) == "50 pictures, 0.0 a second"
    assert "2 h 46 min left" in line_of(Progress(1, 0, 0, 10001, 1))


def test_no_thread_outlives_a_run(job, tmp_path):
    before = threading.active_count()
    run_job(Job(job.source, job.backbone, limit=2), tmp_path / "run")
    assert threading.active_count() <= before
