"""Traces of pictures: each is made once, and held while there is room."""

from collections.abc import Iterable

from camviz.engine.cache import LRUCache
from camviz.engine.work import Runner, TracePicture
from camviz.images import Fit, Picture
from camviz.network.backbone import Backbone
from camviz.network.taps import Tap
from camviz.network.trace import Target, Trace


class TraceCache:
    """Traces by picture, network and fit, bounded in bytes.

    One pass serves every method, stage and class, so that each trace covers all default stages
    of its network, and whatever else was requested of that picture before.
    """

    def __init__(self, runner: Runner, maxsize: int) -> None:
        self._runner = runner
        self._traces: LRUCache[tuple[Trace, Fit]] = LRUCache(maxsize, lambda pair: pair[0].nbytes)

    def cached(self, backbone: Backbone, picture: Picture, fit: str) -> tuple[Trace, Fit] | None:
        return self._traces.get((picture.digest, backbone.uid, fit))

    def get(
        self,
        backbone: Backbone,
        picture: Picture,
        fit: str,
        taps: Iterable[Tap],
        target: Target | None = None,
    ) -> tuple[Trace, Fit]:
        """The trace of a picture, from the cache if it covers these taps.

        target: what will be differentiated next.
        """
        taps = tuple(taps)
        with backbone.lock:  # two threads with the same picture wait for one trace
            pair = self.cached(backbone, picture, fit)
            if pair is not None and pair[0].covers(taps):
                return pair
            earlier = () if pair is None else pair[0].taps
            return self.run(
                backbone, picture, fit, [*_default_taps(backbone), *earlier, *taps], target
            )

    def run(
        self,
        backbone: Backbone,
        picture: Picture,
        fit: str,
        taps: Iterable[Tap],
        target: Target | None = None,
    ) -> tuple[Trace, Fit]:
        """A new trace of a picture, with the gradients of a target if one is given."""
        work = TracePicture(picture, fit, tuple(dict.fromkeys(taps)), target)
        trace, geometry = self._runner.run(backbone, work, self)
        former = self.cached(backbone, picture, fit)
        if former is not None and not trace.has_graph:
            trace.adopt_gradients(former[0])  # which this one could not make again
        return self._traces.put((picture.digest, backbone.uid, fit), (trace, geometry))

    def keep(
        self, backbone: Backbone, picture: Picture, trace: Trace, geometry: Fit, target: Target
    ) -> None:
        """Hold a trace that may have grown, within the bound; the gradients of target stay."""
        trace.shrink(self._traces.maxsize, target)
        self._traces.put((picture.digest, backbone.uid, geometry.mode), (trace, geometry))


def _default_taps(backbone: Backbone) -> list[Tap]:
    """What every trace records: the default stages at both taps, and the map before pooling."""
    stages = [backbone.stage(name) for name in backbone.default_stages]
    taps = [tap for stage in stages for tap in (stage.output, stage.activation)]
    return taps if backbone.discovery.pre_pool is None else [*taps, backbone.discovery.pre_pool]
