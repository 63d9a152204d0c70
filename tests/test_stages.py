"""camviz.stages and camviz.taps: maps found by running a network, proved by value.

Every proof is made again here by hand: hook the module, turn its output round, compare with what
timm's `forward_intermediates` returns. The toy networks are wrong in one way each.
"""

from collections import OrderedDict, namedtuple
from copy import deepcopy

import pytest
import torch
from torch import nn

from camviz import load_backbone
from camviz.errors import StageError
from camviz.network.discovery import default_stages, discover, gradients_reach
from camviz.network.layouts import Layout, layout_by_shape
from camviz.network.modules import derive_stage
from camviz.network.stages import Stage
from camviz.network.taps import Tap, forward_hooks, probe_input, record_taps, tensors_in

SIZE = (3, 32, 32)
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


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def no_hooks(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return not any(getattr(module, kind) for module in model.modules() for kind in kinds)


def outputs_of(model, names, image):
    """name -> every output of that module in one forward pass, cloned before anything follows."""
    kept = {name: [] for name in names}
    modules = dict(model.named_modules())
    handles = [
        modules[name].register_forward_hook(
            lambda m, i, o, name=name: kept[name].append(o.clone() if torch.is_tensor(o) else o)
        )
        for name in names
    ]
    with torch.no_grad():
        model(image)
    for handle in handles:
        handle.remove()
    return kept


def by_hand(tensor, layout):
    """(1, C, H, W) of a raw output, cell by cell."""
    height, width = layout.grid
    if layout.kind == "NCHW":
        return tensor
    if layout.kind == "NHWC":
        return torch.stack([tensor[..., c] for c in range(tensor.shape[3])], dim=1)
    assert layout.kind == "NLC"
    rows = [[tensor[:, layout.prefix + y * width + x] for x in range(width)] for y in range(height)]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def map_at(output, path):
    for key in path:
        output = output[key]
    return output


def named(stages):
    return {stage.name: stage for stage in stages}


# --- layouts ---


def test_every_layout_brings_the_same_map_back():
    image = noise(2, 5, 3, 4)
    tokens = image.flatten(2).transpose(1, 2)  # (N, H*W, C)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    shuffled = torch.empty_like(tokens)
    shuffled[:, order] = tokens  # cell i is found at order[i]
    raw = {
        Layout("NCHW", (3, 4)): image,
        Layout("NHWC", (3, 4)): image.permute(0, 2, 3, 1),
        Layout("NCL", (3, 4)): image.flatten(2),
        Layout("NLC", (3, 4)): tokens,
        Layout("NLC", (3, 4), 2): torch.cat([noise(2, 2, 5, seed=1), tokens], dim=1),
        Layout("NLC", (3, 4), 1): torch.cat([noise(2, 1, 5), tokens, noise(2, 3, 5)], dim=1),
        Layout("permuted", (3, 4), order=tuple(order.tolist())): shuffled,
        # mask units of four tokens each, as Hiera keeps them
        Layout("permuted", (3, 4), order=tuple(range(12))): tokens.reshape(2, 3, 4, 5),
    }
    for layout, tensor in raw.items():
        assert torch.equal(layout.to_nchw(tensor), image), layout
        assert torch.equal(layout.to_nchw(2 * tensor), 2 * image), layout


def test_layouts_carry_gradients_back_to_their_cells():
    tokens = noise(1, 13, 5).requires_grad_(True)
    Layout("NLC", (3, 4), 1).to_nchw(tokens)[0, 2, 1, 3].backward()
    expected = torch.zeros(1, 13, 5)
    expected[0, 1 + 1 * 4 + 3, 2] = 1
    assert torch.equal(tokens.grad, expected)


def test_a_layout_is_named_after_its_kind_and_prefix():
    assert str(Layout("NCHW", (2, 2))) == "NCHW"
    assert str(Layout("NLC", (2, 2), 5)) == "NLC+5"
    assert str(Layout("NLC", (2, 2))) == "NLC"


@pytest.mark.parametrize(
    ("shape", "prefer", "expected"),
    [
        ((1, 9, 4, 6), "NCHW", ("NCHW", (4, 6), 0)),
        ((1, 4, 6, 9), "NCHW", ("NHWC", (4, 6), 0)),
        ((1, 6, 4, 6), "NCHW", ("NCHW", (4, 6), 0)),
        ((1, 4, 6, 4), "NHWC", ("NHWC", (4, 6), 0)),
        ((1, 24, 9), "NLC", ("NLC", (4, 6), 0)),
        ((1, 25, 9), "NLC", ("NLC", (4, 6), 1)),
        ((1, 9, 24), "NCL", ("NCL", (4, 6), 0)),
        ((1, 24, 24), "NCL", ("NCL", (4, 6), 0)),
        ((1, 24, 24), "NLC", ("NLC", (4, 6), 0)),
        ((1, 26, 9), "NLC", None),
        ((1, 9, 5, 6), "NCHW", None),
        ((1, 9), "NCHW", None),
        ((1, 2, 9, 4, 6), "NCHW", None),
    ],
)
def test_layouts_are_told_by_shape_from_those_that_are_known(shape, prefer, expected):
    known = [Layout("NLC", (4, 6), 1), Layout("NCHW", (4, 6))]
    found = layout_by_shape(shape, known, Layout(prefer, (4, 6)))
    assert (found and (found.kind, found.grid, found.prefix)) == expected


def test_tensors_are_found_in_nested_outputs():
    pair = namedtuple("pair", "map aux")
    a, b, c = noise(1), noise(2), noise(3)
    output = {"x": [a, (b, None, 3)], "y": pair(c, torch.arange(3)), 7: "text"}
    found = dict(tensors_in(output))
    assert list(found) == [("x", 0), ("x", 1, 0), ("y", 0)]  # integers are no map
    assert all(map_at(output, path) is tensor for path, tensor in found.items())


# --- discovery on timm's own architectures ---


@pytest.mark.parametrize("name", FAMILIES)
def test_stages_hold_what_forward_intermediates_returns(tiny, name):
    backbone = tiny(name)
    model = backbone.model
    image = noise(1, *backbone.input_size, seed=7)  # not the picture discovery looked at
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
    image = noise(1, *backbone.input_size, seed=3)
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
    image = noise(1, *backbone.input_size).requires_grad_(True)
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
    image = noise(1, *backbone.input_size, seed=5)
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
    image = noise(1, *backbone.input_size, seed=5)
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
    image = noise(1, *backbone.input_size, seed=2)
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
    image = noise(1, *backbone.input_size, seed=2)
    kept = outputs_of(backbone.model, ["patch_embed", "patch_embed.proj"], image)
    try:
        stage = backbone.stage("patch_embed")
    except StageError:
        return  # a refusal is honest, a scrambled map is not
    heat = stage.layout.to_nchw(kept["patch_embed"][0])
    assert torch.equal(heat, kept["patch_embed.proj"][0])


# --- toy networks, each wrong in one way ---


class Toy(nn.Module):
    """conv (stride 2) -> relu -> conv (stride 2) -> relu -> conv (stride 2) -> mean -> linear."""

    num_classes = 4
    feature_info: tuple = ()

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(inplace=True))
        self.b = nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(inplace=True))
        self.c = nn.Sequential(nn.Conv2d(8, 10, 3, 2, 1), nn.ReLU(inplace=True))
        self.head = nn.Linear(10, 4)

    def maps(self, x):
        a = self.a(x)
        b = self.b(a)
        return [a, b, self.c(b)]

    def forward_intermediates(self, x, indices=None, intermediates_only=True, output_fmt="NCHW"):
        return [reference.clone() for reference in self.maps(x)]

    def forward_features(self, x):
        return self.maps(x)[-1]

    def forward_head(self, x, pre_logits=False):
        pooled = x.mean(dim=(2, 3))
        return pooled if pre_logits else self.head(pooled)

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


class WrongHints(Toy):
    feature_info = tuple({"module": name} for name in ("c", "nowhere", "a.0"))


class Tokens(Toy):
    """As a class-token transformer keeps its maps: (N, prefix + H*W, C), one module a stage."""

    class Block(nn.Module):
        def __init__(self, inner, prefix):
            super().__init__()
            self.inner, self.prefix = inner, prefix

        def forward(self, x):
            tokens = self.inner(x).flatten(2).transpose(1, 2)
            return torch.cat([tokens.new_ones(1, self.prefix, tokens.shape[2]), tokens], dim=1)

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (
            self.Block(block, prefix)
            for block, prefix in zip((self.a, self.b, self.c), (0, 1, 4), strict=True)
        )

    def maps(self, x):
        found = []
        for block, side in ((self.a, 16), (self.b, 8), (self.c, 4)):
            x = block(x)[:, block.prefix :].transpose(1, 2).reshape(1, -1, side, side)
            found.append(x)
        return found


class Flat(Toy):
    """(N, C, H*W)."""

    class Block(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x).flatten(2)

    def __init__(self):
        super().__init__()
        self.b = self.Block(self.b)

    def maps(self, x):
        a = self.a(x)
        b = self.b(a).reshape(1, 8, 8, 8)
        return [a, b, self.c(b)]


class Nested(Toy):
    """Blocks that return a tuple, a dict, a list in a dict."""

    class Block(nn.Module):
        def __init__(self, inner, wrap):
            super().__init__()
            self.inner, self.wrap = inner, wrap

        def forward(self, x):
            y = self.inner(x) + 0  # the inner module's own output is another tensor
            return self.wrap(y)

    def __init__(self):
        super().__init__()
        self.a = self.Block(nn.Conv2d(3, 6, 3, 2, 1), lambda y: (y.mean(), y * 2))
        self.b = self.Block(nn.Conv2d(6, 8, 3, 2, 1), lambda y: OrderedDict(x=[None, y * 2]))
        self.c = self.Block(nn.Conv2d(8, 10, 3, 2, 1), lambda y: [y * 2])

    def maps(self, x):
        a = self.a(x)[1]
        b = self.b(a)["x"][1]
        return [a, b, self.c(b)[0]]


class Twice(Toy):
    """One block run three times: the second and third call are the stages."""

    def __init__(self):
        super().__init__()
        self.block = nn.Conv2d(10, 10, 3, 1, 1)

    def maps(self, x):
        once = self.block(super().maps(x)[-1])
        second = self.block(once)
        return [second, self.block(second)]


class Copies(Toy):
    """The maps it gives are in none of its modules."""

    feature_info = tuple({"module": name} for name in "abc")

    def forward_intermediates(self, x, **options):
        return [reference + 1e-3 for reference in self.maps(x)]


class OneCopy(Toy):
    feature_info = tuple({"module": name} for name in "abc")

    def forward_intermediates(self, x, **options):
        a, b, c = self.maps(x)
        return [a, b * 1.001, c]


class NoMaps(Toy):
    def forward_intermediates(self, x, **options):
        return [(m,) for m in self.maps(x)]


class TwoHeads(Toy):
    """Returns the logits and, beside them, its last map."""

    def forward(self, x):
        features = self.forward_features(x)
        return self.forward_head(features), features


class Shallow(Toy):
    """Strides 1 and 2 only, like a network for small pictures."""

    def __init__(self):
        super().__init__()
        self.a[0].stride = self.b[0].stride = (1, 1)


class SideBranch(Toy):
    """Its first two maps feed the head side by side; neither comes before the other."""

    def __init__(self):
        super().__init__()
        self.b = nn.Conv2d(3, 8, 3, 2, 1)
        self.head = nn.Linear(14, 4)

    def maps(self, x):
        return [self.a(x), self.b(x)]

    def forward_features(self, x):
        return torch.cat(self.maps(x), dim=1)


class Dead(Toy):
    """Logits that depend on nothing."""

    def forward_head(self, x, pre_logits=False):
        return x.new_zeros(1, 4)


class OneClass(Toy):
    num_classes = 1

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 1)


class ZeroHead(Toy):
    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)


def explore(toy):
    model = toy().eval().requires_grad_(False)
    return model, discover(model, SIZE)


def places(found):
    return [
        (s.name, str(s.layout), s.channels, s.grid, s.output.call, s.output.path) for s in found
    ]


def test_a_plain_toy_has_its_three_stages():
    model, found = explore(Toy)
    assert places(found.stages) == [
        ("a", "NCHW", 6, (16, 16), 0, ()),
        ("b", "NCHW", 8, (8, 8), 0, ()),
        ("c", "NCHW", 10, (4, 4), 0, ()),
    ]
    assert found.defaults == ("b", "c")  # strides 4 and more
    assert found.pre_pool.module == "c" and found.missing == ()
    assert no_hooks(model)


def test_wrong_hints_are_overruled_by_the_values():
    _, found = explore(WrongHints)
    assert [s.name for s in found.stages] == ["a", "b", "c"]


def test_tokens_are_found_with_their_own_number_of_prefixes():
    _, found = explore(Tokens)
    assert places(found.stages) == [
        ("a", "NLC", 6, (16, 16), 0, ()),
        ("b", "NLC+1", 8, (8, 8), 0, ()),
        ("c", "NLC+4", 10, (4, 4), 0, ()),
    ]


def test_flat_maps_are_found():
    _, found = explore(Flat)
    assert places(found.stages) == [
        ("a", "NCHW", 6, (16, 16), 0, ()),
        ("b", "NCL", 8, (8, 8), 0, ()),
        ("c", "NCHW", 10, (4, 4), 0, ()),
    ]


def test_maps_are_found_within_nested_outputs():
    model, found = explore(Nested)
    assert places(found.stages) == [
        ("a", "NCHW", 6, (16, 16), 0, (1,)),
        ("b", "NCHW", 8, (8, 8), 0, ("x", 1)),
        ("c", "NCHW", 10, (4, 4), 0, (0,)),
    ]
    assert not any(stage.zero_gradient for stage in found.stages)
    # and recording there keeps the containers what they are
    stored, image = {}, noise(1, *SIZE)
    with record_taps(model, [stage.output for stage in found.stages], stored):
        logits = model(image)
    assert torch.equal(logits, model(image)) and logits.requires_grad
    assert len(stored) == 3 and no_hooks(model)


def test_a_module_that_runs_several_times_is_told_by_its_call():
    model, found = explore(Twice)
    assert [(s.output.module, s.output.call) for s in found.stages] == [("block", 1), ("block", 2)]
    reached = gradients_reach(model, noise(1, *SIZE), [s.output for s in found.stages])
    assert all(reached.values())


def test_maps_that_no_module_carries_are_an_error():
    with pytest.raises(StageError, match=r"none of the 3 .* Copies .*asked for by name"):
        explore(Copies)
    with pytest.raises(StageError, match="none of the 0"):
        explore(NoMaps)


def test_one_missing_map_is_named_and_the_others_are_found():
    _, found = explore(OneCopy)
    assert found.missing == ("b",)
    assert [s.name for s in found.stages] == ["a", "c"]


def test_a_network_without_intermediates_is_an_error():
    with pytest.raises(StageError, match=r"Linear has no forward_intermediates\(\).*timm"):
        discover(nn.Linear(3, 3), SIZE)


def test_an_output_beside_the_logits_is_not_mistaken_for_the_map_behind_them():
    model, found = explore(TwoHeads)
    last = found.stages[-1]
    assert last.grid == (4, 4) and not last.zero_gradient
    # a tap must do its work alone, not only while a shallower one keeps the graph alive
    assert gradients_reach(model, noise(1, *SIZE), [last.output])[last.output.address]


def test_a_network_of_small_strides_has_default_stages_too():
    _, found = explore(Shallow)
    assert [s.reduction for s in found.stages] == [1, 1, 2]
    assert found.defaults


def test_branches_side_by_side_are_both_alive():
    _, found = explore(SideBranch)
    assert [s.name for s in found.stages] == ["a", "b"]
    assert not any(s.zero_gradient for s in found.stages)


def test_a_network_that_answers_without_looking_has_only_silent_stages():
    _, found = explore(Dead)
    assert all(stage.zero_gradient for stage in found.stages)
    assert found.defaults == ()


def test_a_single_class_is_no_obstacle():
    _, found = explore(OneClass)
    assert not any(stage.zero_gradient for stage in found.stages)


def test_a_head_that_starts_at_zero_hides_no_stage():
    _, found = explore(ZeroHead)
    assert not any(stage.zero_gradient for stage in found.stages)


def test_discovery_leaves_a_network_as_it_was(unchanged, tiny):
    for backbone in (tiny("test_vit"), tiny("test_efficientnet")):
        with unchanged(backbone.model):
            discover(backbone.model, backbone.input_size)
    failing = Copies().eval().requires_grad_(False)
    with unchanged(failing), pytest.raises(StageError):
        discover(failing, SIZE)


class Crash(Exception):
    pass


@pytest.mark.parametrize("error", [Crash, KeyboardInterrupt])
def test_a_network_that_fails_keeps_no_hook(unchanged, error):
    model = Toy().eval().requires_grad_(False)
    tap = Tap("a", Layout("NCHW", (16, 16)), 6)

    def fail(*inputs):
        raise error

    model.head.forward = fail
    with unchanged(model), pytest.raises(error):
        discover(model, SIZE)
    with unchanged(model), pytest.raises(error), record_taps(model, [tap], {}):
        model(noise(1, *SIZE))
    with pytest.raises(AttributeError), forward_hooks({"a": model.a, "b": None}, print):
        pass  # not even those that were set before the one that cannot be
    assert no_hooks(model)


def test_discovery_works_where_gradients_are_switched_off():
    model = Toy().eval().requires_grad_(False)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert discover(model, SIZE) == discover(model, SIZE)
            assert not torch.is_grad_enabled()


def test_probe_input_is_the_same_noise_every_time():
    state = torch.get_rng_state()
    assert torch.equal(probe_input(SIZE), probe_input(SIZE))
    assert probe_input(SIZE, 2).shape == (2, *SIZE)
    assert torch.equal(torch.get_rng_state(), state)


# --- recording ---


def test_only_what_lies_behind_the_shallowest_tap_is_recorded():
    model = Toy().eval().requires_grad_(False)
    taps = [Tap("b", Layout("NCHW", (8, 8)), 8), Tap("c", Layout("NCHW", (4, 4)), 10)]
    stored = {}
    with record_taps(model, taps, stored):
        output = model(noise(1, *SIZE))
    shallow, deep = (stored[tap.address] for tap in taps)
    assert shallow.is_leaf and shallow.requires_grad  # cut off from what lies before
    assert not deep.is_leaf and output.requires_grad


def test_only_the_tapped_call_is_recorded():
    model = Twice().eval().requires_grad_(False)
    tap = Tap("block", Layout("NCHW", (4, 4)), 10, call=1)
    stored = {}
    with record_taps(model, [tap], stored):
        model(noise(1, *SIZE))
    assert list(stored) == [("block", 1, ())]


# --- default stages ---


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


# --- any module by name ---


@pytest.mark.parametrize(
    ("network", "module", "expected"),
    [
        ("test_vit", "blocks.2.attn", ("NLC+1", 64, (10, 10))),
        ("test_vit", "blocks.2.mlp.act", ("NLC+1", 192, (10, 10))),
        ("test_vit", "norm", ("NLC+1", 64, (10, 10))),
        ("test_vit", "patch_embed.proj", ("NCHW", 64, (10, 10))),
        ("test_mambaout", "stages.1.blocks.0.norm", ("NHWC", 32, (20, 20))),
        ("test_mambaout", "stages.0.blocks.0.conv", ("NCHW", 16, (40, 40))),
        ("test_mambaout", "stem.conv1", ("NCHW", 8, (80, 80))),
        ("test_resnet", "maxpool", ("NCHW", 32, (40, 40))),
        ("test_resnet", "conv1.0", ("NCHW", 16, (80, 80))),
        ("test_resnet", "layer4.0.bn1", ("NCHW", None, None)),
        ("test_resnet", "layer3", ("NCHW", 192, (10, 10))),
    ],
)
def test_any_module_can_be_asked_for(tiny, network, module, expected):
    backbone = tiny(network)
    stage = derive_stage(backbone.model, module, backbone.stages, backbone.input_size)
    image = noise(1, *backbone.input_size, seed=9)
    raw = outputs_of(backbone.model, [module], image)[module][-1]
    kind, channels, grid = expected
    assert stage.name == stage.output.module == module and stage.activation == stage.output
    assert str(stage.layout) == kind
    assert stage.channels == (channels or raw.shape[1])
    assert stage.grid == (grid or tuple(raw.shape[2:]))
    assert stage.reduction == 160 / stage.grid[0]
    assert torch.equal(stage.layout.to_nchw(raw), by_hand(raw, stage.layout))


def test_the_last_of_several_calls_counts():
    model, found = explore(Twice)
    assert derive_stage(model, "block", found.stages, SIZE).output.call == 2


def test_nested_outputs_of_a_module_are_looked_through():
    model, found = explore(Nested)
    stage = derive_stage(model, "a", found.stages, SIZE)
    assert stage.output.path == (1,) and stage.grid == (16, 16)


@pytest.mark.parametrize(
    ("network", "module", "words"),
    [
        ("test_resnet", "layer5", ["unknown", "'layer5'", "layer1, layer2, layer3, layer4"]),
        ("test_resnet", "", ["unknown", "stages: "]),
        ("test_vit", "norm1", ["unknown", "modules like it: blocks.0.norm1"]),
        ("test_vit", "head", ["'head' carries no map", "(1, 1000)", "10x10"]),
        ("test_resnet", "global_pool.pool", ["carries no map", "(1, 96, 1, 1)", "80x80, 40x40"]),
        ("test_vit", "blocks.0.attn.attn_drop", ["attn_drop' does not run"]),
        ("test_vit", "blocks.0.attn.q_norm", ["carries no map", "(1, 2, 101, 32)"]),
    ],
)
def test_what_is_no_map_is_refused_with_the_reason(tiny, network, module, words):
    backbone = tiny(network)
    with pytest.raises(StageError) as caught:
        derive_stage(backbone.model, module, backbone.stages, backbone.input_size)
    for word in words:
        assert word in str(caught.value)


def test_windows_are_not_mistaken_for_the_picture():
    """Swin's attention sees 7 x 7 windows, as many tokens as its last stage has cells."""
    backbone = load_backbone(
        "swin_tiny_patch4_window7_224",
        "random",
        "cpu",
        embed_dim=8,
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 1, 1),
    )
    assert {str(stage.layout) for stage in backbone.stages} == {"NHWC"}
    with pytest.raises(StageError, match="carries no map"):
        backbone.stage("layers.0.blocks.0.attn")


def test_looking_at_a_module_changes_nothing(unchanged, tiny):
    backbone = tiny("test_resnet")
    model = deepcopy(backbone.model).train()  # batch norm learns from what it sees in this mode
    with unchanged(model):
        derive_stage(model, "layer2.0", backbone.stages, backbone.input_size)


def test_a_stage_gives_the_tap_that_is_asked_for(tiny):
    stage = named(tiny("test_efficientnet").stages)["blocks.2"]
    assert stage.tap("output").module == "blocks.2"
    assert stage.tap("activation").module == stage.activation.module != "blocks.2"
