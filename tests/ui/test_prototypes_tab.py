"""Prototypes without a browser: what is kept, dropped and named, files, and a place's kin."""

import base64
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from gradio.utils import get_upload_folder
from PIL import Image
from torch.nn.functional import cosine_similarity

import camviz
from camviz.errors import CamvizError, MethodError, PrototypeError
from camviz.examples import example
from camviz.network.trace import trace
from camviz.prototypes.bank import PrototypeBank
from camviz.ui import compare_tab, prototypes_tab
from camviz.ui.compare_tab import Ask
from camviz.ui.prototypes_tab import automatic, kin, show

RESNET, VIT = "test_resnet.r160_in1k", "test_vit.r160_in1k"
SCENES = "scenes-resnet"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where uploads are."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    assert get_upload_folder() == str(tmp_path)
    return tmp_path


@pytest.fixture
def other(folder, photo):
    """A second picture, as the browser names it."""
    path = folder / "other.png"
    Image.fromarray(np.rot90(photo)[:70]).save(path)
    return {"path": str(path)}


@pytest.fixture
def ask(asking, folder, photo_file):
    return asking(photo_file)


@pytest.fixture
def ram():
    """A drawn ram before the bundled network, which has prototypes of rams with it."""
    stages = tuple(compare_tab.engine().backbone(SCENES).default_stages)
    return Ask(str(example("a-ram").path), SCENES, False, SCENES, stages=stages)


@pytest.fixture
def passes(monkeypatch):
    """How often a picture has been shown to a network."""
    count = []

    def counted(*arguments, **options):
        count.append(arguments)
        return trace(*arguments, **options)

    monkeypatch.setattr("camviz.engine.work.run_trace", counted)
    return count


def event(index, value, selected=True):
    return SimpleNamespace(index=index, value=value, selected=selected)


def tab(views):
    """The parts of the tab when all steps are through."""
    return {name: value for view in views for name, value in (view.tab or {}).items()}


def shown(ask, stage=None, aggregate="mean", across=50, down=50, picture=None):
    return tab(show(ask, stage, aggregate, across, down, picture))


def bank_of(views):
    return [view.held["bank"] for view in views if "bank" in (view.held or {})][-1]


def sent(views, folder):
    """(name, bank) of the file that a link holds."""
    (view,) = views
    link = view.tab["proto file"]
    file = folder / "sent.safetensors"
    file.write_bytes(base64.b64decode(re.search(r'base64,([^"]*)"', link)[1]))
    return re.search(r'download="([^"]*)"', link)[1], PrototypeBank.load(file)


def panels(payload):
    return {panel["key"]: panel for panel in payload["rows"][0]["panels"]}


# -- What is shown -------------------------------------------------------------------------------


def test_every_prototype_of_a_layer_has_a_card(ram):
    seen = shown(ram, "layer4")
    cards = seen["proto cards"]
    bank = compare_tab.likeness(ram, compare_tab.explain(ram).target).bank
    held = bank.stage("layer4").prototypes
    assert sorted(map(int, re.findall(r'cv-card" data-index="(\d+)"', cards))) == list(
        range(len(held))
    )
    inside, outside = cards.split('data-kind="context"')
    for part, kind in ((inside, "foreground"), (outside, "context")):
        mine = [p for p in held if p.kind == kind]
        assert part.count("cv-card-map") == len(mine)
        assert f"{sum(p.kept for p in mine)} of {len(mine)} kept" in part
        assert part.count("checked") == sum(p.kept for p in mine)
    for p in held:
        assert f"<span>{p.size} place" in cards
    assert cards.count('class="cv-like"') == len(held)
    assert cards.count('class="cv-patch"') == sum(len(p.members) for p in held)
    for source in {bank.pictures[m.picture] for p in held for m in p.members}:
        assert source in cards
    assert "What <em>ram</em> looks like" in seen["proto said"]
    assert "32 pictures" in seen["proto said"]
    assert list(panels(seen["proto map"]))[-1] == "fused"


def test_what_a_score_is_depends_on_the_layer(ram, ask):
    assert "shown alone" in shown(ram, "layer4")["proto legend"]
    assert "all are kept" in shown(ram, "layer3")["proto legend"]
    stages = tuple(compare_tab.engine().backbone(VIT, "random").default_stages)
    vit = replace(ask, wanted=VIT, backbone=VIT, stages=stages)
    seen = shown(vit)
    assert "Not scored" in seen["proto legend"] and "<b>not scored</b>" in seen["proto cards"]


def test_a_pictures_own_prototypes_show_patches_of_it(ask):
    seen = shown(ask)
    assert "this picture alone" in seen["proto said"]
    assert seen["proto cards"].count('class="cv-patch"') > 0
    assert re.search(r'title="this picture, (as it is|enlarged)', seen["proto cards"])


def test_why_there_are_no_patches(ram):
    bank = compare_tab.likeness(ram, compare_tab.explain(ram).target).bank
    held = bank.stage("layer1")
    assert held.thumbnails is None
    assert "do not ship" in prototypes_tab._no_patches(bank, held)
    bare = replace(held, prototypes=tuple(replace(p, members=()) for p in held.prototypes))
    assert "photographs" in prototypes_tab._no_patches(bank, bare)
    assert "holds no patches" in prototypes_tab._no_patches(replace(bank, source="gallery"), held)
    assert prototypes_tab._no_patches(bank, bank.stage("layer4")) == ""


def test_names_are_text(ask):
    views = list(prototypes_tab.changed(ask, event(0, "name:<b>horn</b>"), None, "mean"))
    cards = tab(views)["proto cards"]
    assert "<b>horn" not in cards and 'value="&lt;b&gt;horn&lt;/b&gt;"' in cards


def test_without_a_picture_a_sentence_stands_there(ask):
    seen = shown(replace(ask, picture=None))
    assert "no picture yet" in seen["proto said"] and seen["proto cards"] == ""
    assert seen["kin here"]["rows"] == []
    quiet = replace(ask, picture=None)
    assert list(prototypes_tab.moved_to(quiet, 1, 1, None)) == []
    assert list(prototypes_tab.other_view(quiet, None, "mean")) == []


def test_a_layer_that_another_network_had_is_forgotten(ask):
    assert shown(ask, "blocks.3")["proto stage"]["value"] == ask.stages[-1]


def test_mean_and_nearest(ask):
    mean, nearest = (shown(ask, aggregate=a)["proto map"] for a in ("mean", "max"))
    assert panels(mean)["fused"]["data"] != panels(nearest)["fused"]["data"]


# -- Keep, drop, name ----------------------------------------------------------------------------


def test_a_dropped_prototype_leaves_the_map_at_once_and_compare_follows(ram, passes):
    before = shown(ram, "layer4")
    list(compare_tab.show(ram))
    kept = int(re.search(r'data-index="(\d+)" data-kept="1"', before["proto cards"])[1])
    passes.clear()
    views = list(prototypes_tab.changed(ram, event(kept, "keep", False), "layer4", "mean"))
    assert passes == []
    after, bank = tab(views), bank_of(views)
    assert views[0].tab  # this tab first
    assert f'data-index="{kept}" data-kept="0"' in after["proto cards"]
    assert (
        panels(after["proto map"])["layer4"]["data"]
        != panels(before["proto map"])["layer4"]["data"]
    )
    assert (
        panels(after["proto map"])["layer3"]["data"]
        == panels(before["proto map"])["layer3"]["data"]
    )
    (row,) = [row for row in views[-1].maps["rows"] if row["key"] == "prototypes"]
    mine = after["proto map"]["rows"][0]["panels"]
    assert [p["data"] for p in row["panels"]] == [p["data"] for p in mine]
    assert before["proto reset"]["interactive"] is False
    assert after["proto reset"]["interactive"] is True

    asked = replace(ram, bank=bank)
    x = compare_tab.row_of(asked, "prototypes")
    assert not x.bank.stage("layer4").prototypes[kept].kept
    passes.clear()
    views = list(prototypes_tab.automatic_choice(asked, "layer4", "mean"))
    assert passes == []
    assert tab(views)["proto map"] == before["proto map"]
    assert tab(views)["proto reset"]["interactive"] is False


def test_a_name_stays_and_changes_no_map(ask):
    before = shown(ask)
    views = list(prototypes_tab.changed(ask, event(1, "name:  left   horn "), None, "mean"))
    bank = bank_of(views)
    assert bank.stage(ask.stages[-1]).prototypes[1].name == "left horn"
    assert tab(views)["proto map"]["rows"][0]["panels"] == before["proto map"]["rows"][0]["panels"]
    views = list(prototypes_tab.automatic_choice(replace(ask, bank=bank), None, "mean"))
    assert bank_of(views).stage(ask.stages[-1]).prototypes[1].name == "left horn"


def test_no_such_prototype(ask):
    with pytest.raises(PrototypeError, match="no prototype 99"):
        list(prototypes_tab.changed(ask, event(99, "keep", False), None, "mean"))


def test_automatic_is_what_was_built(ram, ask):
    for asked in (ram, ask):
        bank = compare_tab.likeness(asked, compare_tab.explain(asked).target).bank
        assert automatic(bank).stages.keys() == bank.stages.keys()
        for name, held in bank.stages.items():
            assert automatic(bank).stages[name].prototypes == held.prototypes
            changed = bank.keep(name, 0, not held.prototypes[0].kept)
            assert automatic(changed).stages[name].prototypes == held.prototypes


def test_what_was_dropped_in_one_picture_is_not_dropped_in_another(ask, other):
    """A picture's own prototypes are of that picture."""
    views = list(prototypes_tab.changed(ask, event(0, "keep", False), None, "mean"))
    target = compare_tab.explain(ask).target
    elsewhere = replace(ask, picture=other["path"], bank=bank_of(views))
    x = compare_tab.likeness(elsewhere, target)
    alone = compare_tab.likeness(replace(elsewhere, bank=None), target)
    assert x.bank is alone.bank
    assert np.array_equal(x.raw[ask.stages[-1]], alone.raw[ask.stages[-1]])
    # ... and it is still dropped where it was
    back = compare_tab.likeness(replace(ask, bank=bank_of(views)), target)
    assert not back.bank.stage(ask.stages[-1]).prototypes[0].kept


def test_other_layers_may_be_ticked_after_a_choice(ram):
    views = list(prototypes_tab.changed(ram, event(0, "keep", False), "layer4", "mean"))
    asked = replace(ram, bank=bank_of(views), stages=("layer3", "layer4"))
    x = compare_tab.likeness(asked, compare_tab.explain(asked).target)
    assert x.stages == ("layer3", "layer4") and x.bank.source == "bundled"
    assert not x.bank.stage("layer4").prototypes[0].kept


# -- Files ---------------------------------------------------------------------------------------


def test_saved_and_loaded_again(ask, folder):
    views = list(prototypes_tab.changed(ask, event(0, "name:horn"), None, "mean"))
    views = list(
        prototypes_tab.changed(
            replace(ask, bank=bank_of(views)), event(1, "keep", False), None, "mean"
        )
    )
    held = replace(ask, bank=bank_of(views))
    name, saved = sent(prototypes_tab.save(held), folder)
    assert name.endswith(".safetensors") and RESNET in name
    deepest = ask.stages[-1]
    assert saved.stage(deepest).prototypes[0].name == "horn"
    assert not saved.stage(deepest).prototypes[1].kept
    assert saved.stage(deepest).thumbnails.any()  # of the picture itself

    upload = folder / "bank.safetensors"
    saved.save(upload)
    views = list(prototypes_tab.load(ask, {"path": str(upload)}, None, "mean"))
    bank = bank_of(views)
    assert views[0].held["target"] == bank.label and bank.source == "gallery"
    assert f"“{bank.label}”" in views[0].notice
    assert 'value="horn"' in tab(views)["proto cards"]
    x = compare_tab.row_of(replace(ask, bank=bank, target=bank.label), "prototypes")
    assert not x.bank.stage(deepest).prototypes[1].kept
    without = prototypes_tab.load(replace(ask, picture=None), {"path": str(upload)}, None, "mean")
    assert bank_of(list(without)).label == bank.label


def test_files_that_will_not_do_are_said_in_sentences(ask, ram, folder):
    alien = sent(prototypes_tab.save(ram), folder)[1].save(folder / "alien.safetensors")
    broken = folder / "broken.safetensors"
    broken.write_bytes(b"nothing of the kind")
    for given, sentence in (
        (None, "no file was given"),
        ({"path": str(alien)}, "of scenes-resnet, not of test_resnet"),
        ({"path": str(broken)}, "not a .safetensors file"),
        ({"path": "/etc/passwd"}, "must be uploaded"),
    ):
        with pytest.raises(PrototypeError, match=re.escape(sentence)):
            list(prototypes_tab.load(ask, given, None, "mean"))
    with pytest.raises(PrototypeError, match="choose the same"):
        list(prototypes_tab.load(replace(ram, tap="output"), {"path": str(alien)}, None, "mean"))


def test_clusters_are_what_was_asked_for(ask, photo_file):
    views = list(compare_tab.new_bank(ask, [photo_file], lambda *_: None, 3))
    bank = bank_of(views)
    assert bank.clusters == 3
    counts = [sum(p.kind == "context" for p in s.prototypes) for s in bank.stages.values()]
    assert max(counts) == 3
    assert "learned from 1 picture." in shown(replace(ask, bank=bank))["proto said"]


# -- Kin -----------------------------------------------------------------------------------------


def test_kin_is_the_cosine_of_the_features(ask, photo):
    """By hand, from a trace of the picture."""
    x, (column, row) = kin(ask, 50, 50)
    assert (column, row) == (photo.shape[1] // 2, photo.shape[0] // 2)
    backbone = compare_tab.network(ask)
    prepared, _ = backbone.prepare(camviz.open_picture(ask.picture), "stretch")
    for name in ask.stages:
        tap = backbone.stage(name).tap("activation")
        features = trace(backbone, prepared, [tap]).activations[tap.address]
        height, width = features.shape[2:]
        y, x_ = (
            int((row + 0.5) / photo.shape[0] * height),
            int((column + 0.5) / photo.shape[1] * width),
        )
        wanted = cosine_similarity(features, features[:, :, y : y + 1, x_ : x_ + 1]).numpy()[0]
        assert np.allclose(x.raw[name], wanted, atol=1e-5), name
        assert x.raw[name][y, x_] == pytest.approx(1, abs=1e-5)


def test_kin_of_a_place_asks_the_network_nothing(ask, other, passes):
    shown(ask, picture=other)
    passes.clear()
    views = list(prototypes_tab.moved_to(ask, 20, 70, other))
    assert passes == [] and len(views) == 2
    here, there = tab(views)["kin here"], tab(views)["kin there"]
    assert list(panels(here)) == list(panels(there)) == [*reversed(ask.stages)]
    assert {tuple(p["ring"]) for p in panels(here).values()} == {(18, 42)}
    assert here["pick"] and there["follows"] == "kin-here"
    assert there["picture"]["height"] == 70


def test_the_nearest_place_of_a_second_picture_is_ringed(ask, other):
    (view,) = prototypes_tab.second_picture(ask, 30, 30, other)
    x, _ = kin(ask, 30, 30, other["path"])
    for name, panel in panels(view.tab["kin there"]).items():
        column, row = panel["ring"]
        drawn = x.on_picture(x.raw[name], x.placements[name])
        assert drawn[row, column] >= drawn.max() - 0.02


def test_a_click_moves_the_point(ask):
    views = list(prototypes_tab.picked(ask, event(0, [44, 29]), None))
    assert tab(views)["kin across"] == 49.4 and tab(views)["kin down"] == 49.2
    assert panels(tab(views)["kin here"])[ask.stages[0]]["ring"] == [44, 29]
    assert tab(views)["kin there"]["rows"] == []


def test_the_ends_of_the_sliders_are_the_edges_of_the_picture(ask, photo):
    assert kin(ask, 0, 0)[1] == (0, 0)
    assert kin(ask, 100, 100)[1] == (photo.shape[1] - 1, photo.shape[0] - 1)


def test_negative_likeness_is_shown_as_such(ask):
    stages = tuple(compare_tab.engine().backbone(VIT, "random").default_stages)
    vit = replace(ask, wanted=VIT, backbone=VIT, stages=stages)
    x, _ = kin(vit, 50, 50)
    assert min(raw.min() for raw in x.raw.values()) >= -1.00001
    for name, panel in panels(shown(vit)["kin here"]).items():
        assert panel["facts"][-1].startswith("cosine") and name in x.raw


def test_a_second_picture_that_cannot_be_opened_harms_nothing(ask, folder):
    bad = folder / "bad.png"
    bad.write_text("no picture")
    seen = shown(ask, picture={"path": str(bad)})
    assert "not a picture" in seen["kin there"]["rows"][0]["said"]
    assert seen["kin here"]["rows"][0]["panels"]
    seen = shown(ask, picture={"path": "/etc/passwd"})
    assert "must be uploaded" in seen["kin there"]["rows"][0]["said"]


def test_a_place_that_was_not_shown_to_the_network(ask, folder, photo):
    wide = folder / "wide.png"
    Image.fromarray(np.concatenate([photo] * 3, axis=1)).save(wide)
    with pytest.raises(MethodError, match="was not shown the point"):
        list(prototypes_tab.moved_to(replace(ask, picture=str(wide), fit="crop"), 1, 50, None))


def test_an_example_as_the_second_picture(ask):
    (view,) = prototypes_tab.second_example(ask, event(0, "a-zebra"))
    assert view.tab["kin picture"] == str(example("a-zebra").path)
    with pytest.raises(CamvizError, match="no example is called"):
        list(prototypes_tab.second_example(ask, event(0, "nothing")))
