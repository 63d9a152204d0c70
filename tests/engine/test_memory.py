"""What an engine holds is what it counts, and networks that are gone take their memory along."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from camviz import Engine
from camviz.engine import memory
from camviz.engine.memory import Budget, Unused, weights_bytes
from camviz.errors import TooLargeError
from camviz.network import weights
from camviz.network.footprint import pass_bytes
from camviz.network.taps import frozen_eval
from camviz.network.weights import load_backbone

MB = 2**20
ROOT = Path(__file__).resolve().parents[2]
NAMES = ["vit_small_patch16_224", "deit_small_patch16_224", "vit_small_patch32_224"]


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize("given", [False, True])
def test_memory_is_what_is_counted(given):
    """In a process of its own, within 10 % and what Python itself takes."""
    code = (
        "import json; from benchmarks.memory import explain_in_turn; "
        f"print(json.dumps(list(explain_in_turn({NAMES}, 100 * 2**20, given={given}))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows = json.loads(done.stdout)
    for size, grown, networks, traces in rows:
        assert 80 < size < 100
        assert networks < (1 if given else 100), "one network at most is held"
        assert grown <= 1.1 * (networks + traces) + 25
    assert (rows[-1][3] < 1) == given, "what belongs to a network that is gone is gone"


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_what_a_process_takes_stays_under_the_budget():
    """In a process of its own; unused memory included, up to the slack that is stated."""
    code = (
        "import json; from benchmarks.memory import explain_many; "
        f"print(json.dumps([now for _, now in explain_many({NAMES}, 30, 400 * 2**20)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    grown = json.loads(done.stdout)
    assert max(grown) <= 400 + memory.SLACK / MB


# -- The budget ----------------------------------------------------------------------------------


def test_a_budget_is_shared_out():
    budget = Budget(4096 * MB)
    assert (budget.networks, budget.traces, budget.one) == (2048 * MB, 1024 * MB, 1024 * MB)
    assert budget.networks + budget.traces + budget.one <= budget.total


def test_a_network_that_is_too_large_is_refused_before_it_is_loaded(monkeypatch):
    engine = Engine("cpu", memory=128 * MB)
    monkeypatch.setattr(engine._runner, "load", None)  # which would be an error to call
    with pytest.raises(
        TooLargeError,
        match=r"resnet50 holds 97 MB of weights, and one network may hold 32 MB here; .*390 MB",
    ):
        engine.backbone("resnet50", "random")


def test_a_network_whose_pass_is_too_large_is_refused(photo, monkeypatch):
    engine = Engine("cpu", memory=64 * MB)
    small = engine.backbone("test_resnet", "random")
    with pytest.raises(TooLargeError, match=r"test_resnet holds \d+ MB while it .* 640 x 640"):
        engine.backbone("test_resnet", "random", input_size=(640, 640))
    monkeypatch.setattr(engine._runner, "load", None)
    with pytest.raises(TooLargeError, match="640 x 640"):  # and is not made again to find it out
        engine.backbone("test_resnet", "random", input_size=(640, 640))
    assert engine.backbone("test_resnet", "random") is small, "which takes no other's place"
    assert engine.explain(photo, small, target=3).fused.any()


def test_a_pass_that_is_too_large_is_refused_before_weights_are_loaded(monkeypatch):
    monkeypatch.setattr(weights._Loader, "load", None)
    for name in ("test_resnet", "scenes-convnext"):
        with pytest.raises(TooLargeError, match=f"{name} holds .* 2048 x 2048 pixels"):
            load_backbone(name, pass_limit=50 * MB, input_size=(2048, 2048))


def test_a_pass_is_measured_of_the_network_where_shapes_alone_would_not_do(monkeypatch):
    monkeypatch.setattr(weights._Loader, "outline", lambda _: None)
    with pytest.raises(TooLargeError, match="640 x 640"):
        load_backbone("test_resnet", "random", pass_limit=20 * MB, input_size=(640, 640))


def test_views_that_are_too_large_for_the_budget_are_left_out(photo):
    bound = int(
        1.2 * pass_bytes(Engine("cpu").backbone("test_resnet", "random").model, (3, 160, 160))
    )
    engine = Engine("cpu", memory=4 * bound)
    x = engine.explain(photo, "test_resnet", weights="random", target=3, views="paper")
    assert "cannot be shown 1.5, 2 times its size here" in str(x.notes[x.stages[0]])


def test_the_least_recently_used_makes_room_before_a_network_is_loaded(monkeypatch):
    engine = Engine("cpu", memory=4 * 50 * MB)
    engine.backbone("resnet18", "random")  # 45 MB
    engine.backbone("test_resnet", "random")
    engine.backbone("resnet18", "random")
    held, load = [], engine._runner.load

    def watch(*arguments, **options):
        held.append([backbone.name for backbone, _ in engine._backbones._held.values()])
        return load(*arguments, **options)

    monkeypatch.setattr(engine._runner, "load", watch)
    engine.backbone("resnet18", "random", num_classes=7)
    engine.backbone("resnet18", "random", num_classes=8)
    assert held == [["test_resnet", "resnet18"], ["resnet18"]]
    assert engine._backbones.nbytes <= 100 * MB


def test_the_size_of_a_network_is_known_before_it_is_loaded(tmp_path):
    assert weights_bytes("resnet50.a1_in1k", "auto") == 4 * 25557032
    (tmp_path / "model.safetensors").write_bytes(bytes(1000))
    assert weights_bytes(f"local-dir:{tmp_path}", "auto") == 1000
    assert weights_bytes("hf-hub:somebody/something", "auto") is None


# -- What a pass holds ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_what_a_pass_holds_is_told_from_shapes(tiny, name):
    """About as much as a pass does hold, and never much less."""
    backbone = tiny(name)
    told = pass_bytes(backbone.model, backbone.input_size)
    generator = torch.get_rng_state()
    outline = weights._Loader(name, name, {}).outline()
    assert told == pass_bytes(outline, backbone.input_size), "before it has weights"
    assert torch.equal(generator, torch.get_rng_state())
    image = torch.rand(1, *backbone.input_size, requires_grad=True)
    held = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        return tensor

    own = {tensor.data_ptr() for tensor in backbone.model.state_dict().values()}
    with (
        frozen_eval(backbone.model, gradients=True),
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
    ):
        output = backbone.model(image)
    measured = sum(size for address, size in held.items() if address not in own)
    assert output.requires_grad and 0.9 * measured <= told <= 1.5 * measured


def test_what_a_pass_holds_changes_nothing(tiny, unchanged):
    backbone = tiny("test_resnet")
    with unchanged(backbone.model):
        assert pass_bytes(backbone.model, (3, 64, 64)) < pass_bytes(backbone.model, (3, 128, 128))
        assert pass_bytes(backbone.model, (5, 64, 64)) is None, "it takes no such picture"


# -- Giving back ---------------------------------------------------------------------------------


@pytest.fixture
def trims(monkeypatch):
    found = []
    monkeypatch.setattr(memory, "trim", lambda: found.append(1))
    return found


def test_memory_is_given_back_when_much_is_unused(monkeypatch, trims):
    taken = [1000 * MB]
    monkeypatch.setattr(memory, "resident", lambda: taken[0])
    unused = Unused(lambda: 500 * MB)
    taken[0] = 1000 * MB + 500 * MB + memory.SLACK
    unused.give_back()
    assert not trims, "a little unused memory is none too much"
    taken[0] += 1
    unused.give_back()
    unused.give_back()
    assert len(trims) == 1, "once in a while"
    unused.give_back(much=True)
    assert len(trims) == 2, "unless there is reason to"


def test_a_system_that_tells_nothing_is_left_alone(monkeypatch, trims):
    monkeypatch.setattr(memory, "resident", lambda: None)
    Unused(lambda: 0).give_back(much=True)
    assert not trims
    monkeypatch.setattr(memory, "_malloc_trim", lambda: None)
    monkeypatch.undo()
    memory.trim()  # whatever the C library is
