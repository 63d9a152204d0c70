"""Work that is given up: it ends before its next step, and leaves networks and caches whole."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.overrides import _get_current_function_mode_stack

from camviz import Engine
from camviz.methods import METHODS
from camviz.network.tail import _detours
from camviz.network.taps import _aside
from camviz.turns import Stopped, steps, stoppable
from tests.support.networks import copy_of


class Check:
    """Raises `Stopped` from the nth call on; None: counts only."""

    def __init__(self, last=None):
        self.calls, self.last = 0, last

    def __call__(self):
        self.calls += 1
        if self.last is not None and self.calls >= self.last:
            raise Stopped


def maps(x):
    return {**x.raw, "fused": x.fused, "refined": x.refined}


def explain(**options):
    return lambda engine, backbone, photo: maps(
        engine.explain(photo, backbone, target=3, **options)
    )


def faithfulness(engine, backbone, photo):
    x = engine.explain(photo, backbone, target=3)
    found = engine.faithfulness(x, steps=4, metrics=["deletion", "insertion"])
    return {name: np.array(list(row.values())) for name, row in found.figures.items()}


def sanity(engine, backbone, photo):
    found = engine.sanity(engine.explain(photo, backbone, target=3), steps=3, draws=2)
    return {str(number): step.heat for number, step in enumerate(found.steps)}


def gallery(engine, backbone, photo):
    shown = [np.roll(photo, 9 * number, axis=1) for number in range(3)]
    bank = engine.build_prototypes(shown, backbone, 3, clusters=3)
    return {name: stage.vectors.numpy() for name, stage in bank.stages.items()}


def every_class(engine, backbone, photo):
    x = engine.explain(photo, backbone)
    return {"maps": engine.class_maps(x).raw}


def scores(engine, backbone, photo):
    return {"logits": engine.logits([np.roll(photo, n, axis=0) for n in range(40)], backbone)}


WORK = {
    "first look": ("test_convnext", explain()),
    "contrast": ("test_resnet", explain(versus="nearest")),
    "views": ("test_resnet", explain(views="paper")),
    "placements": ("test_resnet", explain(placement="true")),
    "scoring": ("test_resnet", explain(method="score_cam")),
    "scoring of maps": ("test_convnext", explain(method="recipro_cam")),
    "head": ("test_convnext", explain(method="cam")),
    "relevance": ("test_vit", explain(method="attn_lrp")),
    "prototypes": ("test_convnext", explain(method="lpcam", prototypes="picture")),
    "gallery": ("test_resnet", gallery),
    "faithfulness": ("test_vit", faithfulness),
    "sanity": ("test_resnet", sanity),
    "every class": ("test_convnext", every_class),
    "many pictures": ("test_resnet", scores),
}

LONG = ("placements", "views", "scoring")  # of these fewer moments are tried


def free(lock):
    """Whether another thread could take it."""
    found = []

    def take():
        found.append(lock.acquire(blocking=False))
        if found[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return found == [True]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", WORK)
def test_what_is_stopped_at_any_moment_leaves_everything_whole(
    tiny, photo, unchanged, kind, tmp_path, monkeypatch
):
    name, work = WORK[kind]
    backbone = copy_of(tiny(name))
    monkeypatch.setenv("CAMVIZ_CACHE", str(tmp_path / "expected"))
    count = Check()
    with stoppable(count):
        expected = work(Engine("cpu"), backbone, photo)
    assert count.calls >= 2, "it is asked at every step"
    moments = np.random.default_rng(0).choice(count.calls, min(4, count.calls), replace=False) + 1
    moments = moments[:1] if kind in LONG else moments
    for last in sorted({1, *moments.tolist(), count.calls}):
        monkeypatch.setenv("CAMVIZ_CACHE", str(tmp_path / str(last)))
        engine = Engine("cpu")
        with unchanged(backbone.model), pytest.raises(Stopped), stoppable(Check(last)):
            work(engine, backbone, photo)
        assert steps.busy == steps.waiting == 0
        assert free(backbone.lock) and not _aside._held and not _detours._held
        assert not engine._one_by_one._used
        again = work(engine, backbone, photo)
        assert again.keys() == expected.keys()
        for each, found in again.items():
            assert np.array_equal(found, expected[each]), f"{each}, stopped at {last}"


def stop_in(moment, model, method, monkeypatch):
    """What stops an explanation within its last pass forward, its pass back, or its second map."""
    row = METHODS[method]
    check = Check(2 if moment == "map" or (moment == "forward" and row.uses_relevance) else 1)

    def function(*given, **named):
        check()
        return row.function(*given, **named)

    def hook(module, inputs, output):
        if moment == "forward":
            check()
        else:
            output.register_hook(lambda gradient: check())

    if moment == "map":
        monkeypatch.setitem(METHODS, method, replace(row, function=function))
        return None
    return model.blocks[3].attn.register_forward_hook(hook)


OF_ATTENTION = [
    (name, moment)
    for name, row in METHODS.items()
    if row.uses_attention
    for moment in ("forward", "backward", "map")
    if moment != "backward" or row.uses_gradients or row.uses_relevance
]


@pytest.mark.parametrize(("method", "moment"), OF_ATTENTION)
def test_attention_that_is_stopped_within_a_pass_or_a_map_is_as_it_was(
    tiny, photo, unchanged, method, moment
):
    """In the midst of what is one step: its modes of computing attention end with it."""
    backbone = copy_of(tiny("test_vit"))
    attending = [block.attn for block in backbone.model.blocks]
    for module in attending[::2]:
        module.fused_attn = False
    implementations = [module.fused_attn for module in attending]
    expected = Engine("cpu").explain(photo, backbone, target=3, method=method).raw
    engine = Engine("cpu")
    with pytest.MonkeyPatch.context() as patch:
        handle = stop_in(moment, backbone.model, method, patch)
        with unchanged(backbone.model), pytest.raises(Stopped):
            engine.explain(photo, backbone, target=3, method=method)
        if handle is not None:
            handle.remove()
    assert [module.fused_attn for module in attending] == implementations
    assert not _get_current_function_mode_stack() and not _aside._held
    assert free(backbone.lock) and steps.busy == steps.waiting == 0
    assert not engine._one_by_one._used
    again = engine.explain(photo, backbone, target=3, method=method).raw
    assert all(np.array_equal(again[name], found) for name, found in expected.items())


@pytest.mark.sampled
@pytest.mark.parametrize(("name", "weights"), [("test_resnet", "random"), ("scenes-vit", "auto")])
def test_a_network_whose_loading_is_stopped_is_loaded_by_the_next(photo, name, weights):
    """However it is made: what ends the loading is no fault of the network or its files."""
    count = Check()
    with stoppable(count):
        expected = Engine("cpu").explain(photo, name, weights=weights, target=3)
    drawn = torch.random.get_rng_state()
    for last in range(1, count.calls + 1):
        engine = Engine("cpu")
        with pytest.raises(Stopped), stoppable(Check(last)):
            engine.explain(photo, name, weights=weights, target=3)
        assert steps.busy == 0 and not engine._one_by_one._used
        again = engine.explain(photo, name, weights=weights, target=3)
        assert all(np.array_equal(again.raw[name], expected.raw[name]) for name in again.raw)
    assert torch.equal(drawn, torch.random.get_rng_state())


def test_who_waits_for_what_another_computes_gets_it_or_computes_it(tiny, photo):
    """Two visitors want the same scores: computed once; if the first stops, by the other."""
    backbone = tiny("test_resnet")
    expected = Engine("cpu").explain(photo, backbone, method="score_cam", target=3)
    for stopped in (False, True):
        engine, begun, passes = Engine("cpu"), threading.Event(), []
        engine.explain(photo, backbone, target=3)
        found = []

        def progress(done, of, _, engine=engine, begun=begun, passes=passes, stopped=stopped):
            passes.append(done)
            begun.set()
            waiting = engine._traces._traces.values()[0][0]._one_by_one
            while not any(users == 2 for _, users in waiting._used.values()):
                begun.wait(0.001)
            if stopped:
                raise Stopped

        def first(engine=engine, progress=progress, stopped=stopped):
            try:
                engine.explain(photo, backbone, method="score_cam", target=3, progress=progress)
            except Stopped:
                assert stopped

        def second(engine=engine, found=found, passes=passes):
            x = engine.explain(
                photo, backbone, method="score_cam", target=3,
                progress=lambda done, *_: passes.append(-done),
            )  # fmt: skip
            found.append(x)

        threads = [threading.Thread(target=first), threading.Thread(target=second)]
        threads[0].start()
        assert begun.wait(10)
        threads[1].start()
        for thread in threads:
            thread.join(60)
        [x] = found
        assert all(np.array_equal(x.raw[name], expected.raw[name]) for name in x.raw)
        assert (min(passes) < 0) == stopped, "it is computed once, or again by who is left"
