"""Class scores from a tapped tensor onward, against whole passes with that tensor exchanged."""

import os
import sys
import threading

import pytest
import torch
from torch import nn

from camviz import wrap_backbone
from camviz.errors import BackboneError
from camviz.network import tail as module
from camviz.network.head import head_weights
from camviz.network.tail import find_tail, score_pictures
from camviz.network.taps import primary_logits
from camviz.network.trace import trace
from tests.support.networks import SMALL, copy_of, small
from tests.support.tensors import close, noise, same
from tests.support.toys import SIZE, Branches, Nested, Toy, Twice
from tests.support.traces import image_for, taps_of

TINY = (
    "test_resnet", "test_convnext", "test_vit", "test_vit4", "test_efficientnet", "test_nfnet",
    "test_byobnet", "test_mambaout",
)  # fmt: skip


@pytest.fixture(scope="module")
def other():
    """other("densenet121"): a small network of that family, the same all through this file."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = wrap_backbone(small(name), device="cpu")
        return made[name]

    return get


def exchanged(backbone, image, tap, maps):
    """Logits of whole passes with another map each: the definition, one pass at a time."""
    rows = []
    for one in maps:

        def exchange(_, inputs, output, one=one):
            assert tap.call == 0 and not tap.path
            output = output.clone()
            tap.layout.to_nchw(output)[0] = one
            if not torch.equal(tap.layout.to_nchw(output)[0], one):  # a copy was written into
                output = output.clone()
                flat = output.flatten(1, -2)
                flat[0, list(tap.layout.order)] = one.flatten(1).T
            return output

        hook = backbone.model.get_submodule(tap.module).register_forward_hook(exchange)
        try:
            with torch.no_grad():
                rows.append(primary_logits(backbone.model(image.clone())))
        finally:
            hook.remove()
    return torch.cat(rows)


def changes_of(activation):
    """A map as it is, halved, without a channel, and with noise."""
    maps = activation.repeat(4, 1, 1, 1)
    maps[1] *= 0.5
    maps[2, 0] = 0
    maps[3] += noise(maps[3].shape, 7) * maps[3].std()
    return maps


def check(backbone, taps, kinds=("head", "rest")):
    image = image_for(backbone)
    traced = trace(backbone, image, taps, graph=False)
    found = {}
    for tap in taps:
        tail = find_tail(backbone, image, traced, tap)
        maps = changes_of(traced.activations[tap.address])
        expected = exchanged(backbone, image, tap, maps)
        size = expected.abs().max()
        assert (tail(maps.clone()) - expected).abs().max() <= 1e-5 * size, tap
        assert (expected[0] - traced.logits).abs().max() <= 1e-5 * size
        assert tail.kind in kinds, f"{tap.module}: {tail.kind}"
        found[tap] = tail
    return found


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", TINY)
def test_the_tail_is_whole_passes(tiny, name, unchanged):
    backbone = tiny(name)
    with unchanged(backbone.model):
        found = check(backbone, taps_of(backbone))
    assert found[backbone.discovery.pre_pool].kind == "head"


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", SMALL)
def test_the_tail_is_whole_passes_in_other_families(other, name):
    backbone = other(name)
    taps = taps_of(backbone)
    found = check(backbone, taps if len(taps) < 8 else [*taps[::3], taps[-1]])
    pre_pool = backbone.discovery.pre_pool
    assert pre_pool not in found or found[pre_pool].kind == "head"


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("name", "modules"),
    [
        (
            "test_resnet",
            ("conv1", "layer2.0.bn1", "layer3.0.bn2", "layer3.0.downsample", "layer4.0"),
        ),
        ("test_vit", ("patch_embed", "blocks.2.attn", "blocks.3.mlp.fc1", "blocks.4.norm2")),
        ("test_convnext", ("stem", "stages.1.downsample", "stages.2.blocks.0.conv_dw")),
        ("test_efficientnet", ("blocks.1.0.se", "blocks.3.0.conv_pwl", "conv_head")),
    ],
)
def test_the_tail_of_any_module(tiny, name, modules):
    """In front of in-place activations, within a block, beside a shortcut."""
    backbone = tiny(name)
    check(backbone, [backbone.stage(each).output for each in modules])


def test_only_what_follows_runs(tiny):
    backbone = tiny("test_resnet")
    image = image_for(backbone)
    taps = [backbone.stage(name).output for name in ("layer2", "layer3", "layer4")]
    traced = trace(backbone, image, taps, graph=False)
    for tap, skipped in zip(taps, ("layer2", "layer3", "layer4"), strict=True):
        tail = find_tail(backbone, image, traced, tap)
        ran: set = set()
        hooks = [
            each.register_forward_hook(lambda m, i, o, n=n, ran=ran: ran.add(n))
            for n, each in backbone.model.named_modules()
            if n and "." in n
        ]
        tail(traced.activations[tap.address].clone())
        for hook in hooks:
            hook.remove()
        assert not any(name.startswith(("layer1.", f"{skipped}.")) for name in ran)
        assert any(name.startswith("layer4.") for name in ran) == (tap.module != "layer4")


@pytest.mark.parametrize("toy", [Toy, Nested, Twice, Branches])
def test_nested_outputs_repeated_and_parallel_modules(toy):
    model = toy().eval().requires_grad_(False)
    if toy is not Branches:
        model.pretrained_cfg = {"input_size": SIZE}
    backbone = wrap_backbone(model, device="cpu")
    image = image_for(backbone)
    taps = [stage.output for stage in backbone.stages]
    traced = trace(backbone, image, taps, graph=False)
    for tap in taps:
        tail = find_tail(backbone, image, traced, tap)
        whole = module.Scorer(
            backbone, module._Exchange(model, image, tap), "whole", backbone.fingerprint
        )
        maps = changes_of(traced.activations[tap.address])
        found, expected = tail(maps.clone()), whole(maps.clone())
        assert tail.kind in ("head", "rest")
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
        assert (expected[3] - expected[0]).abs().max() > 1e-4 * expected.abs().max()


def test_what_the_tail_cannot_give_whole_passes_do(monkeypatch):
    """A tail that is wrong in value, or fails, is not used."""
    model = Toy().eval().requires_grad_(False)
    model.pretrained_cfg = {"input_size": SIZE}
    backbone = wrap_backbone(model, device="cpu")
    image, tap = image_for(backbone), backbone.stages[1].output
    traced = trace(backbone, image, [tap], graph=False)
    maps = changes_of(traced.activations[tap.address])
    expected = exchanged(backbone, image, tap, maps)

    def fail(*_):
        raise RuntimeError("as a network may that is not made for it")

    for wrong in (
        lambda self, maps: self._model.head(maps.mean((2, 3)).repeat(1, 2)[:, :10]),
        fail,
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module._Rest, "__call__", wrong)
            tail = find_tail(backbone, image, traced, tap)
            assert tail.kind == "whole"
            close(tail(maps.clone()), expected, 1e-6)


class Careless(Toy):
    """Writes into what a module before the map returned, behind the map."""

    def __init__(self):
        super().__init__()
        self.d = nn.Conv2d(6, 8, 3, 2, 1)

    def maps(self, x):
        a = self.a(x)
        side = self.d(a)
        b = self.b(a)
        side += b
        return [a, b, self.c(side)]


def test_what_is_written_into_is_a_copy():
    model = Careless().eval().requires_grad_(False)
    model.pretrained_cfg = {"input_size": SIZE}
    backbone = wrap_backbone(model, device="cpu")
    image = image_for(backbone)
    tap = next(s.output for s in backbone.stages if s.output.module == "b")
    traced = trace(backbone, image, [tap], graph=False)
    tail = find_tail(backbone, image, traced, tap)
    maps = changes_of(traced.activations[tap.address])
    assert tail.kind == "rest" and tail.run._copies
    whole = module.Scorer(
        backbone, module._Exchange(model, image, tap), "whole", backbone.fingerprint
    )
    for _ in range(2):
        assert (tail(maps.clone()) - whole(maps.clone())).abs().max() < 1e-6


@pytest.mark.parametrize("own", [False, True])
def test_everything_is_as_before_also_after_a_failure(tiny, unchanged, own):
    """own: a part has a `forward` of its own, as an attribute."""
    backbone = copy_of(tiny("test_resnet"))
    model = backbone.model.train()
    if own:
        kind = type(model.layer1)
        model.layer1.forward = lambda x: kind.forward(model.layer1, x)
    forwards = {n: m.__dict__.get("forward") for n, m in model.named_modules()}
    image, tap = image_for(backbone), backbone.stage("layer3").output
    with unchanged(model):
        traced = trace(backbone, image, [tap], graph=False)
        tail = find_tail(backbone, image, traced, tap)
        assert tail.kind == "rest"
        tail(traced.activations[tap.address].clone())
        with pytest.raises(RuntimeError):
            tail(torch.zeros(2, 3, 1, 1))
        with pytest.raises(RuntimeError):
            score_pictures(backbone)(torch.zeros(1, 5, 8, 8))
        assert {n: m.__dict__.get("forward") for n, m in model.named_modules()} == forwards
        assert not module._detours._held


def test_changed_weights_are_noticed(tiny):
    backbone = copy_of(tiny("test_resnet"))
    image, tap = image_for(backbone), backbone.stage("layer3").output
    traced = trace(backbone, image, [tap], graph=False)
    scorers = find_tail(backbone, image, traced, tap), score_pictures(backbone)
    with torch.no_grad():
        next(backbone.model.parameters()).mul_(2)
    for scorer, given in zip(scorers, (traced.activations[tap.address], image), strict=True):
        with pytest.raises(BackboneError, match="test_resnet were changed while a map was"):
            scorer(given.clone())


def test_other_threads_run_the_network_as_it_is(tiny):
    """A network and one that shares its first layers, without any lock, while tails run."""
    backbone = copy_of(tiny("test_resnet"))
    model = backbone.model
    image, tap = image_for(backbone), backbone.stage("layer3").output
    traced = trace(backbone, image, [tap], graph=False)
    tail = find_tail(backbone, image, traced, tap)
    shared = nn.Sequential(model.conv1, model.bn1, model.act1, model.maxpool, model.layer1)
    other = image_for(backbone, 5)
    with torch.no_grad():
        expected = model(other), shared(other)
    wrong, over = [], threading.Event()

    def run():
        with torch.no_grad():
            while not over.is_set():
                for found, right in zip((model(other), shared(other)), expected, strict=True):
                    if not torch.equal(found, right):
                        wrong.append(found)

    threads = [threading.Thread(target=run) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    for thread in threads:
        thread.start()
    try:
        maps = changes_of(traced.activations[tap.address])
        first = tail(maps.clone())
        for _ in range(30):
            same(tail(maps.clone()), first)
    finally:
        over.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert not wrong and not module._detours._held


def test_tails_of_two_networks_that_share_layers_do_not_meet(tiny):
    """Their locks are two; each thread's answers are its own."""
    one, two = copy_of(tiny("test_resnet")), copy_of(tiny("test_resnet"))
    two.model.layer1 = one.model.layer1
    rows = []
    for backbone, seed in ((one, 0), (two, 1)):
        image, tap = image_for(backbone, seed), backbone.stage("layer3").output
        traced = trace(backbone, image, [tap], graph=False)
        tail = find_tail(backbone, image, traced, tap)
        maps = changes_of(traced.activations[tap.address])
        rows.append((tail, maps, tail(maps.clone())))
    wrong = []

    def run(tail, maps, expected):
        for _ in range(40):
            if not torch.equal(tail(maps.clone()), expected):
                wrong.append(tail)

    threads = [threading.Thread(target=run, args=row) for row in rows]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert not wrong and not module._detours._held


def test_a_forked_process_has_the_network_as_it_is(tiny):
    """Whatever this one was in the middle of when it was forked."""
    model = copy_of(tiny("test_resnet")).model
    with module._detours.answer({model.layer1: lambda *_: None}):
        child = os.fork()
        if child == 0:
            os._exit(int("forward" in vars(model.layer1) or bool(module._detours._held)))
        _, status = os.waitpid(child, 0)
        assert "forward" in vars(model.layer1), "here it is still under way"
    assert status == 0 and "forward" not in vars(model.layer1)


def test_scores_are_those_of_the_labels(tiny):
    """Pictures give what the network gives; a linear head gives what its weights say."""
    backbone = tiny("test_resnet")
    images = noise((3, *backbone.input_size), 4)
    with torch.no_grad():
        expected = backbone.model(images)
    same(score_pictures(backbone)(images), expected)
    image, tap = image_for(backbone), backbone.discovery.pre_pool
    traced = trace(backbone, image, [tap], graph=False)
    tail = find_tail(backbone, image, traced, tap)
    maps = changes_of(traced.activations[tap.address])
    weights = head_weights(backbone, traced, 5).weights[0]
    change = (maps.mean((2, 3)) @ weights)[1:] - maps[0].mean((1, 2)) @ weights
    found = tail(maps.clone())[:, 5]
    torch.testing.assert_close(found[1:] - found[0], change, rtol=1e-4, atol=1e-5)
