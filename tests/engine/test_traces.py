"""What the cache of traces keeps count of."""

import numpy as np
import pytest

from camviz import Engine
from camviz.errors import BackboneError
from tests.support.networks import copy_of


def pixels(seed):
    return np.random.default_rng(seed).integers(0, 255, (32, 32, 3)).astype(np.uint8)


def test_keys_of_traces_that_are_gone_are_forgotten(tiny):
    """Dropped ones, and those that made room for others."""
    engine, backbone = Engine("cpu"), tiny("test_resnet")
    keys = engine._traces._keys
    for seed in range(4):
        x = engine.explain(pixels(seed), backbone)
        if seed % 2:
            engine._traces.drop(backbone, x.picture, x.request.fit)
    assert len(keys[backbone.model]) == 2 == len(engine._traces._traces)
    small = Engine("cpu", trace_bytes=1)
    for seed in range(4):
        small.explain(pixels(seed), backbone)
    assert len(small._traces._keys[backbone.model]) == len(small._traces._traces) == 1


def test_what_is_kept_with_a_trace_is_counted(tiny):
    engine, backbone = Engine("cpu"), tiny("test_resnet")
    x = engine.explain(pixels(0), backbone, refine="none")
    trace, _ = engine._traces.cached(backbone, x.picture, x.request.fit)
    before = trace.nbytes
    engine.class_maps(x)
    assert trace.nbytes - before >= 4 * len(x.logits) > 0
    before = trace.nbytes
    engine.explain(x.picture, backbone, method="lpcam", prototypes="picture", refine="none")
    assert trace.nbytes - before > 1000, "the vectors of its prototypes"


@pytest.mark.parametrize("what", ["similarity", "components", "class_maps", "attention"])
def test_nothing_is_read_off_another_network_than_was_explained(tiny, what):
    def change(model):
        for parameter in model.parameters():
            parameter.data.mul_(1.5)

    backbone = copy_of(tiny("test_vit" if what == "attention" else "test_resnet"))
    engine = Engine("cpu")
    x = engine.explain(pixels(0), backbone)
    asked = {"similarity": (x.stages[-1], (1, 1)), "components": (x.stages[-1],)}.get(what, ())
    getattr(engine, what)(x, *asked)
    change(backbone.model)
    with pytest.raises(BackboneError, match="weights"):
        getattr(engine, what)(x, *asked)
