"""What is written beside and below maps: methods and fusions, facts, where a map is strongest."""

import re

import numpy as np

from camviz.engine.explanation import Explanation
from camviz.engine.options import Request
from camviz.engine.wording import wording
from camviz.maps.fusion import Fusion
from camviz.maps.refine import Refinement
from camviz.methods import METHODS, Method, denoise
from camviz.network.settings import OutputKind
from camviz.ui.viewer.panels import Heat
from camviz.ui.viewer.schema import Words

# Sign in a formula -> what it stands for.
SYMBOLS = {
    r"\bA(_|\b)": "A: what the layer answers",
    r"\bg_[bk]": "g: how the class score changes with it",
    r"_k\b": "k: the layer's channels",
    r"\bF_i\b": "F, B: prototypes of the class and of what surrounds it",
    r"\bn_l\b|\bn_1\b": "n_l: the map of stage l over its maximum",
    r"\bp_c\b|\bp_c\(": "p_c: the probability of the class",
    r"\by_k\b": "y: the score of the class",
    r"\bf\(": "f: what follows the layer",
    r"\bx · H": "x: the picture; H: a map on it, as a mask",
    r"\bb · \(1": "b: the picture blurred",
    r"\bα_b": "α_b: the attention of block b, from token to token",
    r"\bc_b": "c_b: how the class score changes with what is attended to",
    r"\bV_b": "V_b: what each token passes on",
    r"\bx_d": "x: what enters the block; g: its gradient by the rules of relevance",
    r"\bR\b": "R: how much of each token has arrived",
    r"\bmean_r\b": "r: the tokens that the classifier reads",
    r"mean_h\b|Σ_h\b": "h: the heads",
    r"τ": "τ: as large as noise is",
}
# What is written of the refined map.
REFINED_WORDS = Words(
    "Spread to what looks alike to the network: it shows which thing, not what exactly counted.",
    "A_ij = max(0, cos(f_i, f_j))^(p), each row over its sum;   S = A^(t) F;   "
    "R = (S − min S) · F^(k)",
    "F: the fused map; f_i: the features of the layers at place i; p, t, k: power, steps and keep. "
    "After SEAM, CVPR 2020, and AffinityNet, CVPR 2018.",
)
# What truncation does to a gradient, by mode.
_TRUNCATIONS = {
    "threshold": "g_k if g_k ≥ τ, else 0",
    "rectify": "ReLU(g_k)",
    "cap": "min(ReLU(g_k), τ)",
    "remove": "ReLU(−g_k)",
}
# The same in words that stand behind the name of the method, up to the source.
_TRUNCATED = {
    "threshold": "Of a gradient without its noise (its weak values set to 0, at level {level:g}",
    "rectify": "Of what {favours} alone (the positive part of the gradient",
    "cap": "Of a gradient without its highest values (lowered to level {level:g}",
    "remove": "What {opposes} (the negative part of the gradient",
}


def refinement_words(how: Refinement) -> str:
    """With which settings a map was spread."""
    steps = "1 step" if how.steps == 1 else f"{how.steps} steps"
    weight = f"; weighted by the fused map to the power {how.keep:g}" if how.keep else ""
    return (
        f"The cosine of the features of any two places to the power {how.power:g}; {steps} from "
        f"place to place{weight}."
    )


def words_of(row: Method | Fusion) -> Words:
    """What a method or a fusion does, in words and as a formula."""
    return Words(row.summary, row.formula, symbols_in(row.formula))


def words_of_request(request: Request, output: OutputKind = "softmax") -> Words:
    """The same of the method of an explanation, which may be of a truncated gradient.

    output: of its network.
    """
    method = METHODS[request.method]
    if not request.truncation:
        return words_of(method)
    signs = wording(output)
    fields = {"favours": signs.favours, "opposes": signs.opposes_alone, "level": request.truncation}
    what = _TRUNCATED[request.truncation_mode].format(**fields)
    formula = f"{method.formula}\ng_k → {_TRUNCATIONS[request.truncation_mode]}"
    return Words(f"{what}; {denoise.SOURCE}).", formula, symbols_in(formula))


def symbols_in(formula: str) -> str:
    """What the letters of a formula stand for."""
    found = [meaning for sign, meaning in SYMBOLS.items() if re.search(sign, formula)]
    return "; ".join(found) + "." if found else ""


def facts_of(x: Explanation, name: str) -> tuple[str, ...]:
    """What a map is made of, in a few words, beside its cells."""
    note = x.notes[name]
    facts: list[str] = []
    if note.empty or note.zero_gradient:
        return ()
    if note.nearly_even:
        facts.append("nearly even")
    if x.bank is not None:
        stage = x.bank.stage(name)
        count = len(stage.kept("foreground")) + len(stage.kept("context"))
        facts.append(f"{count} prototypes")
    elif note.denoising is not None and note.denoising.kept:
        facts.append(note.denoising.kept)
    elif x.request.truncation:
        facts.append("not denoised")
    elif note.positive_share is not None:
        word = "raises it" if x.backbone.output == "value" else "in favour"
        facts.append(f"{note.positive_share:.0%} {word}")
    return tuple(facts)


def found_by(x: Explanation, what: str) -> str:
    """What a map shows, for those who do not see it. what: whose it is, within a sentence."""
    if not x.label:
        return f"What {what} answers to most"
    if x.backbone.output == "value":
        return f"Where {what} found what raises {x.label}"
    return f"Where {what} found evidence for {x.label}"


def location(x: Explanation, heat: Heat) -> str:
    """In words, where on the picture a map is strongest."""
    if not heat.values.any():
        return "nowhere, the map is empty"
    cell = np.unravel_index(int(heat.values.argmax()), heat.values.shape)
    x0, y0, x1, y1 = x.fit.rect
    spots = []
    for axis, start, end, side in (
        (0, y0, y1, x.picture.height),
        (1, x0, x1, x.picture.width),
    ):
        centre = float(heat.placement.centres(axis, heat.values.shape[axis])[cell[axis]])
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
