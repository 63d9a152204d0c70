"""Maps of methods that change a stage's map, or the picture, and read the class scores.

Their passes of the network are one piece of work a stage, which another process can do as well.
What comes of them is kept with the trace: the maps of all classes, or those of one class for a
method that has read its gradient.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camviz.engine.options import Options
from camviz.engine.plan import Plan
from camviz.engine.prices import budget_of, passes_of
from camviz.engine.views import Progress
from camviz.engine.work import Runner, Traces, Work, plain_arithmetic
from camviz.images import Picture
from camviz.methods import METHODS
from camviz.network.backbone import Backbone
from camviz.network.outputs import shares
from camviz.network.tail import find_tail, score_pictures
from camviz.network.taps import Address, Tap
from camviz.network.target import Target
from camviz.network.trace import Trace

_BATCH = 16  # pictures


@dataclass(frozen=True, eq=False)
class ScorePictures(Work[np.ndarray]):
    """The logits of several pictures, (N, classes), in batches."""

    pictures: Sequence[Picture]
    fit: str
    slow = True

    def do(self, backbone: Backbone, traces: Traces) -> np.ndarray:
        score = score_pictures(backbone)
        found = []
        with plain_arithmetic(backbone):
            for start in range(0, len(self.pictures), _BATCH):
                some = self.pictures[start : start + _BATCH]
                images = [backbone.prepare(picture, self.fit)[0] for picture in some]
                found.append(score(torch.cat(images)).cpu().numpy())
        return np.concatenate(found)


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreChanges(Work[Tensor]):
    """The maps of one stage by a method that scores changes of it, or of the picture.

    budget: of the method's passes, see `camviz.methods.Scoring`. gradients: of the class `index`,
    for a method that reads them; then the map is of that class alone, (1, h, w), else of all of
    them, (classes, h, w). progress(passes done, passes in all): what it raises ends the work.
    """

    slow = True

    picture: Picture
    fit: str
    tap: Tap
    method: str
    budget: int = 0
    index: int | None = None
    gradients: Any = None
    progress: Callable[[int, int], None] | None = None

    def do(self, backbone: Backbone, traces: Traces) -> Tensor:
        method = METHODS[self.method]
        scoring = method.scoring
        assert scoring is not None
        trace, _ = traces.get(backbone, self.picture, self.fit, [self.tap])
        image, _ = backbone.prepare(self.picture, self.fit)
        available: dict[str, Any] = {
            "activations": trace.activations[self.tap.address].to(backbone.device),
            "image": image,
        }
        if self.gradients is not None:
            available["gradients"] = torch.as_tensor(self.gradients).to(backbone.device)
        with plain_arithmetic(backbone):
            logits = (
                score_pictures(backbone)
                if scoring.whole
                else find_tail(backbone, image, trace, self.tap)
            )

            def score(given: Tensor) -> Tensor:
                scores = logits(given)
                if scoring.of == "probability":
                    scores = shares(scores, backbone.output)
                return scores if self.index is None else scores[:, self.index, None]

            arguments = {need: (available | {"score_fn": score})[need] for need in method.needs}
            bound = {} if scoring.budget is None else {scoring.budget[0]: self.budget}
            return method.function(**arguments, **bound, progress=self.progress).cpu()

    def portable(self) -> "ScoreChanges":
        """The same work without tensors. The other process reports no progress."""
        if self.progress is not None:
            method, (height, width) = METHODS[self.method], self.tap.layout.grid
            assert method.scoring is not None
            self.progress(0, method.scoring.passes(self.tap.channels, height * width, self.budget))
        gradients = None if self.gradients is None else self.gradients.cpu().numpy()
        return replace(self, gradients=gradients, progress=None)

    def pack(self, result: Tensor) -> Any:
        return result.numpy()

    def unpack(self, packed: Any) -> Tensor:
        return torch.from_numpy(packed)


def score_stages(
    plan: Plan,
    options: Options,
    backbone: Backbone,
    picture: Picture,
    trace: Trace,
    target: Target,
    gradients: Mapping[Address, Tensor],
    runner: Runner,
    traces: Traces,
    progress: Progress | None,
) -> dict[Address, Tensor]:
    """The map of the target, (1, h, w), at every tap of a plan; kept with the trace.

    gradients: of the target by tap, for a method that reads them. progress(passes done, passes in
    all, in words) counts the passes of all stages.
    """
    method = METHODS[options.method]
    counts = {tap.address: _passes(options, tap) for tap in plan.taps.values()}
    total, before, found = sum(counts.values()), 0, {}
    index = target.index if method.uses_gradients else None
    for name, tap in plan.taps.items():
        done = before

        def report(passes: int, of: int, done: int = done, name: str = name) -> None:
            if progress is not None:
                progress(done + passes, total, f"{method.label} at {name}")

        work = ScoreChanges(
            picture=picture,
            fit=options.fit,
            tap=tap,
            method=options.method,
            budget=budget_of(options),
            index=index,
            gradients=gradients.get(tap.address),
            progress=None if progress is None else report,
        )
        key: Hashable = ("scores", work.method, work.budget, tap.address, index)
        maps = trace.memoize(key, partial(runner.run, backbone, work, traces))
        found[tap.address] = maps if index is not None else maps[target.index, None]
        before += counts[tap.address]
    return found


def _passes(options: Options, tap: Tap) -> int:
    height, width = tap.layout.grid
    return passes_of(options, tap.channels, height * width)
