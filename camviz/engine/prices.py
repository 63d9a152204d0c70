"""What a map will cost, in seconds, before it is computed.

    price_of(backbone, options, timing, views)      # seconds, or None before anything was measured

Whatever is arithmetic on a trace costs nothing. A method that scores changed maps or pictures takes
a number of passes, which follows from its row in `METHODS`, and how long a pass takes, from the
tensor on that is changed, was measured when the network was traced.
"""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from camviz.engine.options import Options
from camviz.engine.plan import make_plan
from camviz.engine.views import View
from camviz.methods import METHODS
from camviz.network.backbone import Backbone
from camviz.network.timing import Timing
from camviz.network.trace import Trace

# A backward pass takes about twice as long as a forward pass.
_WITH_BACKWARD = 3


class Timings:
    """How long a forward pass of each network took, at each input size: the shortest so far."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[Any, dict[tuple[int, ...], Timing]] = WeakKeyDictionary()

    def note(self, backbone: Backbone, trace: Trace) -> None:
        """Take the timing of a trace into account."""
        if trace.timing is None:
            return
        known = self._of.setdefault(backbone.model, {})
        former = known.get(backbone.input_size)
        timing = trace.timing if former is None else trace.timing.quicker(former)
        known[backbone.input_size] = timing

    def of(self, backbone: Backbone) -> Timing | None:
        """None before the network was traced."""
        return self._of.get(backbone.model, {}).get(backbone.input_size)


def with_backward(timing: Timing) -> float:
    """Seconds that a forward and a backward pass take; an estimate."""
    return _WITH_BACKWARD * timing.whole


def passes_of(options: Options, channels: int, cells: int) -> int:
    """How many further passes a method takes at a stage."""
    scoring = METHODS[options.method].scoring
    return 0 if scoring is None else scoring.passes(channels, cells, budget_of(options))


def budget_of(options: Options) -> int:
    """The bound on the passes of a method: as set, else its default; 0 where it has none."""
    scoring = METHODS[options.method].scoring
    if scoring is None or scoring.budget is None:
        return 0
    name, usual = scoring.budget
    return int(getattr(options, name) or usual)


def price_of(
    backbone: Backbone, options: Options, timing: Timing | None, views: Sequence[View]
) -> float | None:
    """Seconds that the maps of a picture take beside its trace; 0 for arithmetic on that.

    views: as what the picture is shown; the trace of each but the first counts. A pass at another
    size takes as much longer as the picture is larger. None: some passes are needed, and none was
    measured yet. Raises what `make_plan` does.
    """
    method = METHODS[options.method]
    more = sum(view.scale**2 for view in views[1:])
    if method.scoring is None and not more:
        return 0.0
    if timing is None:
        return None
    seconds = more * (with_backward(timing) if method.uses_gradients else timing.whole)
    if method.scoring is None:
        return seconds
    for tap in make_plan(backbone, options, None).taps.values():
        one = timing.after.get(tap.address, timing.whole)
        one = timing.whole if method.scoring.whole else one
        for view in views:
            height, width = tap.layout.grid
            cells = round(height * view.scale) * round(width * view.scale)
            seconds += passes_of(options, tap.channels, cells) * one * view.scale**2
    return seconds
