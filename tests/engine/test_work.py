"""The seam between the engine and what runs networks: two methods, `load` and `run`."""

import pickle

import numpy as np
import pytest

from camviz import Engine, load_backbone, open_picture
from camviz.engine import engine as module
from camviz.engine.banks import BankFromPicture
from camviz.engine.remote import RemoteRunner, RemoteTask
from camviz.engine.work import (
    FindStages,
    LocalRunner,
    MeasurePlacements,
    ReadHead,
    Runner,
    TracePicture,
    Work,
)
from camviz.errors import MethodError, PrototypeError

RESNET = "test_resnet"


class Recording:
    """A runner of few lines: does the work here, and notes it."""

    def __init__(self):
        self.loaded, self.done = [], []

    def load(self, name, weights, device, **options):
        self.loaded.append((name, weights, options))
        return load_backbone(name, weights, device, **options)

    def run(self, backbone, work, traces):
        self.done.append(work)
        return work.do(backbone, traces)


def test_all_that_runs_a_network_goes_through_two_methods(photo):
    assert {name for name in vars(Runner) if not name.startswith("_")} == {"load", "run"}
    runner = Recording()
    engine = Engine("cpu", runner=runner)
    plain = Engine("cpu")
    for options, kinds in (
        ({"target": 3}, [TracePicture]),
        ({"target": 3, "method": "grad_cam"}, []),
        ({"target": 3, "method": "cam"}, [ReadHead]),
        ({"target": 3, "placement": "true"}, [MeasurePlacements]),
        ({"target": 3, "placement": "true", "fuse": "mean"}, []),
        ({"target": 3, "method": "lpcam"}, [BankFromPicture]),
        ({"target": 3, "method": "lpcam", "aggregate": "max"}, []),
    ):
        before = len(runner.done)
        x = engine.explain(photo, RESNET, weights="random", **options)
        assert [type(work) for work in runner.done[before:]] == kinds, options
        y = plain.explain(photo, RESNET, weights="random", **options)
        assert all(np.array_equal(x.raw[name], y.raw[name]) for name in y.raw)
    assert runner.loaded == [(RESNET, "random", {"display_name": None})]


def test_the_engine_does_not_know_its_runner():
    assert not {"RemoteRunner", "Work", "load_backbone", "run_trace"} & set(vars(module))


def test_work_that_is_sent_comes_back_as_if_done_here(photo):
    """Every kind of work, packed, pickled and unpacked."""
    picture = open_picture(photo)
    here = Engine("cpu")
    backbone = here.backbone(RESNET, "random")
    tasks = []

    def send(task):
        tasks.append(pickle.loads(pickle.dumps(task)))
        return pickle.loads(pickle.dumps(here.run(tasks[-1])))

    remote = RemoteRunner(send)
    taps = {name: backbone.stage(name).activation for name in backbone.default_stages}
    work = TracePicture(picture, "stretch", tuple(taps.values()))
    trace, fit = remote.run(backbone, work, here._traces)
    local, where = LocalRunner().run(backbone, work, here._traces)
    assert fit == where and not trace.has_graph and local.has_graph
    assert np.array_equal(trace.logits, local.logits)
    head = ReadHead(picture, "stretch", 3)
    assert np.allclose(
        remote.run(backbone, head, here._traces).weights,
        LocalRunner().run(backbone, head, here._traces).weights,
    )
    bank = BankFromPicture(picture, 3, taps, "activation", "stretch")
    sent, own = (r.run(backbone, bank, here._traces) for r in (remote, LocalRunner()))
    assert sent.id == own.id
    assert remote.load(RESNET, "random", "cpu").discovery == backbone.discovery
    assert [type(task.work) for task in tasks] == [
        TracePicture, ReadHead, BankFromPicture, FindStages
    ]  # fmt: skip
    assert [task.work.slow for task in tasks] == [False, False, True, False]
    assert str(tasks[0]) == f"TracePicture of {RESNET}"


def test_logits_of_pictures_come_back_as_if_scored_here(remote, photo):
    engine, tasks = remote
    backbone = engine.backbone(RESNET, weights="random")
    pictures = [photo, photo[::-1].copy()]
    found = engine.logits(pictures, backbone)
    assert type(tasks[-1].work).__name__ == "ScorePictures"
    here = Engine("cpu")
    assert np.array_equal(found, here.logits(pictures, here.backbone(RESNET, weights="random")))


def test_errors_of_a_worker_have_the_display_name(photo):
    """A worker that has to load the network itself gives it the name that this process shows."""
    engine = Engine("cpu", runner=RemoteRunner(lambda task: Engine("cpu").run(task)))
    backbone = engine.backbone("test_vit", "random", "the farm's network")
    assert backbone.display_name == "the farm's network"
    task = RemoteTask("test_vit", "random", 1, ReadHead(open_picture(photo), "stretch", 3),
                      backbone.display_name)  # fmt: skip
    with pytest.raises(MethodError, match="CAM is not defined for the farm's network"):
        Engine("cpu").run(task)


def test_work_that_does_nothing_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        Work()


def test_a_network_is_held_once_whatever_it_is_called():
    engine = Engine("cpu")
    first = engine.backbone(RESNET, "random")
    named = engine.backbone(RESNET, "random", "mine")
    assert (first.display_name, named.display_name) == (RESNET, "mine")
    assert named.model is first.model and named.uid == first.uid and named.lock is first.lock
    assert engine.backbone(RESNET, "random").display_name == "mine"
    assert engine.backbone(RESNET, "random", "mine") is engine.backbone(RESNET, "random")


@pytest.fixture
def remote():
    """An engine whose work is done by another one, and the tasks that were sent; all pickled."""
    tasks = []
    worker = Engine("cpu")

    def send(task):
        tasks.append(pickle.loads(pickle.dumps(task)))
        return pickle.loads(pickle.dumps(worker.run(tasks[-1])))

    return Engine("cpu", runner=RemoteRunner(send)), tasks


def test_gradients_that_were_sent_before_are_not_sent_again(remote, photo):
    engine, tasks = remote
    for target, sent in ((4, 2), (9, 1), (4, 0), (9, 0)):
        before = len(tasks)
        engine.explain(photo, RESNET, weights="random", target=target)
        assert len(tasks) - before == sent
    engine.explain(photo, RESNET, weights="random", target=4, versus=9)
    assert len(tasks) == 3


def test_a_gallery_is_opened_here_and_learned_there(remote, photo, tmp_path):
    engine, tasks = remote
    pictures = [photo, tmp_path / "none.png", photo[:, ::-1].copy()]
    reports = []
    options = {"target": 3, "clusters": 4, "weights": "random"}
    bank = engine.build_prototypes(
        pictures, RESNET, progress=lambda *report: reports.append(report), **options
    )
    other = Engine("cpu").build_prototypes(pictures, RESNET, **options)
    assert bank.id == other.id and bank.pictures == other.pictures
    assert [name for name, _ in bank.skipped] == ["none.png"]
    assert reports == [(0, 2, "")] and tasks[-1].work.slow
    with pytest.raises(PrototypeError, match=r"no picture could be opened \(none.png: "):
        engine.build_prototypes([tmp_path / "none.png"], RESNET, **options)
