"""What to know about one map before believing it: in figures, and in sentences."""

from dataclasses import dataclass

from camviz.methods import Method, denoise
from camviz.network.head import HeadWeights
from camviz.network.stages import Stage
from camviz.network.taps import Tap

MANY = 100  # times: of what is stronger still it matters no longer how much


@dataclass(frozen=True)
class Denoising:
    """What truncation did to one map.

    `tau`: the threshold at which the gradient was cut. `removed`: the share of the plain map's
    positive mass that is gone, 1 - sum relu(denoised) / sum relu(plain); below 0 where more
    was taken from what the plain map subtracts (the negative gradient, or negative activations)
    than from the rest; None if the plain map is empty.
    `noise`: what the threshold does to signal and noise; None in the other modes.
    """

    tau: float
    removed: float | None
    noise: denoise.NoiseReport | None

    @property
    def change(self) -> str:
        """`removed` in words: "60% removed", "12% added"; nothing if there is no such share.

        A map that is more than twice as strong as before is so many "times as strong".
        """
        if self.removed is None:
            return ""
        if self.removed < -1:
            return f"{times(1 - self.removed)} as strong"
        return f"{abs(self.removed):.0%} {'removed' if self.removed >= 0 else 'added'}"


def times(*factors: float) -> str:
    """How many times something is what it was: "2.5 times", "1.4 to more than 100 times"."""
    ends = dict.fromkeys(
        f"{factor:.2g}" if factor < MANY else f"more than {MANY}"
        for factor in (min(factors), max(factors))
    )
    return f"{' to '.join(ends)} times"


@dataclass(frozen=True)
class Notes:
    """What to know about one map before believing it.

    `positive_share`: positive contributions over all contributions, sum relu(g*A) / sum |g*A|;
    None for methods without a gradient. `checkerboard`: 1 is an even gradient, 4 one place in
    four (`methods.gradient.checkerboard`); `smoothed` if it was removed. `sentences`: all of it
    in words.
    """

    stage: str
    tensor: str
    grid: tuple[int, int]
    layout: str
    empty: bool
    zero_gradient: bool
    positive_share: float | None
    checkerboard: float | None
    smoothed: bool
    denoising: Denoising | None
    sentences: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.sentences)


def write_sentences(
    notes: Notes,
    stage: Stage,
    tap: Tap,
    method: Method,
    head: HeadWeights | None,
    mode: denoise.Mode,
) -> tuple[str, ...]:
    """The notes in plain words, the most important last."""
    height, width = notes.grid
    sentences = [f"{height} × {width} cells of {stage.reduction:.3g} pixels."]
    if notes.tensor != stage.name:
        sentences.append(f"Read at '{notes.tensor}', the last post-activation tensor there.")
    if head is not None and head.kind == "normalised":
        sentences.append("CAM with the head's normalisation statistics frozen at this picture.")
    if head is not None and head.kind == "linearised":
        sentences.append("CAM of the classifier linearised at this picture.")
    if not method.class_specific:
        sentences.append("The same for every class.")
    if notes.positive_share is not None:
        sentences.append(f"{notes.positive_share:.0%} of the evidence speaks for the class.")
    if notes.smoothed:
        sentences.append("The checkerboard of a strided layer behind it was smoothed out.")
    if not notes.zero_gradient:
        sentences += _denoising_sentences(notes.denoising, mode)
    if notes.zero_gradient:
        sentences.append(
            "Empty: the class score does not depend on this map"
            + (
                ", because the network reads its class token from here on."
                if stage.zero_gradient or tap.layout.prefix
                else "."
            )
        )
    elif notes.empty:
        sentences.append("Empty: nothing here speaks for this class.")
    return tuple(sentences)


# What was done to the gradient, by mode.
_DONE = {
    "threshold": "Gradient values below {tau:.3g}, as large as noise, set to 0 ({source})",
    "rectify": "Negative gradient removed ({source})",
    "cap": "Gradient values above {tau:.3g} cut to that ({source})",
    "remove": "What speaks for the class removed ({source}): the map shows what speaks against it",
}


def _denoising_sentences(denoising: Denoising | None, mode: denoise.Mode) -> list[str]:
    if denoising is None:
        return []
    sentences = [_DONE[mode].format(source=denoise.SOURCE, tau=denoising.tau)]
    report = denoising.noise
    if report is not None:
        sentences[0] += f", which {report.kept:.0%} of it reaches"
    if denoising.removed is not None and denoising.removed >= 0:
        sentences[0] += f"; {denoising.removed:.0%} of the plain map's evidence is gone"
    elif denoising.removed is not None:
        change = f"{-denoising.removed:.0%} has come on top of the plain map's evidence"
        if denoising.removed < -1:
            change = f"the plain map's evidence has become {denoising.change}"
        sentences[0] += f"; {change}, for what was subtracted there is gone too"
    sentences[0] += "."
    if report is not None and report.noise is not None:
        sentences.append(
            f"Of the noise, {report.noise:.0%} is left (normal noise: {report.expected:.0%})."
        )
    return sentences
