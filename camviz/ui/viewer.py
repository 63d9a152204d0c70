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
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gradio as gr
import numpy as np
import torch
from PIL import Image

from camviz.backbones import ASSETS
from camviz.engine import Explanation
from camviz.images import Picture
from camviz.maps import FUSIONS, Placement, resample
from camviz.methods import METHODS
from camviz.render import COLOR_MAPS, DIVERGING, color_table

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
_TINY = np.finfo(np.float32).tiny


def Viewer(value: dict[str, Any] | None = None, **options: Any) -> gr.HTML:
    """The component. value: a `payload`; options: those of `gr.HTML`.

    Not a subclass: gradio writes a .pyi file beside the module of every one, on import.
    """
    return gr.HTML(
        value,
        html_template=(FILES / "viewer.html").read_text(encoding="utf-8"),
        css_template=(FILES / "viewer.css").read_text(encoding="utf-8"),
        js_on_load="\n".join((FILES / name).read_text(encoding="utf-8") for name in SCRIPTS),
        apply_default_css=False,
        tables={name: _base64(color_table(name).tobytes()) for name in (*COLOR_MAPS, DIVERGING)},
        diverging=DIVERGING,
        **options,
    )


def payload(
    rows: Mapping[str, Explanation | str],
    *,
    truth: Mapping[str, np.ndarray] | None = None,
    link: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What the viewer shows, in plain values that JSON knows.

    rows: by key, in the order in which they are shown; a `str` is said in the place of a row that
    cannot be had. All explanations are of the same picture, shown to the network in the same way.
    truth: label -> bool (H, W), the object's pixels. link: what the server's own controls add to
    the address bar; None: the address bar is left alone.

    Raises ValueError where pictures or masks do not belong together.
    """
    shown = [x for x in rows.values() if isinstance(x, Explanation)]
    alike = _alike(rows)
    said: dict[str, Any] = {"rows": [], "picture": None, "truth": []}
    said["link"] = None if link is None else dict(link)
    for key, x in rows.items():
        title = TITLES.get(key, key.replace("_", " ").capitalize())
        if isinstance(x, Explanation):
            said["rows"].append(_row(key, title, x, alike))
        else:
            said["rows"].append({"key": key, "title": title, "said": x})
    if not shown:
        return said
    first = shown[0]
    if any(x.picture != first.picture or x.fit != first.fit for x in shown):
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
        "seen": first.fit.seen,
        "unseen": None if first.fit.seen else _unseen(first),
        "target": first.label,
        "truth": _truth(first, truth or {}),
    }


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
    method = METHODS[x.request.method]
    says, formula = explained(method.function)
    if x.request.truncation:
        says = f"The same, of a gradient without its noise (truncated at {x.request.truncation:g})."
        formula += f"\ng_k → {_TRUNCATED[x.request.truncation_mode]}"
    panels = []
    for name, panel in _panels(x).items():
        made = _fused(x, panel) if name == "fused" else _stage(x, name, panel)
        if same := alike.get((key, name)):
            made["remarks"] = [same]
        panels.append(made)
    return {
        "key": key,
        "title": title,
        "method": method.label,
        "paper": method.paper,
        "tag": "from this picture alone" if x.request.prototypes == "self" else None,
        "unit": x.request.method,
        "says": says,
        "formula": formula,
        "symbols": _symbols(formula),
        "panels": panels,
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
    elif note.denoising is not None and note.denoising.removed is not None:
        facts.append(f"{note.denoising.removed:.0%} removed")
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
        "facts": [f"{used} stages on {height} × {width} cells"],
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
    share = 1 - float(x.seen.mean())
    return (
        f"Outside the crop: {share:.0%} of the picture was not shown to the network and is hatched."
    )


# -- The map doctor ------------------------------------------------------------------------------


def _alike(rows: Mapping[str, Explanation | str]) -> dict[tuple[str, str], str]:
    """(row, panel) -> a sentence that names the earlier map which says nearly the same.

    Compared by Pearson's r at points that cover the network's input evenly; a map that is the
    same everywhere is compared with none.
    """
    told: dict[tuple[str, str], str] = {}
    earlier: list[tuple[str, str, np.ndarray]] = []
    for key, x in rows.items():
        if not isinstance(x, Explanation):
            continue
        for name, panel in _panels(x).items():
            points = _standardized(panel, x.fit.input_size)
            if points is None:
                continue
            scores = [float(points @ other) for *_, other in earlier]
            best = int(np.argmax(scores)) if scores else -1
            if scores and scores[best] > ALIKE:
                row, other, _ = earlier[best]
                home = TITLES.get(row, row)
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
        hidden = float((mask & ~x.seen).sum() / mask.sum())
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
