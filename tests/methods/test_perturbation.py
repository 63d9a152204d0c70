"""Maps from changed maps and pictures: slow twins straight from the definitions, and what follows.

The networks here are small and in double precision; a twin changes one thing at a time.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from camviz.methods import METHODS, perturbation
from camviz.methods.gradient import grad_cam
from camviz.methods.perturbation import (
    ablation_cam,
    ablation_weights,
    group_cam,
    group_masks,
    recipro_cam,
    score_cam,
    strongest_channels,
)
from tests.support.tensors import close64, noise64, same

SCORING = [name for name, row in METHODS.items() if row.scoring is not None]
SHAPES = [(1, 1, 1, 1), (1, 3, 1, 5), (1, 2, 4, 3), (1, 70, 3, 4), (1, 5, 9, 9)]
CLASSES, SIDE = 4, 24

each = pytest.mark.parametrize("name", SCORING)


def tail(channels, seed=0):
    """What follows a map: mixes channels and places, so that scores are not linear in it."""
    mix, head = noise64((6, channels, 3, 3), seed) / 3, noise64((CLASSES, 6), seed + 1)
    return lambda maps: F.conv2d(maps, mix, padding=1).tanh().square().mean((2, 3)) @ head.T


def probabilities(score):
    return lambda given: score(given).softmax(dim=1)


def network(seed=0):
    """Scores of pictures, (B, 3, h, w)."""
    return probabilities(lambda images: 8 * tail(3, seed + 5)(images))


def given(name, shape, seed=0):
    """(arguments, score function) of a method, for maps of this shape."""
    method = METHODS[name]
    available = {
        "activations": noise64(shape, seed),
        "gradients": noise64(shape, seed + 1),
        "image": noise64((1, 3, SIDE, SIDE), seed + 2),
        "score_fn": network(seed) if method.scoring.whole else tail(shape[1], seed),
    }
    return {need: available[need] for need in method.needs}


def run(name, arguments, **options):
    return METHODS[name].function(**arguments, **options)


# -- Twins ---------------------------------------------------------------------------------------


def slow_recipro(activations, score_fn):
    _, _, height, width = activations.shape
    maps = torch.zeros(CLASSES, height, width, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            seen = torch.zeros_like(activations)
            for di, dj in ((a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)):
                y, x = i + di, j + dj
                if 0 <= y < height and 0 <= x < width:
                    factor = (2 - abs(di)) * (2 - abs(dj)) / 4
                    seen[0, :, y, x] = activations[0, :, y, x] * factor
            maps[:, i, j] = score_fn(seen)[0]
    return maps


def slow_ablation(activations, score_fn):
    maps = torch.zeros(CLASSES, *activations.shape[2:], dtype=torch.float64)
    whole = score_fn(activations.clone())[0]
    for k in range(activations.shape[1]):
        without = activations.clone()
        without[0, k] = 0
        fall = whole - score_fn(without)[0]
        for c in range(CLASSES):
            maps[c] += fall[c] * activations[0, k]
    return maps


def slow_score(activations, image, score_fn, most):
    strength = {}
    for k, heat in enumerate(activations[0]):
        if heat.max() > heat.min():
            strength[k] = float(heat.abs().mean()) * float(heat.std(unbiased=False))
    chosen = sorted(strength, key=strength.get, reverse=True)[:most]
    maps = torch.zeros(CLASSES, *activations.shape[2:], dtype=torch.float64)
    for k in chosen:
        heat = activations[0, k]
        shown = F.interpolate(heat[None, None], image.shape[2:], mode="bilinear")[0, 0]
        mask = (shown - shown.min()) / (shown.max() - shown.min())
        for c, weight in enumerate(score_fn(image * mask)[0]):
            maps[c] += weight * heat
    return maps


def slow_group(activations, gradients, image, score_fn, groups):
    blurred = slow_blur(image)
    before = score_fn(blurred.clone())[0]
    maps = torch.zeros(CLASSES, *activations.shape[2:], dtype=torch.float64)
    size = math.ceil(activations.shape[1] / groups)
    for start in range(0, activations.shape[1], size):
        part = slice(start, start + size)
        heat = grad_cam(activations[:, part], gradients[:, part])[0].relu()
        ordered = heat.flatten().sort().values
        place = 0.7 * (len(ordered) - 1)
        low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
        mask = torch.where(heat > low + (high - low) * (place % 1), heat, 0)
        if not mask.any():
            continue
        mask = mask / mask.max()
        shown = F.interpolate(mask[None, None], image.shape[2:], mode="bilinear")
        gain = score_fn(image * shown + blurred * (1 - shown))[0] - before
        for c in range(CLASSES):
            maps[c] += max(float(gain[c]), 0.0) * mask
    return maps


def slow_blur(image):
    """A Gaussian of 51 of 224 pixels, mirrored at the border, one pixel at a time."""
    side = image.shape[2]
    radius = round(side * 51 / 224) // 2
    weights = {d: math.exp(-0.5 * (d * 224 / 50 / side) ** 2) for d in range(-radius, radius + 1)}

    def mirrored(place):
        place = abs(place)
        return place if place < side else 2 * (side - 1) - place

    out = torch.zeros_like(image)
    for y in range(side):
        for x in range(side):
            for dy, a in weights.items():
                for dx, b in weights.items():
                    out[..., y, x] += a * b * image[..., mirrored(y + dy), mirrored(x + dx)]
    return out / sum(weights.values()) ** 2


@pytest.mark.parametrize("shape", SHAPES, ids=str)
class TestTwins:
    def test_recipro_cam(self, shape):
        arguments = given("recipro_cam", shape)
        close64(recipro_cam(**arguments), slow_recipro(**arguments))

    def test_ablation_cam(self, shape):
        arguments = given("ablation_cam", shape)
        close64(ablation_cam(**arguments), slow_ablation(**arguments))

    @pytest.mark.parametrize("most", [1, 3, 64])
    def test_score_cam(self, shape, most):
        arguments = given("score_cam", shape)
        close64(score_cam(**arguments, channels=most), slow_score(**arguments, most=most))

    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("groups", [1, 3, 32])
    def test_group_cam(self, shape, groups):
        arguments = given("group_cam", shape)
        close64(group_cam(**arguments, groups=groups), slow_group(**arguments, groups=groups))


# -- What follows from the definitions -----------------------------------------------------------


def pooled_linear(channels, seed=0):
    """(scores after average pooling by a linear head, its weights)."""
    head, bias = noise64((CLASSES, channels), seed), noise64((CLASSES,), seed + 1)
    return (lambda maps: maps.mean(dim=(2, 3)) @ head.T + bias), head


def test_ablation_of_a_linear_head_is_by_its_weights():  # T-A-1
    activations = noise64((1, 7, 4, 5)).relu()
    score, head = pooled_linear(7)
    expected = head.T * activations.mean(dim=(2, 3))[0, :, None]
    close64(ablation_weights(activations, score), expected)
    heat = ablation_cam(activations, score)
    close64(heat, torch.einsum("ck,k,khw->chw", head, activations[0].mean((1, 2)), activations[0]))
    cam = torch.einsum("ck,khw->chw", head, activations[0])
    assert (heat / heat.amax((1, 2), True) - cam / cam.amax((1, 2), True)).abs().max() > 0.05


def test_recipro_of_one_cell_that_counts_shows_it():
    """A score that reads one channel at one place: the weights around it, times its value."""
    activations = noise64((1, 3, 5, 6)).abs() + 0.5
    heat = recipro_cam(activations, lambda maps: maps[:, 1:2, 2, 3])[0]
    expected = torch.zeros(5, 6, dtype=torch.float64)
    expected[1:4, 2:5] = torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    close64(heat, expected * activations[0, 1, 2, 3])


def test_where_nothing_depends_on_the_map_it_is_empty():
    def constant(maps):
        return torch.full((len(maps), CLASSES), 0.3) + 1e-8 * torch.randn(len(maps), CLASSES)

    activations = noise64((1, 6, 9, 9)).float()
    assert not recipro_cam(activations, constant).any()
    assert not ablation_cam(activations, constant).any()


def test_channels_that_are_the_same_everywhere_count_nothing():  # T-SC-2
    arguments = given("score_cam", (1, 4, 5, 5))
    arguments["activations"][0, 2] = 3.0
    heat = score_cam(**arguments)
    arguments["activations"][0, 2] = -7.0
    close64(score_cam(**arguments), heat)
    assert strongest_channels(arguments["activations"], 9).tolist() == [0, 1, 3]
    arguments["activations"][:] = 2.0
    nothing = score_cam(**arguments)
    assert nothing.shape == (CLASSES, 5, 5) and not nothing.any()


def test_the_order_of_channels_does_not_matter_but_to_groups():  # T-SC-3
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    for name in SCORING:
        arguments = given(name, (1, 9, 5, 4))
        heat = run(name, arguments, **({"channels": 5} if name == "score_cam" else {}))
        turned = {k: v[:, order] if k in ("activations", "gradients") else v
                  for k, v in arguments.items()}  # fmt: skip
        if not METHODS[name].scoring.whole:
            score, back = arguments["score_fn"], order.argsort()
            turned["score_fn"] = lambda maps, score=score, back=back: score(maps[:, back])
        again = run(name, turned, **({"channels": 5} if name == "score_cam" else {}))
        close64(again, heat)


def test_a_network_that_does_not_look_weights_all_channels_alike():  # T-SC-4
    arguments = given("score_cam", (1, 6, 4, 4))
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    heat = score_cam(**arguments | {"score_fn": lambda images: shares.repeat(len(images), 1)})
    close64(heat, shares[:, None, None] * arguments["activations"][0].sum(0))


def test_the_strongest_channels_are_kept():
    activations = torch.zeros(1, 4, 1, 2, dtype=torch.float64)
    for k, size in enumerate((1.0, 8.0, 2.0, 4.0)):
        activations[0, k, 0, 1] = size
    assert strongest_channels(activations, 2).tolist() == [1, 3]
    seen = []
    score_cam(activations, noise64((1, 3, 4, 4)), lambda x: seen.append(len(x)) or x.mean((2, 3)),
              channels=3)  # fmt: skip
    assert sum(seen) == 3


def test_a_group_that_shows_nothing_of_the_class_counts_nothing():
    """The score is how much of the left half is there: a mask on the right gains nothing."""
    activations = torch.zeros(1, 2, 2, 8, dtype=torch.float64)
    activations[0, 0, :, 0], activations[0, 1, :, 7] = 1, 1
    image = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64)
    image[..., ::2], image[..., 1::2] = 1, -1

    def contrast(images):
        return images[..., : SIDE // 2].var(dim=(1, 2, 3))[:, None]

    heat = group_cam(activations, torch.ones_like(activations), image, contrast, groups=2)[0]
    assert (heat[:, 0] > 0).all() and not heat[:, 1:].any()
    assert not group_cam(activations, -torch.ones_like(activations), image, contrast).any()


def test_masks_of_groups_keep_the_strongest_cells():
    activations, gradients = noise64((1, 8, 5, 6)), noise64((1, 8, 5, 6), 1)
    masks = group_masks(activations, gradients, 4)
    assert len(masks) == 4 and (masks.amax((1, 2)) == 1).all() and (masks >= 0).all()
    assert ((masks > 0).sum((1, 2)) <= 9).all()


# -- Every one of them ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@each
class TestEvery:
    def test_all_classes_at_once_are_each_one_alone(self, name, shape):
        arguments = given(name, shape)
        heat = run(name, arguments)
        assert heat.shape == (CLASSES, *shape[2:]) and torch.isfinite(heat).all()
        for index in range(CLASSES):
            score = arguments["score_fn"]
            alone = arguments | {"score_fn": lambda x, s=score, i=index: s(x)[:, i : i + 1]}
            close64(run(name, alone)[0], heat[index], 1e-10)

    def test_passes_are_as_many_as_the_table_says(self, name, shape):
        arguments, scoring = given(name, shape), METHODS[name].scoring
        if name == "group_cam":  # no group is empty
            arguments["activations"].abs_()
            arguments["gradients"].abs_()
        passes, reports = [], []
        score = arguments["score_fn"]

        def counted(x):
            passes.append(len(x))
            return score(x)

        cells = math.prod(shape[2:])
        for budget in (1, 3) if scoring.budget else (0,):
            passes.clear(), reports.clear()
            options = {scoring.budget[0]: budget} if scoring.budget else {}
            run(name, arguments | {"score_fn": counted}, **options,
                progress=lambda *done: reports.append(done))  # fmt: skip
            one = scoring.whole and cells == 1  # which is the same everywhere, and no mask
            assert sum(passes) == (1 if one else scoring.passes(shape[1], cells, budget))
            done = [sum(passes[:i]) for i in range(len(passes))]
            assert not reports or [report[0] for report in reports] == done
            assert all(of == sum(passes) for _, of in reports)

    def test_leaves_its_input_alone(self, name, shape):
        arguments = given(name, shape)
        before = {k: v.clone() for k, v in arguments.items() if isinstance(v, torch.Tensor)}
        score = arguments["score_fn"]

        def careless(x):
            scores = score(x)
            x.fill_(torch.nan)
            return scores

        run(name, arguments | {"score_fn": careless})
        for key, tensor in before.items():
            same(arguments[key], tensor)

    def test_what_is_scored_at_once_is_bounded(self, name, shape, monkeypatch):
        """And however it is cut into chunks, the map is the same."""
        arguments = given(name, shape)
        heat = run(name, arguments)
        monkeypatch.setattr(perturbation, "_MOST_BYTES", 2 * 8 * math.prod(shape))
        monkeypatch.setattr(perturbation, "_MOST_PICTURES", 2)
        sizes, score = [], arguments["score_fn"]
        again = run(name, arguments | {"score_fn": lambda x: sizes.append(len(x)) or score(x)})
        assert max(sizes) <= 2
        close64(again, heat)

    def test_what_the_progress_raises_ends_the_work(self, name, shape, monkeypatch):
        class Stop(Exception):
            pass

        def stop(done, of):
            if done:
                raise Stop

        monkeypatch.setattr(perturbation, "_MOST_MAPS", 1)
        monkeypatch.setattr(perturbation, "_MOST_PICTURES", 1)
        arguments, passes = given(name, shape), []
        score = arguments["score_fn"]
        counted = arguments | {"score_fn": lambda x: passes.append(len(x)) or score(x)}
        try:
            run(name, counted, progress=stop)
        except Stop:
            assert passes == [1]
        else:
            assert sum(passes) == 1, "there was one pass only"


@each
def test_what_is_not_a_number_is_not_hidden(name):
    for need in set(METHODS[name].needs) - {"score_fn"}:
        arguments = given(name, (1, 3, 4, 5))
        arguments[need].view(-1)[1] = torch.nan
        assert not torch.isfinite(run(name, arguments)).all(), need
    arguments = given(name, (1, 3, 4, 5))
    wrong = arguments | {"score_fn": lambda x: torch.full((len(x), CLASSES), torch.nan).double()}
    assert not torch.isfinite(run(name, wrong)).all()


@each
def test_the_sign_is_as_declared(name):
    method = METHODS[name]
    lowest = []
    for seed in range(10):
        arguments = given(name, (1, 5, 4, 3), seed)
        if method.scoring.of == "probability" and not method.scoring.whole:
            arguments["score_fn"] = probabilities(arguments["score_fn"])
        lowest.append(float(run(name, arguments).min()))
    assert (min(lowest) < -0.01) if method.signed else (min(lowest) >= 0)
