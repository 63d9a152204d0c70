"""Engine.predict: what an explanation would say first, for one forward pass."""

import numpy as np
import pytest

from camviz import Engine
from camviz.errors import BackboneError, ImageError, MethodError
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


def several(photo):
    """More pictures than a batch holds, no two alike."""
    return [np.roll(photo, 5 * step, axis=1) for step in range(18)]


@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_logits_of_several_pictures_are_those_of_each(tiny, photo, unchanged, fit):
    backbone, engine = tiny("test_resnet"), Engine(device="cpu")
    with unchanged(backbone.model):
        found = engine.logits(several(photo), backbone, fit)
    each = [engine.explain(one, backbone, fit=fit).logits for one in several(photo)]
    assert found.shape == (18, 1000) and found.dtype == np.float32
    assert np.allclose(found, np.concatenate(each).reshape(found.shape), atol=1e-4)
    assert len({tuple(row) for row in found.round(4)}) == 18


def test_logits_of_nothing_and_with_a_wrong_fit(tiny, photo):
    engine = Engine(device="cpu")
    with pytest.raises(ImageError, match="no pictures were given"):
        engine.logits([], tiny("test_resnet"))
    with pytest.raises(MethodError, match="unknown fit 'letterbox'"):
        engine.logits([photo], tiny("test_resnet"), "letterbox")
