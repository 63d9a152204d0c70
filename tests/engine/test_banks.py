"""Prototypes in the engine: built, chosen, compared with; and the banks that ship."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from camviz import Engine, load_backbone, wrap_backbone
from camviz.errors import MethodError, PrototypeError
from camviz.images import open_picture
from camviz.maps import localization
from camviz.methods.activation import cosine_maps, lp_cam
from camviz.network.backbone import Backbone
from camviz.network.bundled import BUNDLED, bundled_names
from camviz.network.trace import trace
from camviz.prototypes.bank import PrototypeBank, shipped_bank
from camviz.prototypes.prototype import THUMBNAIL
from camviz.scenes import HELD_OUT_BACKGROUNDS, TRAIN_BACKGROUNDS, draw_scene
from tests.support.networks import untrained
from tests.support.prototypes import same_bank
from tests.support.tensors import close

from timm.models.vgg import VGG, ConvMlp  # isort: skip  after vision_ops

# --- in the engine ---


def counted(monkeypatch, backbone):
    """[forward, backward] passes of a network from now on."""
    count = [0, 0]
    forward, grad = type(backbone.model).forward, torch.autograd.grad

    def one_forward(self, *arguments, **options):
        count[0] += 1
        return forward(self, *arguments, **options)

    def one_backward(*arguments, **options):
        count[1] += 1
        return grad(*arguments, **options)

    monkeypatch.setattr(type(backbone.model), "forward", one_forward)
    monkeypatch.setattr(torch.autograd, "grad", one_backward)
    return count


def test_the_map_is_lp_cam_of_the_trace_and_the_bank(engine, knowing, learned, rams):
    for aggregate in ("mean", "max"):
        x = engine.explain(
            rams[0], knowing, method="lpcam", prototypes=learned, aggregate=aggregate
        )
        assert x.target == 1 and x.bank is learned
        assert x.stages == ("layer2", "layer3", "layer4")  # at most 16 x 16 cells
        image, _ = knowing.prepare(open_picture(rams[0]))
        taps = {name: knowing.stage(name).activation for name in x.stages}
        found = trace(knowing, image, list(taps.values()))
        for name, tap in taps.items():
            features, held = found.activations[tap.address], learned.stage(name)
            raw = lp_cam(features, held.kept("foreground"), held.kept("context"), aggregate)
            close(torch.from_numpy(x.raw[name]), raw[0])
            maps = cosine_maps(features, held.vectors)[0]
            close(torch.from_numpy(x.cosines[name]), maps)


def test_every_prototype_has_its_own_map(engine, knowing, learned, rams):
    x = engine.explain(rams[0], knowing, method="lpcam", prototypes=learned)
    assert tuple(x.prototypes) == x.stages
    for name, shown in x.prototypes.items():
        held = learned.stage(name)
        assert [p.prototype for p in shown] == list(held.prototypes)
        assert {p.kind for p in shown} == {"foreground", "context"}
        for one in shown:
            assert one.raw.shape == knowing.stage(name).grid and one.map.shape == (224, 224)
            assert np.abs(one.map).max() <= 1 + 1e-6
            assert one.thumbnails.shape == (len(one.members), THUMBNAIL, THUMBNAIL, 3)
            assert one.size >= len(one.members) >= 1 and (one.score is None or 0 <= one.score <= 1)
            left, top, right, bottom = one.members[0].box
            assert 0 <= left < right <= 224 and 0 <= top < bottom <= 224
    assert engine.explain(rams[0], knowing).prototypes == {}


def test_a_member_is_as_like_its_prototype_as_the_map_of_its_picture_says(
    engine, knowing, learned, rams
):
    shown = [engine.explain(r, knowing, method="lpcam", prototypes=learned) for r in rams[1:]]
    assert learned.pictures == ("1", "2", "3", "4", "5")
    for name in ("layer3", "layer4"):
        for index, prototype in enumerate(learned.stage(name).prototypes):
            for one in prototype.members:
                there = shown[one.picture].cosines[name][index][one.cell]
                assert one.similarity == pytest.approx(float(there), abs=1e-4)


def test_a_query_runs_no_pass(engine, knowing, learned, rams, monkeypatch):
    engine.explain(rams[0], knowing)
    count = counted(monkeypatch, knowing)
    for options in ({}, {"aggregate": "max"}, {"stages": ["layer1", "layer4"]}, {"fuse": "mean"}):
        x = engine.explain(rams[0], knowing, method="lpcam", prototypes=learned, **options)
        assert [one.map.shape for p in x.prototypes.values() for one in p]
    engine.similarity(x, "layer3", (100, 120))
    assert count == [0, 0]


def test_a_request_names_shipped_prototypes_only_while_they_are(engine, knowing, rams):
    x = engine.explain(rams[0], knowing, target="ram", method="lpcam")
    assert x.request.prototypes == "shipped"
    changed = x.bank.keep("layer3", 0, False)
    y = engine.explain(rams[0], knowing, method="lpcam", prototypes=changed)
    assert y.request.prototypes == f"bank:{changed.id}" != f"bank:{x.bank.id}"
    again = changed.keep("layer3", 0)
    z = engine.explain(rams[0], knowing, method="lpcam", prototypes=again)
    assert z.request.prototypes == "shipped"


def test_building_is_one_forward_a_picture_and_no_backward(engine, knowing, rams, monkeypatch):
    count = counted(monkeypatch, knowing)
    engine.build_prototypes(rams, knowing, "ram")
    assert count == [len(rams), 2]  # the head's weights, at two scales, once
    engine.explain(rams[0], knowing)
    before = list(count)
    engine.build_prototypes(rams[:1], knowing, "ram")  # a trace that is at hand is used
    assert count[0] == before[0]


def test_the_same_seed_gives_the_same_bank(engine, knowing, rams, learned):
    again = Engine("cpu").build_prototypes(rams[1:], knowing, "ram")
    assert again.id == learned.id
    same_bank(again, learned)
    assert engine.build_prototypes(rams[1:], knowing, "ram", seed=1).id != learned.id


def test_the_papers_setting_is_marked(engine, knowing, rams, learned):
    papers = engine.build_prototypes(rams, knowing, "ram", tau=0.1, stages=["layer4"])
    assert papers.is_paper_setting and not learned.is_paper_setting
    x = engine.explain(rams[0], knowing, method="lpcam", prototypes=papers)
    assert x.stages == ("layer4",) and "The paper's setting, at one scale of" in str(
        x.notes["layer4"]
    )
    assert papers.stage("layer4").scoring == "head"
    assert learned.stage("layer3").scoring == "places"


def test_bad_pictures_are_named_and_skipped(engine, knowing, rams, tmp_path):
    text = tmp_path / "notes.jpg"
    text.write_text("this is no picture")
    bank = engine.build_prototypes([rams[0], str(text), tmp_path / "gone.png"], knowing, "ram")
    assert bank.pictures == ("1",)
    assert [name for name, _ in bank.skipped] == ["notes.jpg", "gone.png"]
    assert "no file" in bank.skipped[1][1]
    with pytest.raises(PrototypeError, match=r"notes\.jpg"):
        engine.build_prototypes([str(text)], knowing, "ram")


def test_a_picture_without_a_trace_of_the_class_is_skipped(engine, knowing, rams, monkeypatch):
    from camviz.prototypes import build

    real, made = build.cam, []

    def second_is_empty(features, weights):
        made.append(features)
        return -features.sum(dim=1) if len(made) == 2 else real(features, weights)

    monkeypatch.setattr(build, "cam", second_is_empty)
    bank = engine.build_prototypes(rams[:3], knowing, "ram")  # T-LP-9
    assert bank.pictures == ("1", "3")
    assert bank.skipped == (("2", "nothing in it speaks for 'ram'"),)
    assert all(torch.isfinite(stage.vectors).all() for stage in bank.stages.values())


def test_progress_is_reported_and_may_cancel(engine, knowing, rams, unchanged):
    reports = []
    engine.build_prototypes(rams[:3], knowing, "ram", progress=lambda *now: reports.append(now))
    assert reports == [(0, 3, "1"), (1, 3, "2"), (2, 3, "3"), (3, 3, "")]

    class Enough(Exception):
        pass

    def stop(done, of, name):
        if done == 2:
            raise Enough

    with unchanged(knowing.model), pytest.raises(Enough):
        engine.build_prototypes(rams[:4], knowing, "ram", progress=stop)
    assert engine.build_prototypes(rams[:3], knowing, "ram").pictures == ("1", "2", "3")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"images": []}, "1 to 64 pictures, not 0"),
        ({"images": [None] * 65}, "1 to 64 pictures, not 65"),
        ({"images": "one.jpg"}, "a list of pictures"),
        ({"target": None}, "of one class"),
        ({"clusters": 0}, "clusters is a whole number from 1"),
        ({"clusters": 2.5}, "clusters is a whole number from 1"),
        ({"seed": "a"}, "seed is a whole number"),
        ({"tau": 1.5}, "tau is a share"),
        ({"tau": "0.1"}, "tau is a share"),
        ({"mu_f": -1}, "mu_f is a share"),
    ],
)
def test_what_cannot_be_built_is_a_sentence(engine, knowing, rams, options, words):
    with pytest.raises(PrototypeError, match=words):
        engine.build_prototypes(**{"images": rams, "backbone": knowing, "target": 1, **options})


def test_what_is_no_choice_is_refused(engine, knowing, rams):
    for wrong in ({"tap": "foo"}, {"fit": "foo"}):
        with pytest.raises(MethodError, match=r"unknown .* 'foo'; choices"):
            engine.build_prototypes(rams, knowing, 1, **wrong)
    with pytest.raises(PrototypeError, match="a PrototypeBank, its file"):
        engine.explain(rams[0], knowing, method="lpcam", prototypes=3)
    with pytest.raises(MethodError, match=r"not '0\.9'"):
        engine.explain(rams[0], knowing, truncation="0.9")


def test_a_bank_must_fit_the_request(engine, tiny, knowing, learned, rams, tmp_path):
    def ask(backbone=knowing, **options):
        return engine.explain(
            rams[0], backbone, **{"method": "lpcam", "prototypes": learned, **options}
        )

    with pytest.raises(PrototypeError, match="of scenes-resnet, not of test_resnet"):
        ask(tiny("test_resnet"))
    with pytest.raises(PrototypeError, match="of 'ram', and 'zebra' was"):
        ask(target="zebra")
    with pytest.raises(PrototypeError, match="tap 'activation', and 'output' was"):
        ask(tap="output")
    with pytest.raises(PrototypeError, match="none at 'maxpool'"):
        ask(stages=["maxpool"])
    with pytest.raises(MethodError, match="LayerCAM uses no prototypes"):
        ask(method="layer_cam")
    with pytest.raises(MethodError, match="unknown aggregate"):
        ask(aggregate="median")
    with pytest.raises(PrototypeError, match="no file"):
        ask(prototypes=tmp_path / "gone.safetensors")
    with pytest.raises(PrototypeError, match="given in memory"):
        ask(prototypes=ask().request.prototypes)
    narrow = replace(learned.stage("layer4"), vectors=learned.stage("layer4").vectors[:, 1:])
    with pytest.raises(PrototypeError, match="175 channels"):
        ask(prototypes=replace(learned, stages={"layer4": narrow}))
    assert np.array_equal(
        ask(prototypes=learned.save(tmp_path / "ram.safetensors")).fused, ask().fused
    )


def test_prototypes_left_out_are_left_out(engine, knowing, learned, rams):
    changed = learned
    for index, prototype in enumerate(learned.stage("layer3").prototypes):
        changed = changed.keep("layer3", index, prototype.kind == "foreground")
    x = engine.explain(rams[0], knowing, method="lpcam", prototypes=changed, stages=["layer3"])
    kept = [p.raw for p in x.prototypes["layer3"] if p.kept]
    assert np.allclose(x.raw["layer3"], np.mean(kept, axis=0), atol=1e-5)
    for index in range(len(changed.stage("layer3").prototypes)):
        changed = changed.keep("layer3", index, False)
    x = engine.explain(rams[0], knowing, method="lpcam", prototypes=changed, stages=["layer3"])
    assert x.notes["layer3"].empty and "left out" in str(x.notes["layer3"])


def test_without_a_bank_the_picture_is_its_own(engine, tiny, photo, monkeypatch):
    backbone = tiny("test_efficientnet")
    engine.explain(photo, backbone, target=3)
    count = counted(monkeypatch, backbone)
    x = engine.explain(photo, backbone, target=3, method="lpcam")
    assert (
        x.bank.source == "picture"
        and x.request.prototypes == "picture"
        and not x.bank.is_paper_setting
    )
    assert count[0] == 3  # mirrored, enlarged, both; the picture itself is at hand
    assert all("not the paper's method" in str(notes) for notes in x.notes.values())
    engine.explain(photo, backbone, target=3, method="lpcam", fuse="mean", prototypes="picture")
    assert count[0] == 3
    request = json.loads(json.dumps(x.manifest()))
    assert request["prototypes"]["source"] == "picture"
    again = Engine("cpu").explain(photo, backbone, **{
        key: value for key, value in request["request"].items()
        if key not in ("backbone", "weights")
    })  # fmt: skip
    assert np.array_equal(again.fused, x.fused)
    with pytest.raises(PrototypeError, match=r"no prototypes of .* ship"):
        engine.explain(photo, backbone, method="lpcam", prototypes="shipped")


def small_vgg():
    """Its classifier begins with a convolution over all 7 x 7 places."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = VGG([8, "M", 16, "M", 16, "M", 16, "M"], num_classes=5)
        model.pre_logits = ConvMlp(16, 32, kernel_size=7)
        model.head.fc = torch.nn.Linear(32, 5)
    return wrap_backbone(model, name="small_vgg", device="cpu", input_size=(3, 112, 112))


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext", "small_vgg"])
def test_where_the_head_sees_no_places_it_says_so(engine, tiny, photo, name):
    backbone = small_vgg() if name == "small_vgg" else tiny(name)
    x = engine.explain(photo, backbone, target=1, method="lpcam")
    no_cam = name in ("test_vit", "small_vgg")
    assert x.bank.split == ("grad_cam" if no_cam else "cam")
    for stage in x.stages:
        assert ("Approximate" in str(x.notes[stage])) == no_cam
        assert (x.bank.stage(stage).scoring == "none") == no_cam
        assert np.isfinite(x.raw[stage]).all()


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_values_are_no_scores(engine, photo, tmp_path, name):
    """What a head that gives values makes of a place says nothing about how sure it is."""
    options = {"zero_init_last": False} if name == "test_resnet" else {}
    model = untrained(name, num_classes=3, **options)
    backbone = wrap_backbone(model, device="cpu", output="value")
    x = engine.explain(photo, backbone, method="lpcam", target=1)
    bank = engine.build_prototypes([photo], backbone, 1)
    for each in (x.bank, bank, PrototypeBank.load(bank.save(tmp_path / "a.safetensors"))):
        for stage, held in each.stages.items():
            assert held.scoring == "none" and not held.relaxed
            assert all(p.score is None and p.kept for p in held.prototypes)
            text = " ".join(each.sentences(stage))
            assert ("gives values, not probabilities" in text) == (each.split == "cam")
            assert "sure of" not in text and "(z" not in text
    sigmoid = wrap_backbone(untrained(name, num_classes=3, **options), output="sigmoid")
    bank = engine.build_prototypes([photo], sigmoid, 1)
    scores = [p.score for held in bank.stages.values() for p in held.prototypes]
    assert all(score is None or 0 < score < 1 for score in scores)


def test_the_callers_modes_change_nothing(engine, knowing, rams, learned):
    for mode in (torch.inference_mode, lambda: torch.autocast("cpu", dtype=torch.bfloat16)):
        with mode():
            fresh = Engine("cpu")
            bank = fresh.build_prototypes(rams[1:], knowing, "ram")
            assert fresh.explain(rams[0], knowing, method="lpcam", prototypes="picture").bank
        assert bank.id == learned.id


# --- prototypes of other classes ---


@pytest.fixture(scope="module")
def two_things(knowing):
    """A drawn scene of which the network holds two things to be likely, and their labels."""
    for index in range(64):
        scene = draw_scene(31, index, two_objects=1.0)
        best = Engine().predict(scene.image, knowing)[:2]
        labels = [thing.label for thing in scene.objects]
        if {label for _, label, _ in best} == set(labels) and best[1][2] > 0.1:
            return scene, labels
    raise AssertionError("in no scene are both things likely")


def test_what_is_like_another_predicted_class_counts_against(engine, knowing, two_things):
    scene, (asked, other) = two_things
    x = engine.explain(scene.image, knowing, target=asked, method="lpcam")
    assert other in x.rivals and asked not in x.rivals
    alone = engine.explain(scene.image, knowing, target=asked, method="lpcam", rivals="none")
    assert alone.rivals == () and alone.request.rivals == "none"
    trace, _ = engine._traces.cached(knowing, x.picture, "stretch")
    others = [shipped_bank(knowing, knowing.target(label)) for label in x.rivals]
    for name in x.stages:
        features = trace.activations[knowing.stage(name).activation.address]
        held = x.bank.stage(name)
        own = [held.kept("foreground"), held.kept("context")]
        rivals = [bank.stage(name).kept("foreground") for bank in others]
        close(torch.from_numpy(x.raw[name]), lp_cam(features, *own, rivals=rivals)[0])
        close(torch.from_numpy(alone.raw[name]), lp_cam(features, *own)[0])
        assert f"'{other}'" in str(x.notes[name]) and "predicted too" in str(x.notes[name])
        assert "predicted too" not in str(alone.notes[name])


def test_a_class_that_is_hardly_predicted_counts_for_nothing(engine, knowing, rams):
    x = engine.explain(rams[0], knowing, target="ram", method="lpcam")
    likely = {label for _, label, share in x.predictions if share >= 0.05}
    assert set(x.rivals) == likely - {"ram"}


def test_beside_prototypes_of_the_picture_there_are_no_others(engine, knowing, two_things):
    scene, (asked, _) = two_things
    x = engine.explain(scene.image, knowing, target=asked, method="lpcam", prototypes="picture")
    assert x.rivals == ()


# --- what ships ---


@pytest.mark.long
def test_prototypes_find_more_of_a_thing_than_cam(engine, knowing):
    """On drawn scenes, by the prototypes that ship: IoU and precision at 30 %, average precision.

    Recall at that threshold is no test: CAM's coarse cells cover as much again of what is beside.
    """
    gains = []
    for index in range(32):
        scene = draw_scene(2026, index, backgrounds=HELD_OUT_BACKGROUNDS, two_objects=0.0)
        thing = scene.objects[0]
        maps = [
            engine.explain(scene.image, knowing, target=thing.label, method=method).fused
            for method in ("cam", "lpcam")
        ]
        before, after = (
            [
                localization.iou_at(heat, thing.mask, 0.3),
                localization.average_precision(heat, thing.mask),
                localization.precision_recall_at(heat, thing.mask, 0.3)[0],
            ]
            for heat in maps
        )
        gains.append(np.subtract(after, before))
    iou, precision, at_threshold = np.mean(gains, axis=0)
    assert iou > 0.15 and precision > 0.1 and at_threshold > 0.2


@pytest.mark.long
def test_at_the_papers_tau_they_cover_more_of_a_thing_than_cam(engine, knowing):
    """Of classes with a telling part, which CAM likes best: recall and IoU at 30 %, mean fusion."""
    banks, gains = {}, []
    for index in range(80):
        scene = draw_scene(2026, index, backgrounds=HELD_OUT_BACKGROUNDS, two_objects=0.0)
        thing = scene.objects[0]
        if thing.telling is None:
            continue
        if thing.label not in banks:
            pictures = [
                draw_scene(
                    77, i, label=thing.label, backgrounds=TRAIN_BACKGROUNDS, two_objects=0.0
                ).image
                for i in range(12)
            ]
            banks[thing.label] = engine.build_prototypes(pictures, knowing, thing.label, tau=0.1)
        by_cam = engine.explain(scene.image, knowing, target=thing.label, method="cam").fused
        by_likeness = engine.explain(
            scene.image, knowing, method="lpcam", prototypes=banks[thing.label], fuse="mean"
        ).fused
        before, after = (
            [
                localization.precision_recall_at(heat, thing.mask, 0.3)[1],
                localization.iou_at(heat, thing.mask, 0.3),
            ]
            for heat in (by_cam, by_likeness)
        )
        gains.append(np.subtract(after, before))
    recall, iou = np.mean(gains, axis=0)
    assert len(gains) > 30 and recall > 0.005 and iou > 0.02


def test_every_bundled_network_has_its_prototypes():
    assert bundled_names() == ("photos-resnet", "scenes-convnext", "scenes-resnet", "scenes-vit")
    assert all((BUNDLED / name / "prototypes").is_dir() for name in bundled_names())


@pytest.mark.sampled
@pytest.mark.parametrize("name", bundled_names())
def test_shipped_banks_fit_the_weights_that_ship(name):
    """After a training: `python benchmarks/make_banks.py NAME`."""
    files = sorted((BUNDLED / name / "prototypes").glob("*.safetensors"))
    backbone = load_backbone(name, device="cpu")
    assert {file.stem for file in files} == {str(i) for i in range(len(backbone.labels))}
    assert sum(file.stat().st_size for file in files) < 2_000_000
    for file in files:
        bank = PrototypeBank.load(file)
        bank.check(backbone)
        assert bank.label == backbone.labels[bank.target] and str(bank.target) == file.stem
        assert bank.source == "bundled" and tuple(bank.stages) == backbone.default_stages
        drawn = name.startswith("scenes")
        assert any(stage.thumbnails is not None for stage in bank.stages.values()) == drawn
        assert shipped_bank(backbone, bank.target).id == bank.id
    assert shipped_bank(replace(backbone, name="another"), 0) is None


def test_a_bank_of_other_weights_is_not_used(knowing, monkeypatch, engine, rams):
    x = engine.explain(rams[0], knowing, target="ram", method="lpcam")
    assert x.bank.source == "bundled" and x.request.prototypes == "shipped"
    retrained = replace(knowing, _module_stages={})
    monkeypatch.setattr(Backbone, "weights_digest", "other")
    assert shipped_bank(retrained, 1) is None
