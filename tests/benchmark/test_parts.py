"""Parts as truth: drops against scenes scored one by one, correlations against loops."""

import numpy as np
import pytest
import torch

from camviz import open_picture
from camviz.benchmark.intervals import Resampled
from camviz.benchmark.parts import (
    EVEN,
    LEAST_PARTS,
    Parts,
    PartScenes,
    baseline_correlations,
    correlations,
    measured_drops,
    summarize_parts,
    visible_parts,
)
from camviz.benchmark.records import Record
from camviz.benchmark.rows import CENTRE, NOISE, Maps, Row, read_settings
from camviz.errors import DataError
from camviz.network.taps import frozen_eval
from tests.support.heat import slow_spearman

DATA = PartScenes(4, seed=5)


def test_every_scene_has_one_thing_of_enough_parts():
    data = PartScenes(16, seed=5)
    labels = set()
    for index in range(16):
        scene = data.scene(index)
        labels |= set(scene.labels)
        assert len(scene.objects) == 1 and len(visible_parts(scene)) >= LEAST_PARTS
    assert len(labels) > 5


def test_drops_are_those_of_scenes_drawn_without_the_part(engine, network):
    scene = DATA.scene(2)
    target = network.target(scene.labels[0])
    drops = measured_drops(engine, network, DATA, 2, scene, target)

    def logit(pixels):
        image, _ = network.prepare(open_picture(pixels))
        with frozen_eval(network.model, gradients=False), torch.no_grad():
            return float(network.model(image)[0, target])

    slow = [
        logit(scene.image) - logit(DATA.without(2, scene, part).image)
        for part in visible_parts(scene)
    ]
    assert drops == pytest.approx(np.array(slow), abs=1e-4)
    assert np.abs(drops).max() > 0.5  # a part counts for something


def test_correlations_against_loops():
    random = np.random.default_rng(0)
    heat = random.random((30, 30)).astype(np.float32)
    parts = {str(k): np.zeros((30, 30), bool) for k in range(4)}
    for k, mask in enumerate(parts.values()):
        mask[7 * k : 7 * k + 2 + k, 3:20] = True
    drops = np.array([0.3, -1.0, 2.0, 0.5])
    sums = [heat[mask].sum() for mask in parts.values()]
    means = [heat[mask].mean() for mask in parts.values()]
    by_sum, by_mean = correlations(heat, parts, drops)
    assert by_sum == pytest.approx(slow_spearman(sums, drops))
    assert by_mean == pytest.approx(slow_spearman(means, drops))
    assert by_sum != by_mean


def test_an_even_map_ranks_parts_by_size_and_by_its_mean_not_at_all():
    scene = DATA.scene(0)
    parts = visible_parts(scene)
    sizes = np.array([mask.sum() for mask in parts.values()], float)
    assert correlations(np.ones((224, 224), np.float32), parts, sizes) == (pytest.approx(1), 0)
    assert correlations(np.zeros((224, 224), np.float32), parts, sizes) == (0, 0)
    known = baseline_correlations(parts, sizes, 0)
    assert known[Row(EVEN, "", "")][0] == pytest.approx(1)
    assert -1 < known[Row(NOISE, "", "")][1] < 1


def test_a_map_of_the_drops_themselves_is_right():
    scene = DATA.scene(1)
    parts = visible_parts(scene)
    drops = np.linspace(2, 0.1, len(parts))
    heat = np.zeros((224, 224), np.float32)
    for mask, drop in zip(parts.values(), drops, strict=True):
        heat[mask] = drop
    assert correlations(heat, parts, drops)[1] == pytest.approx(1)
    assert correlations(heat, parts, -drops)[1] == pytest.approx(-1)


def test_the_record_of_a_scene(engine, network):
    record = Parts(DATA).measure(Maps(engine, network, read_settings(["layer_cam"])), 1)()
    assert record.rows[-3:] == ("7 x 7 noise||", "centred Gaussian||", "even map||")
    assert record.values["correlation"].shape == (len(record.rows), 2)
    scene = DATA.scene(1)
    assert record.labels == tuple(visible_parts(scene))
    x = engine.explain(scene.image, network, target=scene.labels[0], method="layer_cam")
    parts, drops = visible_parts(scene), record.values["drops"]
    own = record.values["correlation"][record.rows.index("layer_cam||fused")]
    assert tuple(own) == correlations(x.fused, parts, drops)


def records_with(gain):
    """40 scenes, in which one map is so much better than what reads no network."""
    random = np.random.default_rng(2)
    rows = ("cam||layer4", f"{NOISE}||", f"{CENTRE}||", f"{EVEN}||")
    for _ in range(40):
        known = random.normal(0.2, 0.3, (3, 2))
        own = known.mean(axis=0) + gain + random.normal(0, 0.2, 2)
        yield Record(rows, ("a", "b", "c"), {"correlation": np.stack([own, *known])})


def test_what_passes():
    records = list(records_with(0.4))
    result = summarize_parts(records)["cam||layer4"]
    own = np.array([record.values["correlation"][0] for record in records])
    centre = np.array([record.values["correlation"][2] for record in records])
    assert result.sums.rho[0] == pytest.approx(own[:, 0].mean())
    paired = Resampled.draw(40).mean(own[:, 1] - centre[:, 1])
    assert result.means.above[CENTRE] == pytest.approx(paired)
    assert result.sums.passes and result.means.passes and result.pictures == 40
    worse = summarize_parts(list(records_with(0.0)))["cam||layer4"]
    assert worse.sums.rho[1] > 0 and not worse.sums.passes  # above 0, but no better than chance


def test_no_such_scenes():
    with pytest.raises(DataError, match="from 1, not 0"):
        PartScenes(0, 1)
