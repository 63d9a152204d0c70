"""camviz.network.attention: which networks attend, recorded attention against timm's own."""

import threading

import pytest
import torch
from torch import nn

from camviz import wrap_backbone
from camviz.network.attention import (
    AttentionCalls,
    output_tap,
    record_attention,
    values_tap,
    weights_of,
    weights_tap,
)
from camviz.network.taps import frozen_eval, probe_input
from camviz.network.target import Target
from camviz.network.trace import trace as run_trace
from tests.support.tensors import close

import timm  # isort: skip  after vision_ops, which lets torchvision be imported

# Architecture, its arguments -> tokens before those of places, tokens that the head reads.
KINDS = {
    "vit_tiny_patch16_224": ({}, 1, 1),
    "deit_tiny_distilled_patch16_224": ({}, 2, 2),
    "deit3_small_patch16_224": ({}, 1, 1),
    "beitv2_base_patch16_224": ({"depth": 3}, 1, 196),
    "eva02_small_patch14_336": ({"img_size": 112, "depth": 3, "num_classes": 5}, 1, 64),
    "vit_small_patch14_dinov2": ({"img_size": 112, "depth": 3, "num_classes": 5}, 1, 1),
    "vit_small_patch14_reg4_dinov2": ({"img_size": 112, "depth": 3, "num_classes": 5}, 5, 1),
    "vit_small_patch16_dinov3": ({"img_size": 112, "depth": 3, "num_classes": 5}, 5, None),
    "vit_tiny_r_s16_p8_224": ({}, 1, 1),
    "vit_relpos_small_patch16_224": ({"depth": 3}, 0, 196),
    "vit_wee_patch16_reg1_gap_256": ({"depth": 3}, 1, 256),
    "vit_base_patch16_siglip_224": ({"depth": 2, "num_classes": 5}, 0, 196),
}
WITHOUT = {
    "swin_tiny_patch4_window7_224": "windows",
    "maxvit_rmlp_pico_rw_256": "windows",
    "mobilevit_xxs": "windows",
    "pit_ti_224": "merged",
    "crossvit_tiny_240": "merged",
    "cait_xxs24_224": "a class token alone",
    "twins_pcpvt_small": "convolutions",
    "convnext_atto": "no attention",
    "levit_128s": "no attention",
    "resnet18": "no attention",
}


def make(name, **arguments):
    torch.manual_seed(0)
    return timm.create_model(name, **arguments).eval()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", KINDS)
def test_attention_is_found_and_proved(name):
    arguments, prefix, readers = KINDS[name]
    model = make(name, **arguments)
    found = wrap_backbone(model, device="cpu").discovery
    attention = found.attention
    assert attention is not None and found.no_attention == ""
    assert attention.layout.prefix == prefix and len(attention.blocks) == len(model.blocks)
    assert [block.name for block in attention.blocks] == [
        f"blocks.{i}" for i in range(len(model.blocks))
    ]
    if readers is not None:
        assert len(attention.readers) == readers
    height, width = attention.layout.grid
    assert attention.blocks[0].tokens == height * width + prefix
    assert attention.nbytes == sum(4 * b.heads * b.tokens**2 for b in attention.blocks)
    assert attention.block("blocks.1.mlp.fc1") == attention.block("blocks.1")
    assert attention.block("blocks") is None and attention.block("patch_embed") is None


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", WITHOUT)
def test_others_say_why_not(name):
    found = wrap_backbone(make(name), device="cpu").discovery
    assert found.attention is None and WITHOUT[name] in found.no_attention


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["test_vit", "beitv2_base_patch16_224", "eva02_small_patch14_336"])
def test_what_is_recorded_is_what_the_modules_compute_step_by_step(name):
    """timm computes attention step by step itself where `fused_attn` is off."""
    arguments = KINDS[name][0] if name in KINDS else {}
    model = make(name, **arguments)
    backbone = wrap_backbone(model, device="cpu")
    block = backbone.discovery.attention.blocks[1]
    image = probe_input(backbone.input_size)
    taps = [tap(block) for tap in (weights_tap, values_tap, output_tap)]
    trace = run_trace(backbone, image, taps)
    weights, values, output = (trace.activations[tap.address] for tap in taps)
    module = dict(model.named_modules())[block.module]
    seen = {}
    module.attn_drop.register_forward_hook(lambda m, i, o: seen.update(weights=o.detach()))
    norm = getattr(module, "norm", None)
    first = norm if isinstance(norm, nn.LayerNorm) else module.proj
    first.register_forward_hook(lambda m, i, o: seen.update(output=i[0].detach()))
    module.fused_attn = False
    with torch.no_grad():
        logits = model(image)
    close(weights, seen["weights"], 1e-6)
    close(output.transpose(1, 2).flatten(2), seen["output"], 1e-5)
    close(weights @ values, output, 1e-6)
    close(weights.sum(dim=-1), torch.ones_like(weights[..., 0]), 1e-5)
    close(trace.logits, logits[0], 1e-5)


@pytest.mark.parametrize("versus", [None, 5])
def test_gradients_are_those_of_differences(tiny, versus):
    """dy/dA and dy/dT, by moving one number of A and of T."""
    backbone = tiny("test_vit")
    block = backbone.discovery.attention.blocks[2]
    image = probe_input(backbone.input_size)
    taps = {kind: tap(block) for kind, tap in (("A", weights_tap), ("T", output_tap))}
    trace = run_trace(backbone, image, list(taps.values()))
    gradients = trace.gradients(Target(3, versus=versus))

    def score(kind, place, step):
        def attend(number, given):
            if number != block.call:
                return None
            weights, values = weights_of(given).double(), given["value"].double()
            if kind == "A":
                weights[place] += step
            output = weights @ values
            if kind == "T":
                output[place] += step
            return output.float()

        with backbone.lock, frozen_eval(backbone.model, gradients=False), AttentionCalls(attend):
            logits = backbone.model(image)[0].double()
        return float(logits[3] - (0 if versus is None else logits[versus]))

    for kind, place in (("A", (0, 1, 0, 7)), ("A", (0, 0, 4, 9)), ("T", (0, 1, 0, 3))):
        step = 0.05
        slope = (score(kind, place, step) - score(kind, place, -step)) / (2 * step)
        found = float(gradients[taps[kind].address][place])
        assert found == pytest.approx(slope, rel=0.02, abs=2e-4), (kind, place)


def test_masks_scales_and_causal_attention_are_torchs():
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3, 6, 4, generator=generator) for _ in range(3))
    bias = torch.randn(2, 3, 6, 6, generator=generator)
    calls = [
        {}, {"attn_mask": bias}, {"attn_mask": bias > 0}, {"scale": 0.3}, {"is_causal": True},
    ]  # fmt: skip
    for kwargs in calls:
        wanted = nn.functional.scaled_dot_product_attention(query, key, value, **kwargs)

        def attend(number, given):
            assert number == 0 and given["value"] is value
            return weights_of(given) @ given["value"]

        with AttentionCalls(attend):
            result = nn.functional.scaled_dot_product_attention(query, key, value, **kwargs)
        close(result, wanted, 1e-6)


def test_nothing_is_left_behind_after_success_or_failure(tiny):
    backbone = tiny("test_vit")
    image = probe_input(backbone.input_size)
    block = backbone.discovery.attention.blocks[0]
    before = {name: list(vars(module)) for name, module in backbone.model.named_modules()}
    run_trace(backbone, image, [weights_tap(block)])
    with pytest.raises(ZeroDivisionError), AttentionCalls(lambda *_: 1 // 0):
        backbone.model(image)
    with torch.no_grad():
        assert torch.isfinite(backbone.model(image)).all()
    for name, module in backbone.model.named_modules():
        assert list(vars(module)) == before[name]
        assert not module._forward_hooks and not module._forward_pre_hooks


def test_other_threads_are_left_alone(tiny):
    """Only calls of the recording thread are recorded; another one runs as it always does."""
    backbone = tiny("test_vit")
    image = probe_input(backbone.input_size)
    block = backbone.discovery.attention.blocks[0]
    stored = {}
    with torch.no_grad(), record_attention([weights_tap(block)], stored):
        other = threading.Thread(target=backbone.model, args=(image,))
        other.start(), other.join()
        assert not stored
        backbone.model(image)
        assert list(stored) == [weights_tap(block).address]
