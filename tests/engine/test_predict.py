"""Engine.predict: what an explanation would say first, for one forward pass."""

import numpy as np
import pytest

from camviz import Engine
from camviz.errors import BackboneError, MethodError
from tests.support.networks import untrained


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_predictions_are_those_of_the_explanation(tiny, photo, fit):
    backbone = tiny("test_vit")
    engine = Engine(device="cpu")
    found = engine.predict(photo, backbone, fit=fit)
    assert found == engine.explain(photo, backbone, fit=fit).predictions
    assert found == Engine(device="cpu").explain(photo, backbone, fit=fit).predictions


def test_an_explanation_takes_the_pass_over(tiny, photo, monkeypatch):
    backbone, engine = tiny("test_resnet"), Engine(device="cpu")
    engine.predict(photo, backbone)
    runs = []
    handle = backbone.model.register_forward_pre_hook(lambda *_: runs.append(1))
    try:
        engine.predict(photo, backbone)
        assert not runs
        engine.explain(photo, backbone, method="cam")
        assert not runs, "CAM needs no gradient"
    finally:
        handle.remove()


def test_by_name_with_settings(photo):
    grey = np.full((40, 40, 3), 128, np.uint8)
    engine = Engine(device="cpu")
    by_name = engine.predict(grey, "test_resnet", weights="random", mean=0.2, output="sigmoid")
    x = engine.explain(grey, "test_resnet", weights="random", mean=0.2, output="sigmoid")
    assert by_name == x.predictions and sum(p for *_, p in by_name) != pytest.approx(1)


def test_bad_arguments(tiny, photo):
    engine = Engine(device="cpu")
    with pytest.raises(MethodError, match="unknown fit 'letterbox'; choices: stretch, pad, crop"):
        engine.predict(photo, tiny("test_resnet"), fit="letterbox")
    with pytest.raises(MethodError, match="layercam"):
        engine.predict(photo, tiny("test_resnet"), layercam=True)
    with pytest.raises(BackboneError, match="wrap_backbone"):
        engine.predict(photo, untrained())
