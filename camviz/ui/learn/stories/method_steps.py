"""The steps of a method at one stage, one function a step; `steps_of` has their order."""

from collections.abc import Callable, Mapping

import numpy as np

from camviz.engine.explanation import Explanation
from camviz.engine.steps import ChannelSteps, network_input
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS
from camviz.ui import html
from camviz.ui.layers import layer_in_words, layer_name
from camviz.ui.learn.stories.common import (
    channel_group,
    digits,
    lines,
    on_picture,
    outlined,
    percent,
    size_of,
    subject,
)
from camviz.ui.viewer.stories import Figure, Group, Maps, StoryStep

_EVEN = 1e-4  # of a value, within which others are the same
# The part of a channel in the formula of its method, and its weight there.
_PARTS = {
    "layer_cam": ("ReLU(g_k) · A_k", "ReLU(g_k)"),
    "layer_cam_elementwise": ("ReLU(g_k · A_k)", "g_k"),
    "grad_cam": ("mean_hw(g_k) · A_k", "mean_hw(g_k)"),
    "hires_cam": ("g_k · A_k", "g_k"),
    "grad_cam_pp": ("w_k · A_k", "w_k"),
    "xgrad_cam": ("w_k · A_k", "w_k"),
    "cam": ("w_k · A_k", "w_k"),
}


def is_even(found: ChannelSteps) -> bool:
    """Whether every gradient is the same at all places, as it is before average pooling."""
    if found.gradients is None or found.means is None:
        return True
    off = np.abs(found.gradients - found.means[:, None, None])
    return bool((off <= _EVEN * np.abs(found.gradients)).all())


Make = Callable[[Explanation, str, ChannelSteps, Maps], StoryStep]


def steps_of(method: str) -> tuple[Make, ...]:
    """What makes each step of a method after the first, in order."""
    weighed = (_head_weights,) if METHODS[method].uses_head else (_gradients, _weights)
    return (_activations, *weighed, _sum, _relu, _overlay, _fusion)


def _formula(x: Explanation, **signs: str) -> tuple[str, Mapping[str, str]]:
    """The formula of the method, with the pieces that stand for something here."""
    method = x.request.method
    part, weight = _PARTS[method]
    named = {"map": "M", "part": part, "weight": weight, "activation": "A_k", "gradient": "g_k"}
    return METHODS[method].formula, {named[key]: symbol for key, symbol in signs.items()}


def picture_step(x: Explanation) -> StoryStep:
    given, (height, width) = network_input(x), x.fit.picture_size
    how = {
        "stretch": "stretched to",
        "pad": "scaled, and padded, to",
        "crop": "scaled, and cut in the middle, to",
    }[x.request.fit]
    size = size_of(given.pixels.shape)
    picture = outlined(
        Figure(name="the picture", text=f"{size_of((height, width))} pixels", alt="The picture"), x
    )
    input_figure = Figure(
        name="what the network sees",
        text=f"{size} pixels, from {digits(given.lowest)} to {digits(given.highest)}",
        alt=f"The picture as the network sees it, {size} pixels",
        src=html.data_url(given.pixels),
    )
    return StoryStep(
        title="The picture, as the network sees it",
        says=f"It is {how} {size} pixels, and its colours become numbers around zero.",
        formulas=lines(
            ("x = (p / 255 − mean) / deviation", {"x": "input", "p": "picture"}),
        ),
        groups=(
            Group(symbol="picture", name="p", figures=(picture,), size="large"),
            Group(symbol="input", name="x", figures=(input_figure,), sign="→", size="large"),
        ),
    )


def _activations(x: Explanation, stage: str, found: ChannelSteps, maps: Maps) -> StoryStep:
    layer = layer_in_words(x.backbone, stage, x.notes[stage].grid)
    return StoryStep(
        title="What the layer answers",
        says=f"{layer[0].upper()}{layer[1:]} has {found.count} channels, each a small map; here "
        f"are the {len(found.channels)} that add most to “{x.label}”.",
        formulas=lines(_formula(x, activation="activation")),
        groups=(_answers(found, maps),),
    )


def _answers(found: ChannelSteps, maps: Maps) -> Group:
    return channel_group(
        maps, found.activations, found.channels, "activation", "A_k: what each channel answers"
    )


def _slopes(found: ChannelSteps, maps: Maps) -> Group:
    assert found.gradients is not None
    return channel_group(
        maps, found.gradients, found.channels, "gradient", "g_k: its gradient", signed=True
    )


def _gradients(x: Explanation, stage: str, found: ChannelSteps, maps: Maps) -> StoryStep:
    changed = [
        *(["its checkerboard was smoothed out"] if x.notes[stage].smoothed else []),
        *(["it was truncated"] if stage in x.request.truncated else []),
    ]
    more = f" Here {' and '.join(changed)}." if changed else ""
    return StoryStep(
        title="What more of it would do",
        says=f"The gradient says, place by place, how {subject(x)} would rise (orange) or fall "
        f"(violet) if the channel answered more.{more}",
        formulas=lines(
            ("g_k = ∂y / ∂A_k", {"g_k": "gradient", "A_k": "activation"}),
            _formula(x, gradient="gradient", activation="activation"),
        ),
        groups=(_answers(found, maps), _slopes(found, maps)),
    )


def _numbers(maps: Maps, values: np.ndarray, found: ChannelSteps, symbol: str, name: str) -> Group:
    """One number a channel, as an even colour."""
    peak = float(np.abs(values).max())
    heats = values[:, None, None]
    return channel_group(maps, heats, found.channels, symbol, name, signed=True, peak=peak)


def _weights(x: Explanation, stage: str, found: ChannelSteps, maps: Maps) -> StoryStep:
    """The weight of Grad-CAM and that of LayerCAM side by side, and the method's own."""
    method = METHODS[x.request.method]
    assert found.gradients is not None and found.means is not None
    used = {key: " (used here)" if x.request.method == key else "" for key in METHODS}
    positive = np.maximum(found.gradients, 0)
    groups = [
        _slopes(found, maps),
        _numbers(
            maps, found.means, found, "mean", f"Grad-CAM: one number a channel{used['grad_cam']}"
        ),
        channel_group(
            maps,
            positive,
            found.channels,
            "weight",
            f"LayerCAM: one number a place{used['layer_cam']}",
        ),
    ]
    formulas = [
        ("Grad-CAM: w_k = mean_hw(g_k)", {"mean_hw(g_k)": "mean"}),
        ("LayerCAM: w_k = ReLU(g_k)", {"ReLU(g_k)": "weight"}),
    ]
    more = ""
    if x.request.method in ("grad_cam_pp", "xgrad_cam"):
        assert found.weights is not None
        groups.append(
            _numbers(
                maps, found.weights, found, "own", f"{method.label}: one number a channel (used)"
            )
        )
        formulas.append((method.formula, {"w_k": "own"}))
        more = f" {method.label} takes another mean."
    elif x.request.method == "hires_cam":
        formulas.append((method.formula, {"g_k": "gradient"}))
        more = " HiRes-CAM takes the gradient as it is, with its sign."
    elif x.request.method == "layer_cam_elementwise":
        formulas.append((method.formula, {"g_k": "gradient"}))
        more = " Element by element, what a place adds is kept instead."
    if is_even(found):
        more += (
            " Here the mean over all places follows, so that the gradient is the same everywhere, "
            "and so are both."
        )
    return StoryStep(
        title="One number a channel, or one a place",
        says="Grad-CAM weighs a whole channel by the mean of its gradient; LayerCAM weighs every "
        f"place by its own positive gradient.{more}",
        formulas=lines(*formulas),
        groups=tuple(groups),
    )


def _head_weights(x: Explanation, stage: str, found: ChannelSteps, maps: Maps) -> StoryStep:
    assert found.weights is not None
    name = "w_k: the weight of the class"
    return StoryStep(
        title="What the classifier makes of it",
        says=f"The classifier has one weight a channel for “{x.label}”: above zero (orange) the "
        "channel speaks for it, below (violet) against it.",
        formulas=lines(_formula(x, weight="own", activation="activation")),
        groups=(_answers(found, maps), _numbers(maps, found.weights, found, "own", name)),
    )


def _sum(x: Explanation, stage: str, found: ChannelSteps, maps: Maps) -> StoryStep:
    share = (
        ""
        if found.share is None
        else (f" The {len(found.channels)} shown make {percent(found.share)} of what they add.")
    )
    part = _PARTS[x.request.method][0]
    parts = channel_group(
        maps, found.contributions, found.channels, "part", f"{part}: what each adds"
    )
    return StoryStep(
        title="All channels together",
        says=f"Each channel times its weight, added up over all {found.count}.{share}",
        formulas=lines(_formula(x, map="map", part="part")),
        groups=(parts, _raw(found, maps, f"M: the sum of all {found.count}", sign="=")),
    )


def _raw(found: ChannelSteps, maps: Maps, name: str, sign: str = "") -> Group:
    raw = found.raw
    figure = maps.figure(
        raw,
        size_of(raw.shape),
        f"from {digits(raw.min())} to {digits(raw.max())}",
        alt=f"{name}, from {digits(raw.min())} to {digits(raw.max())}",
        signed=bool((raw < 0).any()),
    )
    return Group(symbol="map", name=name, figures=(figure,), sign=sign, size="third")


def _relu(x: Explanation, stage: str, found: ChannelSteps, maps: Maps) -> StoryStep:
    raw, lost = found.raw, found.negative_cells
    says = "No place of the sum is below zero here, so the ReLU changes nothing."
    if x.request.method == "layer_cam":
        says += " LayerCAM left out what speaks against the class before, in its weights."
    if lost:
        says = (
            f"{html.plural(lost, 'cell')} of {raw.size} {'is' if lost == 1 else 'are'} below zero, "
            f"{percent(found.negative_share)} of the whole heat: the ReLU sets "
            f"{'it' if lost == 1 else 'them'} to zero."
        )
    if not (raw > 0).any():
        says = f"No place is above zero: nothing is left, and the map is empty. {says}"
    after = maps.figure(
        np.maximum(raw, 0), "ReLU(M)", f"up to {digits(max(raw.max(), 0))}",
        alt=f"The map after the ReLU, up to {digits(max(raw.max(), 0))}",
    )  # fmt: skip
    return StoryStep(
        title="What is below zero goes",
        says=says,
        formulas=lines(("ReLU(M) = max(M, 0)", {"ReLU(M)": "positive", "M": "map"})),
        groups=(
            _raw(found, maps, "M: before"),
            Group(symbol="positive", name="after", figures=(after,), sign="→", size="third"),
        ),
    )


def _overlay(x: Explanation, stage: str, found: ChannelSteps, maps: Maps) -> StoryStep:
    heat, (height, width) = x.normalized[stage], x.fit.picture_size
    cells = size_of(heat.shape)
    small = maps.figure(heat, "n", cells, alt=f"The map over its maximum, {cells}", peak=1.0)
    laid = on_picture(
        maps, heat, x.placements[stage], "on the picture", f"{size_of((height, width))} pixels",
        alt="The map laid on the picture",
    )  # fmt: skip
    return StoryStep(
        title="From cells to pixels",
        says=f"Divided by its maximum, the map of {cells} cells is spread evenly over "
        f"{size_of((height, width))} pixels and laid on the picture.",
        formulas=lines(
            ("n = ReLU(M) / max ReLU(M)", {"n": "normal"}),
        ),
        groups=(
            Group(symbol="normal", name="n: the map over its maximum", figures=(small,),
                  size="large"),
            Group(symbol="laid", name="up-sampled", figures=(laid,), sign="→", size="large"),
        ),
    )  # fmt: skip


def _fusion(x: Explanation, stage: str, found: ChannelSteps, maps: Maps) -> StoryStep:
    fusion = FUSIONS[x.request.fuse]
    count = len(x.stages)
    figures = tuple(
        on_picture(
            maps, x.normalized[name], x.placements[name], f"n_{number}",
            layer_name(x.backbone, name, x.notes[name].grid),
            alt=f"The map of {layer_in_words(x.backbone, name, x.notes[name].grid)}",
        )
        for number, name in enumerate(x.stages, 1)
    )  # fmt: skip
    heat, placement = x.fused_grid
    whole = on_picture(maps, heat, placement, "F", fusion.label, alt="The fused map")
    signs = {"F": "fused", "n_1": "stage", "n_L": "stage", "n_l": "stage"}
    says = fusion.summary
    if count == 1:
        says = f"{METHODS[x.request.method].label} has a map of this stage alone: it is the result."
    return StoryStep(
        title="All stages become one",
        says=says,
        formulas=lines((fusion.formula, signs)),
        groups=(
            Group(symbol="stage", name=f"n_1 … n_{count}: shallow to deep", figures=figures,
                  size="medium"),
            Group(symbol="fused", name="F: fused", figures=(whole,), sign="=", size="large"),
        ),
    )  # fmt: skip
