"""Tasks in forked processes: the same maps, nothing differentiated here, all plain.

The same up to rounding: arrays that crossed a border lie elsewhere in memory, and matrix products
sum in an order that depends on where.
"""

import multiprocessing
import os
import pickle
import threading
import time
from dataclasses import fields, is_dataclass
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import torch

from camviz import Engine, load_backbone
from camviz.engine.banks import BankFromGallery
from camviz.engine.remote import RemoteRunner, RemoteTask
from camviz.engine.work import FindStages, LocalRunner, MeasurePlacements, ReadHead, TracePicture
from camviz.errors import BackboneError, MethodError
from camviz.images import Picture
from camviz.network.settings import Settings
from camviz.prototypes.build import BuildSettings
from camviz.turns import stoppable
from camviz.ui import compute as compute_module

from timm.models import save_for_hf  # isort: skip  after vision_ops
from tests.support.networks import untrained  # isort: skip

RESNET, VIT = "test_resnet", "test_vit"
HERE = os.getpid()
GRAD = torch.autograd.grad
LOOK = TracePicture(Picture(np.zeros((8, 8, 3), np.uint8)), "stretch", ())
GALLERY = BankFromGallery(images=(), names=(), target=0, taps={}, settings=BuildSettings())


@pytest.fixture
def forked(monkeypatch):
    """The page's engine as on ZeroGPU, and every task that it sends."""
    tasks = []
    real = compute_module.send

    def send(task):
        tasks.append(task)
        return real(task)

    engine = Engine("cpu", runner=RemoteRunner(send))
    monkeypatch.setattr(compute_module, "engine", lambda: engine)

    def elsewhere(*given, **named):
        assert os.getpid() != HERE, "differentiated in the main process"
        return GRAD(*given, **named)

    monkeypatch.setattr(torch.autograd, "grad", elsewhere)
    return SimpleNamespace(engine=engine, tasks=tasks)


@pytest.fixture
def in_process():
    """explain(...) of an ordinary engine, which may differentiate here."""
    engine = Engine("cpu")

    def explain(*given, **named):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.autograd, "grad", GRAD)
            return engine.explain(*given, **named)

    return explain


CASES = [
    (RESNET, {}),
    (RESNET, {"target": 7, "versus": 3, "truncation": 0.9}),
    (RESNET, {"target": 5, "score": "log_probability", "method": "grad_cam_pp", "tap": "output"}),
    (RESNET, {"method": "cam", "target": 11}),
    (RESNET, {"method": "eigen_cam"}),
    (RESNET, {"method": "lpcam", "prototypes": "picture", "target": 2}),
    (RESNET, {"stages": ["layer2", "layer3.0"], "placement": "true", "fit": "crop"}),
    (VIT, {"fuse": "mean"}),
    ("test_convnext", {"method": "cam"}),
]


def same(ours, theirs):
    """Equal but for rounding, as measured by the largest value."""
    return ours.shape == theirs.shape and np.abs(ours - theirs).max() <= 2e-5 * np.abs(theirs).max()


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_forked_process_gives_the_same(forked, in_process, photo, name, options):
    assert torch.autograd.grad is not GRAD
    x = forked.engine.explain(photo, name, weights="random", **options)
    y = in_process(photo, name, weights="random", **options)
    assert x.request == y.request
    assert [note.sentences for note in x.notes.values()] == [n.sentences for n in y.notes.values()]
    assert same(x.logits, y.logits) and same(x.fused, y.fused)
    for ours, theirs in ((x.raw, y.raw), (x.plain, y.plain), (x.cosines, y.cosines)):
        assert set(ours) == set(theirs)
        assert all(same(ours[stage], theirs[stage]) for stage in theirs)
    assert x.placements == y.placements
    assert [type(task.work) for task in forked.tasks[:2]] == [FindStages, TracePicture]


def test_prototypes_of_a_gallery_are_the_same(forked, photo, tmp_path):
    pictures = [photo, photo[:, ::-1].copy(), tmp_path / "none.png"]
    reports = []
    bank = forked.engine.build_prototypes(
        pictures, RESNET, 3, 4, weights="random", progress=lambda *report: reports.append(report)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.autograd, "grad", GRAD)
        other = Engine("cpu").build_prototypes(pictures, RESNET, 3, 4, weights="random")
    assert bank.pictures == other.pictures
    assert [name for name, _ in bank.skipped] == ["none.png"] == [n for n, _ in other.skipped]
    for name, stage in other.stages.items():
        assert same(bank.stage(name).vectors.numpy(), stage.vectors.numpy())
        assert np.array_equal(bank.stage(name).thumbnails, stage.thumbnails)
    assert reports == [(0, 2, "")]
    x = forked.engine.explain(
        photo, RESNET, weights="random", target=3, method="lpcam", prototypes=bank
    )
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
    "options",
    [{}, {"method": "cam"}, {"method": "lpcam", "prototypes": "picture"}, {"placement": "true"}],
)
def test_what_crosses_is_plain(photo, options):
    crossed = []

    def send(task):
        again = pickle.loads(pickle.dumps(task))
        answer = pickle.loads(pickle.dumps(engine.run(again)))
        crossed.extend([task, answer])
        return answer

    engine = Engine("cpu", runner=RemoteRunner(send))
    engine.explain(photo, RESNET, weights="random", **options)
    assert len(crossed) >= 4 and all(map(plain, crossed))
    assert not plain(torch.zeros(1)) and not plain({"a": (1, [object()])})


def test_one_task_a_picture_and_class(forked, photo):
    def sent(**options):
        before = len(forked.tasks)
        forked.engine.explain(photo, RESNET, weights="random", **options)
        return [type(task.work) for task in forked.tasks[before:]]

    assert sent(target=4) == [FindStages, TracePicture]
    assert sent(target=4, method="hires_cam", fuse="mean", tap="output") == []
    assert sent(target=9) == [TracePicture]
    assert sent(target=4) == sent(target=9) == [], "going back costs nothing"
    assert sent(target=4, versus=9) == [], "nor does comparing what is known"
    assert sent(target=4, method="cam") == [ReadHead] and sent(target=4, method="cam") == []
    assert sent(target=4, placement="true") == [MeasurePlacements]
    assert sent(target=9, placement="true") == []


def test_tasks_have_the_size_of_the_network(forked, photo):
    backbone = forked.engine.explain(photo, RESNET, weights="random").backbone
    assert [task.parameters for task in forked.tasks] == [0, backbone.parameters]
    assert all((task.backbone, task.weights) == (RESNET, "random") for task in forked.tasks)


def test_a_process_that_was_forked_before_loads_the_network_itself(forked, in_process, photo):
    """ZeroGPU keeps a worker for the next call; what was loaded meanwhile is not there."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def work():
        while (task := theirs.recv()) is not None:
            theirs.send(compute_module.attempt(task, "cpu"))

    worker = context.Process(target=work, daemon=True)
    worker.start()

    def send(task):
        ours.send(task)
        value, error = ours.recv()
        assert error is None
        return value

    forked.engine._runner._send = send
    x = forked.engine.explain(photo, VIT, weights="random")
    ours.send(None)
    worker.join(20)
    assert same(x.fused, in_process(photo, VIT, weights="random").fused)


def test_errors_arrive_whole(forked, photo):
    with pytest.raises(MethodError, match=r"CAM is not defined for test_vit"):
        forked.engine.explain(photo, VIT, weights="random", method="cam")
    with pytest.raises(BackboneError, match="unknown backbone 'resnet5O'"):
        forked.engine.explain(photo, "resnet5O")


def test_a_process_that_dies_is_noticed(forked, photo, monkeypatch):
    monkeypatch.setattr(compute_module, "attempt", lambda task, device: os._exit(9))
    with pytest.raises(
        RuntimeError, match="TracePicture of net ended without an answer, with exit status 9"
    ):
        compute_module.send(RemoteTask("net", "auto", 1, LOOK))


def test_a_process_that_nobody_waits_for_is_ended(forked, monkeypatch):
    monkeypatch.setattr(compute_module, "attempt", lambda task, device: time.sleep(60))
    begun = time.monotonic()

    def check():
        if time.monotonic() > begun + 0.2:
            raise TimeoutError

    with pytest.raises(TimeoutError), stoppable(check):
        compute_module.in_child(RemoteTask("net", "auto", 1, LOOK))
    assert not multiprocessing.active_children() and time.monotonic() < begun + 30


def test_locks_held_at_the_fork_do_not_hold_up_the_task(forked, photo):
    """Another thread is loading something and has a network while the process is forked."""
    backbone = forked.engine.backbone(RESNET, "random")
    holding, done = threading.Event(), threading.Event()

    def hold():
        with backbone.lock, forked.engine._backbones._held._lock:
            holding.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(10)
    try:
        answer = compute_module.in_child(RemoteTask(RESNET, "random", 1, MeasurePlacements({})))
    finally:
        done.set()
        thread.join()
    assert answer == ({}, None)


def test_a_network_that_was_given_stays_here(photo, tiny):
    backbone = tiny(RESNET)
    assert backbone.loaded_with is None  # timm's own arguments
    engine = Engine("cpu", runner=RemoteRunner(lambda task: pytest.fail(f"{task} was sent")))
    assert np.isfinite(engine.explain(photo, backbone).fused).all()


SETTINGS = [
    {"mean": 0.25},
    {"std": (0.5, 0.25, 0.3)},
    {"interpolation": "nearest"},
    {"crop_pct": 0.5, "fit": "crop"},
    {"input_size": (96, 64)},
    {"labels": [f"thing {i}" for i in range(1000)], "target": "thing 7"},
    {"output": "sigmoid", "score": "probability"},
    {"output": "value"},
    {"mean": 0.4, "std": 0.2, "input_size": 128, "output": "sigmoid", "placement": "true"},
    {"mean": 0.4, "input_size": 128, "method": "lpcam", "prototypes": "picture"},
    {"std": 0.9, "method": "cam"},
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda row: " ".join(row))
@pytest.mark.parametrize("loaded", ["here", "there"])
def test_settings_reach_the_other_process(forked, in_process, photo, settings, loaded):
    """Whether the network was loaded before the fork, or the child has to load it."""
    names = {each.name for each in fields(Settings)}
    given = {name: value for name, value in settings.items() if name in names}
    if loaded == "here":
        forked.engine.backbone(RESNET, "random", **given)
        forked.tasks.clear()
    x = forked.engine.explain(photo, RESNET, weights="random", **settings)
    y = in_process(photo, RESNET, weights="random", **settings)
    assert forked.tasks and all(task.settings == Settings(**given) for task in forked.tasks)
    np.testing.assert_allclose(x.logits, y.logits, rtol=1e-4, atol=1e-6)
    assert x.backbone.output == y.backbone.output and x.backbone.labels == y.backbone.labels
    assert x.request == y.request and x.manifest()["backbone"] == y.manifest()["backbone"]
    assert [p[0] for p in x.predictions[:3]] == [p[0] for p in y.predictions[:3]]
    for name in y.raw:
        scale = np.abs(y.raw[name]).max()
        np.testing.assert_allclose(x.raw[name], y.raw[name], atol=1e-3 * scale)
    plain = in_process(photo, RESNET, weights="random", target=y.target)
    differs = not np.allclose(plain.logits, y.logits, atol=1e-3) or plain.fit != y.fit
    assert differs == bool({"mean", "std", "interpolation", "crop_pct", "input_size"} & set(given))


def test_one_logit_with_two_labels_reaches_the_other_process(forked, in_process, photo, tmp_path):
    save_for_hf(untrained(num_classes=1, zero_init_last=False), tmp_path / "one")
    name = f"local-dir:{tmp_path / 'one'}"
    for target in ("healthy", "ill"):
        x, y = (
            each(photo, name, target=target, labels=["healthy", "ill"])
            for each in (forked.engine.explain, in_process)
        )
        assert x.predictions == y.predictions and len(x.logits) == 2
        np.testing.assert_allclose(x.fused, y.fused, atol=1e-4)


def test_settings_of_a_child_are_checked_here(forked, photo):
    with pytest.raises(BackboneError, match="2 labels were given"):
        forked.engine.explain(photo, RESNET, weights="random", labels=["a", "b"])
    with pytest.raises(BackboneError, match="mean has 2 numbers"):
        forked.engine.explain(photo, RESNET, weights="random", mean=(0.5, 0.5))
    with pytest.raises(BackboneError, match="at most 1"):
        forked.engine.explain(photo, RESNET, weights="random", crop_pct=3)


# -- Where ---------------------------------------------------------------------------------------


@pytest.fixture
def where(monkeypatch):
    done = []
    for name in ("on_gpu", "in_child"):
        monkeypatch.setattr(compute_module, name, lambda task, name=name: (done.append(name), None))
    return done


def test_small_networks_cost_no_quota(where):
    limit = int(compute_module.spacefile().limits.gpu_from * 1e6)
    for size in (0, 1_000_000, limit - 1, limit, 150_000_000):
        compute_module.send(RemoteTask("net", "auto", size, LOOK))
    assert where == ["in_child"] * 3 + ["on_gpu"] * 2


def test_without_a_gpu_the_cpu_does_it(where, monkeypatch, caplog):
    def refused(task):
        raise gr.Error("quota exceeded", print_exception=False)

    monkeypatch.setattr(compute_module, "on_gpu", refused)
    compute_module.send(RemoteTask("net", "auto", 10**8, LOOK))
    assert where == ["in_child"] and "no GPU for TracePicture of net" in caplog.text


def test_the_decorated_function_computes_on_the_gpu(monkeypatch):
    monkeypatch.setattr(compute_module, "attempt", lambda task, device: (device, None))
    assert compute_module.on_gpu(RemoteTask("net", "auto", 10**8, LOOK)) == ("cuda", None)
    trace, bank = (
        compute_module.seconds(RemoteTask("net", "auto", 1, work)) for work in (LOOK, GALLERY)
    )
    assert 0 < trace < bank <= 60


def test_only_a_zerogpu_space_sends_tasks_away(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    compute_module.engine.cache_clear()
    assert not compute_module.on_zero()
    assert isinstance(compute_module.engine()._runner, LocalRunner)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    compute_module.engine.cache_clear()
    try:
        assert compute_module.engine()._runner._send is compute_module.send
        assert (
            compute_module.engine().device == "cpu"
        )  # spaces says that there is a GPU; there is none yet
    finally:
        compute_module.engine.cache_clear()


def test_another_device_gets_a_copy(photo):
    """The network of this process stays where it is, whatever a task does with its copy."""
    engine = Engine("cpu")
    backbone = engine.backbone(RESNET, "random")
    task = RemoteTask(RESNET, "random", backbone.parameters, FindStages())
    assert engine.run(task, "meta") == backbone.discovery
    assert {p.device.type for p in backbone.model.parameters()} == {"cpu"}
    assert load_backbone(RESNET, "random", discovery=backbone.discovery).stages == backbone.stages


@pytest.mark.sampled
@pytest.mark.parametrize("settings", [{}, {"output": "features"}])
def test_a_network_is_taught_elsewhere_and_explained_there(forked, settings):
    """Nothing of a taught network is differentiated here, nor the stages of one without classes."""
    random = np.random.default_rng(0)
    pictures = {
        kind: [random.integers(low, low + 120, (64, 64, 3), np.uint8) for _ in range(2)]
        for kind, low in (("dark", 0), ("light", 130))
    }
    taught = forked.engine.teach(pictures, RESNET, weights="random", **settings)
    assert forked.tasks and not any(task.classifier for task in forked.tasks)
    x = forked.engine.explain(pictures["light"][0], taught.backbone, method="layer_cam")
    assert forked.tasks[-1].classifier is taught.backbone.classifier
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.autograd, "grad", GRAD)
        engine = Engine("cpu")
        again = engine.teach(pictures, RESNET, weights="random", **settings)
        y = engine.explain(pictures["light"][0], again.backbone, method="layer_cam")
    assert x.label == y.label == "light" and x.stages == y.stages
    assert np.allclose(x.logits, y.logits, atol=1e-3) and np.allclose(x.fused, y.fused, atol=1e-3)
