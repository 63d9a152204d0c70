"""Discovery on timm's own architectures: maps found by running them, proved by value.

Every proof is made again here by hand: hook the module, turn its output round, compare with what
timm's `forward_intermediates` returns.
"""

from copy import deepcopy

import pytest
import torch
from torch import nn

from camviz import load_backbone
from camviz.errors import StageError
from camviz.network.discovery import default_stages, gradients_reach
from camviz.network.layouts import Layout
from camviz.network.stages import Stage
from camviz.network.taps import Tap, forward_hooks
from tests.support.outputs import by_hand, map_at, named, outputs_of
from tests.support.tensors import noise

# Layouts: NCHW, NHWC, tokens with and without a prefix; with and without a map before pooling.
FAMILIES = (
    "test_resnet",
    "test_byobnet",
    "test_convnext",
    "test_efficientnet",
    "test_nfnet",
    "test_mambaout",
    "test_vit",
    "test_vit2",
    "test_vit_relpos",
    "test_maxvit",
)


FLOORS = {nn.ReLU: 0.0, nn.SiLU: -0.2785, nn.Hardswish: -0.375}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", FAMILIES)
def test_stages_hold_what_forward_intermediates_returns(tiny, name):
    backbone = tiny(name)
    model = backbone.model
    image = noise((1, *backbone.input_size), 7)  # not the picture discovery looked at
    with torch.no_grad():
        references = model.forward_intermediates(
            image, indices=None, intermediates_only=True, output_fmt="NCHW"
        )
        features = model.forward_features(image)
    kept = outputs_of(model, {s.output.module for s in backbone.stages}, image)
    matched = []
    for stage in backbone.stages:
        tap = stage.output
        tensor = map_at(kept[tap.module][tap.call], tap.path)
        heat = by_hand(tensor, tap.layout)
        assert heat.shape == (1, stage.channels, *stage.grid)
        assert torch.equal(tap.layout.to_nchw(tensor), heat)
        matched += [i for i, reference in enumerate(references) if torch.equal(heat, reference)]
        assert stage.reduction == backbone.input_size[1] / stage.grid[0]
    assert matched == list(range(len(references))), "each map once, shallow to deep"
    assert backbone.discovery.missing == ()
    pre_pool = backbone.discovery.pre_pool
    raw = outputs_of(model, [pre_pool.module], image)[pre_pool.module][pre_pool.call]
    assert torch.equal(raw, features)


@pytest.mark.parametrize("name", FAMILIES)
def test_stages_run_from_shallow_to_deep(tiny, name):
    stages = tiny(name).stages
    cells = [stage.grid[0] * stage.grid[1] for stage in stages]
    assert cells == sorted(cells, reverse=True)
    assert len(named(stages)) == len(stages)


@pytest.mark.parametrize("name", FAMILIES)
def test_default_stages_are_never_silent(tiny, name):
    backbone = tiny(name)
    defaults = [backbone.stage(name) for name in backbone.default_stages]
    assert 3 <= len(defaults) <= 5
    image = noise((1, *backbone.input_size), 3)
    for kind in ("output", "activation"):
        reached = gradients_reach(backbone.model, image, [stage.tap(kind) for stage in defaults])
        assert all(reached.values())
    grids = [stage.grid for stage in defaults]
    if len({stage.grid for stage in backbone.stages}) > 1:
        assert len(set(grids)) == len(grids), "one per resolution"
        assert all(stage.reduction >= 4 for stage in defaults)
    else:
        assert len(grids) == 4


def test_the_last_block_before_a_class_token_is_silent_and_has_a_stand_in(tiny):
    backbone = tiny("test_vit")
    stages = named(backbone.stages)
    assert [name for name, stage in stages.items() if stage.zero_gradient] == ["blocks.5"]
    silent, stand_in = stages["blocks.5"], stages["blocks.5.norm1"]
    assert silent.activation == silent.output
    assert backbone.default_stages[-1] == "blocks.5.norm1"
    assert stand_in.channels == silent.channels and stand_in.grid == silent.grid
    # The same once more by plain autograd, on an unfrozen input.
    image = noise((1, *backbone.input_size)).requires_grad_(True)
    model, kept = deepcopy(backbone.model), {}
    for name in ("blocks.5", "blocks.5.norm1"):
        model.get_submodule(name).register_forward_hook(
            lambda m, i, o, name=name: kept.update({name: o})
        )
    logit = model(image)[0, 3]
    last, norm = torch.autograd.grad(logit, [kept["blocks.5"], kept["blocks.5.norm1"]])
    assert not last[:, 1:].any() and last[:, 0].any()
    assert norm[:, 1:].abs().max() > 0


def test_networks_that_pool_their_patches_have_no_silent_stage(tiny):
    for name in ("test_vit2", "test_vit_relpos", "test_resnet", "test_mambaout"):
        assert not any(stage.zero_gradient for stage in tiny(name).stages)


def test_the_map_before_pooling_is_a_stage_of_its_own_where_it_differs(tiny):
    backbone = tiny("test_efficientnet")
    last = backbone.stages[-1]
    assert (last.name, last.channels) == ("bn2", 256)
    assert backbone.stages[-2].name == "blocks.4" and backbone.stages[-2].channels == 64
    assert backbone.discovery.pre_pool == last.output
    assert backbone.default_stages[-1] == "bn2"
    # where it does not, there is no second stage for it
    assert tiny("test_resnet").discovery.pre_pool == tiny("test_resnet").stages[-1].output


@pytest.mark.parametrize(
    ("name", "moved"), [("test_efficientnet", 4), ("test_nfnet", 4), ("test_maxvit", 5)]
)
def test_activation_taps_are_what_an_activation_put_out(tiny, name, moved):
    backbone = tiny(name)
    image = noise((1, *backbone.input_size), 5)
    acts = [n for n, m in backbone.model.named_modules() if type(m) in FLOORS]
    taps = [stage.activation for stage in backbone.stages if stage.activation != stage.output]
    assert len(taps) == moved
    kept = outputs_of(backbone.model, {*acts, *(tap.module for tap in taps)}, image)
    modules = dict(backbone.model.named_modules())
    for stage in backbone.stages:
        tap = stage.activation
        if tap == stage.output:
            continue
        raw = kept[tap.module][tap.call]
        heat = tap.layout.to_nchw(raw)
        assert tap.layout.grid == stage.grid and heat.shape[2:] == stage.grid
        assert tap.channels == heat.shape[1] >= stage.channels
        equal = [n for n in acts for out in kept[n] if out.shape == raw.shape and out.equal(raw)]
        assert equal, f"{tap.module} is no activation's output"
        assert float(raw.min()) >= FLOORS[type(modules[equal[0]])]


@pytest.mark.parametrize("name", ["test_efficientnet", "test_nfnet"])
def test_no_wider_activation_at_the_grid_runs_later(tiny, name):
    """The last one: whatever activation runs after it at this grid is narrower, or the next."""
    backbone = tiny(name)
    image = noise((1, *backbone.input_size), 5)
    ran = []
    modules = {n: m for n, m in backbone.model.named_modules() if type(m) in FLOORS}
    modules |= {s.activation.module: backbone.model.get_submodule(s.activation.module)
                for s in backbone.stages}  # fmt: skip

    def note(name, module, call, output):
        ran.append((name, tuple(output.shape), output.clone()))

    with torch.no_grad(), forward_hooks(modules, note):
        backbone.model(image)
    checked = 0
    for stage in backbone.stages:
        if stage.reduction not in (8, 16):
            continue  # the first resolutions hold the stem, the last the map before pooling
        tap = stage.activation.module
        here = max(place for place, (name, *_) in enumerate(ran) if name == tap)
        for _, shape, tensor in ran[here + 1 :]:
            if shape[2:] == stage.grid and shape[1] >= stage.channels:
                assert torch.equal(tensor, ran[here][2]), f"{stage.name} has a later one"
        checked += 1
    assert checked == 2


@pytest.mark.parametrize("name", ["test_resnet", "test_byobnet"])
def test_a_stage_that_ends_in_its_activation_keeps_it(tiny, name):
    assert all(stage.activation == stage.output for stage in tiny(name).stages)


@pytest.mark.parametrize("name", ["test_convnext", "test_mambaout", "test_vit"])
def test_networks_without_a_measured_activation_keep_their_outputs(tiny, name):
    assert all(stage.activation == stage.output for stage in tiny(name).stages)


def test_tokens_that_are_kept_in_another_order_are_put_back():
    backbone = load_backbone(
        "hiera_tiny_224", "random", "cpu", embed_dim=4, num_heads=1, stages=(1, 1, 1, 1)
    )
    stages = backbone.stages
    assert [str(s.layout) for s in stages] == ["permuted", "permuted", "permuted", "NLC"]
    image = noise((1, *backbone.input_size), 2)
    with torch.no_grad():
        references = backbone.model.forward_intermediates(
            image, indices=None, intermediates_only=True, output_fmt="NCHW"
        )
    kept = outputs_of(backbone.model, [s.name for s in stages], image)
    for stage, reference in zip(stages, references, strict=True):
        raw = kept[stage.name][0]
        assert torch.equal(stage.layout.to_nchw(raw), reference)
        if stage.layout.kind == "permuted":  # and it was necessary
            plain = Layout("NLC", stage.grid).to_nchw(raw.flatten(1, -2))
            assert not torch.equal(plain, reference)


def test_a_module_whose_tokens_are_in_picture_order_is_not_shuffled():
    """Hiera's patch embedding has the picture's order, its first block another."""
    backbone = load_backbone(
        "hiera_tiny_224", "random", "cpu", embed_dim=4, num_heads=1, stages=(1, 1, 1, 1)
    )
    image = noise((1, *backbone.input_size), 2)
    kept = outputs_of(backbone.model, ["patch_embed", "patch_embed.proj"], image)
    try:
        stage = backbone.stage("patch_embed")
    except StageError:
        return  # a refusal is honest, a scrambled map is not
    heat = stage.layout.to_nchw(kept["patch_embed"][0])
    assert torch.equal(heat, kept["patch_embed.proj"][0])


def stage_at(name, grid, reduction, zero_gradient=False):
    tap = Tap(name, Layout("NCHW", grid), 4)
    return Stage(name, tap, tap, reduction, zero_gradient)


def test_defaults_are_the_deepest_living_stage_of_each_resolution():
    stages = [
        stage_at("stem", (80, 80), 2),
        stage_at("a", (40, 40), 4),
        stage_at("b", (20, 20), 8),
        stage_at("c", (10, 10), 16),
        stage_at("c2", (10, 10), 16),
        stage_at("d", (5, 5), 32),
        stage_at("d2", (5, 5), 32, zero_gradient=True),
    ]
    assert default_stages(stages) == ("a", "b", "c2", "d")


def test_defaults_of_one_resolution_are_equally_spaced_and_end_with_the_last():
    stages = [stage_at(str(i), (10, 10), 16) for i in range(1, 13)]
    assert default_stages(stages) == ("3", "6", "9", "12")
    silenced = [*stages[:-1], stage_at("12", (10, 10), 16, zero_gradient=True)]
    assert default_stages(silenced)[-1] == "11"
    assert default_stages(stages[:2]) == ("1", "2")
    assert default_stages([]) == ()
