"""Class scores from a tapped tensor onward: only what follows it runs.

    tail = find_tail(backbone, image, trace, tap)
    tail(maps)              # logits, (N, classes), with each of maps in the place of the tapped one

Methods that change a map and see what becomes of the scores run the same network a hundred times,
and everything before the map gives the same every time. So it is run once, up to the map. After
that, a module that ended before the map returns what it returned then; modules around the map run
as they are written, and find the changed map where they expect their own. Nothing is told from how
a network is built: the tail is proved by value, and where it does not give the recorded logits,
whole passes with the map exchanged do. Where the map enters the pooling, the head alone runs.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from camviz.errors import BackboneError
from camviz.network.backbone import Backbone
from camviz.network.taps import (
    Tap,
    calls_of_this_thread,
    forward_hooks,
    frozen_eval,
    map_tensors,
)
from camviz.network.trace import Trace

# A tail must give the recorded logits up to this share of the largest.
_TOLERANCE = 1e-5
_PROBES = 2  # samples in one: what was recorded of one picture must serve for several

Answer = Callable[[Callable[..., Any], Any, Any], Any]


@dataclass(frozen=True, eq=False)
class Scorer:
    """Logits of a network, (N, classes), from changed maps or changed pictures.

    `kind`: what runs for them, the head, the rest behind the map, or the whole network. `state`:
    of the weights that are expected. Each call holds the network's lock and leaves nothing changed.
    A call may write into what it is given. Raises `BackboneError` if the weights were changed.
    """

    backbone: Backbone
    run: Callable[[Tensor], Any] = field(repr=False)
    kind: Literal["head", "rest", "whole"]
    state: Any

    def __call__(self, given: Tensor) -> Tensor:
        backbone = self.backbone
        with backbone.lock, frozen_eval(backbone.model, gradients=False):
            if backbone.fingerprint != self.state:
                raise BackboneError(
                    f"the weights of {backbone.display_name} were changed while a map was "
                    "computed; explain the picture again"
                )
            return backbone.scores(lambda: self.run(given)).float()


def score_pictures(backbone: Backbone) -> Scorer:
    """Logits of prepared pictures, (N, 3, h, w)."""
    return Scorer(backbone, backbone.model, "whole", backbone.fingerprint)


def find_tail(backbone: Backbone, image: Tensor, trace: Trace, tap: Tap) -> Scorer:
    """The cheapest way to the logits from maps, (N, C, H, W), in the place of a tapped one.

    image, trace: the prepared picture, (1, 3, h, w), and what the network did with it; the tap
    must be among its taps.
    """

    def scorer(run: Callable[[Tensor], Any], kind: Literal["head", "rest", "whole"]) -> Scorer:
        return Scorer(backbone, run, kind, trace.state)

    head = _head(backbone, trace, tap)
    if head is not None and _is_exact(scorer(head, "head"), trace, tap):
        return scorer(head, "head")
    with backbone.lock, frozen_eval(backbone.model, gradients=False):
        ended, tapped = record_ended(backbone.model, image, tap)
    for copies in (False, True):
        rest = _Rest(backbone.model, image, tap, ended, tapped, copies)
        if _is_exact(scorer(rest, "rest"), trace, tap):
            return scorer(rest, "rest")
    return scorer(_Exchange(backbone.model, image, tap), "whole")


def _is_exact(scorer: Scorer, trace: Trace, tap: Tap) -> bool:
    """Whether the recorded activation gives the recorded logits."""
    activation = trace.activations[tap.address].to(scorer.backbone.device)
    try:
        found = scorer(activation.repeat(_PROBES, 1, 1, 1)).cpu()
    except BackboneError:
        raise
    except Exception:  # of whatever kind: the network is not made to be run so
        return False
    wanted = trace.logits.expand(_PROBES, -1)
    if found.shape != wanted.shape:
        return False
    return bool((found - wanted).abs().max() <= _TOLERANCE * wanted.abs().max())


def _head(backbone: Backbone, trace: Trace, tap: Tap) -> Callable[[Tensor], Any] | None:
    """timm's `forward_head`, if the tapped map is what enters the pooling."""
    pre_pool = backbone.discovery.pre_pool
    if pre_pool is None or trace.features is None or pre_pool.address != tap.address:
        return None
    features, network = trace.features.to(backbone.device), _any(backbone.model)
    return lambda maps: network.forward_head(tap.layout.from_nchw(maps, features))


class _Exchange:
    """Whole passes, in each of which the tapped map is exchanged: the definition."""

    def __init__(self, model: nn.Module, image: Tensor, tap: Tap) -> None:
        self._model, self._image, self._tap = model, image, tap
        self._modules = {tap.module: model.get_submodule(tap.module)}

    def __call__(self, maps: Tensor) -> Any:
        tap = self._tap

        def exchange(name: str, module: nn.Module, call: int, output: Any) -> Any:
            return _with_map(output, maps, tap) if call == tap.call else None

        with forward_hooks(self._modules, exchange):
            return self._model(self._image.repeat(len(maps), 1, 1, 1))


class _Rest:
    """What follows the tapped map; what ended before it returns what it returned for one picture.

    copies: what is returned may be written into; else it is a view, which costs nothing.
    """

    def __init__(
        self,
        model: nn.Module,
        image: Tensor,
        tap: Tap,
        ended: Mapping[nn.Module, list[Any]],
        tapped: Any,
        copies: bool,
    ) -> None:
        self._model, self._image, self._tap = model, image, tap
        self._ended, self._tapped, self._copies = ended, tapped, copies

    def __call__(self, maps: Tensor) -> Any:
        samples, tap = len(maps), self._tap

        def for_all(path: Any, tensor: Tensor) -> Tensor:
            """A recorded tensor, as it would be of so many pictures that are the same."""
            if tensor.ndim and tensor.shape[0] == 1:
                tensor = tensor.expand(samples, *tensor.shape[1:])
            return tensor.clone() if self._copies else tensor

        def answer(outputs: Iterator[Any]) -> Answer:
            def give(forward: Callable[..., Any], arguments: Any, named: Any) -> Any:
                for output in outputs:
                    return output()
                return forward(*arguments, **named)

            return give

        def recorded(output: Any) -> Callable[[], Any]:
            return lambda: map_tensors(output, for_all)

        def changed() -> Any:
            return _with_map(map_tensors(self._tapped, for_all), maps, tap)

        module = self._model.get_submodule(tap.module)
        outputs = {each: [*map(recorded, row)] for each, row in self._ended.items()}
        outputs.setdefault(module, []).append(changed)
        answers = {each: answer(iter(row)) for each, row in outputs.items()}
        with _detours.answer(answers):
            return self._model(for_all((), self._image))


def _with_map(output: Any, maps: Tensor, tap: Tap) -> Any:
    """The output of a tapped module with other maps in it; what is not on the grid stays."""

    def change(path: Any, tensor: Tensor) -> Tensor:
        return tap.layout.from_nchw(maps.to(tensor.dtype), tensor) if path == tap.path else tensor

    return map_tensors(output, change)


# -- What ends before a tap ----------------------------------------------------------------------


class _Reached(Exception):
    """Ends a pass as soon as the tapped tensor is there."""


def record_ended(
    model: nn.Module, image: Tensor, tap: Tap
) -> tuple[dict[nn.Module, list[Any]], Any]:
    """Run a network up to a tap: what its modules returned before, and the tapped output itself.

    Of modules within each other that ended, the outermost alone: by module, in the order of its
    calls. A call within one that is recorded does not take place when that one is answered, so the
    calls that do are numbered as they are here.
    """
    own = calls_of_this_thread()
    tapped_module = model.get_submodule(tap.module)
    open_calls: list[list[tuple[nn.Module, Any]]] = [[]]  # what ended within each
    tapped: list[Any] = []
    calls = -1

    def begin(module: nn.Module, inputs: Any) -> None:
        if own():
            open_calls.append([])

    def end(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal calls
        if not own():
            return
        open_calls.pop()
        if module is tapped_module:
            calls += 1
            if calls == tap.call:
                tapped.append(output)
                raise _Reached
        open_calls[-1].append((module, output))

    with ExitStack() as hooks:
        for module in model.modules():
            hooks.callback(module.register_forward_pre_hook(begin).remove)
            hooks.callback(module.register_forward_hook(end).remove)
        with suppress(_Reached):
            model(image)
    assert tapped, f"{tap.module} ran when the picture was traced, but not now"
    ended: dict[nn.Module, list[Any]] = {}
    for within in open_calls:
        for module, output in within:
            ended.setdefault(module, []).append(output)
    return ended, tapped[0]


# -- Modules that are answered for ---------------------------------------------------------------


class _Detours:
    """Modules whose calls by one thread are answered otherwise than by their `forward`.

    Other threads that run them meanwhile, of this network or of another one that shares them, get
    what they compute. The last block to end puts `forward` back as it was.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # id of a module -> (module, its own attribute if it had one, thread -> answer)
        self._held: dict[int, tuple[nn.Module, Any, dict[int, Answer]]] = {}

    @contextmanager
    def answer(self, answers: Mapping[nn.Module, Answer]) -> Iterator[None]:
        """Within the block, calls of these modules by this thread are answered by these."""
        thread = threading.get_ident()
        entered = []
        try:
            with self._lock:
                for module, answer in answers.items():
                    self._enter(module, thread, answer)
                    entered.append(module)
            yield
        finally:
            with self._lock:
                for module in entered:
                    self._leave(module, thread)

    def _enter(self, module: nn.Module, thread: int, answer: Answer) -> None:
        row = self._held.get(id(module))
        if row is None:
            forward, threads = module.forward, dict[int, Answer]()

            def detour(*arguments: Any, **named: Any) -> Any:
                mine = threads.get(threading.get_ident())
                if mine is None:
                    return forward(*arguments, **named)
                return mine(forward, arguments, named)

            row = self._held[id(module)] = (module, module.__dict__.get("forward"), threads)
            module.__dict__["forward"] = detour
        assert thread not in row[2], "a tail within a tail"
        row[2][thread] = answer

    def _leave(self, module: nn.Module, thread: int) -> None:
        _, _, threads = self._held[id(module)]
        del threads[thread]
        if not threads:
            self._put_back(module)

    def _put_back(self, module: nn.Module) -> None:
        _, own, _ = self._held.pop(id(module))
        if own is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = own

    def forget(self) -> None:
        """Put everything back: in a forked process, the threads that are answered do not exist."""
        self._lock = threading.Lock()
        for module, _, _ in list(self._held.values()):
            self._put_back(module)


_detours = _Detours()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_detours.forget)


def _any(model: nn.Module) -> Any:
    """timm's methods are not part of nn.Module's type."""
    return model
