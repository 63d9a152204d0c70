"""Why shallow maps are noisy, and what truncation removes."""

from dataclasses import replace

import numpy as np

from camviz.engine.explanation import Explanation
from camviz.engine.truncation import LEVEL, TruncationChoice
from camviz.engine.truncation_steps import Cut, TruncationSteps
from camviz.ui.compute import engine
from camviz.ui.layers import layer_in_words, layer_name
from camviz.ui.learn.stories.common import (
    channel_group,
    digits,
    lines,
    on_picture,
    over_peak,
    percent,
    subject,
)
from camviz.ui.viewer.encode import number
from camviz.ui.viewer.stories import (
    CutPosition,
    CutSlider,
    Figure,
    Group,
    Maps,
    Story,
    StoryLayer,
    StoryStep,
)

KEY, TITLE = "noise", "Noise, and how it is cut off"
_CUT = "g_k → g_k if g_k ≥ τ, else 0"
_TAU = "τ = min(Q_q(|g|, g < 0), Q_99(g > 0))"


def story(x: Explanation, choice: TruncationChoice | None, maps: Maps) -> Story:
    """The shallowest stage of an explanation. choice: what camviz decides for this picture."""
    stage = x.stages[0]
    found = engine().truncation_steps(x, stage)
    steps = (
        _fine(x, stage, maps),
        _noisy(x, stage, found, maps),
        _cut(x, stage, found, maps),
        _removed(x, stage, found, choice, maps),
    )
    layer = StoryLayer(key="", name=layer_name(x.backbone, stage, x.notes[stage].grid), steps=steps)
    note = f"Shown for {layer_in_words(x.backbone, stage, x.notes[stage].grid)}, the shallowest."
    return Story(key=KEY, title=TITLE, note=note, layers=(layer,))


def _fine(x: Explanation, stage: str, maps: Maps) -> StoryStep:
    deep = x.stages[-1]
    figures = [
        on_picture(
            maps, x.normalized[name], x.placements[name], which,
            layer_name(x.backbone, name, x.notes[name].grid),
            alt=f"The map of {layer_in_words(x.backbone, name, x.notes[name].grid)}",
        )
        for name, which in ((stage, "shallow"), (deep, "deep"))
    ]  # fmt: skip
    return StoryStep(
        title="A shallow stage sees detail",
        says="Its cells are smaller, so its map is finer than the deepest one; but look how much "
        "of it lies beside the thing.",
        groups=tuple(
            Group(symbol=figure.name, name=f"{figure.name} map", figures=(figure,), size="large")
            for figure in (figures if deep != stage else figures[:1])
        ),
    )


def _noisy(x: Explanation, stage: str, found: TruncationSteps, maps: Maps) -> StoryStep:
    opened = engine().steps(x, stage)
    assert opened.gradients is not None
    return StoryStep(
        title="Its gradient is a sum over very many paths",
        says=f"{found.positives:,} of its values would raise {subject(x)} (orange) and "
        f"{found.negatives:,} would lower it (violet): noise is as often the one as the other.",
        formulas=lines(("g_k = ∂y / ∂A_k", {"g_k": "gradient"})),
        groups=(
            channel_group(
                maps, opened.gradients, opened.channels, "gradient", "g_k: gradients of channels",
                signed=True,
            ),
        ),
    )  # fmt: skip


def _cut(x: Explanation, stage: str, found: TruncationSteps, maps: Maps) -> StoryStep:
    return StoryStep(
        title="Cut off what noise can explain",
        says="The negative half shows how large noise gets. Positive values that are smaller than "
        "the cut become 0. See what the map loses.",
        formulas=lines(
            (_CUT, {"g_k": "histogram", "τ": "cut"}), (_TAU, {"τ": "cut", "q": "level"})
        ),
        cut=slider(x, stage, found, maps),
    )


def slider(x: Explanation, stage: str, found: TruncationSteps, maps: Maps) -> CutSlider:
    """The histogram of the gradient, and the map at every position of the cut.

    All maps are shares of the maximum of the plain one, or of the largest of them.
    """
    peak = max(float(cut.raw.max()) for cut in found.cuts)
    placement = x.placements[stage]
    figures = [
        on_picture(
            maps, over_peak(cut.raw, peak), placement, f"cut at {cut.level:.0%}",
            alt=f"The map with the gradient cut at {cut.level:.0%}",
        )
        for cut in found.cuts
    ]  # fmt: skip
    return CutSlider(
        end=number(found.edges[-1]),
        positive=tuple(map(int, found.positive)),
        negative=tuple(map(int, found.negative)),
        positions=tuple(
            CutPosition(
                level=cut.level, tau=number(cut.tau), text=describe_cut(cut), map=figure.map
            )
            for cut, figure in zip(found.cuts, figures, strict=True)
        ),
        chosen=found.nearest(LEVEL),
        before=_named(figures[0], "before"),
        after=_named(figures[found.nearest(LEVEL)], "after"),
    )


def _named(figure: Figure, name: str) -> Figure:
    return replace(figure, name=name, alt=f"The map {name} the cut")


def describe_cut(cut: Cut) -> str:
    """The figures of a position of the cut."""
    if not cut.level:
        return "No cut: every positive value counts."
    kept = f"q = {cut.level:.0%}, τ = {digits(cut.tau)}: {percent(cut.kept)} of the positive values"
    if cut.removed is None:
        return f"{kept} are left."
    if cut.removed < 0:
        return f"{kept} are left, and the map has {percent(-cut.removed)} more heat than before."
    return f"{kept} are left, and {percent(1 - cut.removed)} of the map’s heat."


def _removed(
    x: Explanation,
    stage: str,
    found: TruncationSteps,
    choice: TruncationChoice | None,
    maps: Maps,
) -> StoryStep:
    before, cut = found.cuts[0], found.cuts[found.nearest(LEVEL)]
    peak = max(float(before.raw.max()), float(cut.raw.max()))
    gone = np.maximum(before.raw, 0) - np.maximum(cut.raw, 0)
    placement = x.placements[stage]
    shown = (
        ("before", over_peak(before.raw, peak), "before", ""),
        ("after", over_peak(cut.raw, peak), "after", "−"),
        ("removed", over_peak(gone, peak), "removed", "="),
    )
    groups = tuple(
        Group(
            symbol=symbol,
            name=name,
            figures=(on_picture(maps, heat, placement, name, alt=f"The map {name}"),),
            sign=sign,
            size="third",
        )
        for symbol, heat, name, sign in shown
    )
    return StoryStep(
        title="What was removed",
        says=f"At q = {LEVEL:.0%}, the level camviz uses. {decided(x, choice)}",
        formulas=lines(("before − after = removed", {s: s for s, *_ in shown})),
        groups=groups,
    )


def decided(x: Explanation, choice: TruncationChoice | None) -> str:
    """Whether camviz truncates the maps of this picture, and why."""
    reason = None if choice is None else choice.reason
    if choice is not None and reason == "agrees":
        return (
            "For this picture it does: the finer maps agree with the deepest one as well as before."
        )
    if choice is not None and reason == "disagrees":
        name, (before, after) = choice.worst
        which = layer_in_words(x.backbone, name, x.notes[name].grid)
        return (
            f"For this picture it does not: {which} would agree less with the deepest map "
            f"(correlation {before:.2f} → {after:.2f}), so what goes is evidence."
        )
    if reason == "cancels":
        return (
            "In this network it does not: for and against cancel at every place, which leaves "
            "nothing to tell noise by."
        )
    return "Here it does not: there is no finer stage that could be compared with a deeper one."
