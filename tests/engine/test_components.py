"""Engine.components: features as colours, on the stage's own grid and drawn on the picture."""

import numpy as np
import pytest

from camviz.engine.components import Components
from camviz.errors import StageError
from camviz.fit import Fit
from camviz.images import open_picture
from camviz.maps.fusion import Placement
from camviz.network.trace import trace


def features_of(backbone, picture, stage):
    image, _ = backbone.prepare(open_picture(picture))
    tap = backbone.stage(stage).activation
    return trace(backbone, image, [tap], graph=False).activations[tap.address][0]


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_colours_made_by_hand(engine, tiny, photo, name):
    backbone = tiny(name)
    x = engine.explain(photo, backbone, target=1)
    stage = x.stages[1]
    found = engine.components(x, stage)
    features = features_of(backbone, photo, stage).double().numpy()
    rows, columns = features.shape[1:]
    flat = features.reshape(len(features), -1).T
    centred = flat - flat.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    for i in range(3):
        heat = (s[i] * u[:, i]).reshape(rows, columns)
        heat = heat * np.sign(heat.flat[np.abs(heat).argmax()])
        assert np.allclose(found.raw[i], heat, atol=1e-4 * s[0])
        low, high = np.percentile(found.raw[i], [1, 99])
        shown = np.clip((found.raw[i] - low) / (high - low), 0, 1) * 255
        assert np.abs(found.cells[..., i] - shown).max() <= 1
        assert found.cells[..., i].min() == 0 and found.cells[..., i].max() == 255
    assert found.shares == pytest.approx([float(v) for v in (s**2 / (s**2).sum())[:3]], rel=1e-3)
    assert found.cells.shape == (rows, columns, 3) and found.cells.dtype == np.uint8


def test_they_are_drawn_where_the_explanation_draws(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_resnet"), target=1, fit="crop")
    found = engine.components(x, "layer2")
    assert found.colors.shape == (60, 90, 3) and found.colors.dtype == np.uint8
    red = np.ascontiguousarray(found.cells[..., 0], dtype=np.float32)
    assert np.abs(found.colors[..., 0] - x.on_picture(red, x.placements["layer2"])).max() <= 0.5
    assert not found.colors[~x.visible].any() and found.colors[x.visible].any()


def test_any_module_has_colours(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_resnet"), target=1)
    assert engine.components(x, "layer3.0").stage == "layer3.0"
    with pytest.raises(StageError, match="nothing"):
        engine.components(x, "nothing")


def test_the_class_has_no_say(engine, tiny, photo):
    backbone = tiny("test_resnet")
    one, other = (
        engine.components(engine.explain(photo, backbone, target=c), "layer4") for c in (1, 2)
    )
    assert np.array_equal(one.colors, other.colors)


def test_a_component_of_one_value_is_the_middle():
    fit = Fit("stretch", (4, 6), (2, 3), (0, 0, 6, 4))
    raw = np.zeros((3, 2, 3), np.float32)
    raw[0] = np.arange(6).reshape(2, 3)
    picture = open_picture(np.zeros((8, 8, 3), np.uint8))
    found = Components("a", raw, (1.0, 0.0, 0.0), Placement((1, 1)), picture, fit)
    assert (found.cells[..., 1:] == 127).all() and found.cells[0, 0, 0] == 0
