"""GAE, DAAM, AttnLRP and rollout in the engine: blocks, heads, classes, and what they cost."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import torch

from camviz import Engine, load_backbone, wrap_backbone
from camviz.engine.families import default_method
from camviz.engine.options import Options
from camviz.engine.remote import RemoteRunner
from camviz.errors import MethodError
from camviz.methods import METHODS
from camviz.methods.attention import daam, gae, rollout
from camviz.network.attention import output_tap, values_tap, weights_tap
from camviz.network.target import Target
from camviz.network.trace import trace as run_trace
from tests.support.networks import copy_of

import timm  # isort: skip  after vision_ops, which lets torchvision be imported

OF_ATTENTION = [name for name, row in METHODS.items() if row.uses_attention]
# Attention alone, its gradient, and what is attended to: none runs the network for itself.
OF_THE_TRACE = ["gae", "daam", "rollout"]


def make(name, **arguments):
    torch.manual_seed(0)
    return timm.create_model(name, **arguments).eval()


def by_hand(backbone, photo, method, block, target):
    """A map of one block, from a trace of its own and the function alone."""
    attention = backbone.discovery.attention
    blocks = attention.blocks[: block + 1]
    taps = [tap(each) for each in attention.blocks for tap in (weights_tap, values_tap, output_tap)]
    trace = run_trace(backbone, photo, taps)
    gradients = trace.gradients(target)
    weights = [trace.activations[weights_tap(each).address] for each in blocks]
    readers = torch.zeros(1, blocks[0].tokens)
    readers[0, list(attention.readers)] = 1 / len(attention.readers)
    if method == "rollout":
        tokens = rollout(weights, readers)
    elif method == "gae":
        tokens = gae(weights, [gradients[weights_tap(each).address] for each in blocks], readers)
    else:
        values = [trace.activations[values_tap(each).address] for each in blocks]
        slopes = [gradients[output_tap(each).address] for each in blocks]
        tokens = daam(weights, values, slopes, readers)
    return tokens[0, attention.layout.prefix :].reshape(attention.layout.grid).numpy()


@pytest.mark.sampled(2)
@pytest.mark.parametrize("method", OF_THE_TRACE)
@pytest.mark.parametrize(
    "name",
    ["test_vit", "deit_tiny_distilled_patch16_224", "vit_wee_patch16_reg1_gap_256"],
)
def test_maps_are_those_of_the_functions(engine, photo, name, method):
    backbone = wrap_backbone(make(name), device="cpu")
    versus = None if method == "rollout" else 5
    last = len(backbone.discovery.attention.blocks) - 1
    x = engine.explain(
        photo,
        backbone,
        target=3,
        versus=versus,
        method=method,
        stages=["blocks.1", f"blocks.{last}"],
    )
    image, _ = backbone.prepare(x.picture)
    for block in (1, last):
        wanted = by_hand(backbone, image, method, block, Target(3, versus=versus))
        found = x.raw[f"blocks.{block}"]
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    deepest = x.normalized[f"blocks.{last}"]
    assert x.request.fuse == "deepest" and np.array_equal(x.fused_grid[0], deepest)


def test_the_fused_map_of_relevance_is_that_of_the_picture(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_vit"), method="attn_lrp", target=3)
    assert x.request.fuse == "shallowest"
    assert np.array_equal(x.fused_grid[0], x.normalized[x.stages[0]])


def test_blocks_are_those_of_the_default_stages_and_the_last(engine, tiny, photo):
    backbone = tiny("test_vit")
    x = engine.explain(photo, backbone, method="daam")
    names = [block.name for block in backbone.discovery.attention.blocks]
    wanted = {name for name in names for stage in backbone.default_stages
              if f"{stage}.".startswith(f"{name}.")} | {names[-1]}  # fmt: skip
    assert x.stages == tuple(name for name in names if name in wanted)
    assert all(x.raw[name].any() for name in x.stages), "the last block, too"
    y = engine.explain(photo, backbone, method="daam", stages=["blocks.2.mlp", "blocks.0"])
    assert y.stages == ("blocks.0", "blocks.2"), "a module stands for its block"


def test_daam_grows_from_block_to_block(engine, tiny, photo):
    x = engine.explain(photo, tiny("test_vit"), method="daam", target=3)
    maps = [x.raw[name] for name in x.stages]
    for before, after in pairwise(maps):
        assert (after >= before - 1e-7).all() and (after > before).any()


@pytest.mark.parametrize("method", OF_ATTENTION)
def test_what_a_network_cannot_have_says_why_and_what_to_take(engine, tiny, photo, method):
    with pytest.raises(MethodError, match=r"does not exist for test_resnet: no attention"):
        engine.explain(photo, tiny("test_resnet"), method=method)
    with pytest.raises(MethodError, match=r"'patch_embed' is in none; blocks: blocks"):
        engine.explain(photo, tiny("test_vit"), method=method, stages=["patch_embed"])
    with pytest.raises(MethodError, match="no gradient of a layer, so there is"):
        engine.explain(photo, tiny("test_vit"), method=method, truncation=0.9)


def test_attention_that_is_too_large_is_refused_before_it_is_computed(engine, photo, monkeypatch):
    monkeypatch.setattr("camviz.network.attention.MOST_BYTES", 1000)
    monkeypatch.setattr(
        "camviz.network.attention.weights_of", lambda given: pytest.fail("it was computed")
    )
    backbone = load_backbone("test_vit", "random", "cpu")
    with pytest.raises(MethodError, match=r"10 x 10 places .* 0.0 GB, .* smaller input_size; Lay"):
        engine.explain(photo, backbone, method="gae")
    assert engine.explain(photo, backbone).request.method == "layer_cam"


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({}, "daam"),
        ({"stages": ("blocks.1",)}, "daam"),
        ({"stages": ("blocks.1", "blocks.2.norm1")}, "layer_cam"),
        ({"truncation": 0.9}, "layer_cam"),
        ({"truncation": "auto"}, "layer_cam"),
        ({"score": "probability"}, "daam"),
        ({"versus": 5}, "daam"),
    ],
)
def test_the_default_is_daam_unless_an_option_needs_layercam(tiny, options, method):
    assert default_method(tiny("test_vit"), Options(**options)) == method


def test_a_further_class_costs_one_backward_pass_and_a_further_method_none(
    engine, tiny, photo, monkeypatch
):
    backbone = copy_of(tiny("test_vit"))
    engine.explain(photo, backbone, target=3, method="layer_cam")
    count = {"backward": 0}
    grad = torch.autograd.grad

    def counted(*given, **named):
        count["backward"] += 1
        return grad(*given, **named)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    handle = backbone.model.register_forward_pre_hook(lambda *_: pytest.fail("the network ran"))
    try:
        for method in OF_THE_TRACE:
            engine.explain(photo, backbone, target=3, method=method)
        assert count == {"backward": 0}
        for method in OF_THE_TRACE:
            engine.explain(photo, backbone, target=4, method=method)
        assert count == {"backward": 1}
    finally:
        handle.remove()


@pytest.mark.sampled
@pytest.mark.parametrize("method", OF_ATTENTION)
def test_all_scores_and_another_process(tiny, photo, method):
    backbone = Engine("cpu").backbone("scenes-vit")
    worker = Engine("cpu")
    tasks = []
    remote = Engine("cpu", runner=RemoteRunner(lambda task: tasks.append(task) or worker.run(task)))
    other = remote.backbone("scenes-vit")
    scores = ["logit"] if method == "rollout" else ["logit", "probability", "log_probability"]
    for score in scores:
        x, y = (
            engine.explain(photo, network, target=2, method=method, score=score)
            for engine, network in ((Engine("cpu"), backbone), (remote, other))
        )
        for name in x.stages:
            assert x.raw[name].any(), score
            assert np.abs(x.raw[name] - y.raw[name]).max() <= 1e-5 * np.abs(x.raw[name]).max()
    assert tasks


def test_a_network_that_computes_attention_step_by_step_is_recorded_too(photo, engine):
    model = make("test_vit")
    usual = wrap_backbone(model, device="cpu")
    other = make("test_vit")
    for module in other.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    slow = wrap_backbone(other, device="cpu")
    assert slow.discovery.attention == usual.discovery.attention
    x, y = (engine.explain(photo, backbone, target=3, method="gae") for backbone in (usual, slow))
    assert all((abs(x.raw[name] - y.raw[name]) < 1e-6).all() for name in x.stages)
    assert not any(m.fused_attn for m in other.modules() if hasattr(m, "fused_attn")), "as it was"


def test_eight_threads_give_the_maps_that_one_gives(engine, tiny, photo):
    backbone = tiny("test_vit")
    jobs = [(method, target) for target in range(4) for method in OF_ATTENTION]
    fresh = Engine("cpu")

    def explain(job, by):
        method, target = job
        x = by.explain(photo, backbone, target=target, method=method)
        return np.stack([x.raw[name] for name in x.stages])

    alone = [explain(job, engine) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda job: explain(job, fresh), jobs))
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one - other).max() <= 1e-6 * np.abs(one).max()
