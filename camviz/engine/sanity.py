"""Sanity of a map: what becomes of it when the network is made random, from its head down.

    found = engine.sanity(x)
    [(step.name, step.rank) for step in found.steps]     # the trained network first
    found.verdict                          # "learned", "unclear", "picture" or "empty"

The cascading randomisation of Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018,
https://arxiv.org/abs/1810.03292. A copy of the network is made random block by block; at each step
the same picture is explained for the same class by the same method, and the map compared with that
of the network as it is. One copy is held at a time, and the network itself is never touched.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from camviz.defaults import REFINED
from camviz.engine.cache import LRUCache
from camviz.engine.explainer import MEASURED
from camviz.engine.explanation import Explanation
from camviz.engine.options import Options
from camviz.engine.prices import price_of, with_backward
from camviz.engine.traces import TraceCache
from camviz.engine.views import VIEWS, Progress, within
from camviz.engine.work import Runner, Traces, Work
from camviz.errors import MethodError
from camviz.fit import Fit
from camviz.images import Picture
from camviz.maps.fusion import Placement
from camviz.maps.ranks import rank_correlation
from camviz.methods import METHODS
from camviz.network.backbone import Backbone
from camviz.network.randomize import Block, duplicate, find_blocks, randomize_block
from camviz.network.timing import Timing
from camviz.turns import OneByOne

# Rank correlations with the map of the trained network. What is below the first says nothing of
# another map; the second is reached by at most 1 in 20 pairs of maps of two pictures by the same
# method and network, for most of these (docs/figures.md): from there on, maps look the same.
UNRELATED, SAME = 0.5, 0.8
SANITY_BYTES = 64 * 2**20  # of results that an engine holds
DRAWS = 4  # of a network that is random altogether: the map of one alone may be alike by chance

# learned: the map depends on what was learned; picture: it does not; unclear: it is as like the
# first one as unrelated maps are at times; empty: there is no map to compare.
Verdict = Literal["learned", "unclear", "picture", "empty"]


@dataclass(frozen=True, eq=False)
class SanityStep:
    """The map at one step, and how like it is to that of the network as it is.

    name: of the block that was made random last, "" for none; modules: what is in it. heat: the
    normalised map at its own resolution, (h, w); raw: by stage, before the ReLU. rank: Spearman's
    rank correlation of the maps as they are shown. absolute, signed: of their magnitudes, and of
    their values, before the ReLU; of several stages fused there is no sign left, and all three are
    one. Each is None where one of the maps is flat. label, share: what the network now says first
    and how probable it is; "" and None of one without classes.
    """

    name: str
    modules: tuple[str, ...]
    heat: np.ndarray = field(repr=False)
    raw: dict[str, np.ndarray] = field(repr=False)
    rank: float | None
    absolute: float | None
    signed: float | None
    label: str
    share: float | None

    @property
    def empty(self) -> bool:
        return not bool(self.heat.any())


@dataclass(frozen=True, eq=False)
class Sanity:
    """The maps of a picture while the network is made random. The first step: as it is.

    of: which map, "fused", "refined" or a stage. draws: the rank correlation of a network that is
    random altogether, drawn several times; that of the last step is the first. placement: where the
    cells of all maps look.
    """

    of: str
    seed: int
    steps: tuple[SanityStep, ...]
    draws: tuple[float | None, ...]
    placement: Placement = field(repr=False)
    picture: Picture = field(repr=False)
    fit: Fit = field(repr=False)

    @property
    def nbytes(self) -> int:
        """Of the maps and the picture."""
        maps = [each for step in self.steps for each in (step.heat, *step.raw.values())]
        return self.picture.pixels.nbytes + sum(each.nbytes for each in maps)

    @property
    def random(self) -> tuple[SanityStep, ...]:
        """The steps at which something is random."""
        return self.steps[1:]

    @property
    def chance(self) -> float | None:
        """The mean rank correlation over all draws that have one; None if none has."""
        found = [rank for rank in self.draws if rank is not None]
        return sum(found) / len(found) if found else None

    @property
    def verdict(self) -> Verdict:
        """What the maps of networks that are random altogether say, by `UNRELATED` and `SAME`.

        A map that vanishes with what was learned depends on it.
        """
        if self.steps[0].rank is None:
            return "empty"
        if self.chance is None or self.chance < UNRELATED:
            return "learned"
        return "picture" if self.chance >= SAME else "unclear"

    @property
    def changed_at(self) -> SanityStep | None:
        """The first step at which the map is no longer the same, by `SAME`; None if it stays so."""
        return next((step for step in self.random if step.rank is None or step.rank < SAME), None)


@dataclass(frozen=True, eq=False)
class RandomizedMap:
    """What comes of one step: a map, (heat, placement), of `of`, raw maps by stage, and logits."""

    raw: dict[str, np.ndarray]
    heat: np.ndarray
    placement: Placement
    logits: np.ndarray


@dataclass(frozen=True, eq=False)
class FindBlocks(Work[tuple[Block, ...]]):
    """Find the blocks of a network, at most so many; see `find_blocks`."""

    most: int

    def do(self, backbone: Backbone, traces: Traces) -> tuple[Block, ...]:
        return find_blocks(backbone, self.most)


@dataclass(frozen=True, kw_only=True, eq=False)
class ExplainRandomized(Work[list[RandomizedMap]]):
    """Explain a picture by a copy of a network that is made random block by block.

    engine: the class of engines that explain it, with `options`, a class of `Options`, and
    `request`, their values and the target. placements: where the stages of the network itself look;
    they are not measured anew. draws: how often everything is drawn, at the end: the maps of
    further draws come behind those of the blocks. progress(maps done, maps in all, in words): what
    it raises ends the work. Only one copy is held.
    """

    slow = True

    engine: Any
    options: type[Options]
    picture: Picture
    request: Mapping[str, Any]
    of: str
    blocks: tuple[Block, ...]
    seed: int
    draws: int
    placements: Mapping[str, Placement]
    progress: Progress | None = None

    @property
    def passes(self) -> list[tuple[str, tuple[Block, ...], int]]:
        """(in words, what is made random, by which seed) for every map, in their order."""
        cascade = [(f"{block.name} is made random", (block,), self.seed) for block in self.blocks]
        further = range(1, self.draws)
        return cascade + [("everything is drawn anew", self.blocks, self.seed + i) for i in further]

    def do(self, backbone: Backbone, traces: Traces) -> list[RandomizedMap]:
        copied = duplicate(backbone)
        engine = self.engine(copied.device, options=self.options)
        found = []
        for number, (text, blocks, seed) in enumerate(self.passes):
            report = None
            if self.progress is not None:
                self.progress(number, len(self.passes), text)
                report = within(self.progress, number, len(self.passes), text)
            for block in blocks:
                randomize_block(copied, block, seed)
            x = engine.explain(self.picture, copied, progress=report, **self.request)
            x = replace(x, placements=dict(self.placements))
            heat, placement = x.grid(self.of)
            found.append(RandomizedMap(x.raw, heat, placement, x.logits))
        return found

    def portable(self) -> "ExplainRandomized":
        """The same work, which reports no progress from the other process."""
        if self.progress is not None:
            self.progress(0, len(self.passes), self.passes[0][0])
        return replace(self, progress=None)


def sanity_work(
    x: Explanation,
    engine: Any,
    options: type[Options],
    of: str,
    blocks: tuple[Block, ...],
    **how: Any,
) -> ExplainRandomized:
    """The work of `Engine.sanity`; how: seed, draws and progress.

    Raises `StageError` for a map that there is not.
    """
    x.grid(of)
    # Placements were measured of the trained network, and a random one has none of its own.
    again = {"placement": "plain", "target": x.target}
    if of != REFINED:
        again["refine"] = "none"
    return ExplainRandomized(
        engine=engine,
        options=options,
        picture=x.picture,
        request=x.options | again,
        of=of,
        blocks=blocks,
        placements=x.placements,
        **how,
    )


def check_sanity(x: Explanation, most: int, draws: int) -> None:
    """Raise `MethodError` for numbers that are none, and for maps that are of no use.

    `BackboneError` if the network has other weights now than those that were explained.
    """
    for name, given in (("steps", most), ("draws", draws)):
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            raise MethodError(f"{name} is a whole number from 1, not {given!r}")
    method = METHODS[x.request.method]
    if method.uses_prototypes:
        raise MethodError(
            f"{method.label} compares features with prototypes that the trained network made, and "
            "a random one has others: what changes would be the comparison; check another method"
        )
    if x.request.views != "one":
        raise MethodError(
            f"these maps are the mean of several views ('{x.request.views}'), and one pass a step "
            "is compared; explain the picture with views 'one'"
        )
    x.check_weights()


def compare_steps(x: Explanation, work: ExplainRandomized, maps: Sequence[RandomizedMap]) -> Sanity:
    """What came of the work, held against the map of the network as it is."""
    heat, placement = x.grid(work.of)
    trained = RandomizedMap(x.raw, heat, placement, x.logits)
    cascade, further = maps[: len(work.blocks)], maps[len(work.blocks) :]
    steps = [
        _step(x, work.of, trained, found, block)
        for found, block in zip((trained, *cascade), (Block("", ()), *work.blocks), strict=True)
    ]
    draws = [steps[-1].rank, *(rank_correlation(heat, found.heat) for found in further)]
    return Sanity(work.of, work.seed, tuple(steps), tuple(draws), placement, x.picture, x.fit)


def _step(
    x: Explanation, of: str, trained: RandomizedMap, found: RandomizedMap, block: Block
) -> SanityStep:
    before, now = (_signed(each, of) for each in (trained, found))
    predictions = replace(x, logits=found.logits).predictions
    label, share = predictions[0][1:] if predictions else ("", None)
    return SanityStep(
        name=block.name,
        modules=block.modules,
        heat=found.heat,
        raw=found.raw,
        rank=rank_correlation(trained.heat, found.heat),
        absolute=rank_correlation(np.abs(before), np.abs(now)),
        signed=rank_correlation(before, now),
        label=label,
        share=share,
    )


def _signed(found: RandomizedMap, of: str) -> np.ndarray:
    """A map before the ReLU; the fused one as it is, unless it is of one stage alone."""
    if of in found.raw:
        return found.raw[of]
    return next(iter(found.raw.values())) if of != REFINED and len(found.raw) == 1 else found.heat


def sanity_price(x: Explanation, timing: Timing | None, maps: int) -> float | None:
    """Seconds that so many maps take; None before the network was timed.

    Whether a gradient is read or not: to draw weights takes about as long.
    """
    if timing is None:
        return None
    more = price_of(x.backbone, x.request, timing, VIEWS["one"])
    return maps * (with_backward(timing) + (more or 0.0))


class SanityChecks:
    """The sanity checks of an engine, which holds what was found last.

    engine: the class that explains, with these options.
    """

    def __init__(
        self,
        engine: type,
        options: type[Options],
        runner: Runner,
        traces: TraceCache,
        one_by_one: OneByOne,
    ) -> None:
        self._engine = engine
        self._options = options
        self._runner = runner
        self._traces = traces
        self._one_by_one = one_by_one
        self._blocks: LRUCache[tuple[Block, ...]] = LRUCache(MEASURED)
        self._results: LRUCache[Sanity] = LRUCache(SANITY_BYTES, lambda found: found.nbytes)

    def result(
        self,
        x: Explanation,
        of: str,
        steps: int,
        seed: int,
        draws: int,
        progress: Progress | None,
    ) -> Sanity:
        """What `Engine.sanity` gives."""
        check_sanity(x, steps, draws)

        def make() -> Sanity:
            work = sanity_work(
                x, self._engine, self._options, of, self._blocks_of(x.backbone, steps),
                seed=seed, draws=draws, progress=progress,
            )  # fmt: skip
            maps = self._runner.run(x.backbone, work, self._traces)
            x.check_weights()
            return compare_steps(x, work, maps)

        key = _key(x, of, steps, seed, draws)
        found = self._results.get_or_make(key, self._one_by_one, make)
        return replace(found, picture=x.picture)  # of the same pixels, by its own name

    def price(self, x: Explanation, of: str, steps: int, seed: int, draws: int) -> float | None:
        """What `Engine.sanity_price` gives."""
        check_sanity(x, steps, draws)
        if self._results.get(_key(x, of, steps, seed, draws)) is not None:
            return 0.0
        maps = len(self._blocks_of(x.backbone, steps)) + draws - 1
        return sanity_price(x, self._traces.timings.of(x.backbone), maps)

    def _blocks_of(self, backbone: Backbone, most: int) -> tuple[Block, ...]:
        """What is made random in each step; found once."""
        key = (backbone.fingerprint, most)
        return self._blocks.get_or_make(
            key,
            self._one_by_one,
            lambda: self._runner.run(backbone, FindBlocks(most), self._traces),
        )


def _key(x: Explanation, of: str, steps: int, seed: int, draws: int) -> Hashable:
    return "sanity", x.picture.digest, x.backbone.fingerprint, x.request, of, steps, seed, draws
