"""One thread: on shared cores two can be ten times slower than one.

`tiny` gives timm's own test architectures with random weights, loaded once a session and never to
be changed; `unchanged` proves that a network is left as it was found.

A test marked `sampled(n)` is long but for the first n of its parameters, by default one.
"""

from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

import camviz.network.torchvision_ops  # noqa: F401  before any test imports timm

pytest.register_assert_rewrite("tests.support")
torch.set_num_threads(1)

# timm's ResNets start with dead residual branches unless told otherwise.
_LIVING = {"test_resnet": {"zero_init_last": False}}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@pytest.hookimpl(tryfirst=True)  # before long ones are left out
def pytest_collection_modifyitems(items):
    """Marks what is not among the first parameters of a sampled test as long."""
    seen = Counter()
    for item in items:
        sampled = item.get_closest_marker("sampled")
        if sampled is None:
            continue
        name = item.nodeid.partition("[")[0]
        if seen[name] >= (sampled.args or (1,))[0]:
            item.add_marker("long")
        seen[name] += 1


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Nothing a test measures is kept on this machine, nothing kept here reaches a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAMVIZ_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        yield


@pytest.fixture(scope="session")
def tiny():
    """tiny("test_vit"): that architecture with random weights, the same object all session."""
    from camviz import load_backbone

    loaded = {}

    def get(name):
        if name not in loaded:
            loaded[name] = load_backbone(name, "random", "cpu", **_LIVING.get(name, {}))
        return loaded[name]

    return get


@pytest.fixture
def no_packages(monkeypatch):
    """As if no package with weights were installed."""
    from camviz.network import packaged

    monkeypatch.setattr(packaged, "_find", lambda package: None)


@pytest.fixture(scope="session")
def photo():
    """uint8 (60, 90, 3): wider than high, no two regions alike."""
    rows, columns = np.mgrid[0:60, 0:90]
    noise = np.random.default_rng(0).integers(0, 60, (60, 90, 3))
    waves = np.stack([rows * 3, columns * 2, 90 + 60 * np.sin(rows * columns / 300)], axis=2)
    return (noise + waves).clip(0, 255).astype(np.uint8)


@pytest.fixture
def photo_file(tmp_path, photo):
    """The path of `photo`."""
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    return str(path)


@pytest.fixture
def fresh(monkeypatch):
    """No server's own backbone or limit, and nothing remembered about what is on offer."""
    from camviz.ui import choices

    monkeypatch.delenv("CAMVIZ_BACKBONE", raising=False)
    monkeypatch.delenv("CAMVIZ_MAX_PARAMETERS", raising=False)
    choices.available.cache_clear()
    yield
    choices.available.cache_clear()


def _state(model):
    return {
        "modes": {name: module.training for name, module in model.named_modules()},
        "flags": {name: p.requires_grad for name, p in model.named_parameters()},
        "grads": {
            name: None if p.grad is None else (id(p.grad), float(p.grad.sum()))
            for name, p in model.named_parameters()
        },
        "hooks": {
            (name, kind): len(getattr(module, kind))
            for name, module in model.named_modules()
            for kind in _HOOKS
        },
        "grad_mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
    }


@pytest.fixture
def unchanged():
    """with unchanged(model): no hook, mode, flag, gradient or weight differs afterwards."""

    @contextmanager
    def watch(model):
        before = _state(model)
        tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        try:
            yield
        finally:
            after = _state(model)
            for what, found in before.items():
                assert after[what] == found, f"{what} were changed"
            for name, tensor in model.state_dict().items():
                assert torch.equal(tensor, tensors[name]), f"{name} was changed"

    return watch
