"""Engine.similarity: cosines of features, on the stage's own grid and drawn on the picture."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from camviz import open_picture
from camviz.engine.similarity import SimilarityMap
from camviz.errors import MethodError
from camviz.network.trace import trace as run_trace

POINT = (70.5, 20.5)


def features_of(backbone, picture, stage, fit="stretch"):
    image, _ = backbone.prepare(open_picture(picture), fit)
    tap = backbone.stage(stage).activation
    return run_trace(backbone, image, [tap], graph=False).activations[tap.address][0]


def test_cosines_made_by_hand(engine, tiny, photo):
    backbone = tiny("test_resnet")
    x = engine.explain(photo, backbone, target=1)
    found = engine.similarity(x, "layer3", POINT)
    assert isinstance(found, SimilarityMap)
    features = features_of(backbone, photo, "layer3")
    rows, columns = features.shape[1:]
    row, column = int(POINT[1] / 60 * rows), int(POINT[0] / 90 * columns)
    assert found.cell == (row, column) and found.point == POINT and found.stage == "layer3"
    place = features[:, row, column][:, None, None]
    expected = F.cosine_similarity(features, place.expand_as(features), dim=0)
    assert found.raw.shape == (rows, columns) and found.raw.dtype == np.float32
    assert np.allclose(found.raw, expected, atol=1e-5)
    assert found.raw[row, column] == pytest.approx(1, abs=1e-5)


def test_it_is_drawn_where_the_explanation_draws(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_resnet"), target=1, fit="crop")
    found = engine.similarity(x, "layer2", (45, 30))
    assert found.map.shape == (60, 90) and found.map is found.map
    assert np.array_equal(found.map, x.on_picture(found.raw, x.placements["layer2"]))
    assert not found.map[~x.visible].any()
    with pytest.raises(MethodError, match="was not shown the point"):
        engine.similarity(x, "layer2", (1, 30))


def test_another_picture_is_searched_for_the_same_place(engine, tiny, photo):
    backbone = tiny("test_resnet")
    other = np.ascontiguousarray(photo[:40, ::-1])
    x, y = (engine.explain(picture, backbone, target=1) for picture in (photo, other))
    found = engine.similarity(x, "layer3", POINT, other)
    assert found.picture.digest == y.picture.digest and found.fit == y.fit
    assert found.map.shape == (40, 90)
    row, column = found.cell
    place = features_of(backbone, photo, "layer3")[:, row, column][:, None, None]
    features = features_of(backbone, other, "layer3")
    expected = F.cosine_similarity(features, place.expand_as(features), dim=0)
    assert np.allclose(found.raw, expected, atol=1e-5)
    assert np.array_equal(engine.similarity(x, "layer3", POINT, y).raw, found.raw)


def test_the_class_does_not_matter(engine, tiny, photo):
    x, y = (engine.explain(photo, tiny("test_vit"), target=target) for target in (1, 2))
    raw = [engine.similarity(each, "blocks.2", POINT).raw for each in (x, y)]
    assert np.array_equal(*raw) and torch.from_numpy(raw[0]).abs().max() <= 1 + 1e-6
