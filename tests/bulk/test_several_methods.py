"""Several methods of one job: a run of each, made of the same passes, as if it were alone."""

import shutil

import pytest

from camviz.bulk.job import Job
from camviz.bulk.run import Run
from camviz.bulk.work import run_job
from camviz.cli import main
from camviz.engine import many
from camviz.errors import MethodError, OutputError
from camviz.network.trace import BatchTrace
from camviz.ui import collection
from tests.support.pictures import write_photos

METHODS = ("layer_cam", "eigen_cam")
COUNT = 5


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), COUNT, seed=8)


@pytest.fixture(scope="module")
def job(photos):
    return Job(str(photos), "scenes-resnet", options={"refine": "none"}, batch=3)


@pytest.fixture(scope="module")
def both(job, tmp_path_factory):
    """The folder of two methods, and how many pictures each forward and backward pass had."""
    out, forward, backward = tmp_path_factory.mktemp("runs") / "both", [], []
    with pytest.MonkeyPatch.context() as patch:
        trace, differentiate = many.trace_batch, BatchTrace._differentiate

        def counted_trace(backbone, images, taps, *, graph=True):
            if graph:  # and not the first look at three pictures of noise
                forward.append(len(images))
            return trace(backbone, images, taps, graph=graph)

        def counted_differentiate(self, parts, **options):
            backward.append(len(parts))
            return differentiate(self, parts, **options)

        patch.setattr(many, "trace_batch", counted_trace)
        patch.setattr(BatchTrace, "_differentiate", counted_differentiate)
        done = run_job(Job(**{**vars(job), "methods": METHODS}), out)
    assert (done.done, done.failed, done.before) == (COUNT + 1, 1, 0)
    return out, forward, backward


def test_methods_share_the_passes(both):
    out, forward, backward = both
    assert sum(forward) == sum(backward) == COUNT and len(forward) == len(backward) == 2
    assert sorted(each.name for each in out.iterdir()) == sorted(METHODS)


@pytest.mark.sampled
@pytest.mark.parametrize("method", METHODS[::-1])
def test_each_is_the_run_that_it_would_be_alone(both, job, tmp_path, method):
    alone = Job(**{**vars(job), "options": {**job.options, "method": method}})
    run_job(alone, tmp_path / "alone")
    one, other = Run.open(both[0] / method), Run.open(tmp_path / "alone")
    assert one.name == other.name and one.configuration["options"]["method"] == method
    assert list(one.rows()) == list(other.rows()) and len(one) == COUNT
    assert one.errors() == other.errors() and len(one.errors()) == 1


def test_maps_of_the_methods_are_not_the_same(both):
    one, other = (
        {row["id"]: row["fused"]["map"] for row in Run.open(both[0] / method).rows()}
        for method in METHODS
    )
    assert one.keys() == other.keys() and all(one[id] != other[id] for id in one)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
def test_what_one_of_them_lacks_is_made_again(both, job, tmp_path, monkeypatch, workers):
    out = tmp_path / "runs"
    shutil.copytree(both[0], out)
    for part in Run.open(out / METHODS[1]).parts:
        part.unlink()
    parts = Run.open(out / METHODS[0]).parts
    several = Job(**{**vars(job), "methods": METHODS})
    done = run_job(several, out, workers=workers)
    assert (done.before, done.done, done.failed) == (0, COUNT + 1, 1)
    assert Run.open(out / METHODS[0]).parts == parts, "nothing is there twice"
    assert len(Run.open(out / METHODS[1])) == COUNT
    opened = []
    read = Job._ask
    monkeypatch.setattr(Job, "_ask", lambda self, item: opened.append(item.key) or read(self, item))
    assert run_job(several, out).before == COUNT and opened == ["broken.png"]


def test_a_folder_holds_the_run_of_one_method_or_those_of_several(both, job, tmp_path):
    several = Job(**{**vars(job), "methods": METHODS})
    with pytest.raises(OutputError, match="something else than a run"):
        run_job(job, both[0])
    run_job(Job(**{**vars(job), "limit": 1}), tmp_path / "one")
    with pytest.raises(OutputError, match="holds the run of one method"):
        run_job(several, tmp_path / "one")
    (tmp_path / "else").mkdir()
    (tmp_path / "else/photo.jpg").write_bytes(b"")
    with pytest.raises(OutputError, match="something else than runs"):
        run_job(several, tmp_path / "else")
    with pytest.raises(OutputError, match="another run"):
        run_job(Job(**{**vars(several), "target": "label"}), both[0])
    with pytest.raises(MethodError):
        run_job(Job(**{**vars(several), "methods": ("layer_cam", "gae")}), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_command_takes_names_with_commas(photos, tmp_path, capsys):
    out = str(tmp_path / "runs")
    words = ["maps", str(photos), "--out", out, "--backbone", "scenes-resnet", "--limit", "2"]
    words += ["--options", "refine=none"]
    assert main([*words, "--method", "layer_cam, eigen_cam,layer_cam"]) == 0
    assert "a run in each of layer_cam, eigen_cam" in capsys.readouterr().out
    assert main([*words, "--method", "layer_cam,no_cam"]) == 2
    assert "no_cam" in capsys.readouterr().err
    assert main([*words, "method=cam", "--method", ",".join(METHODS)]) == 2
    assert "given twice" in capsys.readouterr().err
    assert main(["export", out, "--to", "csv"]) == 2
    said = capsys.readouterr().err
    assert "a run for each of eigen_cam, layer_cam" in said and "give one of them" in said
    assert main(["export", f"{out}/eigen_cam", "--to", "csv", "--out", str(tmp_path / "csv")]) == 0
    assert len((tmp_path / "csv/pictures.csv").read_text().splitlines()) == 1 + 2


def test_the_view_offers_each_of_them_and_compares_two(both, monkeypatch):
    monkeypatch.setenv("CAMVIZ_RUNS", str(both[0]))
    assert list(collection.runs())[:2] == ["both, eigen_cam", "both, layer_cam"]
    one, other = collection.opened("both, eigen_cam"), collection.opened("both, layer_cam")
    found = collection.run_value(one, other).figures["disagreement"]
    assert len(found) == COUNT and all(0 < value < 1000 for value in found)
