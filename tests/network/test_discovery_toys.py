"""Discovery on toy networks, each wrong in one way."""

import pytest
import torch
from torch import nn

from camviz.errors import StageError
from camviz.network.discovery import discover, gradients_reach
from camviz.network.layouts import Layout
from camviz.network.taps import Tap, forward_hooks, probe_input, record_taps
from tests.support.tensors import noise
from tests.support.toys import SIZE, Nested, Toy, Twice, explore


def no_hooks(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return not any(getattr(module, kind) for module in model.modules() for kind in kinds)


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
    stored, image = {}, noise((1, *SIZE))
    with record_taps(model, [stage.output for stage in found.stages], stored):
        logits = model(image)
    assert torch.equal(logits, model(image)) and logits.requires_grad
    assert len(stored) == 3 and no_hooks(model)


def test_a_module_that_runs_several_times_is_told_by_its_call():
    model, found = explore(Twice)
    assert [(s.output.module, s.output.call) for s in found.stages] == [("block", 1), ("block", 2)]
    reached = gradients_reach(model, noise((1, *SIZE)), [s.output for s in found.stages])
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
    assert gradients_reach(model, noise((1, *SIZE)), [last.output])[last.output.address]


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
        model(noise((1, *SIZE)))
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
