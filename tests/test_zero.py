"""Jobs in forked processes: the same maps, nothing differentiated here, all plain.

The same up to rounding: arrays that crossed a border lie elsewhere in memory, and matrix products
sum in an order that depends on where.
"""

import multiprocessing
import os
import pickle
import threading
from dataclasses import fields, is_dataclass
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import torch

from camviz import Engine, load_backbone
from camviz.engine.engine import Job
from camviz.errors import BackboneError, MethodError
from camviz.ui import compute as compute_module

RESNET, VIT = "test_resnet", "test_vit"
HERE = os.getpid()
GRAD = torch.autograd.grad


@pytest.fixture
def forked(monkeypatch):
    """The page's engine as on ZeroGPU, and every job it gives away."""
    jobs = []
    real = compute_module.compute

    def compute(job):
        jobs.append(job)
        return real(job)

    engine = Engine("cpu", compute=compute)
    monkeypatch.setattr(compute_module, "engine", lambda: engine)

    def elsewhere(*given, **named):
        assert os.getpid() != HERE, "differentiated in the main process"
        return GRAD(*given, **named)

    monkeypatch.setattr(torch.autograd, "grad", elsewhere)
    return SimpleNamespace(engine=engine, jobs=jobs)


@pytest.fixture
def in_process():
    """explain(...) of an ordinary engine, which may differentiate here."""
    engine = Engine("cpu")

    def explain(*given, **named):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.autograd, "grad", GRAD)
            return engine.explain(*given, **named)

    return explain


ASKED = [
    (RESNET, {}),
    (RESNET, {"target": 7, "versus": 3, "truncation": 0.9}),
    (RESNET, {"target": 5, "score": "log_probability", "method": "grad_cam_pp", "tap": "output"}),
    (RESNET, {"method": "cam", "target": 11}),
    (RESNET, {"method": "eigen_cam"}),
    (RESNET, {"method": "lpcam", "prototypes": "self", "target": 2}),
    (RESNET, {"stages": ["layer2", "layer3.0"], "placement": "true", "fit": "crop"}),
    (VIT, {"fuse": "mean"}),
    ("test_convnext", {"method": "cam"}),
]


def same(ours, theirs):
    """Equal but for rounding, as measured by the largest value."""
    return ours.shape == theirs.shape and np.abs(ours - theirs).max() <= 2e-5 * np.abs(theirs).max()


@pytest.mark.parametrize(("name", "how"), ASKED)
def test_a_forked_process_gives_the_same(forked, in_process, photo, name, how):
    assert torch.autograd.grad is not GRAD
    x = forked.engine.explain(photo, name, "random", **how)
    y = in_process(photo, name, "random", **how)
    assert x.request == y.request
    assert [note.sentences for note in x.notes.values()] == [n.sentences for n in y.notes.values()]
    assert same(x.logits, y.logits) and same(x.fused, y.fused)
    for ours, theirs in ((x.raw, y.raw), (x.plain, y.plain), (x.cosines, y.cosines)):
        assert set(ours) == set(theirs)
        assert all(same(ours[stage], theirs[stage]) for stage in theirs)
    assert x.placements == y.placements
    assert forked.jobs[0].work == "discovery" and forked.jobs[1].work == "look"


def test_prototypes_of_a_gallery_are_the_same(forked, photo, tmp_path):
    pictures = [photo, photo[:, ::-1].copy(), tmp_path / "none.png"]
    heard = []
    bank = forked.engine.build_prototypes(
        pictures, RESNET, 3, 4, weights="random", progress=lambda *said: heard.append(said)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.autograd, "grad", GRAD)
        other = Engine("cpu").build_prototypes(pictures, RESNET, 3, 4, weights="random")
    assert bank.pictures == other.pictures
    assert [name for name, _ in bank.skipped] == ["none.png"] == [n for n, _ in other.skipped]
    for name, stage in other.stages.items():
        assert same(bank.stage(name).vectors.numpy(), stage.vectors.numpy())
        assert np.array_equal(bank.stage(name).thumbnails, stage.thumbnails)
    assert heard == [(0, 2, "")]
    x = forked.engine.explain(photo, RESNET, "random", 3, "lpcam", prototypes=bank)
    assert np.isfinite(x.fused).all()


def plain(value):
    """Whether a value is made of names, numbers, arrays and rows of them alone."""
    if isinstance(value, dict):
        return all(plain(k) and plain(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(plain, value))
    if is_dataclass(value):
        return all(plain(getattr(value, field.name)) for field in fields(value))
    return value is None or isinstance(value, (str, bool, int, float, np.ndarray))


@pytest.mark.parametrize(
    "how", [{}, {"method": "cam"}, {"method": "lpcam", "prototypes": "self"}, {"placement": "true"}]
)
def test_what_crosses_is_plain(photo, how):
    crossed = []

    def compute(job):
        again = pickle.loads(pickle.dumps(job))
        answer = pickle.loads(pickle.dumps(engine.run(again)))
        crossed.extend([job, answer])
        return answer

    engine = Engine("cpu", compute=compute)
    engine.explain(photo, RESNET, "random", **how)
    assert len(crossed) >= 4 and all(map(plain, crossed))
    assert not plain(torch.zeros(1)) and not plain({"a": (1, [object()])})


def test_one_job_a_picture_and_class(forked, photo):
    def asked(**how):
        before = len(forked.jobs)
        forked.engine.explain(photo, RESNET, "random", **how)
        return [job.work for job in forked.jobs[before:]]

    assert asked(target=4) == ["discovery", "look"]
    assert asked(target=4, method="hires_cam", fuse="mean", tap="output") == []
    assert asked(target=9) == ["look"]
    assert asked(target=4) == asked(target=9) == [], "going back costs nothing"
    assert asked(target=4, versus=9) == [], "nor does comparing what is known"
    assert asked(target=4, method="cam") == ["head"] and asked(target=4, method="cam") == []
    assert asked(target=4, placement="true") == ["placements"]
    assert asked(target=9, placement="true") == []


def test_jobs_say_how_large_the_network_is(forked, photo):
    backbone = forked.engine.explain(photo, RESNET, "random").backbone
    assert [job.parameters for job in forked.jobs] == [0, backbone.parameters]
    assert all((job.backbone, job.weights) == (RESNET, "random") for job in forked.jobs)


def test_a_process_that_was_forked_before_loads_the_network_itself(forked, in_process, photo):
    """ZeroGPU keeps a worker for the next call; it does not know what was loaded meanwhile."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def work():
        while (job := theirs.recv()) is not None:
            theirs.send(compute_module.attempt(job, "cpu"))

    worker = context.Process(target=work, daemon=True)
    worker.start()

    def compute(job):
        ours.send(job)
        value, error = ours.recv()
        assert error is None
        return value

    forked.engine._compute = compute
    x = forked.engine.explain(photo, VIT, "random")
    ours.send(None)
    worker.join(20)
    assert same(x.fused, in_process(photo, VIT, "random").fused)


def test_errors_arrive_whole(forked, photo):
    with pytest.raises(MethodError, match=r"CAM is not defined for test_vit"):
        forked.engine.explain(photo, VIT, "random", method="cam")
    with pytest.raises(BackboneError, match="unknown backbone 'resnet5O'"):
        forked.engine.explain(photo, "resnet5O")


def test_a_process_that_dies_is_noticed(forked, photo, monkeypatch):
    monkeypatch.setattr(compute_module, "attempt", lambda job, device: os._exit(9))
    with pytest.raises(
        RuntimeError, match="look of net ended without an answer, with exit status 9"
    ):
        compute_module.compute(Job("net", "auto", 1, "look"))


def test_locks_held_at_the_fork_do_not_hold_up_the_job(forked, photo):
    """Another thread is loading something and has a network while the process is forked."""
    backbone = forked.engine.backbone(RESNET, "random")
    holding, done = threading.Event(), threading.Event()

    def hold():
        with forked.engine._loading, backbone.lock, forked.engine._backbones._lock:
            holding.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(10)
    try:
        picture = compute_module.in_child(Job(RESNET, "random", 1, "placements", ({},)))
    finally:
        done.set()
        thread.join()
    assert picture == ({}, None)


def test_a_network_that_was_given_stays_here(photo, tiny):
    backbone = tiny(RESNET)
    assert backbone.loaded_with is None  # timm's own arguments
    engine = Engine("cpu", compute=lambda job: pytest.fail(f"{job} cannot be done elsewhere"))
    assert np.isfinite(engine.explain(photo, backbone).fused).all()


# -- Where ---------------------------------------------------------------------------------------


@pytest.fixture
def where(monkeypatch):
    done = []
    for name in ("on_gpu", "in_child"):
        monkeypatch.setattr(compute_module, name, lambda job, name=name: (done.append(name), None))
    return done


def test_small_networks_cost_no_quota(where):
    limit = int(compute_module.spacefile().limits.gpu_from * 1e6)
    for size in (0, 1_000_000, limit - 1, limit, 150_000_000):
        compute_module.compute(Job("net", "auto", size, "look"))
    assert where == ["in_child"] * 3 + ["on_gpu"] * 2


def test_without_a_gpu_the_cpu_does_it(where, monkeypatch, caplog):
    def refused(job):
        raise gr.Error("quota exceeded", print_exception=False)

    monkeypatch.setattr(compute_module, "on_gpu", refused)
    compute_module.compute(Job("net", "auto", 10**8, "look"))
    assert where == ["in_child"] and "no GPU for look of net" in caplog.text


def test_the_decorated_function_computes_on_the_gpu(monkeypatch):
    monkeypatch.setattr(compute_module, "attempt", lambda job, device: (device, None))
    assert compute_module.on_gpu(Job("net", "auto", 10**8, "look")) == ("cuda", None)
    look, bank = (
        compute_module.seconds(Job("net", "auto", 1, work)) for work in ("look", "prototypes")
    )
    assert 0 < look < bank <= 60


def test_only_a_zerogpu_space_sends_jobs_away(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    compute_module.engine.cache_clear()
    assert not compute_module.on_zero() and compute_module.engine()._compute is None
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    compute_module.engine.cache_clear()
    try:
        assert compute_module.engine()._compute is compute_module.compute
        assert (
            compute_module.engine().device == "cpu"
        )  # spaces says that there is a GPU; there is none yet
    finally:
        compute_module.engine.cache_clear()


def test_another_device_gets_a_copy(photo):
    """The network of this process stays where it is, whatever a job does with its copy."""
    engine = Engine("cpu")
    backbone = engine.backbone(RESNET, "random")
    job = Job(RESNET, "random", backbone.parameters, "discovery")
    assert engine.run(job, "meta") == backbone.discovery
    assert {p.device.type for p in backbone.model.parameters()} == {"cpu"}
    assert load_backbone(RESNET, "random", discovery=backbone.discovery).stages == backbone.stages
