"""Methods that score changed maps and pictures, by the engine: against the definitions, kept with
the trace, counted, priced, stopped, done elsewhere and by many threads at once.
"""

import pickle
import sys
import threading
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from camviz import Engine, open_picture, wrap_backbone
from camviz.engine.prices import Timings
from camviz.engine.remote import RemoteRunner
from camviz.engine.scoring import ScoreChanges
from camviz.engine.views import VIEWS
from camviz.errors import CamvizError, MethodError
from camviz.methods import METHODS, perturbation
from camviz.methods.gradient import grad_cam
from camviz.network.tail import _detours
from camviz.network.taps import primary_logits
from camviz.network.target import Target
from camviz.network.timing import Timing
from camviz.network.trace import trace
from tests.support.networks import copy_of, small, untrained

SCORING = [name for name, row in METHODS.items() if row.scoring is not None]
BUDGETS = {"score_cam": {"channels": 5}, "group_cam": {"groups": 3}}
RESNET = "test_resnet"

each = pytest.mark.parametrize("method", SCORING)


# -- Against the definitions, by plain passes of the network -------------------------------------


class Plain:
    """A network, a picture and its last map, without anything of camviz's in between."""

    def __init__(self, backbone, photo, target):
        self.model, self.target = backbone.model, target
        self.stage = backbone.stage(backbone.default_stages[-1])
        self.tap = self.stage.activation
        self.image, _ = backbone.prepare(open_picture(photo))
        self.module = self.model.get_submodule(self.tap.module)
        traced = trace(backbone, self.image, [self.tap])
        self.activation = traced.activations[self.tap.address]
        self.gradient = traced.gradients(Target(target))[self.tap.address]

    def logits(self, image, replaced=None):
        hook = self.module.register_forward_hook(
            lambda m, i, output: None if replaced is None
            else self.tap.layout.from_nchw(replaced, output)
        )  # fmt: skip
        with torch.no_grad():
            found = primary_logits(self.model(image.clone()))[0]
        hook.remove()
        return found

    def probability(self, image, replaced=None):
        return self.logits(image, replaced).softmax(0)[self.target]

    def recipro_cam(self):
        _, _, height, width = self.activation.shape
        heat = torch.zeros(height, width)
        for i in range(height):
            for j in range(width):
                seen = torch.zeros(height + 2, width + 2)
                seen[i : i + 3, j : j + 3] = torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
                heat[i, j] = self.probability(self.image, self.activation * seen[1:-1, 1:-1])
        return heat

    def ablation_cam(self):
        heat = torch.zeros(self.activation.shape[2:])
        whole = self.logits(self.image)[self.target]
        for k, channel in enumerate(self.activation[0]):
            without = self.activation.clone()
            without[0, k] = 0
            heat += (whole - self.logits(self.image, without)[self.target]) * channel
        return heat

    def score_cam(self):
        heat, maps = torch.zeros(self.activation.shape[2:]), self.activation[0]
        strength = maps.abs().mean((1, 2)) * maps.std((1, 2), unbiased=False)
        for k in strength.argsort(descending=True)[:5]:
            mask = F.interpolate(maps[None, k, None], self.image.shape[2:], mode="bilinear")
            mask = (mask - mask.min()) / (mask.max() - mask.min())
            heat += self.probability(self.image * mask) * maps[k]
        return heat

    def group_cam(self):
        heat = torch.zeros(self.activation.shape[2:])
        blurred = torch.as_tensor(_blurred(self.image.numpy()))
        before = self.probability(blurred)
        parts = (one.chunk(3, 1) for one in (self.activation, self.gradient))
        for activations, gradients in zip(*parts, strict=True):
            mask = grad_cam(activations, gradients)[0].relu()
            mask = torch.where(mask > np.quantile(mask.numpy(), 0.7), mask, 0)
            mask = mask / mask.max() if mask.any() else mask
            shown = F.interpolate(mask[None, None], self.image.shape[2:], mode="bilinear")
            gain = self.probability(self.image * shown + blurred * (1 - shown)) - before
            heat += gain.clamp_min(0) * mask
        return heat


def _blurred(image):
    """By numpy's convolution of one row or column after the other, mirrored at the border."""
    for axis in (2, 3):
        side = image.shape[axis]
        radius = round(side * 51 / 224) // 2
        kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) * 224 / 50 / side) ** 2)
        border = [(0, 0)] * 4
        border[axis] = (radius, radius)
        padded = np.pad(image, border, mode="reflect")
        image = np.apply_along_axis(np.convolve, axis, padded, kernel / kernel.sum(), "valid")
    return image.astype(np.float32)


# Classes of which the picture shows something, behind a group's mask too.
@pytest.mark.sampled(4)
@pytest.mark.parametrize(("name", "target"), [(RESNET, 3), ("test_vit", 2), ("scenes-convnext", 3)])
@each
def test_the_map_is_that_of_the_definition(engine, tiny, photo, name, target, method):
    backbone = engine.backbone(name) if name.startswith("scenes") else tiny(name)
    x = engine.explain(photo, backbone, method=method, target=target, **BUDGETS.get(method, {}))
    assert x.stages == backbone.default_stages[-1:]
    expected = getattr(Plain(backbone, photo, target), method)().numpy()
    size = np.abs(expected).max()
    assert size > 0 and np.abs(x.raw[x.stages[0]] - expected).max() <= 2e-4 * size


# -- Kept with the trace -------------------------------------------------------------------------


@pytest.fixture
def forwards(monkeypatch):
    """forwards(backbone) -> a list that grows with each sample that its head is given."""

    def watch(backbone):
        samples = []
        plain = backbone.model.forward_head
        monkeypatch.setattr(
            backbone.model, "forward_head",
            lambda x, *rest, **named: samples.append(len(x)) or plain(x, *rest, **named),
        )  # fmt: skip
        return samples

    return watch


@pytest.mark.parametrize("method", ["recipro_cam", "ablation_cam", "score_cam"])
def test_another_class_costs_no_pass_and_is_as_if_explained_alone(photo, tiny, forwards, method):
    backbone = copy_of(tiny(RESNET))
    engine = Engine("cpu")
    first = engine.explain(photo, backbone, method=method, target=3)
    samples = forwards(backbone)
    for target in (5, 0, 3, None):
        x = engine.explain(photo, backbone, method=method, target=target)
        alone = Engine("cpu").explain(photo, tiny(RESNET), method=method, target=x.target)
        stage = x.stages[0]
        assert np.allclose(x.raw[stage], alone.raw[stage], rtol=1e-4, atol=1e-7)
        if target in (0, 5):
            assert not np.allclose(x.raw[stage], first.raw[stage], rtol=1e-3)
    assert not samples
    engine.explain(photo[:, ::-1].copy(), backbone, method=method, target=3)
    assert samples, "another picture does"


def test_group_cam_of_another_class_has_masks_of_its_own(photo, tiny):
    shared, backbone = Engine("cpu"), tiny(RESNET)
    for target in (3, 5, 3):
        x = shared.explain(photo, backbone, method="group_cam", target=target)
        alone = Engine("cpu").explain(photo, backbone, method="group_cam", target=target)
        assert np.array_equal(x.raw[x.stages[0]], alone.raw[x.stages[0]])


def test_other_budgets_are_other_maps(engine, photo, tiny):
    backbone = tiny(RESNET)
    maps = [
        engine.explain(photo, backbone, method="score_cam", target=3, channels=n).raw["layer4"]
        for n in (4, 8)
    ]
    assert not np.allclose(*maps)


def test_a_map_that_hardly_differs_from_place_to_place_says_so(engine, photo, tiny):
    """In a transformer the class token keeps what it is, whatever place alone is shown."""
    x = engine.explain(photo, tiny("test_vit"), method="recipro_cam", target=3)
    (stage,) = x.stages
    note, raw = x.notes[stage], x.raw[stage]
    assert note.floor == pytest.approx(raw.min() / raw.max()) and note.nearly_even
    assert f"the lowest place has {note.floor:.0%} of the highest" in str(note)
    y = engine.explain(photo, tiny(RESNET), method="layer_cam", target=3)
    assert all(note.floor == 0 or y.raw[name].min() > 0 for name, note in y.notes.items())
    assert not any(note.nearly_even for note in y.notes.values())


def test_what_was_scored_outlives_the_trace(photo, tiny, passes):
    """Another layer needs a new trace of the picture, and no pass of what is known by then."""
    engine, backbone = Engine("cpu"), tiny(RESNET)
    options = {"method": "score_cam", "channels": 4, "target": 3}
    first = engine.explain(photo, backbone, **options)
    backbone.stage("layer2.0")  # found out about before counting
    count = passes(backbone)
    engine.explain(photo, backbone, stages=["layer2.0"], target=3)
    known = dict(count)
    assert known["forward"] > 0, "a new trace was made"
    again = engine.explain(photo, backbone, **options)
    assert count == known and np.array_equal(first.raw["layer4"], again.raw["layer4"])


# -- What may be asked for -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 9}, "the default method takes no channels, so channels 9 has no effect; "
                          "leave it out, or take Score-CAM"),
        ({"method": "layer_cam", "groups": 9}, "LayerCAM takes no groups, so groups 9 has no "),
        ({"method": "score_cam", "groups": 9}, "Score-CAM takes no groups.*or take Group-CAM"),
        ({"method": "score_cam", "channels": 0}, "channels is a whole number from 1 to"),
        ({"method": "score_cam", "channels": 2.5}, "whole number"),
        ({"method": "score_cam", "channels": float("inf")}, "whole number"),
        ({"method": "group_cam", "groups": True}, "groups is a whole number"),
        ({"method": "group_cam", "groups": "many"}, "groups is a whole number"),
        ({"method": "recipro_cam", "truncation": 0.9}, "Recipro-CAM uses no gradient of a layer, "
                                                       "so there is nothing to truncate"),
        ({"method": "group_cam", "truncation": 0.9}, "Group-CAM uses the mean of a layer's "
                                                     "gradient alone"),
        ({"method": "group_cam", "truncation": "auto"}, "nothing to truncate"),
        ({"method": "ablation_cam", "score": "probability"}, "Ablation-CAM always reads the logit "
                                                             "of the class, so score"),
        ({"method": "group_cam", "versus": 4}, "Group-CAM always reads the prob.* so versus"),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_refused(engine, photo, tiny, options, message):
    with pytest.raises(MethodError, match=message):
        engine.explain(photo, tiny(RESNET), target=3, **options)


def test_the_request_repeats_it(engine, photo, tiny):
    backbone = tiny(RESNET)
    x = engine.explain(photo, backbone, method="score_cam", target=3)
    assert (x.request.channels, x.request.groups) == (64, None)
    y = engine.explain(photo, backbone, method="group_cam", groups=4.0, stages=["layer3"])
    assert (y.request.channels, y.request.groups, y.stages) == (None, 4, ("layer3",))
    assert engine.explain(photo, backbone).request.channels is None


@each
def test_stages_may_be_named(engine, photo, tiny, method):
    backbone = tiny(RESNET)
    names = ["layer4.0", "layer3"]
    x = engine.explain(photo, backbone, method=method, target=3, stages=names)
    assert set(x.stages) == set(names)
    alone = engine.explain(photo, backbone, method=method, target=3, stages=names[:1])
    assert np.array_equal(alone.raw["layer4.0"], x.raw["layer4.0"])


@each
def test_notes_say_what_it_is_made_of(engine, photo, tiny, method):
    x = engine.explain(photo, tiny(RESNET), method=method, target=3, **BUDGETS.get(method, {}))
    cells, channels = x.raw["layer4"].size, tiny(RESNET).stage("layer4").channels
    assert (
        x.notes["layer4"].sentences[1]
        == {
            "recipro_cam": f"Made of {cells} passes of what follows the layer.",
            "ablation_cam": f"Made of {channels + 1} passes of what follows the layer.",
            "score_cam": f"Made of 5 passes of the network, of {channels} channels the strongest.",
            "group_cam": "Made of 4 passes of the network.",
        }[method]
    )


@pytest.mark.parametrize("method", ["recipro_cam", "ablation_cam"])
def test_a_map_that_nothing_depends_on_is_empty_and_says_so(engine, photo, tiny, method):
    backbone = tiny("test_vit")
    silent = next(stage.name for stage in backbone.stages if stage.zero_gradient)
    x = engine.explain(photo, backbone, method=method, target=3, stages=[silent])
    assert not x.raw[silent].any()
    assert "because the network reads its class token from here on" in str(x.notes[silent])


def test_values_are_read_as_they_are(photo):
    backbone = wrap_backbone(untrained(num_classes=3), device="cpu", output="value")
    x = Engine("cpu").explain(photo, backbone, method="recipro_cam", target=1)
    plain = Plain(backbone, photo, 1)
    plain.probability = lambda image, replaced: plain.logits(image, replaced)[1]
    assert np.allclose(x.raw[x.stages[0]], plain.recipro_cam().numpy(), rtol=1e-4, atol=1e-6)


def test_sigmoids_are_read_one_by_one(photo):
    backbone = wrap_backbone(untrained(num_classes=3), device="cpu", output="sigmoid")
    x = Engine("cpu").explain(photo, backbone, method="recipro_cam", target=1)
    plain = Plain(backbone, photo, 1)
    plain.probability = lambda image, replaced: plain.logits(image, replaced)[1].sigmoid()
    assert np.allclose(x.raw[x.stages[0]], plain.recipro_cam().numpy(), rtol=1e-4, atol=1e-6)


# -- Every method on every kind of network -------------------------------------------------------


@pytest.fixture(scope="module")
def kinds(tiny):
    made = {name: tiny(name) for name in (RESNET, "test_convnext", "test_vit")}

    def get(name):
        if name not in made:
            made[name] = wrap_backbone(small(name), device="cpu")
        return made[name]

    return get


@pytest.fixture(scope="module")
def tiny():
    """As the fixture of all tests, held by this module's own."""
    from camviz import load_backbone

    made = {}

    def get(name):
        if name not in made:
            options = {"zero_init_last": False} if name == RESNET else {}
            made[name] = load_backbone(name, "random", "cpu", **options)
        return made[name]

    return get


# Networks in which every token attends to all, from one family each; and others.
TRANSFORMERS = ("test_vit", "deit_tiny_distilled_patch16_224", "eva02_tiny_patch14_224",
                "vit_tiny_r_s16_p8_224")  # fmt: skip
OTHERS = (RESNET, "test_convnext", "swin_tiny_patch4_window7_224")


@pytest.mark.parametrize("name", [*TRANSFORMERS, *OTHERS])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_on_every_kind_of_network(engine, photo, kinds, unchanged, name, method):
    """A finite map of the class, or a sentence why there is none."""
    backbone = kinds(name)
    with unchanged(backbone.model):
        try:
            x = engine.explain(photo, backbone, method=method, target=3, **BUDGETS.get(method, {}))
        except CamvizError as error:
            if method == "cam":
                assert "CAM is not defined for" in str(error) and name in TRANSFORMERS
            else:
                assert METHODS[method].uses_attention and name not in TRANSFORMERS
                assert "does not exist for" in str(error) and str(error).endswith("LayerCAM does")
            return
    for stage in x.stages:
        assert np.isfinite(x.raw[stage]).all()
        assert x.raw[stage].any() or "Empty" in str(x.notes[stage])
    assert x.fused.max() <= 1


# -- Progress, Stop and state --------------------------------------------------------------------


class Stop(Exception):
    pass


@each
def test_progress_counts_passes_over_all_stages(photo, tiny, method):
    reports = []
    engine, backbone = Engine("cpu"), tiny(RESNET)
    stages = ["layer3", "layer4"]
    engine.explain(
        photo, backbone, method=method, target=3, stages=stages,
        progress=lambda *report: reports.append(report), **BUDGETS.get(method, {}),
    )  # fmt: skip
    scoring, budget = METHODS[method].scoring, (*BUDGETS.get(method, {}).values(), 0)[0]
    total = 0
    for stage in map(backbone.stage, stages):
        total += scoring.passes(stage.channels, stage.grid[0] * stage.grid[1], budget)
    assert {of for _, of, _ in reports} == {total}
    done = [row[0] for row in reports]
    assert done == sorted(done) and done[0] == 0 and done[-1] < total
    assert [text for *_, text in reports][:: len(reports) - 1] == [
        f"{METHODS[method].label} at {name}" for name in stages
    ]
    again = []
    engine.explain(photo, backbone, method=method, target=3, stages=stages,
                   progress=lambda *r: again.append(r), **BUDGETS.get(method, {}))  # fmt: skip
    assert not again


@pytest.mark.sampled(3)
@pytest.mark.parametrize("after", [0, 1])
@each
def test_what_progress_raises_ends_it_and_leaves_the_network_whole(
    photo, tiny, unchanged, monkeypatch, method, after
):
    monkeypatch.setattr(perturbation, "_MOST_MAPS", 8)
    backbone = copy_of(tiny(RESNET))
    backbone.model.train()
    engine, reports = Engine("cpu"), []

    def stop(*report):
        reports.append(report)
        if len(reports) > after:
            raise Stop

    options = {"method": method, "target": 3, "stages": ["layer2"]}
    with unchanged(backbone.model), pytest.raises(Stop):
        engine.explain(photo, backbone, progress=stop, **options)
    assert len(reports) == after + 1
    assert not any("forward" in vars(module) for module in backbone.model.modules())
    assert not _detours._held and backbone.lock.acquire(blocking=False)
    backbone.lock.release()
    x = engine.explain(photo, backbone, **options)
    y = Engine("cpu").explain(photo, tiny(RESNET), **options)
    assert np.allclose(x.raw["layer2"], y.raw["layer2"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["recipro_cam", "group_cam"])
def test_several_views_are_averaged_counted_and_stopped(photo, tiny, method):
    engine, backbone, reports = Engine("cpu"), tiny(RESNET), []
    options = {"method": method, "target": 3, **BUDGETS.get(method, {})}
    x = engine.explain(
        photo, backbone, views="paper", progress=lambda *report: reports.append(report), **options
    )
    shares = [done / of for done, of, _ in reports]
    assert shares == sorted(shares) and shares[-1] < 1
    assert len({text.split(":")[0] for *_, text in reports}) == len(VIEWS["paper"])
    flip = engine.explain(photo, backbone, views="flip", **options)
    here = engine.explain(photo, backbone, **options)
    there = engine.explain(photo[:, ::-1].copy(), backbone, **options)
    mean = (here.normalized["layer4"] + there.normalized["layer4"][:, ::-1]) / 2
    assert np.allclose(flip.raw["layer4"], mean, atol=1e-5)
    assert x.raw["layer4"].shape[0] > here.raw["layer4"].shape[0]

    def stop(*report):
        if ":" in report[2]:
            raise Stop

    with pytest.raises(Stop):
        Engine("cpu").explain(photo, backbone, views="paper", progress=stop, **options)


@pytest.mark.sampled
@each
def test_eight_threads_at_once_give_the_maps_that_one_gives(photo, tiny, method):
    """On two networks that share their layers, while another thread runs one of them."""
    one = copy_of(tiny(RESNET))
    two = wrap_backbone(one.model, device="cpu")
    engine = Engine("cpu")
    options = {"method": method, "target": 3, "stages": ["layer3"], **BUDGETS.get(method, {})}
    pictures = [np.roll(photo, 11 * n, axis=1) for n in range(4)]
    expected = [Engine("cpu").explain(p, tiny(RESNET), **options).raw["layer3"] for p in pictures]
    noise = torch.full((1, 3, 160, 160), 0.3)
    with torch.no_grad():
        logits = one.model(noise)
    found, theirs, over = {}, [], threading.Event()

    def explain(number):
        backbone = (one, two)[number % 2]
        found[number] = engine.explain(pictures[number // 2], backbone, **options).raw["layer3"]

    def run():
        with torch.no_grad():
            while not over.is_set():
                theirs.append(torch.equal(one.model(noise), logits))

    bystander = threading.Thread(target=run)
    threads = [threading.Thread(target=explain, args=(number,)) for number in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    bystander.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    bystander.join()
    sys.setswitchinterval(interval)
    assert all(theirs) and theirs
    for number in range(8):
        size = np.abs(expected[number // 2]).max()
        assert np.abs(found[number] - expected[number // 2]).max() <= 1e-4 * size


# -- Elsewhere -----------------------------------------------------------------------------------


@pytest.mark.sampled
@each
def test_another_process_gives_the_same_map(photo, method):
    tasks, worker = [], Engine("cpu")

    def send(task):
        tasks.append(pickle.loads(pickle.dumps(task)))
        return pickle.loads(pickle.dumps(worker.run(tasks[-1])))

    remote, reports = Engine("cpu", runner=RemoteRunner(send)), []
    options = {"weights": "random", "method": method, **BUDGETS.get(method, {})}
    x = remote.explain(photo, RESNET, target=3, progress=lambda *r: reports.append(r), **options)
    y = worker.explain(photo, RESNET, target=3, **options)
    stage = y.stages[0]
    assert np.allclose(x.raw[stage], y.raw[stage], rtol=1e-4, atol=1e-7)
    assert type(tasks[-1].work) is ScoreChanges and tasks[-1].work.slow
    assert len(reports) == 1 and reports[0][0] == 0 and reports[0][1] > 1
    before = len(tasks)
    remote.explain(photo, RESNET, target=5, **options)
    assert len(tasks) - before == (2 if method == "group_cam" else 0)
    assert remote.price(RESNET, method, weights="random", **BUDGETS.get(method, {})) > 0

    def stop(*_):
        raise Stop

    with pytest.raises(Stop):
        remote.explain(photo[::-1].copy(), RESNET, target=3, progress=stop, **options)


# -- Prices --------------------------------------------------------------------------------------


def test_a_price_follows_from_passes_and_their_time(photo, tiny, monkeypatch):
    engine, backbone = Engine("cpu"), copy_of(tiny(RESNET))
    assert engine.price(backbone, "score_cam") is None, "nothing was measured yet"
    assert engine.price(backbone, "layer_cam") == engine.price(backbone, "cam") == 0
    engine.explain(photo, backbone)
    stage = backbone.stage("layer4")
    after = {
        backbone.stage(n).activation.address: s for n, s in (("layer3", 0.5), ("layer4", 0.25))
    }
    monkeypatch.setattr(Timings, "of", lambda *_: Timing(2.0, after))
    cells, channels = stage.grid[0] * stage.grid[1], stage.channels
    assert engine.price(backbone, "recipro_cam") == cells * 0.25
    assert engine.price(backbone, "ablation_cam") == (channels + 1) * 0.25
    assert engine.price(backbone, "score_cam", channels=9) == 18
    assert engine.price(backbone, "score_cam") == 2 * min(64, channels)
    assert engine.price(backbone, "group_cam", groups=7) == 16
    finer = backbone.stage("layer3").grid[0] ** 2
    assert engine.price(backbone, "recipro_cam", ["layer3", "layer4"]) == (
        finer * 0.5 + cells * 0.25
    )
    other = backbone.stage("layer2.0").grid[0] ** 2
    assert engine.price(backbone, "recipro_cam", ["layer2.0"]) == 2 * other, "not timed: at most"
    flip = engine.price(backbone, "score_cam", channels=9, views="flip")
    assert flip == 2 * 18 + 2, "and the trace of the mirrored picture"
    assert engine.price(backbone, "layer_cam", views="flip") == 2 * 3
    sizes = sum(2 * s * s for s in (1, 0.5, 1.5, 2))
    paper = engine.price(backbone, "score_cam", channels=9, views="paper")
    assert paper == pytest.approx(18 * sizes + 2 * (sizes - 1))
    with pytest.raises(MethodError, match="has no effect"):
        engine.price(backbone, "recipro_cam", channels=3)


def test_what_is_measured_is_the_time_of_the_pass(photo):
    """And the quickest of several counts, of each part by itself."""

    class Slow(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.seconds = inner, 0.0

        def forward(self, x):
            time.sleep(self.seconds)
            return self.inner(x)

    model = untrained(zero_init_last=False)
    model.layer3 = Slow(model.layer3)
    backbone = wrap_backbone(model, device="cpu")
    engine = Engine("cpu")
    model.layer3.seconds = 0.4
    engine.explain(photo, backbone)
    timing = engine._traces.timings.of(backbone)
    after = {stage.name: timing.after[stage.activation.address] for stage in backbone.stages[1:]}
    assert timing.whole >= after["layer2"] >= 0.4 > after["layer4"]
    model.layer3.seconds = 0
    engine.explain(photo[::-1].copy(), backbone)
    timing = engine._traces.timings.of(backbone)
    assert 0 < timing.after[backbone.stage("layer2").activation.address] < 0.4


def test_the_quicker_of_two_passes():
    one, two = Timing(3.0, {"a": 1.0, "b": 2.0}), Timing(2.0, {"b": 5.0, "c": 4.0})
    assert one.quicker(two) == two.quicker(one) == Timing(2.0, {"a": 1.0, "b": 2.0, "c": 4.0})
