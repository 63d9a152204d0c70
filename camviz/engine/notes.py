"""What to know about one map before believing it: in figures, and in sentences."""

from dataclasses import dataclass

from camviz.engine.options import Options
from camviz.engine.prices import passes_of
from camviz.engine.wording import Wording, wording
from camviz.methods import Method, denoise
from camviz.network.head import HeadWeights
from camviz.network.settings import OutputKind
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
    def kept(self) -> str:
        """What the map holds, in words: "40% of the plain map", "2.5 times the plain map"."""
        return "" if self.removed is None else f"{parts(1 - self.removed)} the plain map"


def parts(*shares: float) -> str:
    """How much of something something else is: "40% of", "40 to 61% of", "1.2 to 3 times"."""
    least, most = min(shares), max(shares)
    if most <= 2:
        ends = dict.fromkeys((f"{least:.0%}", f"{most:.0%}"))
        return " to ".join(ends).replace("% to", " to") + " of"
    words = dict.fromkeys(
        f"{share:.2g}" if share < MANY else f"more than {MANY}" for share in (least, most)
    )
    return f"{' to '.join(words)} times"


# From this share of the highest value on, the lowest makes a map nearly even.
NEARLY_EVEN = 0.8


@dataclass(frozen=True)
class Notes:
    """What to know about one map before believing it.

    `zero_gradient`: the class score does not depend on the map.
    `positive_share`, `cancels`: see `methods.gradient.Evidence`; None and False for methods without
    a gradient. `checkerboard`: 1 is an even gradient, 4 one place in
    four (`methods.gradient.checkerboard`); `smoothed` if it was removed. `floor`: the lowest value
    as a share of the highest, 0 where one is negative. `sentences`: all of it in words.
    """

    stage: str
    tensor: str
    grid: tuple[int, int]
    layout: str
    empty: bool
    zero_gradient: bool
    positive_share: float | None
    cancels: bool
    checkerboard: float | None
    smoothed: bool
    denoising: Denoising | None
    sentences: tuple[str, ...]
    floor: float = 0.0

    @property
    def nearly_even(self) -> bool:
        """Whether the colours exaggerate: no place is far below the highest."""
        return self.floor >= NEARLY_EVEN

    def __str__(self) -> str:
        return " ".join(self.sentences)


def write_sentences(
    notes: Notes,
    stage: Stage,
    tap: Tap,
    method: Method,
    head: HeadWeights | None,
    mode: denoise.Mode,
    output: OutputKind = "softmax",
) -> tuple[str, ...]:
    """The notes in plain words, the most important last. output: of the network."""
    words = wording(output)
    height, width = notes.grid
    sentences = [f"{height} × {width} cells of {stage.reduction:.3g} pixels."]
    if notes.tensor != stage.name:
        sentences.append(f"Read at '{notes.tensor}', the last post-activation tensor there.")
    if head is not None and head.kind == "normalised":
        sentences.append("CAM with the head's normalisation statistics frozen at this picture.")
    if head is not None and head.kind == "linearised":
        sentences.append("CAM of the classifier linearised at this picture.")
    if not method.class_specific and output != "features":
        sentences.append(f"The same for every {words.every}.")
    if notes.positive_share is not None:
        sentences.append(f"{notes.positive_share:.0%} of the evidence {words.favours}.")
    if notes.cancels:
        sentences.append(
            f"{words.both} are equal at every place, whatever the {words.every}, because the "
            "network normalises the channels next."
        )
    if notes.smoothed:
        sentences.append("The checkerboard of a strided layer behind it was smoothed out.")
    if notes.nearly_even:
        sentences.append(f"Nearly even: the lowest place has {notes.floor:.0%} of the highest.")
    if not notes.zero_gradient:
        sentences += _denoising_sentences(notes.denoising, mode, words)
    if notes.zero_gradient:
        sentences.append(
            f"Empty: {words.score} does not depend on this map"
            + (
                ", because the network reads its class token from here on."
                if stage.zero_gradient or tap.layout.prefix
                else "."
            )
        )
    elif notes.empty and notes.cancels:
        sentences.append(
            f"Empty: {method.label} adds up at each place what {words.pair}, and here the sum is 0 "
            f"whatever the {words.every}, because the channels are normalised next."
        )
    elif notes.empty:
        sentences.append(f"Empty: {words.nothing}.")
    return tuple(sentences)


def scoring_sentence(method: Method, tap: Tap, options: Options) -> str:
    """How many passes of the network a map is made of, and of what."""
    height, width = tap.layout.grid
    passes = passes_of(options, tap.channels, height * width)
    scoring = method.scoring
    of_all = ""
    if scoring is not None and scoring.budget is not None and scoring.budget[0] == "channels":
        of_all = f", of {tap.channels:,} channels the strongest" if tap.channels > passes else ""
    what = "the network" if scoring is not None and scoring.whole else "what follows the layer"
    return f"Made of {passes:,} passes of {what}{of_all}."


# What was done to the gradient, by mode.
_DONE = {
    "threshold": "Gradient values below {tau:.3g}, as large as noise, set to 0 ({source})",
    "rectify": "Negative gradient removed ({source})",
    "cap": "Gradient values above {tau:.3g} cut to that ({source})",
    "remove": "What {favours} removed ({source}): the map shows what {opposes}",
}


def _denoising_sentences(
    denoising: Denoising | None, mode: denoise.Mode, words: Wording
) -> list[str]:
    if denoising is None:
        return []
    done = {"source": denoise.SOURCE, "tau": denoising.tau, **vars(words)}
    sentences = [_DONE[mode].format(**done)]
    report = denoising.noise
    if report is not None:
        sentences[0] += f", which {report.kept:.0%} of it reaches"
    if denoising.removed is not None:
        sentences[0] += f"; the map holds {parts(1 - denoising.removed)} the plain map's evidence"
    sentences[0] += "."
    if report is not None and report.noise is not None:
        sentences.append(
            f"Of the noise, {report.noise:.0%} is left (normal noise: {report.expected:.0%})."
        )
    return sentences
