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


# --- on a trained network ---


def test_a_place_is_most_like_itself(engine, knowing, rams):
    x = engine.explain(rams[0], knowing)
    for name, point in (("layer3", (100.0, 60.0)), ("layer4", (223.9, 0.0)), ("layer1", (3, 4))):
        heat = engine.similarity(x, name, point).map
        assert heat.shape == (224, 224) and heat.dtype == np.float32
        column, row = int(point[0]), int(point[1])
        stride = 224 // knowing.stage(name).grid[0]
        cell = heat[row // stride * stride + stride // 2, column // stride * stride + stride // 2]
        assert heat.max() == pytest.approx(1, abs=0.2) and cell >= heat.max() - 0.15
        assert np.abs(heat).max() <= 1 + 1e-6


def test_similar_places_are_found_in_another_picture(engine, knowing, rams):
    x = engine.explain(rams[0], knowing)
    same_picture = engine.similarity(x, "layer3", (90, 90)).map
    assert np.array_equal(
        engine.similarity(x, "layer3", (90, 90), rams[0].copy()).map, same_picture
    )
    mirrored = np.ascontiguousarray(rams[0][:, ::-1])
    there = engine.similarity(x, "layer3", (90, 90), mirrored).map
    assert not np.array_equal(there, same_picture)
    wide = np.concatenate([rams[1], rams[2]], axis=1)
    other = engine.explain(wide, knowing)
    assert engine.similarity(x, "layer3", (90, 90), other).map.shape == (224, 448)
    assert np.array_equal(
        engine.similarity(x, "layer3", (90, 90), other).map,
        engine.similarity(x, "layer3", (90, 90), wide).map,
    )


@pytest.mark.parametrize("point", [(-1, 5), (224, 5), (5, 300)])
def test_a_point_must_be_in_the_picture(engine, knowing, rams, point):
    x = engine.explain(rams[0], knowing)
    with pytest.raises(MethodError, match="was not shown the point"):
        engine.similarity(x, "layer3", point)
