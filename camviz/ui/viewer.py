"""The viewer: rows of maps on one picture, which the browser up-samples, colours and blends.

    Viewer(payload({"layercam": x, "denoised": y, "prototypes": z}))

The server sends the picture once and every map once, at its own resolution, as 8-bit values with
their maximum and where its cells look. What a visitor then does to the maps (opacity, colours,
threshold, contours, boxes, crosshair) asks nothing of the server. assets/viewer holds the page's
part; `maps.js` there repeats `Explanation.on_picture` to the pixel.
"""

import base64
import inspect
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import gradio as gr
import numpy as np
import torch
from PIL import Image

from camviz.engine.explanation import Explanation
from camviz.images import Picture
from camviz.maps.fusion import FUSIONS, Placement, resample
from camviz.maps.render import COLOR_MAPS, DIVERGING, color_table
from camviz.methods import METHODS, denoise
from camviz.resources import ASSETS

FILES = ASSETS / "viewer"
SCRIPTS = ("maps.js", "paint.js", "viewer.js")  # one scope, in this order

TITLES = {
    "layercam": "Hierarchical LayerCAM",
    "denoised": "Denoised shallow maps",
    "prototypes": "Prototype similarity",
}
# How a formula says them -> what they are.
SYMBOLS = {
    r"\bA(_|\b)": "A: what the layer answers",
    r"\bg(_|\b)": "g: how the class score changes with it",
    r"_k\b": "k: the layer's channels",
    r"\bF_i\b": "F, B: prototypes of the class and of what surrounds it",
    r"\bn_l\b|\bn_1\b": "n_l: the map of stage l over its maximum",
    r"τ": "τ: as large as noise is",
}
# What truncation does to a gradient, by mode.
_TRUNCATED = {
    "threshold": "g_k if g_k ≥ τ, else 0",
    "rectify": "ReLU(g_k)",
    "cap": "min(ReLU(g_k), τ)",
    "remove": "ReLU(−g_k)",
}
# What a browser keeps of its own in the address bar.
SETTINGS = (
    "view",
    "opacity",
    "threshold",
    "colors",
    "scale",
    "boxes",
    "contours",
    "signed",
    "outline",
    "row",
)

LONGEST = 1200  # pixels of the longer side at which a picture is sent
MOST_BYTES = 300_000  # of the encoded picture
ALIKE = 0.98  # from this correlation on, two maps say the same
SAME = 0.9999
_POINTS = 48  # a side, at which maps are compared
_CELLS = 96  # of the longer side, in which a difference is sent
_TINY = np.finfo(np.float32).tiny


def Viewer(value: dict[str, Any] | None = None, **options: Any) -> gr.HTML:
    """The component. value: a `payload`; options: those of `gr.HTML`.

    Not a subclass: gradio writes a .pyi file beside the module of every one, on import.
    """
    return gr.HTML(
        value,
        html_template=(FILES / "viewer.html").read_text(encoding="utf-8"),
        css_template=(FILES / "viewer.css").read_text(encoding="utf-8"),
        js_on_load="\n".join(
            [
                # Not as props: gradio loses them in a tab that has not been opened.
                f"const GIVEN = {json.dumps({'tables': tables(), 'diverging': DIVERGING})}",
                *((FILES / name).read_text(encoding="utf-8") for name in SCRIPTS),
            ]
        ),
        apply_default_css=False,
        **options,
    )


@dataclass(frozen=True)
class Shown:
    """One map of a `Row`: of a stage, or, with `at` None, of all stages fused.

    name: what stands under it; None: the stage's own. marks: a word that sets it apart -> the
    sentence that explains it. facts: said before what is said of any map. shares: its values are
    told as shares of its maximum only, because its unit is not that of its neighbours. last: it
    stands behind the stages, as a fused map does.
    """

    x: Explanation
    at: str | None = None
    name: str | None = None
    marks: Mapping[str, str] = field(default_factory=dict)
    facts: tuple[str, ...] = ()
    shares: bool = False
    last: bool | None = None


@dataclass(frozen=True)
class Difference:
    """One map less another of the same picture, each as shares of its maximum: in [-1, 1].

    ends: what the two ends of its scale are called, that of the second map first.
    """

    one: Shown
    other: Shown
    name: str
    ends: tuple[str, str]


@dataclass(frozen=True)
class Row:
    """A row put together by hand, of maps that need not be of one network.

    panels: by key; a `str` is said in the place of a map that cannot be had. The same key stands
    in the same column in all rows: first the stages, then what is fused or a difference. of:
    whose method the words beside the title are about; says: other words.
    """

    title: str
    of: Explanation
    panels: Mapping[str, Shown | Difference | str]
    says: str | None = None


def tables() -> dict[str, str]:
    """The colour maps by name, 256 RGB triples each, as the browser takes them."""
    return {name: _base64(color_table(name).tobytes()) for name in (*COLOR_MAPS, DIVERGING)}


def payload(
    rows: Mapping[str, Explanation | Row | str],
    *,
    truth: Mapping[str, np.ndarray] | None = None,
    link: Mapping[str, str] | None = None,
    dense: bool = False,
) -> dict[str, Any]:
    """What the viewer shows, in plain values that JSON knows.

    rows: by key, in the order in which they are shown; a `str` is said in the place of a row that
    cannot be had. All explanations are of the same picture, and those that are rows of their own
    were shown to the network in the same way. truth: label -> bool (H, W), the object's pixels.
    link: what the server's own controls add to the address bar; None: the address bar is left
    alone. dense: many rows, as a table with the titles beside and the columns' names above.

    Whoever asks may add to it: "pick", what to say of a click, which then chooses a place (select,
    value [x, y] in pixels) in place of enlarging; "follows", the elem_id of a viewer whose tools
    serve this one too; a panel's "ring", a place [x, y] to be seen at a glance.

    Raises ValueError where pictures or masks do not belong together.
    """
    rows = {k: getattr(v, "reason", v) for k, v in rows.items()}
    shown = list(_explanations(rows.values()))
    alike = _alike(rows)
    said: dict[str, Any] = {"rows": [], "picture": None, "truth": [], "dense": dense}
    said["link"] = None if link is None else dict(link)
    for key, x in rows.items():
        title = _title(key, x)
        if isinstance(x, Explanation):
            said["rows"].append(_row(key, title, x, alike))
        elif isinstance(x, Row):
            said["rows"].append(_made_row(key, x, alike, shown[0]))
        else:
            said["rows"].append({"key": key, "title": title, "said": x})
    if not shown:
        return said
    first = shown[0]
    alone = [x for x in rows.values() if isinstance(x, Explanation)]
    if any(x.picture != first.picture for x in shown) or any(x.fit != first.fit for x in alone):
        raise ValueError("the rows of a viewer must be of one picture, fitted in one way")
    return said | {
        "picture": {
            "src": _encoded(first.picture),
            "width": first.picture.width,
            "height": first.picture.height,
            "name": first.picture.name,
        },
        "rect": list(first.fit.rect),
        "input": list(first.fit.input_size),
        "seen": first.fit.shows_all,
        "unseen": None if first.fit.shows_all else _unseen(first),
        "target": first.label,
        "truth": _truth(first, truth or {}),
    }


def _title(key: str, x: Explanation | Row | str) -> str:
    """What stands above a row; the first is named after whatever method was chosen for it."""
    if key in METHODS:
        return METHODS[key].label
    if key == "layercam" and isinstance(x, Explanation) and x.request.method != "layer_cam":
        label = METHODS[x.request.method].label
        return label if len(x.stages) == 1 else f"Hierarchical {label}"
    return TITLES.get(key, key.replace("_", " ").capitalize())


# -- One row -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Panel:
    """A normalised map, (h, w), and where its cells look."""

    heat: np.ndarray
    placement: Placement


def _panels(x: Explanation) -> dict[str, _Panel]:
    """The maps of a row, coarse to fine, then the fused one; of one stage there is no fusion."""
    made = {name: _Panel(x.normalized[name], x.placements[name]) for name in reversed(x.stages)}
    if len(x.stages) > 1:
        made["fused"] = _Panel(*x.fused_grid)
    return made


def _row(key: str, title: str, x: Explanation, alike: Mapping[tuple[str, str], str]) -> Any:
    panels = []
    for name, panel in _panels(x).items():
        made = _fused(x, panel) if name == "fused" else _stage(x, name, panel)
        if same := alike.get((key, name)):
            made["remarks"] = [same]
        panels.append(made)
    return {"key": key, "title": title, **_words(x), "panels": panels}


def _words(x: Explanation) -> dict[str, Any]:
    """What is said of the method of a row."""
    method = METHODS[x.request.method]
    says, formula = explained(method.function)
    if x.request.truncation:
        level = f"truncated at {x.request.truncation:g}; {denoise.SOURCE}"
        says = f"The same, of a gradient without its noise ({level})."
        formula += f"\ng_k → {_TRUNCATED[x.request.truncation_mode]}"
    return {
        "method": method.label,
        "paper": method.paper,
        "tag": "from this picture alone" if x.request.prototypes == "picture" else None,
        "unit": x.request.method,
        "says": says,
        "formula": formula,
        "symbols": _symbols(formula),
    }


# -- A row put together by hand ------------------------------------------------------------------


def _explanations(rows: Iterable[Explanation | Row | str]) -> Iterator[Explanation]:
    for row in rows:
        if isinstance(row, Explanation):
            yield row
        elif isinstance(row, Row):
            for panel in row.panels.values():
                if isinstance(panel, Shown):
                    yield panel.x


def _made_row(
    key: str, row: Row, alike: Mapping[tuple[str, str], str], first: Explanation
) -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    for name, panel in row.panels.items():
        if hasattr(panel, "reason"):
            panels.append({"key": name, "said": panel.reason})
        elif isinstance(panel, Difference):
            panels.append({**_difference(panel), "key": name})
        else:
            panels.append({**_shown(panel, alike.get((key, name)), first), "key": name})
    words = _words(row.of)
    repeated = {tuple(made.get("remarks", ())) for made in panels}
    if len(panels) > 1 and len(repeated) == 1 and (same := next(iter(repeated))):
        words["tag"] = same[0].rstrip(".").replace("Same map as in", "The same maps as")
        for made in panels:
            made["remarks"] = []
    if row.says is not None:
        words["says"] = row.says
    return {"key": key, "title": row.title, **words, "panels": panels}


def _shown(panel: Shown, same: str | None, first: Explanation) -> dict[str, Any]:
    x = panel.x
    made = _fused(x, _of(panel)) if panel.at is None else _stage(x, panel.at, _of(panel))
    if same:
        # Under so many maps it is enough to name those that are exactly the same.
        made["remarks" if same.startswith("Same") else "notes"].append(same)
    last = panel.at is None if panel.last is None else panel.last
    made |= {"name": panel.name, "marks": dict(panel.marks), "last": last}
    made["facts"] = [*panel.facts, *made["facts"]]
    made["notes"] = [*panel.marks.values(), *made["notes"]]
    if panel.at is None:
        made["unit"] = None
    if panel.shares:
        peak = 1.0 if made["peak"] else 0.0
        made |= {"unit": None, "peak": peak, "against": None, "lowest": 0.0}
    if x.fit != first.fit:
        made["scene"] = {
            "rect": list(x.fit.rect),
            "input": list(x.fit.input_size),
            "seen": x.fit.shows_all,
        }
        if not x.fit.shows_all:
            made["facts"].append(f"{float(x.visible.mean()):.0%} of the picture seen")
    return made


def _of(panel: Shown) -> _Panel:
    if panel.at is None:
        return _Panel(*panel.x.fused_grid)
    return _Panel(panel.x.normalized[panel.at], panel.x.placements[panel.at])


def drawn(panel: Shown, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """A map on a raster of its whole picture, `longest` pixels its longer side, or fewer.

    Returns (heat, seen): float32 (h, w) in [0, 1], read at the centres of the raster's pixels, 0
    where the network was not shown the picture; and bool (h, w), where it was.
    """
    x, made = panel.x, _of(panel)
    sides = (x.picture.height, x.picture.width)
    scale = min(1.0, longest / max(sides))
    places = [
        (torch.arange(count) + 0.5) * (side / count)
        for side in sides
        for count in [max(1, round(side * scale))]
    ]
    x0, y0, x1, y1 = x.fit.rect
    edges = ((y0, y1), (x0, x1))
    inside = [(at >= low) & (at < high) for at, (low, high) in zip(places, edges, strict=True)]
    rows, columns = (
        (at - low) / (high - low) * size - 0.5
        for at, (low, high), size in zip(places, edges, x.fit.input_size, strict=True)
    )
    seen = (inside[0][:, None] & inside[1]).numpy()
    heat = resample(torch.from_numpy(made.heat), made.placement, rows, columns).numpy()
    return heat * seen, seen


def _difference(panel: Difference) -> dict[str, Any]:
    """A signed map on the picture's own pixels; 0 where one of the two networks saw nothing."""
    one, other = drawn(panel.one, _CELLS), drawn(panel.other, _CELLS)
    heat = np.where(one[1] & other[1], one[0] - other[0], 0)
    for_one, for_other = heat.clip(min=0), (-heat).clip(min=0)
    picture = panel.one.x.picture
    sides = (picture.height, picture.width)
    placement = Placement((sides[0] / heat.shape[0], sides[1] / heat.shape[1]))
    peak, lowest = float(for_one.max()), float(for_other.max())
    scaled = _Panel(for_one / peak if peak > _TINY else for_one, placement)
    return {
        **_map(panel.one.x, "", scaled),
        "name": panel.name,
        "last": True,
        "unit": None,
        "diverging": True,
        "ends": list(panel.ends),
        "top": 1.0,
        "peak": _number(peak),
        "against": _base64(_bytes(for_other / lowest)) if lowest > _TINY else None,
        "lowest": _number(lowest),
        "marks": {},
        "facts": [],
        "warnings": [],
        "notes": [],
        "says": "One map less the other, so that it is white where they agree.",
        "formula": "D = n_1 − n_2",
        "symbols": "n_1, n_2: each map over its own maximum.",
        "alt": f"{panel.name}: from {-lowest:.0%} to {peak:.0%} of the maximum",
        "scene": {"rect": [0, 0, picture.width, picture.height], "input": sides, "seen": True},
    }


def _symbols(formula: str) -> str:
    """What the letters of a formula stand for."""
    said = [words for sign, words in SYMBOLS.items() if re.search(sign, formula)]
    return "; ".join(said) + "." if said else ""


def _facts(x: Explanation, name: str) -> list[str]:
    """What a map is made of, in a few words."""
    note = x.notes[name]
    height, width = note.grid
    facts = [f"{height} × {width} cells"]
    if note.empty or note.zero_gradient:
        return facts
    if x.bank is not None:
        held = x.bank.stage(name)
        count = len(held.kept("foreground")) + len(held.kept("context"))
        facts.append(f"{count} prototypes")
    elif note.denoising is not None and note.denoising.change:
        facts.append(note.denoising.change)
    elif x.request.truncation:
        facts.append("not truncated")
    elif note.positive_share is not None:
        facts.append(f"{note.positive_share:.0%} positive")
    return facts


def _stage(x: Explanation, name: str, panel: _Panel) -> dict[str, Any]:
    note, raw = x.notes[name], x.raw[name]
    signed = METHODS[x.request.method].signed
    against = -raw.clip(max=0) if signed else np.zeros_like(raw)
    deepest = against.max()
    return {
        **_map(x, name, panel),
        "peak": _number(raw.clip(min=0).max()),
        "against": _base64(_bytes(against / deepest)) if deepest > _TINY else None,
        "lowest": _number(deepest),
        "facts": _facts(x, name),
        "warnings": [note.sentences[-1]] if note.empty or note.zero_gradient else [],
        "notes": list(note.sentences),
        "says": None,
        "formula": None,
        "symbols": None,
        "alt": f"Where {name} found evidence for {x.label}: {_where(x, panel)}",
    }


def _fused(x: Explanation, panel: _Panel) -> dict[str, Any]:
    fusion = FUSIONS[x.request.fuse]
    says, formula = explained(fusion.combine)
    empty = [name for name in x.stages if not x.normalized[name].any()]
    height, width = panel.heat.shape
    used = len(x.stages) - len(empty)
    notes = [f"{fusion.label} ({fusion.paper}) of {used} maps on {height} × {width} cells."]
    if empty and used:
        notes.append(f"Left out, because empty: {', '.join(empty)}.")
    nothing = not panel.heat.any()
    return {
        **_map(x, "fused", panel),
        "peak": 0.0 if nothing else 1.0,
        "against": None,
        "lowest": 0.0,
        "facts": [f"{used} stage{'s' * (used != 1)} on {height} × {width} cells"],
        "warnings": ["Empty: every stage is."] if nothing else [],
        "notes": notes,
        "says": says,
        "formula": formula,
        "symbols": _symbols(formula),
        "alt": f"Where all stages together found evidence for {x.label}: {_where(x, panel)}",
    }


def _map(x: Explanation, name: str, panel: _Panel) -> dict[str, Any]:
    """The map itself: its values over its maximum in 255 steps, and where they belong."""
    return {
        "key": name,
        "grid": list(panel.heat.shape),
        "stride": list(panel.placement.stride),
        "offset": list(panel.placement.offset),
        "data": _base64(_bytes(panel.heat)),
        "remarks": [],
    }


def _where(x: Explanation, panel: _Panel) -> str:
    """In words, where on the picture a map is strongest."""
    if not panel.heat.any():
        return "nowhere, the map is empty"
    cell = np.unravel_index(int(panel.heat.argmax()), panel.heat.shape)
    x0, y0, x1, y1 = x.fit.rect
    spots = []
    for axis, start, end, side in (
        (0, y0, y1, x.picture.height),
        (1, x0, x1, x.picture.width),
    ):
        centre = float(panel.placement.centres(axis, panel.heat.shape[axis])[cell[axis]])
        spots.append((start + (centre + 0.5) / x.fit.input_size[axis] * (end - start)) / side)
    if not all(0 <= spot <= 1 for spot in spots):
        return "strongest beside the picture, in the padding"
    down, across = (min(int(3 * spot), 2) for spot in spots)
    words = f"{('upper', '', 'lower')[down]} {('left', '', 'right')[across]}".strip()
    if down == 1 and across == 1:
        words = "centre"
    elif " " not in words:
        words = {"upper": "top", "lower": "bottom"}.get(words, words)
    return f"strongest at the {words}"


def _unseen(x: Explanation) -> str:
    share = 1 - float(x.visible.mean())
    return (
        f"Outside the crop: {share:.0%} of the picture was not shown to the network and is hatched."
    )


# -- The map doctor ------------------------------------------------------------------------------


def _alike(rows: Mapping[str, Explanation | Row | str]) -> dict[tuple[str, str], str]:
    """(row, panel) -> a sentence that names the earlier map which says nearly the same.

    Compared by Pearson's r at points that cover the network's input evenly; a map that is the
    same everywhere is compared with none.
    """
    told: dict[tuple[str, str], str] = {}
    earlier: list[tuple[str, str, np.ndarray]] = []
    for key, x in rows.items():
        for name, panel, size in _compared(x):
            points = _standardized(panel, size)
            if points is None:
                continue
            scores = [float(points @ other) for *_, other in earlier]
            best = int(np.argmax(np.minimum(scores, SAME))) if scores else -1
            if scores and scores[best] > ALIKE:
                row, other, _ = earlier[best]
                found = rows[row]
                home = found.title if isinstance(found, Row) else _title(row, found)
                where = (
                    other if row == key else f"in {home}" if other == name else f"{other}, {home}"
                )
                told[key, name] = (
                    f"Same map as {where}."
                    if scores[best] > SAME
                    else f"Nearly the same map as {where} (r = {scores[best]:.3f})."
                )
            earlier.append((key, name, points))
    return told


def _compared(row: Explanation | Row | str) -> Iterator[tuple[str, _Panel, tuple[int, int]]]:
    """(key, map, the network's input) of the maps of a row; other networks' maps are not alike."""
    if isinstance(row, Explanation):
        for name, panel in _panels(row).items():
            yield name, panel, row.fit.input_size
    elif isinstance(row, Row):
        for name, shown in row.panels.items():
            if isinstance(shown, Shown) and shown.x.backbone is row.of.backbone:
                yield name, _of(shown), shown.x.fit.input_size


def _standardized(panel: _Panel, input_size: tuple[int, int]) -> np.ndarray | None:
    """A map at evenly spread points, without its mean and of length 1; None if it is constant."""
    rows, columns = ((torch.arange(_POINTS) + 0.5) / _POINTS * side - 0.5 for side in input_size)
    heat = torch.from_numpy(panel.heat)
    points = resample(heat, panel.placement, rows, columns).double().numpy().ravel()
    points -= points.mean()
    length = float(np.linalg.norm(points))
    return points / length if length > 1e-6 else None


# -- What a method says, from its docstring ------------------------------------------------------

_TYPESET = (
    (r"\bsum_", "Σ_"),
    (r"\brelu\b", "ReLU"),
    (r"\bgamma\b", "γ"),
    (r" ?\* ?", " · "),
    (r" - ", " − "),
    (r"\.\.\.", "…"),
    (r">=", "≥"),
    (r"<=", "≤"),
)


def explained(function: Callable[..., Any]) -> tuple[str, str]:
    """(what it says in one sentence, its formula) of a function, as its docstring has them.

    The sentence is the first paragraph without the name before the colon; the formula the first
    indented block that holds an equation, or else what stands behind the last colon.
    """
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    sentence = " ".join(paragraphs[0].split())
    blocks = [block for block in paragraphs[1:] if block.startswith("    ") and " = " in block]
    formula = "\n".join(line.strip() for line in blocks[0].splitlines()) if blocks else ""
    if not formula and (found := re.fullmatch(r"(.*): (\w+ = .*?)\.?", sentence)):
        sentence, formula = f"{found[1]}.", found[2]
    elif named := re.fullmatch(r"[^:]{1,40}: (.+)", sentence):
        sentence = named[1]
    for pattern, sign in _TYPESET:
        formula = re.sub(pattern, sign, formula)
    return sentence[:1].upper() + sentence[1:], formula


# -- From arrays to text -------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _encoded(picture: Picture) -> str:
    """A picture as a data URL, at most `LONGEST` a side and, by and large, `MOST_BYTES` long."""
    longest = LONGEST
    while True:
        image = Image.fromarray(picture.pixels)
        if max(image.size) > longest:
            scale = longest / max(image.size)
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image = image.resize(size, reducing_gap=2.0)
        file = io.BytesIO()
        image.save(file, "WEBP", quality=84, method=0)
        if file.tell() <= MOST_BYTES or longest < 300:
            return f"data:image/webp;base64,{_base64(file.getvalue())}"
        longest = int(min(longest, max(image.size)) * 0.8)


def _truth(x: Explanation, masks: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Masks as pictures of one bit a pixel; what of each the network was not shown, in words."""
    said = []
    for label, mask in masks.items():
        if mask.shape != (x.picture.height, x.picture.width):
            raise ValueError(
                f"the mask of '{label}' has shape {mask.shape}, its picture "
                f"{(x.picture.height, x.picture.width)}"
            )
        mask = mask.astype(bool)
        if not mask.any():
            continue
        file = io.BytesIO()
        Image.fromarray(mask).save(file, "PNG", optimize=True)
        hidden = float((mask & ~x.visible).sum() / mask.sum())
        said.append(
            {
                "label": label,
                "src": f"data:image/png;base64,{_base64(file.getvalue())}",
                "said": f"{hidden:.0%} of the {label} lies outside the crop."
                if hidden >= 0.005
                else None,
            }
        )
    return said


def _bytes(heat: np.ndarray) -> bytes:
    """Values in [0, 1] as 0 .. 255, so that each is within half a step."""
    return np.rint(heat * 255).astype(np.uint8).tobytes()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _number(value: Any) -> float:
    """A float32 without the digits that it does not have."""
    return float(f"{float(value):.8g}")
