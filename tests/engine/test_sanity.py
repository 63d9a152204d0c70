"""Cascading randomisation: against copies made by hand; counted, priced, stopped, sent."""

import gc
import pickle
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from camviz import BackboneError, Engine, StageError, load_backbone, wrap_backbone
from camviz.engine import sanity as module
from camviz.engine.families import default_method
from camviz.engine.plan import exists
from camviz.engine.remote import RemoteRunner
from camviz.engine.sanity import SAME, UNRELATED, Sanity, SanityStep
from camviz.errors import MethodError
from camviz.maps.ranks import rank_correlation
from camviz.methods import METHODS
from camviz.network.randomize import find_blocks
from tests.support.networks import untrained
from tests.support.randomized import randomized_by_hand

NETWORKS = ("test_resnet", "test_vit", "test_convnext")
CHEAP = [name for name, row in METHODS.items() if not (row.scoring or row.uses_prototypes)]


def by_hand(x, seed, blocks=None):
    """The explanation by a copy made random by hand: all of it, or these blocks."""
    wanted = None if blocks is None else {name for block in blocks for name in block.modules}
    model = randomized_by_hand(
        x.backbone.model, seed, lambda name: wanted is None or name in wanted
    )
    copied = replace(x.backbone, model=model, _module_stages={})
    request = x.request
    y = Engine("cpu").explain(
        x.picture,
        copied,
        target=x.target,
        method=request.method,
        stages=request.stages,
        fuse=request.fuse,
        tap=request.tap,
        versus=request.versus,
        gamma=request.gamma if request.versus is not None else 1.0,
        score=request.score,
        placement=request.placement,
        truncation=request.truncation,
        refine_power=request.refine_power,
        refine_steps=request.refine_steps,
        refine_keep=request.refine_keep,
    )
    return replace(y, placements=x.placements)  # where cells look is not measured anew


# --- against copies made by hand ---


@pytest.mark.sampled
@pytest.mark.parametrize("name", NETWORKS)
def test_every_step_is_the_map_of_a_copy_made_by_hand(tiny, photo, engine, name):
    x = engine.explain(photo, tiny(name), target=3)
    found = engine.sanity(x, seed=2, draws=2)
    blocks = find_blocks(tiny(name))
    assert [step.name for step in found.steps] == ["", *(block.name for block in blocks)]
    assert np.array_equal(found.steps[0].heat, x.grid("fused")[0])
    assert found.steps[0].rank == pytest.approx(1) and found.steps[0].label == x.predictions[0][1]
    for number, step in enumerate(found.random, 1):
        y = by_hand(x, 2, None if number == len(blocks) else blocks[:number])
        assert np.allclose(step.heat, y.grid("fused")[0], atol=1e-4), step.name
        wanted = rank_correlation(x.grid("fused")[0], step.heat)
        assert step.rank == pytest.approx(wanted, abs=1e-9)
        assert step.label == y.predictions[0][1]
        assert step.share == pytest.approx(y.predictions[0][2], abs=1e-4)
    again = by_hand(x, 3).grid("fused")[0]
    assert found.draws[0] == found.steps[-1].rank
    assert found.draws[1] == pytest.approx(rank_correlation(x.grid("fused")[0], again), abs=0.02)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "options",
    [
        {"method": "grad_cam", "stages": ["layer4"], "of": "layer4"},
        {"of": "refined"},
        {"truncation": 0.9, "placement": "true"},
        {"versus": 5, "gamma": 0.5},
        {"score": "probability", "fuse": "product"},
    ],
)
def test_options_are_those_of_the_map(tiny, photo, engine, options):
    of = options.pop("of", "fused")
    x = engine.explain(photo, tiny("test_resnet"), target=3, **options)
    last = engine.sanity(x, of=of, draws=1).steps[-1]
    assert np.allclose(last.heat, by_hand(x, 0).grid(of)[0], atol=1e-4)


def test_signs_are_those_before_the_relu(engine, knowing, rams):
    x = engine.explain(rams[0], knowing, target="house", method="grad_cam", stages=["layer4"])
    assert (x.raw["layer4"] < 0).any()
    step = engine.sanity(x, draws=1).steps[-1]
    before, now = x.raw["layer4"], step.raw["layer4"]
    assert step.signed == pytest.approx(rank_correlation(before, now))
    assert step.absolute == pytest.approx(rank_correlation(abs(before), abs(now)))
    assert step.rank == pytest.approx(rank_correlation(before.clip(0), now.clip(0)))
    assert len({step.signed, step.absolute, step.rank}) == 3
    several = engine.explain(rams[0], knowing)
    fused = engine.sanity(several, draws=1).steps[-1]
    assert fused.signed == fused.absolute == fused.rank


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("method", CHEAP)
def test_every_cheap_method_has_a_cascade(tiny, photo, engine, name, method):
    backbone = tiny(name)
    if not exists(METHODS[method], backbone):
        pytest.skip("the network has no such maps")
    x = engine.explain(photo, backbone, target=3, method=method)
    found = engine.sanity(x, steps=3, draws=1)
    assert len(found.steps) == 4
    for step in found.steps:
        assert np.isfinite(step.heat).all() and 0 <= step.heat.min() <= step.heat.max() <= 1
        assert step.rank is None or -1 <= step.rank <= 1.0000001


def test_a_map_that_does_not_read_the_head_is_the_same_without_it(tiny, photo, engine):
    x = engine.explain(photo, tiny("test_resnet"), method="eigen_cam")
    found = engine.sanity(x, draws=1)
    assert found.steps[1].rank == pytest.approx(1)
    assert found.steps[1].label != "" and found.steps[1].share != found.steps[0].share
    assert found.changed_at is not found.steps[1]


def test_a_network_without_classes_has_a_cascade_of_its_own_map(photo, engine):
    backbone = wrap_backbone(untrained("test_resnet", num_classes=0), device="cpu")
    x = engine.explain(photo, backbone)
    found = engine.sanity(x, draws=2)
    assert x.request.method == default_method(backbone, x.request)
    assert all(step.label == "" and step.share is None for step in found.steps)
    assert found.random and all(step.rank is not None for step in found.random)


# --- the network stays as it is ---


def test_the_network_is_whole_after_success_failure_and_stop(tiny, photo, engine, unchanged):
    backbone = tiny("test_resnet")
    x = engine.explain(photo, backbone)
    state = backbone.fingerprint

    class Stop(Exception):
        pass

    for stop_at in (0, 3, None):  # what is found is held, so it comes last

        def progress(done, of, words, stop_at=stop_at):
            if done == stop_at:
                raise Stop

        with unchanged(backbone.model):
            if stop_at is None:
                engine.sanity(x, progress=progress)
            else:
                with pytest.raises(Stop):
                    engine.sanity(x, progress=progress)
        assert backbone.fingerprint == state
    assert np.array_equal(engine.explain(photo, backbone).fused, x.fused)


@pytest.mark.long
def test_eight_threads_at_once(tiny, photo, engine, unchanged):
    backbone = tiny("test_resnet")
    x = engine.explain(photo, backbone)
    other = Engine("cpu")  # what an engine found last it holds
    alone = {seed: ranks_of(other.sanity(x, seed=seed, draws=1)) for seed in range(4)}
    found, wrong = {}, []

    def run(number):
        try:
            found[number] = ranks_of(engine.sanity(x, seed=number % 4, draws=1))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    with unchanged(backbone.model):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert all(ranks == alone[number % 4] for number, ranks in found.items()) and len(found) == 8
    assert alone[0] != alone[1]


def ranks_of(found):
    return [step.rank for step in found.steps]


def test_one_copy_is_held_at_a_time_and_none_behind(tiny, photo, monkeypatch):
    held, alive = [], []
    duplicate, randomize = module.duplicate, module.randomize_block

    def noted(backbone):
        copied = duplicate(backbone)
        held.append(weakref.ref(copied.model))
        return copied

    def counted(copied, block, seed):
        randomize(copied, block, seed)
        alive.append(sum(reference() is not None for reference in held))

    monkeypatch.setattr(module, "duplicate", noted)
    monkeypatch.setattr(module, "randomize_block", counted)
    engine = Engine("cpu")
    found = engine.sanity(engine.explain(photo, tiny("test_resnet")))
    gc.collect()
    assert found.steps and set(alive) == {1}
    assert [reference() for reference in held] == [None]


# --- progress, price, another process ---


def test_progress_counts_every_map_before_it_is_made(tiny, photo, engine):
    x = engine.explain(photo, tiny("test_resnet"))
    reports = []
    found = engine.sanity(x, draws=3, progress=lambda *report: reports.append(report))
    maps = len(found.random) + 2
    assert [(done, of) for done, of, _ in reports] == [(number, maps) for number in range(maps)]
    assert reports[0][2] == f"{found.steps[1].name} is made random"
    assert reports[-1][2] == "everything is drawn anew"


def test_passes_within_a_step_are_counted_within_it(tiny, photo, engine):
    x = engine.explain(photo, tiny("test_resnet"), method="recipro_cam", stages=["layer2"])
    shares = []
    engine.sanity(x, steps=2, draws=1, progress=lambda done, of, _: shares.append(done / of))
    assert shares == sorted(shares) and any(0 < share < 0.5 for share in shares)


def test_the_price_counts_maps_and_passes(tiny, photo):
    engine, backbone = Engine("cpu"), tiny("test_resnet")
    x = engine.explain(photo, backbone)
    assert Engine("cpu").sanity_price(x) is None, "no pass of it was timed"
    one, all_of_them = engine.sanity_price(x, 1, 1), engine.sanity_price(x, draws=1)
    assert all_of_them == pytest.approx(len(find_blocks(backbone)) * one) and one > 0
    scored = engine.explain(photo, backbone, method="recipro_cam")
    assert engine.sanity_price(scored, 1, 1) > one


def test_what_was_found_last_is_held(tiny, photo, monkeypatch):
    """Until anything that it depends on is another; under the name that the picture now has."""
    engine, backbone = Engine("cpu"), tiny("test_resnet")
    x = engine.explain(photo, backbone)
    found = engine.sanity(x, draws=1)
    assert engine.sanity_price(x, draws=1) == 0
    assert engine.sanity_price(x) > 0 and engine.sanity_price(x, draws=1, seed=1) > 0
    other_score = engine.explain(photo, backbone, score="probability")
    assert engine.sanity_price(other_score, draws=1) > 0
    y = replace(x, picture=replace(x.picture, name="another name"))
    with monkeypatch.context() as patched:
        patched.setattr(module, "duplicate", lambda *_: pytest.fail("computed once more"))
        again = engine.sanity(y, draws=1)
    assert ranks_of(again) == ranks_of(found) and again.picture.name == "another name"


@pytest.fixture
def remote():
    """An engine whose work is sent to another one as bytes, and the other one."""
    there = Engine("cpu")

    def send(task):
        return pickle.loads(pickle.dumps(there.run(pickle.loads(pickle.dumps(task)))))

    return Engine("cpu", runner=RemoteRunner(send))


def test_work_that_is_sent_comes_back_as_if_done_here(remote, photo):
    name = "scenes-resnet"
    here = Engine("cpu")
    reports = []
    found = remote.sanity(
        remote.explain(photo, name, target=1),
        draws=2,
        progress=lambda *report: reports.append(report),
    )
    wanted = here.sanity(here.explain(photo, name, target=1), draws=2)
    assert ranks_of(found) == pytest.approx(ranks_of(wanted), abs=1e-6)
    assert found.draws == pytest.approx(wanted.draws, abs=1e-6)
    assert reports[0][:2] == (0, len(found.random) + 1)


# --- what is refused ---


@pytest.mark.parametrize(
    ("options", "given", "error", "says"),
    [
        ({"method": "lpcam"}, {}, MethodError, "prototypes that the trained network made"),
        ({"views": "flip"}, {}, MethodError, "views 'one'"),
        ({}, {"steps": 0}, MethodError, "steps is a whole number from 1, not 0"),
        ({}, {"draws": True}, MethodError, "draws is a whole number from 1, not True"),
        ({}, {"of": "layer9"}, StageError, "no map of 'layer9'"),
        ({"refine": "none"}, {"of": "refined"}, StageError, "no refined map"),
    ],
)
def test_what_cannot_be_done_is_refused(tiny, photo, engine, options, given, error, says):
    x = engine.explain(photo, tiny("test_resnet"), target=3, **options)
    with pytest.raises(error, match=says):
        engine.sanity(x, **given)


def test_other_weights_than_those_explained_are_refused(photo, engine):
    backbone = load_backbone("test_resnet", "random", "cpu")
    x = engine.explain(photo, backbone)
    with torch.no_grad():
        next(backbone.model.parameters()).add_(1)
    with pytest.raises(BackboneError, match=r"no longer those that were explained"):
        engine.sanity(x)


# --- the verdict ---


def cascade(ranks, draws):
    heat = np.ones((2, 2), np.float32)
    steps = [
        SanityStep(str(i or ""), (), heat, {}, rank, rank, rank, "", None)
        for i, rank in enumerate(ranks)
    ]
    return Sanity("fused", 0, tuple(steps), tuple(draws), None, None, None)


@pytest.mark.parametrize(
    ("draws", "verdict"),
    [
        ([UNRELATED - 0.01], "learned"),
        ([UNRELATED], "unclear"),
        ([SAME - 0.01], "unclear"),
        ([SAME], "picture"),
        ([0.9, None, -0.2], "learned"),
        ([None, None], "learned"),
    ],
)
def test_the_verdict_follows_the_mean_of_all_draws(draws, verdict):
    assert cascade([1, 0.9, draws[0]], draws).verdict == verdict
    assert cascade([None, 0.9, draws[0]], draws).verdict == "empty"


def test_the_map_changes_where_it_is_first_no_longer_the_same():
    assert cascade([1, 0.9, SAME, 0.7, 0.9], [0.9]).changed_at.name == "3"
    assert cascade([1, None], [None]).changed_at.name == "1"
    assert cascade([1, 0.9, 0.95], [0.95]).changed_at is None


def test_a_trained_network_of_scenes(engine, knowing, rams):
    """What the map of the last layer shows is learned; its classifier decides where."""
    found = [engine.sanity(engine.explain(ram, knowing, method="cam")) for ram in rams[:3]]
    assert [each.verdict for each in found] == ["learned"] * 3
