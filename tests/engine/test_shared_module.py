"""Several backbones around one module, which differ in size and preprocessing alone."""

import numpy as np
import pytest

from camviz import Engine, wrap_backbone
from camviz.engine.views import Sizes
from camviz.errors import PrototypeError, TeachingError
from tests.support.networks import untrained

OPTIONS = {"method": "layer_cam", "target": 0, "refine": "none"}


@pytest.fixture(scope="module")
def model():
    return untrained("test_resnet", num_classes=5)


def around(model, size=128, **settings):
    return wrap_backbone(model, name="n", device="cpu", input_size=size, **settings)


def pictures(count=3):
    rng = np.random.default_rng(0)
    return {
        kind: [rng.integers(0, 255, (64, 64, 3)).astype(np.uint8) for _ in range(count)]
        for kind in ("a", "b")
    }


def test_half_its_size_is_half_of_its_own(model):
    sizes = Sizes()
    half = [sizes.at(around(model, size), 0.5) for size in (128, 64)]
    assert [each.input_size[1:] for each in half] == [(64, 64), (32, 32)]


def test_views_of_one_are_not_those_of_another(model, photo):
    """Whichever was explained first."""
    one, other = around(model), around(model, mean=0.9, std=0.1)
    alone = Engine("cpu").explain(photo, other, views="paper", **OPTIONS)
    engine = Engine("cpu")
    engine.explain(photo, one, views="paper", **OPTIONS)
    after = engine.explain(photo, other, views="paper", **OPTIONS)
    for name, raw in alone.raw.items():
        assert np.array_equal(raw, after.raw[name])


def test_sanity_of_one_is_not_that_of_another(model, photo):
    engine = Engine("cpu")
    for backbone in (around(model), around(model, mean=0.9, std=0.1)):
        x = engine.explain(photo, backbone, **OPTIONS)
        assert np.array_equal(engine.sanity(x, steps=1, draws=1).steps[0].heat, x.fused_grid[0])


def test_heads_and_prototypes_are_of_one_normalisation(model):
    engine, one, other = Engine("cpu"), around(model, 64), around(model, 64, mean=0.9, std=0.1)
    taught = engine.teach(pictures(), one)
    with pytest.raises(TeachingError, match=r"normalised by mean 0\.5 .* and not by mean 0\.9"):
        engine.use_head(taught.head, other)
    bank = engine.build_prototypes(pictures()["a"], one, 0)
    with pytest.raises(PrototypeError, match=r"normalised by mean 0\.5 .* and not by mean 0\.9"):
        bank.check(other)
    bank.check(one)


def test_a_network_without_classes_is_taught_at_each_size():
    model, engine = untrained("test_resnet", num_classes=0), Engine("cpu")
    for size in (128, 64):
        taught = engine.teach(pictures(2), around(model, size))
        assert taught.backbone.input_size == taught.head.input_size == (3, size, size)
