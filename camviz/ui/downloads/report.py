"""The report: everything about one picture in a single HTML file that opens offline.

    (folder / FILE).write_text(report_html(rows, address), encoding="utf-8")

The viewer in it is the page's own, source and all; the script below gives it what gradio would.
The file asks nobody for anything, and its own policy forbids it to.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from string import Template
from typing import Any
from urllib.parse import urlsplit

from camviz.engine.explanation import Explanation
from camviz.engine.options import Request
from camviz.errors import TargetError
from camviz.maps.fusion import FUSIONS
from camviz.maps.render import DIVERGING
from camviz.methods import METHODS
from camviz.methods.denoise import SOURCE
from camviz.network.backbone import GIVEN
from camviz.ui import viewer
from camviz.ui.choices import discreet
from camviz.ui.compare_tab import Row, truth_of, verdict_html
from camviz.version import version_of

FILE = "report.html"
CLASSES = 10  # that are listed
SHARED = ("shipped", "picture")  # prototypes that a shell can have too
PATHS = ("local", "file")  # weights whose origin is a place on the machine that made the report
# The defaults of `python -m camviz explain`: what is the same there need not be said.
USUAL = {
    "weights": "auto",
    "method": "layer_cam",
    "fuse": "product",
    "tap": "activation",
    "placement": "plain",
    "fit": "stretch",
    "score": "logit",
    "checkerboard": "auto",
    "truncation": 0.0,
    "truncation_mode": "threshold",
    "calibration": "mirror",
    "aggregate": "mean",
}


def report_html(rows: Mapping[str, Row], address: str = "") -> str:
    """The report of the rows of a picture, the first of which is an explanation.

    address: what stands in the browser's address bar. How the maps are drawn is read off its
    query; where it has a host, it is the link that the report gives.
    """
    shown = {key: x for key, x in rows.items() if isinstance(x, Explanation)}
    first = next(iter(shown.values()))
    truth = truth_of(first)
    name = first.picture.name or "picture"
    data = {
        "value": viewer.payload(rows, truth=truth),
        "tables": viewer.tables(),
        "diverging": DIVERGING,
        "query": urlsplit(address).query,
    }
    return Template(_PAGE).substitute(
        title=f"{escape(name)}: {escape(first.label)} · camviz",
        name=escape(name),
        size=f"{first.picture.width} × {first.picture.height} pixels",
        verdict=verdict_html(first),
        predictions=_predictions(first),
        viewer=_read("viewer.html"),
        again=_again(shown, address),
        settings=_settings(shown),
        figures="".join(_figures(key, x, truth) for key, x in shown.items()),
        notes=_notes(rows),
        sources=_sources(shown),
        style=_STYLE + f"#viewer {{ {_read('viewer.css')} }}",
        data=_json(data),
        script="\n".join([_BEFORE, *(_read(name) for name in viewer.SCRIPTS), _AFTER]),
    )


def _read(name: str) -> str:
    return (viewer.FILES / name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """JSON that may stand inside a <script>: no tag begins or ends in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


# -- The command that repeats it -----------------------------------------------------------------
def command(x: Explanation, picture: str | None = None, out: str | None = None) -> str:
    """`python -m camviz explain ...`, which does the same from a shell.

    picture: the file, else the picture's own name. Only what differs from the command's defaults
    is said, but for backbone, class and layers, whose defaults may differ elsewhere.
    """
    return shlex.join(["python", "-m", "camviz", *arguments(x, picture, out)])


def arguments(x: Explanation, picture: str | None = None, out: str | None = None) -> list[str]:
    """What `camviz.cli.main` takes for an explanation like this one."""
    request = x.request
    given = ["explain", _file(picture or x.picture.name or "picture.png")]
    said: list[tuple[str, str]] = [("backbone", discreet(request.backbone))]
    said.append(("target", _class(x, request.target)))
    if request.versus is not None:
        said.append(("versus", _class(x, request.versus)))
    if not METHODS[request.method].uses_head:
        said.append(("stages", ",".join(request.stages)))
    for name, usual in USUAL.items():
        value = getattr(request, name)
        if value != usual:
            said.append((name, str(value)))
    if request.truncation and request.truncated:
        said.append(("truncated", ",".join(request.truncated)))
    if request.prototypes is not None:
        said.append(("prototypes", _bank(request)))
    if out is not None:
        said.append(("out", out))
    for name, value in said:
        option = f"--{name.replace('_', '-')}"
        given += [f"{option}={value}"] if value.startswith("-") else [option, value]
    return given


def _file(name: str) -> str:
    return f"./{name}" if name.startswith("-") else name


def _class(x: Explanation, index: int) -> str:
    """A class by its label, or by its number where the label would be read as another."""
    label = x.backbone.labels[index]
    try:
        return label if x.backbone.target(label) == index else str(index)
    except TargetError:
        return str(index)


def _bank(request: Request) -> str:
    """Prototypes that were given in memory are a file that has to be saved first."""
    given = request.prototypes or ""
    return given if given in SHARED else "prototypes.safetensors"


def _again(shown: Mapping[str, Explanation], address: str) -> str:
    """How to repeat it: the link, and a command for every row."""
    parts = []
    place = urlsplit(address)
    if place.scheme in ("http", "https") and place.netloc:
        link = escape(address)
        parts.append(f'<p>On the page: <a href="{link}" rel="noreferrer">{link}</a>')
        if "example=upload" in place.query:
            parts.append("<br>Uploads never go into a link: give the picture there again.")
        parts.append("</p>")
    parts.append("<p>From a shell, beside the picture:</p>")
    for key, x in shown.items():
        parts.append(
            f"<figure><figcaption>{escape(viewer.TITLES.get(key, key))}</figcaption>"
            f"<pre><code>{escape(command(x))}</code></pre></figure>"
        )
    request = next(iter(shown.values())).request
    name = escape(discreet(request.backbone))
    if name != escape(request.backbone):
        parts.append(
            f"<p>{name} is a network of the server's own: there, give its folder as "
            "<code>local-dir:PATH</code>.</p>"
        )
    if request.weights == GIVEN:
        parts.append("<p>Its weights were given in memory: save them, and give their file.</p>")
    banks = [x for x in shown.values() if (x.request.prototypes or "") not in ("", *SHARED)]
    if banks:
        label = escape(banks[0].label)
        parts.append(
            f"<p>The prototypes of {label} were learned from, or changed by, whoever made this "
            "report: save them on the page as <code>prototypes.safetensors</code> first.</p>"
        )
    return "".join(parts)


# -- What stands in it ---------------------------------------------------------------------------
def _predictions(x: Explanation) -> str:
    ranked = list(enumerate(x.predictions, 1))
    listed = ranked[:CLASSES] + [row for row in ranked[CLASSES:] if row[1][0] == x.target]
    rows = []
    for rank, (index, label, share) in listed:
        mark = ' aria-current="true"' if index == x.target else ""
        said = "&lt; 0.1%" if share < 0.001 else f"{share:.1%}"
        rows.append(
            f'<li{mark} value="{rank}" style="--share: {share:.4f}"><span>{escape(label)}</span> '
            f"<b>{said}</b></li>"
        )
    return f"<ol>{''.join(rows)}</ol>"


def _settings(shown: Mapping[str, Explanation]) -> str:
    """What was asked, as far as it is the same for all rows; what is not, in the commands."""
    x = next(iter(shown.values()))
    request, weights = x.request, x.backbone.weights
    origin = weights.source if weights.source in PATHS else f"{weights.source}: {weights.origin}"
    height, width = x.fit.input_size
    method, fusion = METHODS[request.method], FUSIONS[request.fuse]
    said = {
        "Backbone": discreet(request.backbone),
        "Weights": f"{origin}, digest {x.backbone.digest[:12]}",
        "Parameters": f"{x.backbone.parameters:,}",
        "Picture": f"{x.picture.name}, SHA-256 of its pixels {x.picture.digest[:12]}",
        "The network sees": f"{'the whole picture' if request.fit == 'stretch' else 'a crop'} "
        f"on {height} × {width} pixels",
        "Class explained": f"{x.label} ({x.target})",
        "Compared with": "nothing"
        if request.versus is None
        else f"{x.backbone.labels[request.versus]} ({request.versus})",
        "Score": request.score.replace("_", " "),
        "Method": method.label,
        "Layers": ", ".join(x.stages),
        "A layer is read": {"activation": "after its last activation"}.get(
            request.tap, "as the stage puts it out"
        ),
        "Cells are drawn": {"plain": "evenly spread"}.get(
            request.placement, "where they were measured to look"
        ),
        "Fusion": fusion.label,
    }
    denoised = [other.request for other in shown.values() if other.request.truncation]
    if denoised:
        said["Denoised row"] = (
            f"gradient truncated at {denoised[0].truncation:g} ({denoised[0].truncation_mode}, "
            f"{denoised[0].calibration}) at {', '.join(denoised[0].truncated)}"
        )
    said["Made with"] = ", ".join(
        f"{name} {found}"
        for name in ("camviz", "torch", "timm", "numpy")
        if " " not in (found := version_of(name))
    )
    rows = (f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in said.items())
    return f"<table>{''.join(rows)}</table>"


def _figures(key: str, x: Explanation, truth: Mapping[str, Any] | None) -> str:
    """The figures of a row, one line a layer; how well each map finds what is known to be there."""
    found = x.measure(next(iter(truth.values()))) if truth and x.label in truth else {}
    measured = list(next(iter(found.values()))) if found else []
    heads = ["layer", "cells", "maximum", "positive", "removed", *map(_words, measured)]
    lines = []
    for name in (*reversed(x.stages), "fused"):
        note = x.notes.get(name)
        cells = x.fused_grid[0].shape if note is None else note.grid
        removed = note.denoising.removed if note and note.denoising else None
        positive = note.positive_share if note else None
        peak = "1" if note is None else f"{max(float(x.raw[name].max()), 0.0):.3g}"
        line = [
            name,
            f"{cells[0]} × {cells[1]}",
            peak,
            "" if positive is None else f"{positive:.0%}",
            "" if removed is None else f"{removed:.0%}",
            *(f"{found[name][figure]:.3f}" for figure in measured),
        ]
        lines.append(line)
    used = [i for i in range(len(heads)) if any(line[i] for line in lines)]
    table = _grid([heads[i] for i in used], [[line[i] for i in used] for line in lines])
    boxes = x.boxes(multi=True)[:4]
    corners = "; ".join(", ".join(map(str, box.xyxy)) for box in boxes)
    said = f"Boxes at 20% of the fused map (x0, y0, x1, y1): {corners}." if boxes else ""
    title = escape(viewer.TITLES.get(key, key))
    about = f"<p>How well each map finds the drawn {escape(x.label)} is measured at its pixels.</p>"
    return f"<h3>{title}</h3>{about if found else ''}{table}<p>{said}</p>"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _grid(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in line)}</tr>" for line in lines
    )
    return (
        '<div class="wide"><table class="figures">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _notes(rows: Mapping[str, Row]) -> str:
    """What to know before believing a map."""
    parts = []
    for key, x in rows.items():
        parts.append(f"<h3>{escape(viewer.TITLES.get(key, key))}</h3>")
        if isinstance(x, str):
            parts.append(f"<p>{escape(x)}</p>")
            continue
        said = (f"<dt>{escape(n)}</dt><dd>{escape(str(note))}</dd>" for n, note in x.notes.items())
        parts.append(f"<dl>{''.join(said)}</dl>")
    return "".join(parts)


def _sources(shown: Mapping[str, Explanation]) -> str:
    """Whose ideas the maps are, each once."""
    said: dict[str, str] = {}
    for x in shown.values():
        method, fusion = METHODS[x.request.method], FUSIONS[x.request.fuse]
        says, formula = viewer.explained(method.function)
        said[method.label] = f"{method.paper}. {says} {formula}"
        if x.request.truncation:
            said["Denoising"] = (
                f"positive-gradient truncation, {SOURCE}. "
                "What is no larger than noise is taken out of the gradient."
            )
        if len(x.stages) > 1:
            said[fusion.label] = f"{fusion.paper}. {viewer.explained(fusion.combine)[0]}"
    rows = (f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in said.items())
    return f"<dl>{''.join(rows)}</dl>"


# -- The page ------------------------------------------------------------------------------------

# What gradio gives the viewer, and the settings that the visitor had made.
_BEFORE = """
(() => {
const given = JSON.parse(document.querySelector("#data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const cast = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", cast);
cast();
document.querySelector("#shown").src = given.value.picture.src;
(function (element, props, watch, trigger) {"""
_AFTER = """
adopt(new URLSearchParams(props.query));
})(document.querySelector("#viewer"), given, () => {}, () => {});
})();"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
$style
</style>
</head>
<body>
<header><b>camviz</b> <span>Why a classifier decided what it decided · $name, $size</span></header>
<main>
<section class="top">
<figure><img id="shown" alt="$name"></figure>
<div class="verdict">$verdict</div>
<div class="says"><h3>The network says</h3>$predictions</div>
</section>
<section id="viewer">
$viewer
</section>
<section><h2>Figures</h2>$figures</section>
<section><h2>What to know before believing a map</h2>$notes</section>
<section><h2>Settings</h2><div class="wide">$settings</div></section>
<section><h2>Sources</h2>$sources</section>
<section><h2>Repeat it</h2>$again</section>
</main>
<footer>A map shows what the score depends on to first order, at one layer. It does not show that
the network is right, nor what it would do on another picture. Made by camviz.</footer>
<script type="application/json" id="data">$data</script>
<script>
$script
</script>
</body>
</html>
"""
_STYLE = """
:root {
  --body-text-color: #1f2937; --body-text-color-subdued: #5b6472;
  --border-color-primary: #dfe3ea; --background-fill-primary: #fff;
  --background-fill-secondary: #f6f7fa; --color-accent: #5457d6;
  font: 16px/1.5 system-ui, sans-serif; color: var(--body-text-color);
  background: var(--background-fill-primary); color-scheme: light;
}
.dark {
  --body-text-color: #eceef3; --body-text-color-subdued: #a6adbb;
  --border-color-primary: #3a4150; --background-fill-primary: #161a22;
  --background-fill-secondary: #1e232d; --color-accent: #8b8ef5; color-scheme: dark;
}
body { margin: 0 auto; max-width: 1280px; padding: 1.25rem clamp(0.9rem, 3vw, 2.5rem) 3rem; }
body > header { display: flex; flex-wrap: wrap; gap: 0 0.9rem; align-items: baseline; }
body > header b { font-size: 1.3rem; }
body > header span, footer, figcaption, .verdict p { color: var(--body-text-color-subdued); }
main > section { margin-top: 2rem; }
main h2 { font-size: 1.25rem; line-height: 1.35; margin: 0 0 0.5rem; }
main > section > h3 { font-size: 1rem; margin: 1.2rem 0 0.3rem; }
.top { display: grid; gap: 1.5rem; grid-template-columns: 220px minmax(0, 1fr) 300px; }
.top figure { margin: 0; }
.top img {
  display: block; width: 100%; max-height: 240px; object-fit: contain; border-radius: 10px;
}
.verdict h2 { font-size: 1.5rem; }
.verdict em { font-style: normal; color: var(--color-accent); }
.verdict p { margin: 0.2rem 0; }
.verdict .cv-badge {
  display: inline-block; padding: 0.1rem 0.65rem; border-radius: 1rem; font-weight: 600;
  font-size: 0.85rem; color: #7a2e0e; background: #fff3e0; border: 1px solid #f0a35e;
}
.dark .verdict .cv-badge { color: #ffd9b0; background: #3b2412; border-color: #a8622a; }
.says h3 { font-size: 0.95rem; margin: 0 0 0.3rem; }
.says ol { margin: 0; padding: 0; list-style: none; font-size: 0.88rem; }
.says li {
  position: relative; display: flex; justify-content: space-between; gap: 0.75rem;
  isolation: isolate; padding: 0.15rem 0.5rem; margin-bottom: 0.15rem; border-radius: 6px;
  overflow: hidden;
  border: 1px solid var(--border-color-primary);
}
.says li::before {
  content: ""; position: absolute; inset: 0 auto 0 0; z-index: -1; opacity: 0.2;
  width: calc(var(--share) * 100%); background: var(--color-accent);
}
.says li[aria-current] { border-color: var(--color-accent); font-weight: 600; }
.says b { font-weight: inherit; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.88rem; }
th { text-align: left; font-weight: 600; min-width: 7rem; }
.figures th { min-width: 0; }
th, td { padding: 0.25rem 1.2rem 0.25rem 0; vertical-align: top; overflow-wrap: anywhere; }
tr + tr :is(th, td), tbody tr td { border-top: 1px solid var(--border-color-primary); }
.figures :is(th, td) { white-space: nowrap; overflow-wrap: normal; }
.figures td { font-variant-numeric: tabular-nums; }
.figures th { color: var(--body-text-color-subdued); font-weight: 500; }
.figures + p { font-size: 0.85rem; color: var(--body-text-color-subdued); margin: 0.3rem 0; }
dl { margin: 0; font-size: 0.9rem; display: grid; gap: 0.2rem 1.2rem; }
dl { grid-template-columns: minmax(6rem, max-content) minmax(0, 1fr); }
dt { font-weight: 600; overflow-wrap: anywhere; }
dd { margin: 0; }
main > section > figure { margin: 0 0 0.8rem; }
figcaption { font-size: 0.85rem; }
pre {
  margin: 0.2rem 0; padding: 0.6rem 0.8rem; border-radius: 8px; white-space: pre-wrap;
  overflow-wrap: anywhere; font-size: 0.85rem; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary);
}
a { color: var(--color-accent); overflow-wrap: anywhere; }
footer { margin-top: 2.5rem; font-size: 0.85rem; max-width: 60rem; }
@media (max-width: 900px) { .top { grid-template-columns: minmax(0, 1fr); gap: 1rem; } }
@media print { .vw-tools, .vw-read { display: none !important; } section { break-inside: auto; } }
"""
