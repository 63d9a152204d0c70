"""The tables: what every row of METHODS and FUSIONS promises."""

import inspect
import re

import pytest
import torch
import torch.nn.functional as F

from camviz.maps.fusion import FUSIONS, Placement, fuse, normalize
from camviz.methods import METHODS
from tests.support.tensors import close64, noise64

NEEDS = {
    ("activations", "gradients"),
    ("activations",),
    ("features", "weights"),
    ("activations", "foreground", "context"),
    ("activations", "score_fn"),
    ("activations", "image", "score_fn"),
    ("activations", "gradients", "image", "score_fn"),
    ("attention", "attention_gradients", "readers"),
    ("attention", "values", "output_gradients", "readers"),
    ("attention", "readers"),
    ("tokens", "token_gradients"),
}
SHAPES = [(1, 1, 1, 1), (2, 3, 1, 1), (1, 1, 1, 7), (3, 2, 4, 5), (2, 40, 3, 4)]

# Those of transformers, and those that score what they change, have tests of their own.
OF_MAPS = [n for n, row in METHODS.items() if not row.uses_attention and row.scoring is None]
each_row = pytest.mark.parametrize("name", METHODS)
every = pytest.mark.parametrize("name", OF_MAPS)


def inputs(shape, seed=0, kind="signed", dtype=torch.float64):
    """(activations, gradients, one weight a channel), random."""
    activations = noise64(shape, seed, dtype)
    activations = activations.relu() if kind == "relu" else activations
    return activations, noise64(shape, seed + 1, dtype), noise64(shape[:2], seed + 2, dtype)


def arguments(name, activations, gradients, weights):
    available = {
        "activations": activations,
        "features": activations,
        "gradients": gradients,
        "weights": weights,
        "foreground": weights[:, None],
        "context": -weights[:, None].pow(3),
    }
    return [available[need] for need in METHODS[name].needs]


def run(name, activations, gradients, weights):
    return METHODS[name].function(*arguments(name, activations, gradients, weights))


TYPESET = (
    ("sum_", "Σ_"),
    ("relu(", "ReLU("),
    (" * ", " · "),
    (" @ ", " · "),
    (" <- ", " ← "),
    ("alpha_", "α_"),
    ("H*W", "H · W"),
    (" - ", " − "),
    ("...", "…"),
)


def docstring_formula(function):
    """The first equation of a docstring, typeset: on a line of its own, or after a colon."""
    text = inspect.getdoc(function)
    blocks = [b for b in text.split("\n\n") if b.startswith("    ") and " = " in b]
    formula = blocks[0].strip() if blocks else text.split(": ")[-1].rstrip(".")
    for typed, sign in TYPESET:
        formula = formula.replace(typed, sign)
    return formula


class TestRows:
    @each_row
    def test_the_formula_is_that_of_the_docstring(self, name):
        assert METHODS[name].formula == docstring_formula(METHODS[name].function)

    @pytest.mark.parametrize("name", FUSIONS)
    def test_the_formula_of_a_fusion_is_that_of_the_docstring(self, name):
        assert FUSIONS[name].formula == docstring_formula(FUSIONS[name].combine)

    @pytest.mark.parametrize("row", [*METHODS.values(), *FUSIONS.values()], ids=lambda r: r.label)
    def test_the_summary_is_one_sentence(self, row):
        assert re.fullmatch(r"[A-Z][^.]{15,}\.", row.summary)
        assert " = " in row.formula and "*" not in row.formula

    @each_row
    def test_a_row_is_complete(self, name):
        row = METHODS[name]
        assert row.label.strip() and row.paper.strip()
        assert re.match(r"one forward (pass|and one backward pass)", row.cost)
        assert ("score_fn" in row.needs) == (row.scoring is not None)
        assert row.function.__name__.replace("lp_cam", "lpcam") == name
        assert row.needs in NEEDS
        parameters = inspect.signature(row.function).parameters.values()
        assert tuple(p.name for p in parameters if p.default is p.empty) == row.needs
        assert "M = " in inspect.getdoc(row.function)

    def test_no_two_are_called_the_same(self):
        rows = METHODS.values()
        assert len({row.label for row in rows}) == len({row.function for row in rows}) == len(rows)

    @pytest.mark.parametrize("name", FUSIONS)
    def test_a_fusion_is_complete(self, name):
        assert FUSIONS[name].label.strip() and FUSIONS[name].paper.strip()

    def test_no_two_fusions_are_called_the_same(self):
        assert len({row.label for row in FUSIONS.values()}) == len(FUSIONS)
        pairs = {(row.scale, row.combine) for row in FUSIONS.values()}
        assert len(pairs) == len(FUSIONS)

    @each_row
    def test_a_map_for_the_class_needs_the_class(self, name):
        row = METHODS[name]
        assert row.class_specific == (
            row.uses_gradients
            or bool({"weights", "foreground", "score_fn", "token_gradients"} & set(row.needs))
        )

    @every
    def test_the_sign_is_as_declared(self, name):
        lowest = min(run(name, *inputs((2, 5, 4, 3), seed)).min() for seed in range(20))
        assert (lowest < -0.1) if METHODS[name].signed else (lowest >= 0)

    @pytest.mark.parametrize("name", [n for n in OF_MAPS if METHODS[n].truncates])
    def test_what_shows_the_checkerboard_is_smoothed(self, name):
        """Where every feature is the same, only the gradient can make one place differ."""
        activations = torch.full((1, 3, 6, 6), 2.0)
        gradients = torch.full((1, 3, 6, 6), 0.1)
        gradients[:, :, ::2, ::2] = 0.9
        heat = run(name, activations, gradients, gradients[:, :, 0, 0])[0]
        shows = bool(heat.max() - heat.min() > 0.1 * heat.max())
        if name == "hires_cam":  # smoothed, it would no longer add up to the score
            assert shows and not METHODS[name].smooth
        else:
            assert METHODS[name].smooth == shows

    @every
    def test_only_gradients_have_a_checkerboard(self, name):
        assert "gradients" in METHODS[name].needs or not METHODS[name].smooth


class TestEveryMethod:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("kind", ["relu", "signed"])
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    @every
    def test_shape_type_and_finite(self, name, shape, kind, dtype):
        heat = run(name, *inputs(shape, kind=kind, dtype=dtype))
        assert heat.shape == (shape[0], *shape[2:]) and heat.dtype == dtype
        assert torch.isfinite(heat).all()

    @pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1e-12])
    @pytest.mark.parametrize("slope", [0.0, 1.0, -1.0, 1e-20])
    @every
    def test_constant_features_give_a_constant_map(self, name, value, slope):
        activations = torch.full((2, 3, 4, 5), value, dtype=torch.float64)
        heat = run(name, activations, torch.full_like(activations, slope), activations[:, :, 0, 0])
        assert torch.isfinite(heat).all()
        close64(heat, heat[:, :1, :1].expand_as(heat))

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    @every
    def test_what_the_class_ignores_is_not_shown(self, name, shape, kind):
        activations, gradients, weights = inputs(shape, kind=kind)
        heat = run(name, activations, torch.zeros_like(gradients), torch.zeros_like(weights))
        assert (heat == 0).all() or not METHODS[name].class_specific

    @every
    def test_no_features_no_map(self, name):
        activations, gradients, weights = inputs((2, 3, 4, 5))
        assert (run(name, torch.zeros_like(activations), gradients, weights) == 0).all()

    @every
    def test_evidence_for_the_class_is_shown(self, name):
        activations, gradients, weights = (one.abs() + 0.1 for one in inputs((2, 3, 4, 5)))
        assert (run(name, activations, gradients, weights) > 0.01).all()

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    @every
    def test_leaves_its_input_alone(self, name, kind):
        given = inputs((2, 3, 4, 5), kind=kind)
        before = [one.clone() for one in given]
        heat = run(name, *given)
        for one, other in zip(given, before, strict=True):
            assert torch.equal(one, other)
            assert heat.untyped_storage().data_ptr() != one.untyped_storage().data_ptr()

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    @every
    def test_samples_do_not_meet(self, name, kind):
        given = inputs((3, 4, 5, 4), kind=kind)
        together = run(name, *given)
        for i in range(3):
            close64(run(name, *(one[i : i + 1] for one in given))[0], together[i])

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    @every
    def test_the_order_of_channels_does_not_matter(self, name, kind):
        given = inputs((2, 6, 5, 4), kind=kind)
        order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
        close64(run(name, *(one[:, order] for one in given)), run(name, *given))

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    @every
    def test_the_layout_in_memory_does_not_matter(self, name, kind):
        activations, gradients, weights = inputs((2, 6, 5, 4), kind=kind)
        strided = [one.contiguous(memory_format=torch.channels_last) for one in (activations,)]
        strided.append(gradients.mT.contiguous().mT)
        assert not any(one.is_contiguous() for one in strided)
        close64(run(name, *strided, weights), run(name, activations, gradients, weights))

    @pytest.mark.parametrize("kind", ["relu", "signed"])
    @every
    def test_commutes_with_flips_and_transposing(self, name, kind):
        activations, gradients, weights = inputs((2, 6, 5, 4), kind=kind)
        heat = run(name, activations, gradients, weights)
        for turn in (lambda t: t.flip(-1), lambda t: t.flip(-2), lambda t: t.mT):
            close64(run(name, turn(activations), turn(gradients), weights), turn(heat))

    @pytest.mark.parametrize(
        ("name", "need"),
        [(name, need) for name in OF_MAPS for need in METHODS[name].needs],
    )
    def test_what_is_not_a_number_is_not_hidden(self, name, need):
        """The map is not finite either, and `normalize` refuses it."""
        given = dict(zip(METHODS[name].needs, arguments(name, *inputs((1, 3, 4, 5))), strict=True))
        given[need].view(-1)[1] = torch.nan
        heat = METHODS[name].function(**given)[0]
        with pytest.raises(ValueError, match="not finite"):
            normalize(heat)


def mirrored_net(seed):
    """Three convolutions of stride 1 whose kernels are symmetric from left to right, and a head."""
    channels = (3, 6, 5, 7)
    layers = []
    for i in range(3):
        kernel = noise64((channels[i + 1], channels[i], 3, 3), 10 * seed + i)
        kernel = (kernel + kernel.flip(3)) * (1 / (18 * channels[i])) ** 0.5
        layers.append((kernel, 0.2 * noise64((channels[i + 1],), 10 * seed + 5 + i)))
    head = noise64((4, channels[-1]), 10 * seed + 9)

    def trace(x, target):
        """[(map, gradient, the class's weights)] of the three layers."""
        maps = []
        for kernel, bias in layers:
            x = F.conv2d(x, kernel, bias, padding=1).relu().requires_grad_()
            maps.append(x)
        # The square makes the gradient of the last map depend on the picture, too.
        score = (x.mean(dim=(2, 3)) @ head.T + x.square().mean(dim=(2, 3)) @ head.T)[:, target]
        gradients = torch.autograd.grad(score.sum(), maps)
        row = head[target].expand(len(x), -1)
        return [
            (a.detach(), g, row[:, :1].expand(-1, a.shape[1]))
            for a, g in zip(maps, gradients, strict=True)
        ]

    return trace


@pytest.mark.parametrize("seed", [0, 1])
@every
def test_a_mirrored_picture_has_mirrored_maps(name, seed):
    trace, x = mirrored_net(seed), noise64((2, 3, 7, 9), 99)
    for here, there in zip(trace(x, 1), trace(x.flip(3), 1), strict=True):
        heat = run(name, *here)
        assert (heat - heat.flip(2)).abs().max() > 1e-6
        close64(run(name, *there), heat.flip(2))


@pytest.mark.parametrize("mode", FUSIONS)
class TestEveryFusion:
    def stages(self, maps):
        return maps, [Placement((24 / m.shape[0], 24 / m.shape[1])) for m in maps]

    def test_shape_range_and_input(self, mode):
        maps = [
            normalize(noise64(grid, 1) + 1) for grid in ((8, 6), (4, 3), (2, 2), (1, 1), (1, 3))
        ]
        before = [heat.clone() for heat in maps]
        heat, placement = fuse(*self.stages(maps), mode)
        assert heat.shape == (8, 6) and placement == Placement((3.0, 4.0))
        assert heat.min() >= 0 and heat.max() == 1
        assert all(torch.equal(one, other) for one, other in zip(maps, before, strict=True))

    def test_constant_and_zero(self, mode):
        ones, nothing = [torch.ones(4, 3), torch.ones(2, 2)], [torch.zeros(4, 3), torch.zeros(2, 2)]
        close64(fuse(*self.stages(ones), mode)[0], torch.ones(4, 3), 1e-6)
        assert not fuse(*self.stages(nothing), mode)[0].any()


@pytest.mark.parametrize(
    "name", [n for n, row in METHODS.items() if row.needs == ("activations", "gradients")]
)
def test_a_linear_method_is_antisymmetric_in_the_margin_and_no_other_is(name):
    activations, first, _ = inputs((2, 5, 4, 6), 1, "relu")
    second = noise64((2, 5, 4, 6), 9)
    function = METHODS[name].function
    margin = function(activations, first - second)
    difference = function(activations, first) - function(activations, second)
    back = function(activations, second - first)
    scale = float(margin.abs().max())
    of_margin = float((margin - difference).abs().max()) / scale
    of_sign = float((margin + back).abs().max()) / scale
    if METHODS[name].linear:
        assert of_margin < 1e-12 and of_sign < 1e-12
    else:
        assert of_margin > 0.1 and of_sign > 0.1
