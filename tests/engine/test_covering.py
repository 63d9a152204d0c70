"""engine.cover: the explanation of the covered picture and no other, and the light question."""

import re

import numpy as np
import pytest

from camviz import Engine, load_backbone, open_picture
from camviz.engine.covering import cover_picture
from camviz.errors import MethodError
from camviz.examples import example
from camviz.maps.cover import COVERS
from camviz.methods import METHODS
from tests.support.methods import network_with

ARITHMETIC = [name for name, row in METHODS.items() if row.scoring is None]


@pytest.fixture
def mask(photo):
    found = np.zeros(photo.shape[:2], bool)
    found[photo.shape[0] // 4 : photo.shape[0] // 2, 3:40] = True
    return found


def same(one, other):
    assert one.target == other.target and one.stages == other.stages
    np.testing.assert_array_equal(one.logits, other.logits)
    for name in one.stages:
        np.testing.assert_array_equal(one.raw[name], other.raw[name])


@pytest.mark.parametrize("cover", COVERS)
def test_it_is_the_explanation_of_the_covered_picture(engine, tiny, photo, mask, cover):
    backbone = tiny("test_resnet")
    background = np.ascontiguousarray(photo[::-1])
    x = engine.explain(photo, backbone, target=3)
    y = engine.cover(x, mask, cover, background)
    assert (y.picture.pixels != photo).any() and (y.picture.pixels[~mask] == photo[~mask]).all()
    same(y, Engine("cpu").explain(y.picture.pixels, backbone, target=3))
    assert not np.array_equal(x.logits, y.logits)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("method", ARITHMETIC)
def test_method_and_target_stay(engine, tiny, photo, mask, method):
    x = engine.explain(photo, tiny(network_with(method)), target=2, method=method)
    y = engine.cover(x, mask)
    assert (y.request.method, y.target, y.stages) == (method, 2, x.stages)
    assert (y.bank is x.bank) and y.request.score == x.request.score


@pytest.mark.parametrize(
    "options",
    [
        {"versus": 1, "gamma": 0.5},
        {"score": "log_probability"},
        {"versus": "nearest"},
        {"truncation": 0.9},
        {"truncation": "auto"},
        {"views": "flip", "refine": "none"},
        {"fit": "crop", "fuse": "mean"},
    ],
    ids=lambda options: ", ".join(options),
)
def test_what_was_decided_stays(engine, tiny, photo, mask, options):
    x = engine.explain(photo, tiny("test_resnet"), target=3, **options)
    y = engine.cover(x, mask, "mean")
    changed = {k: v for k, v in vars(y.request).items() if vars(x.request)[k] != v}
    assert not changed


def test_the_target_stays_where_another_class_wins(engine):
    row = example("a-ram")
    x = engine.explain(row.open(), "scenes-resnet")
    y = engine.cover(x, row.truth[0].parts["horns"], "blur")
    assert x.predictions[0][1] == "ram" and y.predictions[0][1] == "sheep"
    assert y.label == "ram" and y.logits[y.target] < x.logits[x.target] - 2


def test_nothing_covered_changes_nothing(engine, tiny, photo, mask):
    x = engine.explain(photo, tiny("test_resnet"), target=3)
    same(x, engine.cover(x, np.zeros_like(mask), "neighbours"))


@pytest.mark.parametrize("classes", [10, 0])
def test_scores_are_those_of_an_explanation_and_nothing_is_kept(engine, tiny, photo, classes):
    backbone = load_backbone("test_resnet", "random", "cpu", num_classes=classes)
    found = Engine("cpu")
    scores = found.logits([photo], backbone, "crop")[0]
    np.testing.assert_allclose(
        scores, engine.explain(photo, backbone, fit="crop").logits, rtol=1e-4, atol=1e-5
    )
    assert found._traces.cached(backbone, open_picture(photo), "crop") is None


def test_scoring_leaves_the_network_as_it_was(engine, tiny, photo):
    backbone = tiny("test_resnet")
    backbone.model.train()
    try:
        engine.logits([photo], backbone)
        assert backbone.model.training
    finally:
        backbone.model.eval()


def test_pictures_of_other_channels_are_covered_in_all_of_them(photo, mask):
    more = np.concatenate([photo, photo[..., :2] // 2], axis=2)
    covered = cover_picture(open_picture(more), mask, "mean")
    assert covered.channels.shape == more.shape
    assert (covered.channels[mask].std(axis=0) == 0).all()
    np.testing.assert_array_equal(covered.channels[~mask], more[~mask])


def test_what_does_not_fit_is_named(engine, tiny, photo, mask):
    x = engine.explain(photo, tiny("test_resnet"))
    with pytest.raises(MethodError, match=re.escape("no cover is called 'paint'")):
        engine.cover(x, mask, "paint")
    with pytest.raises(MethodError, match="one value a pixel of the picture"):
        engine.cover(x, mask[:-1])


def test_the_options_repeat_the_explanation_itself(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_resnet"), target=3, method="cam")
    same(x, engine.explain(photo, x.backbone, target=x.target, **x.options))


def test_a_picture_with_transparency_is_covered_as_it_is_seen(engine, tiny, photo):
    """A network of three channels is shown the colours on white, and a background has no others."""
    alpha = np.full((*photo.shape[:2], 1), 255, np.uint8)
    alpha[:, :30] = 0
    x = engine.explain(np.concatenate([photo, alpha], axis=2), tiny("test_resnet"))
    mask = np.zeros(photo.shape[:2], bool)
    mask[10:20, 40:60] = True
    sea = np.full((50, 50, 3), 90, np.uint8)
    covered = engine.cover(x, mask, "background", sea).picture.pixels
    assert (covered[mask] == 90).all() and (covered[~mask] == x.picture.pixels[~mask]).all()
    assert (covered[:, :30] == 255).all(), "what is not to be seen lies on white"
