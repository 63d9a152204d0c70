"""From a telling part to the whole object: prototypes, and the refined map."""

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image

from camviz.defaults import FUSED, REFINED
from camviz.engine.explanation import Explanation, PrototypeMap
from camviz.methods import METHODS
from camviz.ui import html
from camviz.ui.layers import layer_in_words, layer_name
from camviz.ui.learn.stories.common import lines, on_picture, percent
from camviz.ui.viewer.stories import Figure, Group, Maps, Story, StoryLayer, StoryStep
from camviz.ui.viewer.words import REFINED_WORDS

KEY, TITLE = "whole", "From a part to the whole"
SHOWN = {"foreground": 4, "context": 2}  # prototypes of each kind that have a picture of their own
PATCH = 56  # pixels of a patch, square
_PARTS = {"cos(A, F_i)": "foreground", "cos(A, B_j)": "context"}  # of LPCAM's formula


def story(x: Explanation, prototypes: Explanation | str, ask: str, maps: Maps) -> Story:
    """The class map of an explanation, prototypes of its class, and the refined map.

    prototypes: the explanation by them, or why there is none. ask: what stands on the button that
    begins to look for them; "" if they are there, or cannot be had.
    """
    steps = [_part(x, maps)]
    if isinstance(prototypes, str):
        title = "Prototypes: what the whole thing looks like"
        steps.append(StoryStep(title=title, says=prototypes, ask=ask))
    else:
        steps += [
            _places(prototypes),
            _nearest(prototypes, maps),
            _aggregate(prototypes, maps),
        ]
    if x.refined_grid is not None:
        steps.append(_refined(x, maps))
    layer = StoryLayer(key="", name="", steps=tuple(steps))
    return Story(key=KEY, title=TITLE, note="", layers=(layer,))


def _part(x: Explanation, maps: Maps) -> StoryStep:
    heat, placement = x.grid(FUSED)
    figure = on_picture(maps, heat, placement, "the class map", alt="The fused class map")
    return StoryStep(
        title="A class map shows what tells",
        says=f"This is where the network found evidence for “{x.label}”: often one part that its "
        "rivals lack, and not the whole thing.",
        groups=(
            Group(
                symbol="fused",
                name=f"{METHODS[x.request.method].label}, all stages",
                figures=(figure,),
                size="large",
            ),
        ),
    )


def prototypes_shown(y: Explanation, stage: str) -> list[PrototypeMap]:
    """Of those in use, the ones whose places in this picture come nearest to them."""
    found: list[PrototypeMap] = []
    for kind, count in SHOWN.items():
        of_kind = [p for p in y.prototypes[stage] if p.kind == kind and p.kept]
        found += sorted(of_kind, key=lambda p: (-float(p.raw.max()), p.index))[:count]
    return found


def nearest_prototype(prototypes: Sequence[PrototypeMap]) -> np.ndarray:
    """Which of them each place is most like, (h, w): its number in their order."""
    return np.stack([p.raw for p in prototypes]).argmax(axis=0)


def colors_of(prototypes: Sequence[PrototypeMap]) -> list[tuple[int, int, int]]:
    """A colour each: warm and strong for the class, cold and pale for what surrounds it."""
    found = []
    count = {"foreground": 0, "context": 0}
    total = {kind: sum(p.kind == kind for p in prototypes) for kind in count}
    for p in prototypes:
        step = count[p.kind] / max(total[p.kind] - 1, 1)
        count[p.kind] += 1
        hue, light, strength = (
            (0.0 + 0.16 * step, 0.52, 0.85)
            if p.kind == "foreground"
            else (0.5 + 0.2 * step, 0.62 + 0.2 * step, 0.35)
        )
        red, green, blue = colorsys.hls_to_rgb(hue, light, strength)
        found.append((round(255 * red), round(255 * green), round(255 * blue)))
    return found


def _places(y: Explanation) -> StoryStep:
    stage = y.stages[-1]
    used = [p for p in y.prototypes[stage] if p.kept]
    assert y.bank is not None
    labels = nearest_prototype(used)
    foreground = np.array([p.kind == "foreground" for p in used])[labels]
    pixels = np.array(colors_of(used), np.uint8)[labels]
    patches = Figure(
        name="each place, by the nearest prototype",
        text=f"{percent(float(foreground.mean()))} of the places are nearest to the class",
        alt="The picture’s places, coloured by the prototype that each is most like",
        src=html.data_url(_enlarged(pixels), 95),
    )
    picture = Figure(name="the picture", alt="The picture")
    inside, outside = (sum(p.kind == kind for p in used) for kind in SHOWN)
    layer = layer_in_words(y.backbone, stage, y.notes[stage].grid)
    return StoryStep(
        title="Places that are alike form clusters",
        says=f"{_learned(y)}, {html.plural(inside, 'prototype')} of the class (warm) and {outside} "
        f"of what surrounds it (cold) were found at {layer}: every place takes the colour of its "
        "nearest.",
        formulas=lines(("nearest = argmax_i cos(A, P_i)", {"nearest": "places"})),
        groups=(
            Group(symbol="picture", name="the picture", figures=(picture,), size="large"),
            Group(symbol="places", name="its places", figures=(patches,), sign="→", size="large"),
        ),
    )


def _learned(y: Explanation) -> str:
    assert y.bank is not None
    if y.bank.source == "picture":
        return "In this picture alone, mirrored and enlarged"
    return f"In {html.plural(len(y.bank.pictures), 'picture')} of “{y.bank.label}”"


def _enlarged(pixels: np.ndarray) -> np.ndarray:
    """Every cell as a square of some pixels, so that it stays one however it is shown."""
    factor = max(1, 224 // max(pixels.shape[:2]))
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _nearest(y: Explanation, maps: Maps) -> StoryStep:
    stage = y.stages[-1]
    groups = []
    numbers = {"foreground": 0, "context": 0}
    for p in prototypes_shown(y, stage):
        numbers[p.kind] += 1
        sign = f"{'F' if p.kind == 'foreground' else 'B'}_{numbers[p.kind]}"
        of = "the class" if p.kind == "foreground" else "what surrounds it"
        groups.append(
            Group(
                symbol=p.kind,
                name=f"{sign}: {p.name}" if p.name else f"{sign}, of {of}",
                figures=(_likeness(y, p, sign, maps), *_patches(y, p, sign)),
                size="trio",
            )
        )
    return StoryStep(
        title="A prototype is the middle of a cluster",
        says="Each map shows where this picture is like one prototype; beside it are the patches "
        "that come nearest to it, with their cosines.",
        formulas=lines((METHODS["lpcam"].formula, _PARTS)),
        groups=tuple(groups),
    )


def _likeness(y: Explanation, p: PrototypeMap, sign: str, maps: Maps) -> Figure:
    """Where the picture is like a prototype, from its least cosine to its greatest."""
    best = f"up to {float(p.raw.max()):.2f}"
    return on_picture(
        maps, _stretched(p.raw), y.placements[p.stage], "cosine", best,
        alt=f"Where the picture is like prototype {p.name or sign}, {best}",
    )  # fmt: skip


def _patches(y: Explanation, p: PrototypeMap, sign: str) -> list[Figure]:
    return [
        Figure(
            name="next" if index else "nearest",
            text=text,
            alt=f"A patch near prototype {p.name or sign}, {text}",
            src=html.data_url(pixels),
        )
        for index, (pixels, text) in enumerate(patches_of(y, p))
    ]


def _stretched(raw: np.ndarray) -> np.ndarray:
    span = float(raw.max() - raw.min())
    return (raw - raw.min()) / span if span > 0 else np.zeros_like(raw)


def patches_of(y: Explanation, p: PrototypeMap, count: int = 2) -> list[tuple[np.ndarray, str]]:
    """Pixels and origin of the patches nearest to a prototype, as many as there are.

    Those that were kept with the prototype; else the place of this picture that is most like it.
    """
    if p.thumbnails is not None and len(p.thumbnails):
        return [
            (_square(pixels), f"{member.similarity:.2f}")
            for pixels, member in zip(p.thumbnails[:count], p.members, strict=False)
        ]
    row, column = np.unravel_index(int(p.raw.argmax()), p.raw.shape)
    placement, fit = y.placements[p.stage], y.fit
    box = []
    for axis, cell in ((0, row), (1, column)):
        start, end = fit.extent(axis)
        scale = (end - start) / fit.input_size[axis]
        centre = start + (float(placement.centres(axis, p.raw.shape[axis])[cell]) + 0.5) * scale
        half = max(placement.stride[axis] * scale, 8) / 2
        side = fit.picture_size[axis]
        low = int(np.clip(round(centre - half), 0, side - 1))
        box.append(slice(low, int(np.clip(round(centre + half), low + 1, side))))
    return [(_square(y.picture.pixels[box[0], box[1]]), "of this picture")]


def _square(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((PATCH, PATCH)))


def _aggregate(y: Explanation, maps: Maps) -> StoryStep:
    figures = tuple(
        on_picture(
            maps, y.normalized[name], y.placements[name],
            layer_name(y.backbone, name, y.notes[name].grid),
            alt=f"LPCAM at {layer_in_words(y.backbone, name, y.notes[name].grid)}",
        )
        for name in y.stages
    )  # fmt: skip
    heat, placement = y.fused_grid
    whole = on_picture(maps, heat, placement, "all stages", alt="LPCAM, all stages")
    rivals = f" Prototypes of {html.listed(y.rivals, 3)} count against it, too." if y.rivals else ""
    return StoryStep(
        title="What is like the class, less what surrounds it",
        says="The mean likeness to the class’s prototypes, less that to the others, shows all that "
        f"looks like it.{rivals}",
        formulas=lines((METHODS["lpcam"].formula, {"M": "map"})),
        groups=(
            Group(symbol="map", name="M: stage by stage", figures=figures, size="medium"),
            Group(symbol="fused", name="fused", figures=(whole,), sign="→", size="large"),
        ),
    )


def _refined(x: Explanation, maps: Maps) -> StoryStep:
    heat, placement = x.grid(FUSED)
    refined, grid = x.grid(REFINED)
    before = on_picture(maps, heat, placement, "fused", alt="The fused class map")
    after = on_picture(maps, refined, grid, "refined", alt="The refined map")
    signs = {"F": "fused", "F^(k)": "fused", "R": "refined"}
    return StoryStep(
        title="Spread to what looks alike",
        says="Another way needs no prototypes: the class map of the first step flows to the places "
        "whose features are alike. It shows which thing, not what exactly counted.",
        formulas=lines((REFINED_WORDS.formula, signs)),
        groups=(
            Group(symbol="fused", name="F: the class map", figures=(before,), size="large"),
            Group(symbol="refined", name="R: refined", figures=(after,), sign="→", size="large"),
        ),
    )
