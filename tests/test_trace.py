"""camviz.trace: what one pass keeps is what plain autograd says, and nothing is left behind.

The reference is slow and takes no precautions: an unfrozen copy of the network, its input
requiring a gradient, plain hooks, one pass a target.
"""

import multiprocessing
import sys
import threading
import warnings
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from camviz import wrap_backbone
from camviz.errors import MethodError, TargetError
from camviz.methods.activation import cam
from camviz.methods.gradient import checkerboard, evidence, layer_cam
from camviz.network.head import head_weights, patch_probabilities
from camviz.network.layouts import Layout
from camviz.network.taps import Tap, primary_logits
from camviz.network.trace import Target, Trace, trace

FAMILIES = (
    "test_resnet",
    "test_efficientnet",
    "test_convnext",
    "test_mambaout",
    "test_vit",
    "test_nfnet",
)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def evidence_at(seen, target, tap):
    return evidence(seen.activations[tap.address], seen.gradients(target)[tap.address])


def image_for(backbone, seed=0):
    return noise(1, *backbone.input_size, seed=seed)


def taps_of(backbone):
    taps = [tap for stage in backbone.stages for tap in (stage.output, stage.activation)]
    pre_pool = backbone.discovery.pre_pool
    return list(dict.fromkeys(taps if pre_pool is None else [*taps, pre_pool]))


def copy_of(backbone, change=None):
    """The same backbone around a copy of its network, with a lock of its own."""
    model = deepcopy(backbone.model)
    if change is not None:
        change(model)
    return replace(backbone, model=model, lock=threading.RLock(), _module_stages={})


def reference(backbone, image, taps, score):
    """(logits, tap -> activation, tap -> gradient of `score(logits)`), in NCHW."""
    model = deepcopy(backbone.model).requires_grad_(True)
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    kept = {}
    for tap in taps:
        assert tap.call == 0 and not tap.path
        model.get_submodule(tap.module).register_forward_hook(
            lambda m, i, o, name=tap.module: kept.update({name: o})
        )
    logits = primary_logits(model(image.clone().requires_grad_(True)))[0]
    gradients = torch.autograd.grad(
        score(logits), [kept[tap.module] for tap in taps], allow_unused=True
    )
    activations = {tap: tap.layout.to_nchw(kept[tap.module]).detach() for tap in taps}
    gradients = {
        tap: torch.zeros_like(activations[tap]) if g is None else tap.layout.to_nchw(g)
        for tap, g in zip(taps, gradients, strict=True)
    }
    return logits.detach(), activations, gradients


def close(actual, expected):
    """Equal up to a hundred-thousandth of the largest value."""
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


# --- the numbers ---


@pytest.mark.parametrize("name", FAMILIES)
def test_activations_and_gradients_are_those_of_plain_autograd(tiny, name):
    backbone = tiny(name)
    image, taps = image_for(backbone), taps_of(backbone)
    logits, activations, gradients = reference(backbone, image, taps, lambda s: s[7])
    seen = trace(backbone, image, taps)
    close(seen.logits, logits)
    close(seen.probabilities, logits.softmax(dim=0))
    found = seen.gradients(Target(7))
    assert list(found) == [tap.address for tap in taps]
    for tap in taps:
        close(seen.activations[tap.address], activations[tap])
        close(found[tap.address], gradients[tap])
        assert seen.activations[tap.address].dtype == found[tap.address].dtype == torch.float32
        assert found[tap.address].shape == (1, tap.channels, *tap.layout.grid)
    if name != "test_vit":  # its last block is silent
        assert all(found[tap.address].any() for tap in taps)


TARGETS = {
    "logit": (Target(3), lambda s: s[3]),
    "log_probability": (Target(3, "log_probability"), lambda s: s.log_softmax(dim=0)[3]),
    "probability": (Target(3, "probability"), lambda s: s.softmax(dim=0)[3]),
    "margin": (Target(3, versus=5), lambda s: s[3] - s[5]),
}


@pytest.mark.parametrize("name", ["test_resnet", "test_mambaout", "test_vit2"])
@pytest.mark.parametrize("kind", TARGETS)
def test_every_target_is_what_direct_autograd_gives(tiny, name, kind):
    backbone = tiny(name)
    target, score = TARGETS[kind]
    image, taps = image_for(backbone, 1), taps_of(backbone)
    _, _, gradients = reference(backbone, image, taps, score)
    found = trace(backbone, image, taps).gradients(target)
    for tap in taps:
        close(found[tap.address], gradients[tap])


def test_a_margin_is_antisymmetric_and_logits_alone_have_margins():
    assert Target(3, versus=5).combination(0.1) == {3: 1.0, 5: -1.0}
    assert Target(5, versus=3).combination(0.1) == {5: 1.0, 3: -1.0}
    with pytest.raises(TargetError, match="between logits, not probability"):
        Target(3, "probability", versus=5)
    with pytest.raises(TargetError, match="class 3 cannot be compared with itself"):
        Target(3, versus=3)


@pytest.fixture
def passes(monkeypatch):
    """{"backward": n}: how often torch.autograd.grad ran."""
    count = {"backward": 0}
    grad = torch.autograd.grad

    def counted(*arguments, **options):
        count["backward"] += 1
        return grad(*arguments, **options)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    return count


def test_one_forward_serves_all_targets_and_each_basis_vector_costs_one_backward(tiny, passes):
    backbone = copy_of(tiny("test_resnet"))
    forwards = []
    backbone.model.register_forward_pre_hook(lambda m, i: forwards.append(1))
    seen = trace(backbone, image_for(backbone), taps_of(backbone))
    assert (len(forwards), passes["backward"]) == (1, 0), "nothing is differentiated unasked"
    for target, backwards in (
        (Target(0), 1),
        (Target(0), 1),
        (Target(1), 2),
        (Target(0, versus=1), 2),
        (Target(0, "probability"), 3),  # and logsumexp
        (Target(1, "log_probability"), 3),
        (Target(1, "probability"), 3),
    ):
        assert seen.has(target) == (backwards == passes["backward"])
        seen.gradients(target)
        assert seen.has(target)
        assert (len(forwards), passes["backward"]) == (1, backwards), target


def test_a_silent_stage_has_a_gradient_of_exact_zeros(tiny):
    backbone = tiny("test_vit")
    seen = trace(backbone, image_for(backbone), taps_of(backbone))
    for name, zero in (("blocks.5", True), ("blocks.5.norm1", False)):
        tap = backbone.stage(name).output
        assert seen.gradients(Target(2))[tap.address].any().item() is not zero
        found = evidence_at(seen, Target(2), tap)
        assert found.zero_gradient is zero
        assert (found.positive_share is None) == zero


def test_evidence_describes_the_gradient(tiny):
    backbone = tiny("test_resnet")
    seen = trace(backbone, image_for(backbone), taps_of(backbone))
    for stage in backbone.stages:
        gradients = seen.gradients(Target(4))[stage.output.address]
        products = gradients * seen.activations[stage.output.address]
        found = evidence_at(seen, Target(4), stage.output)
        share = float(products.relu().sum() / products.abs().sum())
        assert 0 < found.positive_share < 1
        assert found.positive_share == pytest.approx(share, abs=1e-5)
        assert found.checkerboard == checkerboard(gradients)


# --- in-place operations and branches ---


class Net(nn.Module):
    """What `wrap_backbone` needs of a network, around `maps`."""

    num_classes = 3

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.pretrained_cfg = {
            "input_size": (3, 16, 16),
            "mean": (0.5,) * 3,
            "std": (0.5,) * 3,
            "interpolation": "bicubic",
            "crop_pct": 0.9,
        }
        self.a = nn.Conv2d(3, 4, 3, 2, 1)
        self.b = nn.Conv2d(4, 4, 3, 1, 1)
        self.head = nn.Linear(4, 3)
        self.requires_grad_(False)

    def forward_intermediates(self, x, indices=None, intermediates_only=True, output_fmt="NCHW"):
        return [reference.clone() for reference in self.maps(x)]

    def forward_features(self, x):
        return self.maps(x)[-1]

    def forward_head(self, x, pre_logits=False):
        pooled = x.mean(dim=(2, 3))
        return pooled if pre_logits else self.head(pooled)

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


class InPlace(Net):
    """a's output is added to and rectified where it lies."""

    def __init__(self):
        super().__init__()
        self.b = nn.Conv2d(3, 4, 3, 2, 1)
        self.act = nn.ReLU(inplace=True)
        self.requires_grad_(False)

    def maps(self, x):
        y = self.a(x)
        y += self.b(x)
        return [self.act(y)]

    def forward_intermediates(self, x, **options):
        return [self.a(x)]


def test_in_place_operations_touch_neither_the_stored_tensor_nor_the_logits():
    backbone = wrap_backbone(InPlace(), device="cpu")
    model, image = backbone.model, noise(1, 3, 16, 16)
    a, b, plain = model.a(image), model.b(image), model(image)
    taps = [backbone.stage(name).output for name in ("a", "b", "act")]
    seen = trace(backbone, image, taps)
    assert torch.equal(seen.logits, plain[0])
    for name, value in (("a", a), ("b", b), ("act", (a + b).relu())):
        assert torch.equal(seen.activations[(name, 0, ())], value), name
    # by hand, without in-place operations
    leaf, side = a.clone().requires_grad_(True), b.clone().requires_grad_(True)
    rectified = (leaf + side).relu()
    score = model.head(rectified.mean(dim=(2, 3)))[0, 1]
    expected = torch.autograd.grad(score, [leaf, side, rectified])
    for tap, gradient in zip(taps, expected, strict=True):
        close(seen.gradients(Target(1))[tap.address], gradient)
    # the reason for the precaution: a plain hook sees what became of the tensor
    kept = []
    model.a.register_forward_hook(lambda m, i, o: kept.append(o))
    model(image)
    assert torch.equal(kept[0], (a + b).relu())


class Branches(Net):
    """a and b see the input side by side, their product feeds c."""

    def __init__(self):
        super().__init__()
        self.b = nn.Conv2d(3, 4, 3, 2, 1)
        self.c = nn.Conv2d(4, 4, 3, 1, 1)
        self.requires_grad_(False)

    def maps(self, x):
        a, b = self.a(x), self.b(x)
        return [a, b, self.c(a.sigmoid() * b)]


@pytest.mark.parametrize("order", ["abc", "cba", "b", "bc", "ac", "ca"])
def test_branches_that_do_not_follow_each_other(order):
    backbone = wrap_backbone(Branches(), device="cpu")
    model, image = backbone.model, noise(1, 3, 16, 16)
    a, b = (model.get_submodule(n)(image).requires_grad_(True) for n in "ab")
    c = model.c(a.sigmoid() * b)
    score = model.head(c.mean(dim=(2, 3)))[0, 2]
    expected = dict(zip("abc", torch.autograd.grad(score, [a, b, c]), strict=True))
    seen = trace(backbone, image, [backbone.stage(name).output for name in order])
    for name in order:
        close(seen.gradients(Target(2))[(name, 0, ())], expected[name])
        assert seen.gradients(Target(2))[(name, 0, ())].any()


class Shared(Net):
    """One block run three times."""

    def maps(self, x):
        first = self.b(self.a(x).tanh()).tanh()
        second = self.b(first).tanh()
        return [first, second, self.b(second)]

    def forward_intermediates(self, x, **options):
        return self.maps(x)[-1:]


def test_calls_of_one_module_are_kept_apart():
    backbone = wrap_backbone(Shared(), device="cpu")
    model, image = backbone.model, noise(1, 3, 16, 16)
    first = model.b(model.a(image).tanh()).requires_grad_(True)
    second = model.b(first.tanh())
    third = model.b(second.tanh())
    score = model.head(third.mean(dim=(2, 3)))[0, 0]
    expected = torch.autograd.grad(score, [first, second, third])
    taps = [Tap("b", Layout("NCHW", (8, 8)), 4, call=call) for call in (2, 0, 1)]
    seen = trace(backbone, image, taps)
    for call, (value, gradient) in enumerate(zip((first, second, third), expected, strict=True)):
        close(seen.activations[("b", call, ())], value.detach())
        close(seen.gradients(Target(0))[("b", call, ())], gradient)


def test_a_tap_named_twice_is_recorded_once(tiny):
    backbone = tiny("test_resnet")
    tap = backbone.stages[-1].output
    seen = trace(backbone, image_for(backbone), [tap, tap])
    assert seen.taps == (tap,)
    assert seen.covers([tap]) and not seen.covers([backbone.stages[0].output])


# --- whatever the caller is doing ---


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_mambaout"])
@pytest.mark.parametrize(
    "surroundings",
    [
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    ],
    ids=["no_grad", "inference_mode", "autocast"],
)
def test_the_callers_modes_make_no_difference(tiny, name, surroundings):
    backbone = tiny(name)
    taps = taps_of(backbone)
    plain = trace(backbone, image_for(backbone), taps)
    with surroundings():
        image = image_for(backbone)  # under inference_mode a tensor that autograd refuses
        seen = trace(backbone, image, taps)
        inside = seen.gradients(Target(1))
        margin = seen.gradients(Target(1, versus=2))
    outside = seen.gradients(Target(4))
    assert torch.equal(seen.logits, plain.logits) and seen.logits.dtype == torch.float32
    for tap in taps:
        key = tap.address
        assert torch.equal(seen.activations[key], plain.activations[key])
        assert torch.equal(inside[key], plain.gradients(Target(1))[key])
        assert torch.equal(margin[key], plain.gradients(Target(1, versus=2))[key])
        assert torch.equal(outside[key], plain.gradients(Target(4))[key])
        assert inside[key].dtype == torch.float32


def in_training(model):
    """As a user may leave it: half of it training, half of it unfrozen, old gradients around."""
    model.train()
    model.get_submodule("layer2").eval()
    for index, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(index % 2 == 0)
        if index % 3 == 0:
            parameter.grad = torch.full_like(parameter, 0.5)


def test_a_network_in_training_is_traced_in_eval_mode_and_given_back(tiny, unchanged):
    backbone = tiny("test_resnet")
    taps = taps_of(backbone)
    plain = trace(backbone, image_for(backbone), taps)
    trained = copy_of(backbone, in_training)
    with unchanged(trained.model):
        seen = trace(trained, image_for(backbone), taps)
        gradients = seen.gradients(Target(0))
        head_weights(trained, seen, 0)
    assert torch.equal(seen.logits, plain.logits)
    for tap in taps:
        assert torch.equal(gradients[tap.address], plain.gradients(Target(0))[tap.address])


def free(lock):
    """Whether another thread can take the lock."""
    taken = []

    def take():
        taken.append(lock.acquire(timeout=0.2))
        if taken[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return taken[0]


class Crash(Exception):
    pass


@pytest.mark.parametrize("error", [Crash, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["layer1", "layer4", "fc"])
def test_a_pass_that_fails_leaves_nothing_behind(tiny, unchanged, error, place):
    backbone = copy_of(tiny("test_resnet"), in_training)
    module = backbone.model.get_submodule(place)
    working = module.forward

    def fail(*inputs):
        assert not free(backbone.lock), "the lock is held while the network runs"
        raise error

    module.forward = fail
    with unchanged(backbone.model), pytest.raises(error):
        trace(backbone, image_for(backbone), taps_of(backbone))
    assert free(backbone.lock)
    module.forward = working
    again = trace(backbone, image_for(backbone), taps_of(backbone))
    assert torch.equal(
        again.logits, trace(tiny("test_resnet"), image_for(backbone), taps_of(backbone)).logits
    )


def test_a_pass_that_succeeds_leaves_nothing_behind(tiny, unchanged):
    for name in ("test_resnet", "test_vit"):
        backbone = tiny(name)
        with unchanged(backbone.model):
            seen = trace(backbone, image_for(backbone), taps_of(backbone))
            seen.gradients(Target(0, "probability"))
        assert free(backbone.lock)


@pytest.mark.parametrize("error", [Crash, KeyboardInterrupt])
def test_a_head_probe_that_fails_leaves_nothing_behind(tiny, unchanged, error):
    backbone = copy_of(tiny("test_convnext"))
    seen = trace(backbone, image_for(backbone), taps_of(backbone))

    def fail(*inputs):
        raise error

    backbone.model.head.fc.forward = fail
    with unchanged(backbone.model), pytest.raises(error):
        head_weights(backbone, seen, 0)
    assert free(backbone.lock)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_threads_get_the_maps_that_one_thread_gets(tiny, name):
    backbone = tiny(name)
    taps = taps_of(backbone)
    images = [image_for(backbone, seed) for seed in range(4)]

    def maps(image, index):
        seen = trace(backbone, image, taps)
        gradients = seen.gradients(Target(index))
        return [layer_cam(seen.activations[t.address], gradients[t.address]) for t in taps]

    alone = [maps(image, index) for index, image in enumerate(images)]
    found, errors = {}, []

    def work(index, rounds=3):
        try:
            for turn in range(rounds):
                found[index, turn] = maps(images[index], index)
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # change threads as often as possible
    try:
        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(images))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors and len(found) == 12
    for (index, _), heats in found.items():
        assert all(torch.equal(a, b) for a, b in zip(heats, alone[index], strict=True))


def test_threads_that_share_one_trace_differentiate_once_per_class(tiny, passes):
    backbone = tiny("test_resnet")
    seen = trace(backbone, image_for(backbone), taps_of(backbone))
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(seen.gradients(Target(1)))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert passes["backward"] == 1 and len(found) == 6
    assert all(gradients is found[0] for gradients in found)


# --- without the graph, and in another process ---


def test_a_dropped_graph_keeps_what_was_made(tiny):
    backbone = tiny("test_resnet")
    seen = trace(backbone, image_for(backbone), taps_of(backbone))
    kept = seen.gradients(Target(3))
    assert seen.has_graph
    large = seen.nbytes
    seen.drop_graph()
    assert not seen.has_graph and 0 < seen.nbytes < large
    assert seen.gradients(Target(3)) is kept
    assert not seen.has(Target(4))
    with pytest.raises(LookupError, match=r"the graph is gone; .* class 4"):
        seen.gradients(Target(4))
    with pytest.raises(LookupError):
        seen.gradients(Target(3, "probability"))


def test_bytes_are_counted(tiny):
    backbone = tiny("test_resnet")
    taps = taps_of(backbone)
    seen = trace(backbone, image_for(backbone), taps)
    maps = 4 * sum(tap.channels * tap.layout.grid[0] * tap.layout.grid[1] for tap in taps)
    features = 4 * seen.features.numel()
    assert seen.nbytes == maps + features + 4 * 1000 + backbone.discovery.graph_bytes
    before = seen.nbytes
    seen.gradients(Target(1))
    assert seen.nbytes == before + maps


def test_bytes_can_be_counted_while_another_thread_differentiates(tiny):
    """The engine counts all traces whenever it keeps one; others are being worked with."""
    backbone = tiny("test_resnet")
    seen = trace(backbone, image_for(backbone), taps_of(backbone))
    errors, over = [], threading.Event()

    def count():
        try:
            while not over.is_set():
                assert seen.nbytes > 0
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread = threading.Thread(target=count)
        thread.start()
        for index in range(40):
            seen.gradients(Target(index % 20))
        over.set()
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors


def test_shrinking_forgets_the_class_used_longest_ago_and_the_graph_last(tiny):
    backbone = tiny("test_resnet")
    seen = trace(backbone, image_for(backbone), taps_of(backbone))
    empty = seen.nbytes
    for index in (0, 1, 2, 0):  # 0 was used again
        seen.gradients(Target(index))
    size = (seen.nbytes - empty) // 3
    seen.shrink(seen.nbytes, Target(0))
    assert all(seen.has(Target(index)) for index in (0, 1, 2)), "it was small enough"
    seen.shrink(empty + 2 * size, Target(2))
    assert [seen.has(Target(index)) for index in (0, 1, 2)] == [True, False, True]
    seen.shrink(empty + size, Target(2))
    assert [seen.has(Target(index)) for index in (0, 1, 2)] == [False, False, True]
    assert seen.has_graph and seen.nbytes <= empty + size
    seen.gradients(Target(0, versus=1))
    seen.shrink(0, Target(0, versus=1))  # what is being looked at stays
    assert seen.has(Target(0, versus=1)) and not seen.has(Target(2)) and not seen.has_graph


def test_what_follows_from_a_trace_is_made_once(tiny):
    backbone = tiny("test_resnet")
    seen = trace(backbone, image_for(backbone), taps_of(backbone))
    made = []
    for _ in range(2):
        assert seen.memoize(("x", 1), lambda: made.append(1) or "thing") == "thing"
    assert seen.memoize(("x", 2), lambda: "other") == "other" and made == [1]


def _trace_and_send(backbone, image, taps, targets, pipe):
    seen = trace(backbone, image, taps)
    for target in targets:
        seen.gradients(target)
    pipe.send(seen.to_arrays())
    pipe.close()


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet"])
def test_a_trace_survives_the_way_from_a_forked_process(tiny, name):
    backbone = tiny(name)
    image, taps = image_for(backbone), taps_of(backbone)
    targets = [Target(2), Target(2, "probability"), Target(2, versus=9)]
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    worker = context.Process(target=_trace_and_send, args=(backbone, image, taps, targets, theirs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: other threads are alive
        worker.start()
    theirs.close()
    assert ours.poll(60)
    sent = Trace.from_arrays(ours.recv())
    worker.join()
    assert worker.exitcode == 0
    here = trace(backbone, image, taps)
    assert not sent.has_graph and sent.taps == here.taps
    assert torch.equal(sent.logits, here.logits)
    assert torch.equal(sent.features, here.features)
    for target in targets:
        for tap in taps:
            key = tap.address
            assert torch.equal(sent.activations[key], here.activations[key])
            assert torch.equal(sent.gradients(target)[key], here.gradients(target)[key])
            theirs, ours = evidence_at(sent, target, tap), evidence_at(here, target, tap)
            assert theirs.zero_gradient == ours.zero_gradient
            assert theirs.positive_share == pytest.approx(ours.positive_share)
    if name == "test_efficientnet":
        weights = head_weights(backbone, sent, 2).weights
        assert torch.equal(weights, head_weights(backbone, here, 2).weights)
    with pytest.raises(LookupError):
        sent.gradients(Target(3))


# --- the head as one weight a channel ---


def last_map(backbone, index, seed=0):
    seen = trace(backbone, image_for(backbone, seed), taps_of(backbone))
    head = head_weights(backbone, seen, index)
    tap = backbone.discovery.pre_pool
    heat = cam(seen.activations[tap.address], head.weights)
    return seen, head, heat


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_efficientnet", "test_nfnet", "test_byobnet", "test_maxvit"]
)
def test_t_cam_1_the_mean_of_the_map_and_the_bias_are_the_logit(tiny, name):
    def move_bias(model):
        with torch.no_grad():
            model.get_classifier().bias.copy_(noise(1000, seed=4))

    backbone = copy_of(tiny(name), move_bias)
    for index in (0, 999):
        seen, head, heat = last_map(backbone, index)
        classifier = backbone.model.get_classifier()
        assert head.kind == "linear"
        close(head.weights[0], classifier.weight[index])
        total = heat.mean() + classifier.bias[index]
        assert float(total) == pytest.approx(float(seen.logits[index]), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "norm"),
    [("test_convnext", "head.norm"), ("test_vit2", "fc_norm"), ("test_vit_relpos", "fc_norm")],
)
def test_t_cam_3_with_frozen_statistics_the_map_and_the_constants_are_the_logit(tiny, name, norm):
    def wake(model):
        with torch.no_grad():
            layer = model.get_submodule(norm)
            layer.weight.copy_(1 + 0.3 * noise(len(layer.weight), seed=5))
            layer.bias.copy_(0.3 * noise(len(layer.bias), seed=6))
            model.get_classifier().bias.copy_(noise(1000, seed=7))

    backbone = copy_of(tiny(name), wake)
    layer, classifier = backbone.model.get_submodule(norm), backbone.model.get_classifier()
    for index in (1, 500):
        seen, head, heat = last_map(backbone, index)
        assert head.kind == "normalised"
        row = classifier.weight[index]
        pooled = seen.activations[backbone.discovery.pre_pool.address].mean(dim=(2, 3))[0]
        sigma = (pooled.var(unbiased=False) + layer.eps).sqrt()
        expected = (row * layer.weight - (row * layer.weight).mean()) / sigma
        close(head.weights[0], expected)
        constants = row @ layer.bias + classifier.bias[index]
        assert float(heat.mean() + constants) == pytest.approx(float(seen.logits[index]), abs=1e-4)
        # while the norm's true derivative, which takes the scale out, sums to nothing
        tap = backbone.discovery.pre_pool
        products = seen.gradients(Target(index))[tap.address] * seen.activations[tap.address]
        assert abs(float(products.sum())) < 1e-3 * float(products.abs().sum())


def test_a_head_of_several_layers_is_linearised_at_the_picture(tiny):
    backbone = tiny("test_mambaout")
    seen, head, heat = last_map(backbone, 11)
    assert head.kind == "linearised"
    # by hand: pool, normalise with the spread held, two layers, classify
    part = backbone.model.head
    pooled = seen.features.mean(dim=(1, 2))[0].requires_grad_(True)
    spread = (pooled.detach().var(unbiased=False) + part.norm.eps).sqrt()
    normal = (pooled - pooled.mean()) / spread * part.norm.weight + part.norm.bias
    score = part.fc(part.pre_logits(normal))[11]
    assert score.item() == pytest.approx(float(seen.logits[11]), abs=1e-5)
    (derivative,) = torch.autograd.grad(score, pooled)
    close(head.weights[0], derivative)
    _, other, _ = last_map(backbone, 12)
    assert not torch.allclose(head.weights, other.weights)
    assert heat.shape == (1, *backbone.stages[-1].grid)


class Flattened(Net):
    """A classifier that weighs every place by itself."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4 * 64, 3)
        self.requires_grad_(False)

    def maps(self, x):
        return [self.a(x)]

    def forward_head(self, x, pre_logits=False):
        return self.head(x.flatten(1))


def test_heads_without_one_weight_a_channel_are_refused_with_the_reason(tiny):
    with pytest.raises(MethodError, match=r"not defined for test_vit.*class token.*LayerCAM"):
        last_map(tiny("test_vit"), 0)
    with pytest.raises(MethodError, match="weighs places differently"):
        last_map(wrap_backbone(Flattened(), name="flat", device="cpu"), 0)
    backbone = wrap_backbone(Branches(), device="cpu")
    seen = trace(backbone, noise(1, 3, 16, 16), [backbone.stages[0].output])  # not the last map
    with pytest.raises(MethodError, match="no single map"):
        head_weights(backbone, seen, 0)


# --- what the head makes of single places ---


@pytest.mark.parametrize(
    "name",
    ["test_resnet", "test_efficientnet", "test_convnext", "test_mambaout", "test_vit2"],
)
def test_a_place_is_judged_like_a_picture_full_of_it(tiny, name, unchanged):
    """Pooling by an average sees no difference; norm, bias and hidden layers all have their say."""
    backbone = tiny(name)
    tap = backbone.discovery.pre_pool
    seen = trace(backbone, noise(1, *backbone.input_size), [tap])
    vectors = seen.activations[tap.address][0].flatten(1).T[:3] * 3
    with unchanged(backbone.model):
        found = patch_probabilities(backbone, vectors)
    assert found.shape == (3, len(backbone.labels))
    for vector, beliefs in zip(vectors, found, strict=True):
        full = torch.zeros_like(seen.features)
        tap.layout.to_nchw(full)[:] = vector[:, None, None]  # a view, whatever the layout
        assert full.any()
        close(beliefs, backbone.model.forward_head(full)[0].softmax(dim=0))
    assert patch_probabilities(backbone, vectors[:0]).shape == (0, len(backbone.labels))


def test_heads_that_cannot_be_shown_a_place_say_so(tiny):
    with pytest.raises(MethodError, match="test_vit reads a class token"):
        patch_probabilities(tiny("test_vit"), noise(2, 64))
    with pytest.raises(MethodError, match="cannot be shown a single place"):
        patch_probabilities(wrap_backbone(Flattened(), name="flat", device="cpu"), noise(2, 64))


def test_without_a_graph_the_same_but_for_gradients(tiny, unchanged):
    backbone = tiny("test_resnet")
    taps = [stage.output for stage in backbone.stages]
    image = noise(1, *backbone.input_size)
    full = trace(backbone, image, taps)
    with unchanged(backbone.model):
        bare = trace(backbone, image, taps, graph=False)
    assert torch.equal(bare.logits, full.logits) and not bare.has_graph
    for tap in taps:
        assert torch.equal(bare.activations[tap.address], full.activations[tap.address])
    with pytest.raises(LookupError):
        bare.gradients(Target(0))
