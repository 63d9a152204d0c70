"""Traces of pictures: each is made once, and held while there is room."""

import weakref
from collections.abc import Hashable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

from camviz.engine.cache import LRUCache
from camviz.engine.lookups import note_lookup
from camviz.engine.plan import attention_taps
from camviz.engine.prices import Timings
from camviz.engine.work import Runner, TracePicture
from camviz.fit import Fit
from camviz.images import Picture
from camviz.network.backbone import Backbone
from camviz.network.taps import Tap
from camviz.network.target import Target
from camviz.network.trace import Trace

_SMALL_ATTENTION = 64 * 2**20  # bytes for one picture: that of ViT-B at 224 pixels takes 22


class TraceCache:
    """Traces by picture, network, present weights of it, and fit; bounded in bytes.

    One pass serves every method, stage and class, so that each trace covers all default stages
    of its network, and whatever else was requested of that picture before. Traces made with
    weights that a network has no more, or with a network that is gone, are dropped. timings: how
    long passes of each network took.
    """

    def __init__(self, runner: Runner, maxsize: int) -> None:
        self._runner = runner
        self._traces: LRUCache[tuple[Trace, Fit]] = LRUCache(maxsize, lambda pair: pair[0].nbytes)
        self._keys: WeakKeyDictionary[Any, set[Hashable]] = WeakKeyDictionary()
        self.timings = Timings()

    @property
    def nbytes(self) -> int:
        """Of all that are held."""
        return self._traces.size

    def cached(self, backbone: Backbone, picture: Picture, fit: str) -> tuple[Trace, Fit] | None:
        return self._traces.get((picture.digest, backbone.fingerprint, fit))

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
        pair = self.cached(backbone, picture, fit)
        if pair is not None and pair[0].covers(taps):
            note_lookup("traces", True)
            return pair
        with backbone.lock:  # two threads with the same picture wait for one trace
            pair = self.cached(backbone, picture, fit)
            held = pair is not None and pair[0].covers(taps)
            note_lookup("traces", held)
            if pair is not None and held:
                return pair
            earlier = () if pair is None else pair[0].taps
            return self.run(
                backbone, picture, fit, [*default_taps(backbone), *earlier, *taps], target
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
        state = backbone.fingerprint
        trace, geometry = self._runner.run(backbone, work, self)
        trace.state = trace.state or state  # from another process it comes without
        self.timings.note(backbone, trace)
        former = self._traces.get((picture.digest, trace.state, fit))
        if former is not None:
            trace.adopt(former[0])
        return self._put(backbone, picture, trace, geometry)

    def keep(
        self,
        backbone: Backbone,
        picture: Picture,
        trace: Trace,
        geometry: Fit,
        target: Target | None,
    ) -> None:
        """Hold a trace that may have grown, within the bound; the gradients of target stay."""
        trace.shrink(self._traces.maxsize, target)
        self._put(backbone, picture, trace, geometry)

    def drop(self, backbone: Backbone, picture: Picture, fit: str) -> None:
        """Forget the trace of a picture that is not explained again."""
        key = (picture.digest, backbone.fingerprint, fit)
        self._traces.remove([key])
        self._keys.get(backbone.model, set()).discard(key)

    def drop_graph(self, backbone: Backbone, picture: Picture, fit: str) -> None:
        """Free what further classes would need of one trace."""
        pair = self.cached(backbone, picture, fit)
        if pair is not None:
            pair[0].drop_graph()

    def drop_graphs(self, backbone: Backbone) -> None:
        """Free what further classes would need of a network's traces: it holds the weights."""
        for key in list(self._keys.get(backbone.model, ())):
            pair = self._traces.get(key)
            if pair is not None:
                pair[0].drop_graph()

    def _put(
        self, backbone: Backbone, picture: Picture, trace: Trace, geometry: Fit
    ) -> tuple[Trace, Fit]:
        key = (picture.digest, trace.state, geometry.mode)
        keys = self._keys.get(backbone.model)
        if keys is None:
            keys = self._keys[backbone.model] = set()
            forget = weakref.WeakMethod(self._traces.remove_soon)
            weakref.finalize(backbone.model, _call, forget, keys).atexit = False
        # By the weights alone: the same network at another input size has a uid of its own.
        weights = trace.state and trace.state[1]
        stale = [other for other in list(keys) if other[1][1] != weights]  # type: ignore[index]
        self._traces.remove(stale)
        keys.difference_update(stale)
        pair = self._traces.put(key, (trace, geometry))
        keys.intersection_update(self._traces.keys())  # others made room for it
        keys.add(key)
        return pair


def _call(method: weakref.WeakMethod[Any], keys: Any) -> None:
    """Call a method with keys, if its object is still there."""
    function = method()
    if function is not None:
        function(keys)


def default_taps(backbone: Backbone) -> list[Tap]:
    """What every trace records: the default stages at both taps, the map before pooling, attention.

    Attention only where it is small beside the rest.
    """
    stages = [backbone.stage(name) for name in backbone.default_stages]
    taps = [tap for stage in stages for tap in (stage.output, stage.activation)]
    taps += [] if backbone.discovery.pre_pool is None else [backbone.discovery.pre_pool]
    attention = backbone.discovery.attention
    if attention is not None and attention.nbytes <= _SMALL_ATTENTION:
        taps += attention_taps(attention)
    return taps
