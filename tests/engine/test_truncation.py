"""Truncation that is chosen for the picture: the rule on planted maps, and what it makes of maps.

Correlations are made a second time by hand, with another interpolation.
"""

import copy
import json
import math
import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

from camviz import Engine, wrap_backbone
from camviz.cli import main
from camviz.engine import truncation
from camviz.engine.families import default_stages
from camviz.engine.options import Options
from camviz.engine.remote import RemoteRunner
from camviz.engine.truncation import LEVEL, MOST_LOST, TruncationChoice, choose_level
from camviz.errors import MethodError
from camviz.maps.fusion import Placement
from camviz.methods import METHODS
from camviz.methods.denoise import MODES
from tests.support.engines import Disapproving
from tests.support.networks import copy_of

RESNET, NFNET, VIT, CONVNEXT = "test_resnet", "test_nfnet", "test_vit", "test_convnext"


def correlation(heat, placement, deep, onto):
    """numpy's, of what is positive; the deepest map is read at the other one's cells."""

    def centres(placement, shape):
        pairs = zip(placement.stride, placement.offset, shape, strict=True)
        return [np.arange(count) * s + (s - 1) / 2 + o for s, o, count in pairs]

    heat, deep = np.maximum(heat, 0).astype(float), np.maximum(deep, 0).astype(float)
    (rows, columns), (down, across) = centres(placement, heat.shape), centres(onto, deep.shape)
    wide = np.array([np.interp(columns, across, line) for line in deep])
    seen = np.array([np.interp(rows, down, line) for line in wide.T]).T
    return np.corrcoef(heat.ravel(), seen.ravel())[0, 1]


# -- The rule ------------------------------------------------------------------------------------

SMALL, LARGE = Placement((8.0, 8.0)), Placement((32.0, 32.0))


def rule(deepest, shallow, *, at=LARGE, cancels=()):
    """The choice for planted maps: the deepest, and by stage the plain and the truncated one."""
    maps = {name: (plain, cut, SMALL) for name, (plain, cut) in shallow.items()}
    return choose_level((deepest, at), maps, cancels=lambda name: name in cancels)


def planted(seed=0):
    """A deepest map, and of the finer grid below it (its own map there, noise), both positive."""
    source = np.random.default_rng(seed)
    deep = source.uniform(0.1, 1, (4, 3))
    fine = np.kron(deep, np.ones((4, 4)))
    noise = source.uniform(0.1, 1, fine.shape)
    return tuple(map(torch.from_numpy, (deep, fine, noise)))


def like(deep, share):
    """A positive map on the grid of a deepest one, which correlates with it by this much."""
    source = np.random.default_rng(3)
    one, other = deep.numpy().ravel(), source.standard_normal(deep.numel())
    one = (one - one.mean()) / np.linalg.norm(one - one.mean())
    other = other - other.mean()
    other = other - (other @ one) * one
    other /= np.linalg.norm(other)
    heat = share * one + math.sqrt(1 - share**2) * other
    return torch.from_numpy(heat - heat.min() + 0.1).reshape(deep.shape)


@pytest.mark.parametrize("offset", [(0.0, 0.0), (-3.5, 6.0)])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.5])
def test_agreement_is_pearsons_correlation_on_the_finer_grid(share, offset):
    deep, fine, noise = planted()
    deep, onto = deep - 0.4, Placement((32.0, 32.0), offset)
    plain, cut = fine + share * noise - 0.5, fine - 0.6  # below 0: no part of a map
    choice = rule(deep, {"a": (plain, cut), "b": (7 * cut, plain)}, at=onto)
    before, after = (correlation(heat.numpy(), SMALL, deep.numpy(), onto) for heat in (plain, cut))
    assert choice.agreement["a"] == pytest.approx((before, after), abs=1e-12)
    assert choice.agreement["b"] == pytest.approx((after, before), abs=1e-12)
    assert len({round(before, 6), round(after, 6), 1.0}) == 3


def test_noise_that_goes_is_taken_out():
    deep, fine, noise = planted()
    choice = rule(deep, {"a": (fine + noise, fine), "b": (fine + 2 * noise, fine)})
    assert (choice.level, choice.reason) == (LEVEL, "agrees") and LEVEL == 0.9
    assert list(choice.agreement) == ["a", "b"]
    assert all(before < after for before, after in choice.agreement.values())


def test_evidence_that_would_go_stays_whichever_stage_loses_it():
    deep, fine, noise = planted()
    gains, loses = (fine + noise, fine), (fine, fine + noise)
    for shallow in ({"a": gains, "b": loses}, {"b": loses, "a": gains}, {"b": loses}):
        choice = rule(deep, shallow)
        assert (choice.level, choice.reason) == (0.0, "disagrees")
        assert choice.worst == ("b", choice.agreement["b"])
        assert list(choice.agreement) == list(shallow), "all are told"


def test_the_worst_is_what_loses_most_of_its_agreement_not_what_agrees_least():
    choice = TruncationChoice(0.9, "agrees", {"a": (0.1, 0.09), "b": (0.9, 0.85), "c": (0.2, 0.6)})
    assert choice.worst == ("b", (0.9, 0.85))


@pytest.mark.parametrize("kept", [1.0, 0.5, -0.2])
def test_a_loss_is_counted_up_to_the_most_that_may_be_lost(kept):
    """An absolute difference, whatever the correlation was."""
    deep, *_ = planted()
    assert MOST_LOST == 0.07
    for loss, level in ((0.0, 0.9), (0.069, 0.9), (0.071, 0.0), (0.5, 0.0)):
        maps = {"a": (like(deep, kept), like(deep, kept - loss), LARGE)}
        choice = choose_level((deep, LARGE), maps, cancels=lambda name: False)
        assert choice.agreement["a"] == pytest.approx((kept, kept - loss), abs=1e-9)
        assert choice.level == level


def test_just_that_much_may_be_lost(monkeypatch):
    deep, fine, noise = planted()
    before, after = rule(deep, {"a": (fine, fine + noise)}).agreement["a"]
    for most, level in (
        (before - after, 0.9),
        (np.nextafter(before - after, 1), 0.9),
        (np.nextafter(before - after, 0), 0.0),
    ):
        monkeypatch.setattr(truncation, "MOST_LOST", most)
        assert rule(deep, {"a": (fine, fine + noise)}).level == level


@pytest.mark.parametrize("flat", [0.0, 0.7, -1.0])
def test_a_plain_map_that_is_flat_says_nothing(flat):
    deep, fine, noise = planted()
    level = torch.full_like(fine, flat)
    choice = rule(deep, {"a": (level, noise)})
    assert (choice.level, choice.reason, choice.agreement) == (0.0, "nothing", {})
    choice = rule(deep, {"a": (level, noise), "b": (fine + noise, fine)})
    assert (choice.level, choice.reason, list(choice.agreement)) == (LEVEL, "agrees", ["b"])


@pytest.mark.parametrize("flat", [0.0, 0.7, -1.0])
def test_a_map_that_truncation_leaves_nothing_of_agrees_no_more(flat):
    deep, fine, _ = planted()
    choice = rule(deep, {"a": (fine, torch.full_like(fine, flat))})
    assert (choice.level, choice.reason) == (0.0, "disagrees")
    assert choice.agreement["a"][1] == 0.0 and choice.agreement["a"][0] > 0.7
    against = rule(deep, {"a": (1.2 - fine, torch.full_like(fine, flat))})
    assert against.level == LEVEL, "it said the contrary, and that is gone"
    assert against.agreement["a"] == (pytest.approx(-choice.agreement["a"][0]), 0.0)


@pytest.mark.parametrize("flat", [0.0, 0.7, -1.0])
def test_where_the_deepest_map_is_flat_there_is_nothing_to_go_by(flat):
    deep, fine, noise = planted()
    choice = rule(torch.full_like(deep, flat), {"a": (fine + noise, fine)})
    assert (choice.level, choice.reason, choice.agreement) == (0.0, "nothing", {})


def test_without_a_finer_stage_there_is_nothing_to_take_out():
    choice = rule(planted()[0], {})
    assert (choice.level, choice.reason, choice.agreement) == (0.0, "nothing", {})


def test_one_stage_that_cancels_is_enough():
    """Its negative gradient is no noise, and so it may be elsewhere in this network."""
    deep, fine, noise = planted()
    shallow = {"a": (fine + noise, fine), "b": (fine + noise, fine)}
    for name in shallow:
        choice = rule(deep, shallow, cancels=[name])
        assert (choice.level, choice.reason, choice.agreement) == (0.0, "cancels", {})
    assert rule(deep, shallow, cancels=["another stage"]).reason == "agrees"


# -- Explanations --------------------------------------------------------------------------------


def same(x, y):
    """Whether two explanations are the same, bit for bit, and asked for in the same words."""
    assert x.request == y.request
    for name in x.stages:
        assert np.array_equal(x.raw[name], y.raw[name]), name
        assert x.notes[name] == y.notes[name]
    assert x.plain.keys() == y.plain.keys()
    assert all(np.array_equal(x.plain[name], y.plain[name]) for name in x.plain)
    assert x.maps_of_all == y.maps_of_all
    assert all(np.array_equal(x.heat(name), y.heat(name)) for name in x.maps_of_all)
    return True


# Networks, options, and what is chosen with them for `photo`.
CASES = [
    (NFNET, {}, "agrees"),
    (NFNET, {"target": 3}, "agrees"),
    (NFNET, {"target": 3, "method": "hires_cam"}, "disagrees"),
    (NFNET, {"target": 3, "truncated": ["stages.1"]}, "agrees"),
    (NFNET, {"refine": "none", "fuse": "product"}, "agrees"),
    (RESNET, {}, "disagrees"),
    (RESNET, {"target": 3, "method": "grad_cam"}, "disagrees"),
    (VIT, {"method": "hires_cam"}, "agrees"),
    (VIT, {"target": 3, "method": "layer_cam"}, "disagrees"),
    (CONVNEXT, {}, "cancels"),
    (CONVNEXT, {"target": 3, "method": "grad_cam"}, "cancels"),
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("name", "options", "reason"), CASES, ids=str)
def test_maps_are_those_of_the_level_that_was_chosen(engine, tiny, photo, name, options, reason):
    x = engine.explain(photo, tiny(name), truncation="auto", **options)
    level = 0.9 if reason == "agrees" else 0.0
    assert (x.truncation_choice.reason, x.truncation_choice.level) == (reason, level)
    assert x.request.truncation == level and (x.request.truncated == ()) == (level == 0)
    if level == 0:
        options = {key: value for key, value in options.items() if key != "truncated"}
    y = Engine("cpu").explain(photo, tiny(name), truncation=level, **options)
    assert same(x, y) and y.truncation_choice is None
    again = Engine("cpu").explain(photo, x.backbone, **request_of(x))
    assert same(x, again) and again.truncation_choice is None
    assert bool(x.plain) == any(each.any() for each in x.removed.values()) == (level > 0)


def request_of(x):
    """What repeats it, without the network, which is given."""
    request = json.loads(json.dumps(asdict(x.request)))
    return {name: request[name] for name in ("target", *vars(Options()))}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target": 3, "fit": "crop"},
        {"target": 3, "tap": "output", "fit": "pad"},
        {"target": 5, "placement": "true", "versus": 7},
        {"target": 5, "checkerboard": "keep", "calibration": "self"},
        {"target": 5, "score": "log_probability", "method": "grad_cam_pp"},
        {"stages": ["layer1", "layer2.0"]},
        {"stages": ["layer3"], "tap": "output"},
        {"stages": ["layer2", "layer4"]},
        {"target": 3, "truncated": ["layer2", "layer4"]},
    ],
    ids=str,
)
def test_the_choice_made_by_hand(tiny, photo, options):
    """From the maps of two explanations and of the deepest default stage alone."""
    backbone = tiny(RESNET)
    found = Engine("cpu").explain(photo, backbone, truncation="auto", **options).truncation_choice
    cut = Engine("cpu").explain(photo, backbone, truncation=0.9, **options)
    others = {key: value for key, value in options.items() if key not in ("stages", "truncated")}
    whole = Engine("cpu").explain(photo, backbone, stages=["layer4"], **others)
    deepest = whole.raw["layer4"], whole.placements["layer4"]
    agreement = {
        name: tuple(
            correlation(heat[name], cut.placements[name], *deepest) for heat in (cut.plain, cut.raw)
        )
        for name in cut.request.truncated
    }
    assert list(found.agreement) == list(agreement) and agreement
    for name, pair in agreement.items():
        assert found.agreement[name] == pytest.approx(pair, abs=1e-5), name
    worst = max(before - after for before, after in agreement.values())
    assert abs(worst - 0.07) > 1e-4
    assert found.level == (0.0 if worst > 0.07 else 0.9)
    assert found.reason == ("disagrees" if worst > 0.07 else "agrees")


def test_the_deepest_map_is_the_plain_one(engine, tiny, photo):
    """Where it is to be truncated itself, it is compared with what it was."""
    x = engine.explain(photo, tiny(RESNET), target=3, truncation="auto", truncated=["layer4"])
    before, after = x.truncation_choice.agreement["layer4"]
    cut = engine.explain(photo, tiny(RESNET), target=3, truncation=0.9, truncated=["layer4"])
    deepest = cut.plain["layer4"], cut.placements["layer4"]
    assert before == pytest.approx(1) and after < 0.99
    assert after == pytest.approx(correlation(cut.raw["layer4"], deepest[1], *deepest), abs=1e-5)


@pytest.mark.parametrize("kind", ["activation", "output"])
def test_the_deepest_stage_is_read_where_the_others_are(engine, photo, kind):
    network = Disapproving()
    torch.manual_seed(1)
    network.b.append(nn.Conv2d(8, 8, 1))
    backbone = wrap_backbone(network, labels=["no", "yes"], device="cpu")
    assert backbone.stage("b").tap(kind).module == {"activation": "b.1", "output": "b"}[kind]
    options = {"target": "yes", "tap": kind, "method": "hires_cam"}
    x = engine.explain(photo, backbone, stages=["a"], truncation="auto", **options)
    cut = engine.explain(photo, backbone, stages=["a"], truncation=0.9, **options)
    deep = engine.explain(photo, backbone, stages=["b"], **options)
    pair = [
        correlation(heat["a"], cut.placements["a"], deep.raw["b"], deep.placements["b"])
        for heat in (cut.plain, cut.raw)
    ]
    assert x.truncation_choice.agreement["a"] == pytest.approx(pair, abs=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"stages": ["layer4"]}, {"truncated": []}, {"stages": ["layer4", "layer4.0"]}],
    ids=str,
)
def test_where_nothing_is_to_be_truncated(engine, tiny, photo, options):
    x = engine.explain(photo, tiny(RESNET), truncation="auto", **options)
    assert x.truncation_choice == TruncationChoice(0.0, "nothing", {})
    options = {key: value for key, value in options.items() if key != "truncated"}
    assert same(x, engine.explain(photo, tiny(RESNET), **options))


def test_a_class_of_which_the_deepest_stage_shows_nothing(engine, photo):
    network = Disapproving()
    network.b[0].weight.data[:, ::2] *= -1
    backbone = wrap_backbone(network, labels=["no", "yes"], device="cpu")
    for target, reason in (("no", "nothing"), ("yes", "disagrees")):
        x = engine.explain(photo, backbone, target=target, stages=["a", "b"], truncation="auto")
        assert x.truncation_choice.reason == reason
        assert (x.notes["a"].empty, x.notes["b"].empty) == (False, target == "no")
        assert list(x.truncation_choice.agreement) == ([] if target == "no" else ["a"])
        assert x.request.truncation == 0 and not x.plain


def test_a_stage_that_no_score_depends_on_is_left_out(engine, tiny, photo):
    """The last block of a ViT, read by its class token alone."""
    x = engine.explain(
        photo, tiny(VIT), target=3, truncation="auto", stages=["blocks.1", "blocks.5"],
        truncated=["blocks.1", "blocks.5"],
    )  # fmt: skip
    assert x.notes["blocks.5"].zero_gradient
    assert list(x.truncation_choice.agreement) == ["blocks.1"]


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "threshold"])
def test_other_modes_have_the_usual_level(engine, tiny, photo, mode):
    for name in (RESNET, CONVNEXT):
        x = engine.explain(photo, tiny(name), truncation="auto", truncation_mode=mode)
        assert x.truncation_choice == TruncationChoice(0.9, "mode", {})
        assert same(x, engine.explain(photo, tiny(name), truncation=0.9, truncation_mode=mode))
        assert x.request.truncated == x.stages[:-1] == tuple(x.plain)


@pytest.mark.parametrize("method", [n for n, m in METHODS.items() if not m.truncates])
def test_without_a_gradient_it_is_refused_as_a_level_is(engine, tiny, photo, method):
    said = set()
    for level in ("auto", 0.9):
        with pytest.raises(
            MethodError, match=r"uses (no|the mean of a layer's) gradient.*, so there is nothing"
        ) as caught:
            engine.explain(photo, tiny(RESNET), method=method, truncation=level)
        said.add(str(caught.value))
    assert len(said) == 1
    assert Options(method=method).truncation == 0.0


# -- What it costs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stages": ("layer1", "layer2"), "refine": "none"},
        {"stages": ("layer1", "layer2"), "refine": "none", "tap": "output"},
        {"method": "hires_cam"},
        {"truncation_mode": "cap"},
    ],
    ids=str,
)
@pytest.mark.parametrize("first", [False, True])
def test_the_network_runs_no_more_for_it(engine, tiny, photo, passes, options, first):
    """Whether the picture is known already or not."""
    backbone = copy_of(tiny(RESNET))
    if not first:
        engine.explain(photo, backbone, target=3, **options)
    count = passes(backbone)
    engine.explain(photo, backbone, target=3, truncation="auto", **options)
    alone = {"forward": 0, "backward": 0}
    if first:
        backbone = copy_of(tiny(RESNET))
        alone = passes(backbone)
        count = dict(count)
        Engine("cpu").explain(photo, backbone, target=3, **options)
        assert alone["forward"] and alone["backward"]
    assert count == alone


def test_another_process_is_asked_for_nothing_more(tiny, photo):
    tasks, worker = [], Engine("cpu")
    runner = RemoteRunner(lambda task: tasks.append(task) or worker.run(task))
    engine = Engine("cpu", runner=runner)
    here = Engine("cpu").explain(photo, NFNET, weights="random", target=3, truncation="auto")
    plain = engine.explain(photo, NFNET, weights="random", target=3)
    before = len(tasks)
    x = engine.explain(photo, NFNET, weights="random", target=3, truncation="auto")
    assert len(tasks) == before > 0
    assert x.truncation_choice.agreement.keys() == here.truncation_choice.agreement.keys()
    assert x.request == here.request and x.plain.keys() == here.plain.keys()
    assert all(np.array_equal(x.plain[name], plain.raw[name]) for name in x.plain)


def test_the_stage_that_decides_is_the_deepest_default_one(tiny):
    assert [default_stages(tiny(n))[-1].name for n in (RESNET, VIT)] == ["layer4", "blocks.5.norm1"]


# -- Copies, the shell ---------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_knows_what_was_chosen(engine, tiny, photo, copied):
    for name, level in ((NFNET, 0.9), (RESNET, 0.0), (CONVNEXT, 0.0)):
        x = engine.explain(photo, tiny(name), truncation="auto")
        y = copied(x)
        assert y.truncation_choice == x.truncation_choice and y.truncation_choice.level == level
        assert y.truncation_choice.agreement == x.truncation_choice.agreement
        assert y.request == x.request and y.plain.keys() == x.plain.keys()


def test_another_class_is_chosen_for_anew(engine, tiny, photo):
    """On one trace, and whatever was chosen before."""
    levels = {}
    for target in (3, 0, 3):
        x = engine.explain(photo, tiny(NFNET), target=target, method="hires_cam", truncation="auto")
        y = Engine("cpu").explain(
            photo, tiny(NFNET), target=target, method="hires_cam", truncation="auto"
        )
        assert x.truncation_choice == y.truncation_choice and same(x, y)
        levels.setdefault(target, x.truncation_choice.agreement)
    assert levels[3] != levels[0]


@pytest.mark.parametrize(("name", "level"), [(NFNET, 0.9), (CONVNEXT, 0.0)])
def test_from_a_shell(tiny, photo, photo_file, capsys, name, level):
    command = ["explain", photo_file, "--backbone", name, "--weights", "random", "--json"]
    assert main([*command, "--truncation", "auto"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["request"]["truncation"] == level
    assert (
        bool(output["request"]["truncated"]) == (level > 0) == bool(output["method"]["denoising"])
    )
    x = Engine("cpu").explain(photo, tiny(name), truncation="auto")
    assert output["boxes"] == json.loads(json.dumps(x.manifest()))["boxes"]
    assert main([*command, "--truncation", str(level)]) == 0
    assert json.loads(capsys.readouterr().out)["request"] == output["request"]


def test_in_a_shell_the_method_has_its_say(photo_file, capsys):
    command = ["explain", photo_file, "--backbone", RESNET, "--weights", "random"]
    assert main([*command, "--truncation", "auto", "--method", "eigen_cam"]) != 0
    assert "uses no gradient" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--truncation", "none"])
    assert "--truncation: 'none' is not a number" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["explain", "--help"])
    assert "auto: chosen for the picture" in " ".join(capsys.readouterr().out.split())


def test_what_was_chosen_is_no_part_of_a_copy_with_another_request(engine, tiny, photo):
    x = engine.explain(photo, tiny(NFNET), truncation="auto")
    y = replace(x, request=replace(x.request, fuse="mean"))
    assert y.truncation_choice is x.truncation_choice
    assert np.array_equal(y.raw["stages.0"], x.raw["stages.0"])
