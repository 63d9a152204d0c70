"""Faithfulness by the engine: against plain passes, kept, priced, stopped and done elsewhere."""

import pickle

import numpy as np
import pytest
import torch

from camviz import Engine, open_picture, wrap_backbone
from camviz.engine import faithfulness
from camviz.engine.faithfulness import BESIDE, GAUSSIAN, RANDOM, MeasureMaps, map_again
from camviz.engine.remote import RemoteRunner
from camviz.errors import BackboneError, MethodError, StageError
from camviz.maps import faithfulness as metrics_of
from camviz.maps.metrics import METRICS, measure
from camviz.turns import steps
from tests.support.networks import copy_of, untrained

RESNET, VIT = "test_resnet", "test_vit"
FEW = 3  # steps


class Stop(Exception):
    """Raised by a progress function."""


@pytest.fixture
def explained(engine, photo, tiny):
    return engine.explain(photo, tiny(RESNET), target=3)


def plain_score(backbone):
    """Probabilities by the network itself."""

    def score(pictures):
        with torch.no_grad():
            return backbone.model(pictures).softmax(dim=1)

    return score


# --- what is measured ---


def test_pictures_are_filled_in_as_steps_of_their_own(engine, explained, monkeypatch):
    """So that they take turns with the work of others, and end where nobody waits for them."""
    within, impute = [], metrics_of.impute

    def noted(image, missing, **options):
        within.append((steps.entered, len(missing)))
        return impute(image, missing, **options)

    monkeypatch.setattr(metrics_of, "impute", noted)
    engine.faithfulness(explained, metrics=["road"], beside=())
    assert within == [(True, 1)] * 2 * len(metrics_of.ROAD_SHARES)


@pytest.mark.long
def test_figures_are_those_of_plain_passes(engine, explained):
    x, backbone = explained, explained.backbone
    found = engine.faithfulness(x, steps=FEW)
    image, _ = backbone.prepare(x.picture)
    assert list(found.measured) == ["fused", *BESIDE]
    for name, heat in found.heats.items():
        assert heat.shape == tuple(backbone.input_size[1:]) and 0 <= heat.min() <= heat.max() <= 1
        again = torch.from_numpy(map_again(x, name, heat, engine.explain))
        plain = measure(
            torch.from_numpy(heat), image, plain_score(backbone), 3, steps=FEW, again=again
        )
        assert found.figures[name] == pytest.approx(plain.figures, abs=1e-4)
        assert list(found.figures[name]) == list(METRICS)
    p = x.predictions
    (own,) = [share for index, _, share in p if index == 3]
    assert found.measured["fused"].curves["deletion"].scores[0] == pytest.approx(own, rel=1e-4)
    assert (found.target, found.label, found.unit) == (3, x.label, "probability")


@pytest.mark.parametrize("of", ["layer3", "refined"])
def test_any_map_can_be_measured(engine, explained, of):
    found = engine.faithfulness(explained, of, steps=FEW, metrics=["deletion"])
    assert list(found.measured) == list(dict.fromkeys([of, *BESIDE]))
    grid, placement = explained.grid(of)
    fit = faithfulness.input_fit(explained)
    assert np.array_equal(found.heats[of], faithfulness.draw(grid, placement, fit))
    assert not np.array_equal(found.heats[of], engine.faithfulness(
        explained, steps=FEW, metrics=["deletion"]).heats["fused"])  # fmt: skip


OPTIONS = {
    "plain": {},
    "a stage by CAM": {"method": "cam"},
    "several views": {"views": "flip"},
    "cropped": {"fit": "crop"},
    "padded": {"fit": "pad"},
    "contrast": {"versus": 5, "gamma": 0.5},
    "truncated": {"truncation": 0.9},
    "Score-CAM": {"method": "score_cam", "channels": 4, "stages": ["layer4"]},
    "another fusion": {"fuse": "mean", "tap": "output", "refine_power": 4},
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", OPTIONS)
def test_the_map_of_a_picture_times_one_is_the_map_itself(engine, photo, tiny, name):
    """M(x * 1) = M(x), whatever the map was made with."""
    x = engine.explain(photo, tiny(RESNET), target=3, **OPTIONS[name])
    heats = faithfulness.check(x, "fused", None, 8, BESIDE).heats
    ones = np.ones_like(heats["fused"])
    for of in ("fused", "refined"):
        again = map_again(x, of, ones, engine.explain)
        assert np.allclose(again, heats[of], atol=2e-3), of
    half = ones.copy()
    half[:, : half.shape[1] // 2] = 0
    assert not np.allclose(map_again(x, "fused", half, engine.explain), heats["fused"])
    assert map_again(x, RANDOM, heats[RANDOM], engine.explain) is heats[RANDOM]


@pytest.mark.long
def test_prototypes_are_kept_for_the_map_again(engine, rams, knowing, learned):
    x = engine.explain(rams[0], knowing, target="ram", method="lpcam", prototypes=learned)
    heat = faithfulness.check(x, "fused", None, 8, ()).heats["fused"]
    again = map_again(x, "fused", np.ones_like(heat), engine.explain)
    assert np.allclose(again, heat, atol=2e-3)
    found = engine.faithfulness(x, steps=FEW)
    assert found.figures["fused"]["coherency"] > 0.5


@pytest.mark.long
def test_a_map_that_knows_the_picture_is_better_than_a_random_one(engine, rams, knowing):
    """On scenes that the network was made for."""
    better = 0
    for picture in rams:
        x = engine.explain(picture, knowing, target="ram")
        figures = engine.faithfulness(x, metrics=["deletion", "road"], beside=[RANDOM]).figures
        better += figures["fused"]["deletion"] < figures[RANDOM]["deletion"]
        better += figures["fused"]["road"] > figures[RANDOM]["road"]
    assert better >= 11


def test_what_was_shown_is_given_with_it(engine, explained):
    found = engine.faithfulness(explained, metrics=["deletion", "insertion"], steps=FEW, beside=())
    backbone = explained.backbone
    image, _ = backbone.prepare(explained.picture)
    mean, std = (np.array(v)[:, None, None] for v in (backbone.mean, backbone.std))
    shown = np.rint((image[0].numpy() * std + mean) * 255).transpose(1, 2, 0)
    assert np.array_equal(found.picture, shown)
    soft = metrics_of.blurred(image)[0].numpy() * std + mean
    assert abs(found.blurred - (soft * 255).clip(0, 255).transpose(1, 2, 0)).max() <= 0.51
    assert found.removed == tuple(round(255 * value) for value in backbone.mean)
    # The picture of each step, composed of the two, is what was scored.
    score, curve = plain_score(backbone), found.measured["fused"].curves["deletion"]
    for step in range(FEW + 1):
        pixels = np.where((found.changed_at["fused"] <= step)[..., None], found.removed, shown)
        tensor = torch.from_numpy(((pixels / 255).transpose(2, 0, 1) - mean) / std).float()[None]
        assert float(score(tensor)[0, 3]) == pytest.approx(curve.scores[step], rel=0.05)


# --- what it costs ---


@pytest.mark.long
def test_what_was_measured_is_not_measured_again(engine, explained, passes):
    engine.faithfulness(explained, steps=FEW, beside=())
    count = passes(explained.backbone)
    first = engine.faithfulness(explained, steps=FEW, beside=())
    assert count["forward"] == 0
    assert engine.faithfulness_price(explained, steps=FEW, beside=()) == 0
    assert engine.faithfulness_price(explained, steps=FEW) > 0
    both = engine.faithfulness(explained, steps=FEW)
    assert both.measured["fused"] is first.measured["fused"]
    assert count["forward"] > 0


def test_maps_that_know_nothing_are_measured_once_for_all_methods(engine, photo, tiny):
    one, other = (engine.explain(photo, tiny(RESNET), target=3, method=m, stages=["layer3"])
                  for m in ("layer_cam", "grad_cam"))  # fmt: skip
    metrics = ["deletion", "road"]
    first = engine.faithfulness(one, steps=FEW, metrics=metrics)
    second = engine.faithfulness(other, steps=FEW, metrics=metrics)
    assert first.measured[RANDOM] is second.measured[RANDOM]
    assert first.measured[GAUSSIAN] is second.measured[GAUSSIAN]
    assert first.measured["fused"] is not second.measured["fused"]


def test_one_map_of_two_classes_is_measured_for_each(engine, photo, tiny):
    """Eigen-CAM is the same map for every class, and its figures are not."""
    one, other = (engine.explain(photo, tiny(RESNET), target=t, method="eigen_cam") for t in (3, 5))
    found = [
        engine.faithfulness(x, metrics=["deletion"], steps=FEW, beside=()) for x in (one, other)
    ]
    assert np.array_equal(found[0].heats["fused"], found[1].heats["fused"])
    first, second = (each.measured["fused"].curves["deletion"].scores for each in found)
    assert not np.allclose(first, second)
    assert second[0] == pytest.approx(float(other.predictions[[i for i, *_ in other.predictions]
                                                              .index(5)][2]), rel=1e-4)  # fmt: skip


def test_a_price_follows_from_the_passes(engine, photo, tiny):
    backbone = copy_of(tiny(RESNET))
    x = engine.explain(photo, backbone, target=3)
    whole = engine._traces.timings.of(backbone).whole
    price = engine.faithfulness_price(x, metrics=["deletion"], steps=9, beside=())
    assert price == pytest.approx(10 * whole)
    price = engine.faithfulness_price(x, metrics=["deletion", "insertion"], steps=9)
    assert price == pytest.approx(4 * 20 * whole)
    price = engine.faithfulness_price(x, metrics=["coherency"], beside=())
    assert price == pytest.approx(3 * whole)
    slow = engine.explain(photo, backbone, target=3, method="score_cam", channels=4)
    maps = engine.price(backbone, "score_cam", slow.stages, channels=4)
    price = engine.faithfulness_price(slow, metrics=["coherency"], beside=())
    assert price == pytest.approx(3 * whole + maps) and maps > 0
    road = engine.faithfulness_price(x, metrics=["road"], beside=())
    assert road > 8 * whole


def test_progress_counts_all_pictures_and_stop_leaves_the_network_whole(
    engine, explained, unchanged
):
    reports = []
    engine.faithfulness(explained, steps=FEW, progress=lambda *report: reports.append(report))
    done = [report[0] for report in reports]
    passes = 2 * (FEW + 1) + 2 + 8
    assert done == sorted(done) and {report[1] for report in reports} == {4 * passes}
    assert done[-1] < 4 * passes and all("faithful" in report[2] for report in reports)

    def stop(number, *_):
        if number > passes:
            raise Stop

    with unchanged(explained.backbone.model), pytest.raises(Stop):
        engine.faithfulness(explained, steps=FEW + 1, progress=stop)
    assert engine.faithfulness_price(explained, steps=FEW + 1) > 0, "nothing half done is kept"


# --- elsewhere ---


@pytest.mark.long
def test_another_process_gives_the_same_figures(photo):
    tasks, worker = [], Engine("cpu")

    def send(task):
        tasks.append(pickle.loads(pickle.dumps(task)))
        return pickle.loads(pickle.dumps(worker.run(tasks[-1])))

    remote, reports = Engine("cpu", runner=RemoteRunner(send)), []
    x = remote.explain(photo, RESNET, weights="random", target=3)
    y = worker.explain(photo, RESNET, weights="random", target=3)
    before = len(tasks)
    found = remote.faithfulness(x, steps=FEW, progress=lambda *report: reports.append(report))
    here = worker.faithfulness(y, steps=FEW)
    for name in here.figures:
        assert found.figures[name] == pytest.approx(here.figures[name], abs=1e-4)
    of_measure = [task for task in tasks[before:] if isinstance(task.work, MeasureMaps)]
    assert len(of_measure) == 1 and of_measure[0].work.slow
    assert reports[0][0] == 0
    assert remote.faithfulness_price(x, steps=FEW) == 0


# --- what is refused ---


def test_networks_without_classes_have_no_score(engine, photo):
    features = wrap_backbone(untrained(num_classes=0))
    x = engine.explain(photo, features)
    with pytest.raises(MethodError, match="knows no classes"):
        engine.faithfulness(x)
    with pytest.raises(MethodError, match="knows no classes"):
        engine.faithfulness_price(x)


def test_values_have_metrics_that_are_no_shares(engine, photo):
    backbone = wrap_backbone(untrained(num_classes=2), output="value")
    x = engine.explain(photo, backbone, target=0)
    found = engine.faithfulness(x, steps=FEW)
    names = ["deletion", "insertion", "complexity", "coherency", "road"]
    assert list(found.figures["fused"]) == names and found.unit == "value"
    image, _ = backbone.prepare(x.picture)
    with torch.no_grad():
        value = float(backbone.model(image)[0, 0])
    assert found.measured["fused"].curves["deletion"].scores[0] == pytest.approx(value, rel=1e-4)
    with pytest.raises(MethodError, match="gives values"):
        engine.faithfulness(x, metrics=["adcc"])


def test_a_sigmoid_has_its_own_probability(engine, photo):
    backbone = wrap_backbone(untrained(num_classes=3), output="sigmoid")
    x = engine.explain(photo, backbone, target=1)
    found = engine.faithfulness(x, metrics=["deletion"], steps=FEW, beside=())
    image, _ = backbone.prepare(x.picture)
    with torch.no_grad():
        p = float(backbone.model(image)[0, 1].sigmoid())
    assert found.measured["fused"].curves["deletion"].scores[0] == pytest.approx(p, rel=1e-4)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"of": "layer9"}, StageError, "no map of 'layer9'"),
        ({"metrics": ["auc"]}, MethodError, "unknown metric 'auc'; choices: deletion"),
        ({"beside": ["edges"]}, MethodError, "unknown map beside it 'edges'"),
        ({"steps": 0}, MethodError, "from 1 to 255, not 0"),
        ({"steps": 256}, MethodError, "from 1 to 255"),
        ({"steps": True}, MethodError, "whole number"),
        ({"steps": 2.5}, MethodError, "whole number"),
    ],
)
def test_what_cannot_be_measured_says_why(engine, explained, given, error, says):
    for call in (engine.faithfulness, engine.faithfulness_price):
        with pytest.raises(error, match=says):
            call(explained, **given)


def test_changed_weights_are_refused(engine, photo, tiny):
    backbone = copy_of(tiny(RESNET))
    x = engine.explain(photo, backbone, target=3)
    with torch.no_grad():
        next(backbone.model.parameters()).mul_(1.5)
    with pytest.raises(BackboneError, match="explain the picture again"):
        engine.faithfulness(x)


@pytest.mark.sampled
@pytest.mark.parametrize("method", ["layer_cam", "gae", "rollout"])
def test_transformers_and_their_own_methods(engine, photo, tiny, method):
    x = engine.explain(photo, tiny(VIT), target=3, method=method)
    found = engine.faithfulness(x, steps=FEW)
    assert set(found.figures["fused"]) == set(METRICS)


def test_a_grey_network_is_shown_in_grey(engine, photo):
    backbone = wrap_backbone(untrained(in_chans=1, num_classes=4))
    x = engine.explain(open_picture(photo), backbone, target=0)
    found = engine.faithfulness(x, steps=FEW)
    assert found.picture.shape == (*backbone.input_size[1:], 3)
    assert (found.picture[..., 0] == found.picture[..., 2]).all()
    ones = np.ones_like(found.heats["fused"])
    assert np.allclose(map_again(x, "fused", ones, engine.explain), found.heats["fused"],
                       atol=2e-3)  # fmt: skip


def test_pictures_that_are_made_to_measure_a_map_are_not_kept(tiny, photo):
    """Coherency explains the picture times its map: a trace that nobody asks for again."""
    engine = Engine("cpu")
    x = engine.explain(photo, tiny("test_resnet"))
    before = len(engine._traces._traces)
    engine.faithfulness(x, metrics=["coherency"], beside=["refined"])
    assert len(engine._traces._traces) == before
