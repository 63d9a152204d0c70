"""Claims about maps, tested: four questions, each answered for every network with an interval.

    answers = answer_claims(engine, backbones, count=60, seed=6002)

Every question compares two maps of the same picture, on drawn scenes of one thing before
backgrounds that no bundled network was trained on. A difference is positive where the first map is
the better one. A claim holds for a network if every gain that it speaks of is clearly above 0, and
no loss that it denies is clearly there; that it is not shown is an answer, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from camviz.benchmark.datasets import SEED, Scenes
from camviz.benchmark.intervals import Resampled
from camviz.benchmark.tables import Interval, markdown_table, measured
from camviz.defaults import FUSED, REFINED
from camviz.engine.engine import Engine
from camviz.engine.explanation import Explanation
from camviz.errors import MethodError, PrototypeError, StageError
from camviz.maps import localization
from camviz.network.backbone import Backbone

Progress = Callable[[int, int, str], None]
Verdict = Literal["yes", "no", "not shown"]
Differences = dict[str, float]  # by figure; positive where the claim is right
TRUNCATION = 0.9
CLAIM_SCENES = 60

AP, BEST_IOU, ENERGY = "average precision", "best IoU", "energy on the thing"
COVERED = "recall at half precision"
INSERTION, DELETION = "insertion", "deletion"


@dataclass(frozen=True)
class Subject:
    """A scene of one thing, and one network that looks at it."""

    engine: Engine
    backbone: Backbone
    pixels: np.ndarray
    truth: np.ndarray
    label: str

    def explain(self, **options: Any) -> Explanation:
        return self.engine.explain(self.pixels, self.backbone, target=self.label, **options)


@dataclass(frozen=True)
class Claim:
    """A question, and how one picture answers it.

    gains: figures that must be clearly better. losses: figures that must not be clearly worse.
    compare: the difference of each on one picture, positive where the first map is better.
    """

    key: str
    question: str
    gains: tuple[str, ...]
    losses: tuple[str, ...]
    compare: Callable[[Subject], Differences]


def _fused_against_last(subject: Subject) -> Differences:
    fused = subject.explain(method="layer_cam").fused
    x = subject.explain(method="grad_cam")
    last, truth = x.maps[x.stages[-1]], subject.truth
    return {
        AP: localization.average_precision(fused, truth)
        - localization.average_precision(last, truth),
        BEST_IOU: localization.best_iou(fused, truth)[0] - localization.best_iou(last, truth)[0],
    }


def _truncated_against_plain(subject: Subject) -> Differences:
    """Means over the stages that are truncated: all but the deepest."""
    plain = subject.explain(method="layer_cam")
    denoised = subject.explain(method="layer_cam", truncation=TRUNCATION)
    differences = []
    for name in denoised.request.truncated:
        before, after = plain.maps[name], denoised.maps[name]
        differences.append(
            [
                figure(after, subject.truth) - figure(before, subject.truth)
                for figure in (localization.average_precision, localization.energy_inside)
            ]
        )
    if not differences:
        raise MethodError(f"{subject.backbone.display_name} has no stage but the deepest")
    precision, energy = np.mean(differences, axis=0)
    return {AP: float(precision), ENERGY: float(energy)}


def _prototypes_against_cam(subject: Subject) -> Differences:
    local = subject.explain(method="lpcam", prototypes="shipped").fused
    cam = subject.explain(method="cam").fused
    return {
        COVERED: localization.recall_at_precision(local, subject.truth)
        - localization.recall_at_precision(cam, subject.truth)
    }


def _refined_against_fused(subject: Subject) -> Differences:
    x = subject.explain(method="layer_cam")
    assert x.refined is not None
    measured = subject.engine.faithfulness(
        x, FUSED, metrics=(INSERTION, DELETION), beside=(REFINED,)
    )
    fused, refined = (measured.figures[name] for name in (FUSED, REFINED))
    return {
        AP: localization.average_precision(x.refined, subject.truth)
        - localization.average_precision(x.fused, subject.truth),
        INSERTION: refined[INSERTION] - fused[INSERTION],
        DELETION: fused[DELETION] - refined[DELETION],  # the lower, the better
    }


CLAIMS = (
    Claim(
        "fused",
        "Does fused LayerCAM locate things better than Grad-CAM at the last layer?",
        (AP, BEST_IOU),
        (),
        _fused_against_last,
    ),
    Claim(
        "truncation",
        f"Does truncation (at {TRUNCATION:g}) improve shallow maps of LayerCAM?",
        (AP, ENERGY),
        (),
        _truncated_against_plain,
    ),
    Claim(
        "prototypes",
        "Do prototypes cover more of a thing than CAM?",
        (COVERED,),
        (),
        _prototypes_against_cam,
    ),
    Claim(
        "refinement",
        "Does refinement follow the thing without leaving the evidence?",
        (AP,),
        (INSERTION, DELETION),
        _refined_against_fused,
    ),
)


@dataclass(frozen=True)
class Difference:
    """A figure's difference with its interval. loss: only a clear loss would speak against it."""

    figure: str
    interval: Interval
    loss: bool

    @property
    def verdict(self) -> Verdict:
        _, low, high = self.interval
        if high < 0:
            return "no"
        return "yes" if low > 0 or self.loss else "not shown"


@dataclass(frozen=True)
class Answer:
    """The answer of one network to one question. reason: why there is none, or ""."""

    claim: Claim
    backbone: str
    differences: tuple[Difference, ...]
    pictures: int
    reason: str = ""

    @property
    def verdict(self) -> Verdict | Literal["cannot be asked"]:
        """The answer from those of the differences: "no" if one is "no", "yes" if all are "yes".

        "not shown" where neither is so; "cannot be asked" where there is a `reason`.
        """
        if self.reason:
            return "cannot be asked"
        verdicts = {each.verdict for each in self.differences}
        return "no" if "no" in verdicts else "not shown" if "not shown" in verdicts else "yes"


def answer_claims(
    engine: Engine,
    backbones: Sequence[Backbone],
    count: int,
    seed: int = SEED,
    progress: Progress | None = None,
    claims: Sequence[Claim] = CLAIMS,
) -> list[Answer]:
    """Every network's answer to every claim, on so many scenes.

    progress(pictures done, of, in words); what it raises ends the work.
    """
    data = Scenes(count, seed, two=0.0)
    answers = []
    for number, backbone in enumerate(backbones):
        found: dict[str, list[Differences]] = {claim.key: [] for claim in claims}
        refused: dict[str, str] = {}
        for index in range(count):
            case = data.case(index)
            thing = case.things[0]
            subject = Subject(engine, backbone, case.picture.pixels, thing.mask, thing.label)
            for claim in claims:
                if claim.key in refused:
                    continue
                try:
                    found[claim.key].append(claim.compare(subject))
                except (MethodError, PrototypeError, StageError) as error:
                    refused[claim.key] = str(error)
            if progress is not None:
                done = number * count + index + 1
                progress(done, len(backbones) * count, f"{backbone.display_name}, {case.name}")
        answers += [
            _answer(claim, backbone.name, found[claim.key], refused.get(claim.key, ""))
            for claim in claims
        ]
    return answers


def _answer(claim: Claim, backbone: str, found: Sequence[Differences], reason: str) -> Answer:
    if reason:
        return Answer(claim, backbone, (), 0, reason)
    resampled = Resampled.draw(len(found))
    differences = tuple(
        Difference(
            figure,
            resampled.mean(np.array([each[figure] for each in found])),
            figure in claim.losses,
        )
        for figure in (*claim.gains, *claim.losses)
    )
    return Answer(claim, backbone, differences, len(found))


def claims_markdown(answers: Sequence[Answer], level: str = "##") -> str:
    """A section for each question: who says yes, who says no, and the differences."""
    parts = []
    for claim in dict.fromkeys(answer.claim for answer in answers):
        own = [answer for answer in answers if answer.claim is claim]
        lines = [
            [answer.backbone, each.figure, _signed(each.interval), _meaning(each)]
            for answer in own
            for each in answer.differences
        ]
        text = f"{level} {claim.question}\n\n{sentence(own)}"
        if lines:
            table = markdown_table(["network", "figure", "gain", ""], lines)
            text += f"\n\n{table}"
        parts.append(text)
    return "\n\n".join(parts) + "\n"


def sentence(answers: Sequence[Answer]) -> str:
    """The answers to one question in a sentence for each verdict."""
    words = {
        "yes": "Yes for {}.",
        "no": "**No** for {}.",
        "not shown": "Not shown for {}: an interval includes 0.",
        "cannot be asked": "Cannot be asked of {}.",
    }
    texts = []
    for verdict, text in words.items():
        names = [answer.backbone for answer in answers if answer.verdict == verdict]
        if names:
            texts.append(
                text.format(" and ".join([", ".join(names[:-1])] * bool(names[:-1]) + names[-1:]))
            )
    return " ".join(texts)


def claims_table(answers: Sequence[Answer]) -> dict[str, Any]:
    """Plain values of all answers, for JSON."""
    return {
        "claims": [
            {
                "key": claim.key,
                "question": claim.question,
                "sentence": sentence([a for a in answers if a.claim is claim]).replace("**", ""),
                "answers": [
                    {
                        "backbone": answer.backbone,
                        "verdict": answer.verdict,
                        "pictures": answer.pictures,
                        "reason": answer.reason,
                        "differences": [
                            {
                                "figure": each.figure,
                                "gain": round(each.interval[0], 4),
                                "low": round(each.interval[1], 4),
                                "high": round(each.interval[2], 4),
                                "verdict": each.verdict,
                            }
                            for each in answer.differences
                        ],
                    }
                    for answer in answers
                    if answer.claim is claim
                ],
            }
            for claim in dict.fromkeys(answer.claim for answer in answers)
        ]
    }


def _signed(interval: Interval) -> str:
    """ "+.012 (+.003 to +.021)"."""
    value, low, high = ((("+" if each > 0 else "") + measured(each)) for each in interval)
    return f"{value} ({low} to {high})"


def _meaning(difference: Difference) -> str:
    if difference.loss:
        return "clearly worse" if difference.verdict == "no" else "not clearly worse"
    return {"yes": "better", "no": "worse", "not shown": "no clear difference"}[difference.verdict]
