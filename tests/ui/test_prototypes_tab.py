"""Prototypes without a browser: what is kept, dropped and named, files, and similar places."""

import base64
import re
from dataclasses import replace

import numpy as np
import pytest
import timm
from gradio.utils import get_upload_folder
from PIL import Image
from timm.models import save_for_hf
from torch.nn.functional import cosine_similarity

import camviz
from camviz.errors import CamvizError, ImageError, MethodError, PrototypeError, RequestError
from camviz.examples import example
from camviz.network.trace import trace
from camviz.prototypes.bank import PrototypeBank
from camviz.turns import Stopped
from camviz.ui import service
from camviz.ui.events import plain as plain_values
from camviz.ui.events import take
from camviz.ui.state import BackboneChoice, Selection, Session, Task
from camviz.ui.tabs import prototype_actions as actions
from camviz.ui.tabs import prototypes
from camviz.ui.tabs.prototype_actions import automatic_choice, similarity_to_bank
from camviz.ui.tabs.prototype_cards import missing_patches
from camviz.ui.tabs.similarity import similarity_maps

RESNET, VIT = "test_resnet.r160_in1k", "test_vit.r160_in1k"
SCENES = "scenes-resnet"
ID = prototypes.ID


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
    return str(path)


@pytest.fixture
def controls(folder, controls_of, photo_file):
    """A photo before a small network without its weights, and a place for uploads."""
    return controls_of(photo_file)


@pytest.fixture
def vit(folder, controls_of, photo_file):
    """The same before a small transformer."""
    return controls_of(photo_file, VIT)


@pytest.fixture
def ram(controls_of):
    """A drawn ram before the bundled network, which has prototypes of rams with it."""
    return controls_of(str(example("a-ram").path), SCENES, untrained=False)


@pytest.fixture
def passes(monkeypatch):
    """How often a picture has been shown to a network."""
    count = []

    def counted(*arguments, **options):
        count.append(arguments)
        return trace(*arguments, **options)

    monkeypatch.setattr("camviz.engine.work.run_trace", counted)
    return count


def session_of(controls, **settings):
    session = Session()
    session.change(controls)
    for name, value in settings.items():
        session.set(ID, name, value)
    return session


def parts_of(session):
    """The parts of the tab when all steps are through."""
    updates = list(prototypes.show(session, session.controls, Task()))
    return {name: value for update in updates for name, value in plain(update.tab).items()}


def plain(tab):
    return {k: v.to_json() if hasattr(v, "to_json") else v for k, v in tab.items()}


def content(controls, **settings):
    return parts_of(session_of(controls, **settings))


def click(index, value, selected=True):
    return Selection(value, index, selected)


def edit(controls, index, value, selected=True, **settings):
    """The controls after a click on a card."""
    session = session_of(controls, **settings)
    actions.edit(session, click(index, value, selected))
    return session.controls


def save(controls, folder):
    """(name, bank) of the file that a link holds."""
    (update,) = actions.save(session_of(controls), None, Task())
    link = update.tab["file"]
    file = folder / "sent.safetensors"
    file.write_bytes(base64.b64decode(re.search(r'base64,([^"]*)"', link)[1]))
    return re.search(r'download="([^"]*)"', link)[1], PrototypeBank.load(file)


def load(controls, file):
    """The session after a file was loaded."""
    session = session_of(controls)
    assert list(actions.load(session, file, Task())) == []
    return session


def panels(payload):
    return {panel["key"]: panel for panel in payload["rows"][0]["panels"]}


def deepest(controls):
    return service.stages_of(controls)[-1]


# -- What is shown -------------------------------------------------------------------------------


def test_every_prototype_of_a_layer_has_a_card(ram):
    parts = content(ram, stage="layer4")
    cards = parts["cards"]
    bank = similarity_to_bank(ram).bank
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
    assert cards.count('class="cv-similarity"') == len(held)
    assert cards.count('class="cv-patch"') == sum(len(p.members) for p in held)
    for source in {bank.pictures[m.picture] for p in held for m in p.members}:
        assert source in cards
    assert "What <em>ram</em> looks like" in parts["introduction"]
    assert "32 pictures" in parts["introduction"]
    assert list(panels(parts["maps"]))[-2:] == ["fused", "refined"]


def test_what_a_score_is_depends_on_the_layer(ram, vit):
    assert "shown alone" in content(ram, stage="layer4")["legend"]
    assert "all are kept" in content(ram, stage="layer3")["legend"]
    parts = content(vit)
    assert "Not scored" in parts["legend"] and "<b>not scored</b>" in parts["cards"]


def test_a_pictures_own_prototypes_show_patches_of_it(controls):
    parts = content(controls)
    assert "this picture alone" in parts["introduction"]
    assert parts["cards"].count('class="cv-patch"') > 0
    assert re.search(r'title="this picture, (as it is|enlarged)', parts["cards"])


def test_why_there_are_no_patches(ram):
    bank = similarity_to_bank(ram).bank
    held = bank.stage("layer1")
    assert held.thumbnails is None
    assert "do not ship" in missing_patches(bank, held)
    bare = replace(held, prototypes=tuple(replace(p, members=()) for p in held.prototypes))
    assert "photographs" in missing_patches(bank, bare)
    assert "holds no patches" in missing_patches(replace(bank, source="gallery"), held)
    assert missing_patches(bank, bank.stage("layer4")) == ""


def test_a_source_stands_in_the_place_of_a_patch(ram):
    """And is not named a second time below."""
    fine = ram.with_options(stages=("layer1", "layer4"))
    cards = content(fine, stage="layer1")["cards"]
    assert cards.count('class="cv-source"') > 0
    assert 'class="cv-patch"' not in cards and 'class="cv-from"' not in cards


def test_names_are_text(controls):
    cards = content(edit(controls, 0, "name:<b>horn</b>"))["cards"]
    assert "<b>horn" not in cards and 'value="&lt;b&gt;horn&lt;/b&gt;"' in cards


def test_without_a_picture_a_sentence_stands_there(controls):
    quiet = replace(controls, picture=None)
    parts = content(quiet)
    assert "no picture yet" in parts["introduction"] and parts["cards"] == ""
    assert list(parts["here"]["rows"]) == []
    session = session_of(quiet)
    prototypes.pick(session, click(0, [1, 1]))
    assert session.get(ID, "across") is None


def test_a_layer_that_another_network_had_is_forgotten(controls):
    assert content(controls, stage="blocks.3")["stage"].value == deepest(controls)


def test_mean_and_nearest(controls):
    mean, nearest = (content(controls, aggregate=a)["maps"] for a in ("mean", "max"))
    assert panels(mean)["fused"]["data"] != panels(nearest)["fused"]["data"]


def test_passes_are_counted(controls, folder, passes):
    """What the tests below rely on."""
    path = folder / "noise.png"
    Image.fromarray(np.random.default_rng(7).integers(0, 256, (80, 80, 3), np.uint8)).save(path)
    content(replace(controls, picture=str(path)))
    assert passes


# -- Keep, drop, name ----------------------------------------------------------------------------


def test_a_dropped_prototype_leaves_the_map_at_once_and_compare_follows(ram, passes):
    before = content(ram, stage="layer4")
    service.rows(ram)
    kept = int(re.search(r'data-index="(\d+)" data-kept="1"', before["cards"])[1])
    passes.clear()
    changed = edit(ram, kept, "keep", False, stage="layer4")
    after = content(changed, stage="layer4")
    x = service.row(changed, service.PROTOTYPES)
    assert passes == []
    assert f'data-index="{kept}" data-kept="0"' in after["cards"]
    assert panels(after["maps"])["layer4"]["data"] != panels(before["maps"])["layer4"]["data"]
    assert panels(after["maps"])["layer3"]["data"] == panels(before["maps"])["layer3"]["data"]
    compared = plain({"maps": prototypes.payload({service.PROTOTYPES: x})})["maps"]
    mine = after["maps"]["rows"][0]["panels"]
    assert [p["data"] for p in compared["rows"][0]["panels"]] == [p["data"] for p in mine]
    assert before["reset"].interactive is False
    assert after["reset"].interactive is True
    assert not x.bank.stage("layer4").prototypes[kept].kept

    passes.clear()
    session = session_of(changed, stage="layer4")
    actions.reset(session)
    parts = parts_of(session)
    assert passes == []
    assert parts["maps"] == before["maps"]
    assert parts["reset"].interactive is False


def test_a_name_stays_and_changes_no_map(controls):
    before = content(controls)
    named = edit(controls, 1, "name:  left   horn ")
    assert named.bank.stage(deepest(controls)).prototypes[1].name == "left horn"
    assert content(named)["maps"]["rows"][0]["panels"] == before["maps"]["rows"][0]["panels"]
    session = session_of(named)
    actions.reset(session)
    assert session.controls.bank.stage(deepest(controls)).prototypes[1].name == "left horn"


def test_no_such_prototype(controls):
    with pytest.raises(PrototypeError, match="no prototype 99"):
        edit(controls, 99, "keep", False)


def test_a_click_keeps_what_is_set_while_it_is_worked_on(controls, monkeypatch):
    """Two clicks in a row count both, and so does another control between them."""
    session = session_of(controls)
    busy = []

    def interrupted(given, *rest):
        x = similarity_to_bank(given, *rest)
        if not busy:
            busy.append(True)
            actions.edit(session, click(1, "keep", False))
            session.change(replace(session.controls, truncation=0.5))
        return x

    monkeypatch.setattr(actions, "similarity_to_bank", interrupted)
    actions.edit(session, click(0, "keep", False))
    held = session.controls.bank.stage(deepest(controls)).prototypes
    assert [p.kept for p in held[:2]] == [False, False]
    assert session.controls.truncation == 0.5


def test_automatic_is_what_was_built(ram, controls):
    for given in (ram, controls):
        bank = similarity_to_bank(given).bank
        assert automatic_choice(bank).stages.keys() == bank.stages.keys()
        for name, held in bank.stages.items():
            assert automatic_choice(bank).stages[name].prototypes == held.prototypes
            changed = bank.keep(name, 0, not held.prototypes[0].kept)
            assert automatic_choice(changed).stages[name].prototypes == held.prototypes


def test_what_was_dropped_in_one_picture_is_not_dropped_in_another(controls, other):
    """A picture's own prototypes are of that picture."""
    bank = edit(controls, 0, "keep", False).bank
    target, stage = service.explain(controls).target, deepest(controls)
    elsewhere = replace(controls, picture=other, bank=bank)
    x = service.prototype_map(elsewhere, target)
    alone = service.prototype_map(replace(elsewhere, bank=None), target)
    assert x.bank is alone.bank
    assert np.array_equal(x.raw[stage], alone.raw[stage])
    # ... and it is still dropped where it was
    back = service.prototype_map(replace(controls, bank=bank), target)
    assert not back.bank.stage(stage).prototypes[0].kept


def test_other_layers_may_be_ticked_after_a_choice(ram):
    changed = edit(ram, 0, "keep", False, stage="layer4")
    x = similarity_to_bank(changed.with_options(stages=("layer3", "layer4")))
    assert x.stages == ("layer3", "layer4") and x.bank.source == "bundled"
    assert not x.bank.stage("layer4").prototypes[0].kept


# -- Files ---------------------------------------------------------------------------------------


def test_saved_and_loaded_again(controls, folder):
    held = edit(edit(controls, 0, "name:horn"), 1, "keep", False)
    name, bank = save(held, folder)
    assert name.endswith(".safetensors") and RESNET in name
    stage = deepest(controls)
    assert bank.stage(stage).prototypes[0].name == "horn"
    assert not bank.stage(stage).prototypes[1].kept
    assert bank.stage(stage).thumbnails.any()  # of the picture itself

    upload = folder / "bank.safetensors"
    bank.save(upload)
    session = load(controls, str(upload))
    assert session.controls.target == bank.label
    assert session.controls.bank.source == "gallery"
    assert f"“{bank.label}”" in session.notice
    assert 'value="horn"' in parts_of(session)["cards"]
    x = service.row(session.controls, service.PROTOTYPES)
    assert not x.bank.stage(stage).prototypes[1].kept
    without = load(replace(controls, picture=None), str(upload))
    assert without.controls.bank.label == bank.label


def test_a_saved_file_does_not_tell_where_the_network_lies(controls, folder, monkeypatch, fresh):
    """Neither its name nor anything in it."""
    place = folder / "private" / "mine"
    model = timm.create_model("test_resnet", num_classes=5, zero_init_last=False)
    save_for_hf(model, place, model_args={"zero_init_last": False})
    monkeypatch.setenv("CAMVIZ_BACKBONE", f"local-dir:{place}")
    own = replace(controls, backbone=BackboneChoice("mine"))
    name, bank = save(own, folder)
    assert name.endswith("-mine.safetensors") and bank.backbone == "mine"
    assert b"private" not in (folder / "sent.safetensors").read_bytes()
    session = load(own, str(folder / "sent.safetensors"))
    assert session.controls.bank.label == bank.label


def test_files_that_will_not_do_are_refused_in_sentences(controls, ram, folder):
    alien = save(ram, folder)[1].save(folder / "alien.safetensors")
    broken = folder / "broken.safetensors"
    broken.write_bytes(b"nothing of the kind")
    for given, sentence in (
        (None, "no file was given"),
        (str(alien), "of scenes-resnet, not of test_resnet"),
        (str(broken), "not a .safetensors file"),
    ):
        with pytest.raises(PrototypeError, match=re.escape(sentence)):
            load(controls, given)
    with pytest.raises(PrototypeError, match="choose the same"):
        load(ram.with_options(tap="output"), str(alien))


def test_clusters_are_as_many_as_were_set(controls, photo_file):
    session, task = session_of(controls), Task()
    assert list(actions.learn(session, [[photo_file], 3], task)) == []
    bank = session.controls.bank
    assert bank.clusters == 3
    counts = [sum(p.kind == "context" for p in s.prototypes) for s in bank.stages.values()]
    assert max(counts) == 3
    assert "learned from 1 picture." in parts_of(session)["introduction"]
    assert f"Learned what “{bank.label}” looks like" in session.notice
    assert task.total == 1 and task.label == "Learning from picture 1 of 1 …"
    actions.forget(session)
    assert session.controls.bank is None


def test_nothing_to_learn_from(controls, photo_file):
    with pytest.raises(PrototypeError, match="no pictures were given"):
        list(actions.learn(session_of(controls), [None, 3], Task()))
    with pytest.raises(PrototypeError, match="no class is chosen"):
        list(actions.learn(session_of(replace(controls, picture=None)), [[photo_file], 3], Task()))
    task = Task()
    task.cancel()
    session = session_of(controls)
    with pytest.raises(Stopped):
        list(actions.learn(session, [[photo_file], 3], task))
    assert session.controls.bank is None


def test_files_come_by_upload_only(controls):
    """Whatever a program may send in the place of an upload."""
    session = session_of(controls)
    take(session, prototypes._set("second_picture"), [{"path": "/etc/passwd"}])
    assert "must be uploaded" in session.notice and session.get(ID, "second_picture") is None
    for sent in ({"path": "/etc/passwd"}, [{"path": "/etc/passwd"}]):  # a bank, a gallery
        with pytest.raises(ImageError, match="must be uploaded"):
            plain_values([sent])


def test_another_backbone_is_chosen_while_prototypes_are_learned(controls, photo_file):
    session = session_of(controls)

    class Interrupted(Task):
        def report(self, *_):
            session.change(replace(controls, backbone=BackboneChoice(SCENES)))

    with pytest.raises(PrototypeError, match="changed meanwhile"):
        list(actions.learn(session, [[photo_file], 3], Interrupted()))
    assert session.controls.bank is None


# -- Similar places ------------------------------------------------------------------------------


def test_similarity_is_the_cosine_of_the_features(controls, photo):
    """By hand, from a trace of the picture."""
    maps = similarity_maps(controls, 50, 50)
    column, row = photo.shape[1] // 2, photo.shape[0] // 2
    backbone = service.load(controls.backbone)
    prepared, _ = backbone.prepare(camviz.open_picture(controls.picture), "stretch")
    for name in service.stages_of(controls):
        tap = backbone.stage(name).tap("activation")
        features = trace(backbone, prepared, [tap]).activations[tap.address]
        height, width = features.shape[2:]
        y, x_ = (
            int((row + 0.5) / photo.shape[0] * height),
            int((column + 0.5) / photo.shape[1] * width),
        )
        wanted = cosine_similarity(features, features[:, :, y : y + 1, x_ : x_ + 1]).numpy()[0]
        assert maps[name].point == (column + 0.5, row + 0.5)
        assert np.allclose(maps[name].raw, wanted, atol=1e-5), name
        assert maps[name].raw[y, x_] == pytest.approx(1, abs=1e-5)


def test_similar_places_need_no_pass_of_the_network(controls, other, passes):
    session = session_of(controls, second_picture=other)
    parts_of(session)
    passes.clear()
    session.set(ID, "across", 20)
    session.set(ID, "down", 70)
    parts = parts_of(session)
    assert passes == []
    here, there = parts["here"], parts["there"]
    stages = [*reversed(service.stages_of(controls))]
    assert list(panels(here)) == list(panels(there)) == stages
    assert {tuple(p["ring"]) for p in panels(here).values()} == {(18, 42)}
    assert here["pick"] and there["follows"] == "similar-here"
    assert there["picture"]["height"] == 70


def test_what_a_row_of_similar_places_is_called(controls, other):
    parts = content(controls, second_picture=other)
    for part, title, says in (
        ("here", "In this picture", "the one ringed"),
        ("there", "In the second picture", "the nearest is ringed"),
    ):
        (row,) = parts[part]["rows"]
        assert row["title"] == title and says in row["words"]["summary"]
        assert (row["method"], row["paper"]) == ("Similarity.", "cosine similarity")
        assert row["words"]["formula"].startswith("S = Σ_k A_k")
        for panel in row["panels"]:
            assert panel["unit"] == "cosine" and list(panel["remarks"]) == []
            assert panel["alt"].startswith(f"{title}: what {panel['key']} holds to be like")


def test_the_nearest_place_of_a_second_picture_is_ringed(controls, other):
    there = content(controls, across=30, down=30, second_picture=other)["there"]
    maps = similarity_maps(controls, 30, 30, other)
    for name, panel in panels(there).items():
        column, row = panel["ring"]
        drawn = maps[name].map
        assert drawn[row, column] >= drawn.max() - 0.02


def test_a_click_moves_the_point_and_the_sliders(controls):
    session = session_of(controls)
    assert parts_of(session)["across"] == 50
    prototypes.pick(session, click(0, [44, 29]))
    parts = parts_of(session)
    assert parts["across"] == 49.4 and parts["down"] == 49.2
    stage = service.stages_of(controls)[0]
    assert tuple(panels(parts["here"])[stage]["ring"]) == (44, 29)
    assert list(parts["there"]["rows"]) == []


@pytest.mark.parametrize("value", ["ab", None, [1], [1, 2, 3], ["x", 1], [1e300, 5], [-5, 5], {}])
def test_a_place_that_is_none_is_refused(controls, value):
    session = session_of(controls)
    with pytest.raises(RequestError, match="place of the picture is"):
        prototypes.pick(session, click(0, value))
    assert session.get(ID, "across") is None


def test_a_slider_is_not_moved_under_the_visitors_hand(controls):
    session = session_of(controls)
    parts_of(session)
    prototypes._set("across")(session, 61.3)
    parts = parts_of(session)
    assert "across" not in parts and session.get(ID, "across") == 61.3
    stage = service.stages_of(controls)[0]
    assert panels(parts["here"])[stage]["ring"][0] == int(0.613 * 90)


def test_the_ends_of_the_sliders_are_the_edges_of_the_picture(controls, photo):
    height, width = photo.shape[:2]
    for percent, place in ((0, (0.5, 0.5)), (100, (width - 0.5, height - 0.5))):
        maps = similarity_maps(controls, percent, percent)
        assert {each.point for each in maps.values()} == {place}


def test_negative_similarity_is_shown_as_such(vit):
    maps = similarity_maps(vit, 50, 50)
    assert min(each.raw.min() for each in maps.values()) >= -1.00001
    here = content(vit)["here"]
    assert here["has_signs"] and tuple(here["rows"][0]["signs"]) == ("unlike", "like")
    assert min(each.raw.min() for each in maps.values()) < -0.01
    for name, panel in panels(here).items():
        raw = maps[name].raw
        assert panel["facts"][-1] == f"cosine {raw.min():.2f} to {raw.max():.2f}"
        assert panel["peak"] == pytest.approx(raw.max(), rel=1e-5)
        assert panel["lowest"] == pytest.approx(max(-raw.min(), 0), rel=1e-5)
        assert (panel["against"] is not None) == bool(raw.min() < 0)


def test_a_second_picture_that_cannot_be_opened_harms_nothing(controls, folder):
    bad = folder / "bad.png"
    bad.write_text("no picture")
    parts = content(controls, second_picture=str(bad))
    assert "not a picture" in parts["there"]["rows"][0]["reason"]
    assert parts["here"]["rows"][0]["panels"]


def test_a_place_that_was_not_shown_to_the_network(controls, folder, photo):
    wide = folder / "wide.png"
    Image.fromarray(np.concatenate([photo] * 3, axis=1)).save(wide)
    cropped = replace(controls, picture=str(wide)).with_options(fit="crop")
    with pytest.raises(MethodError, match="was not shown the point"):
        content(cropped, across=1, down=50)


def test_an_example_as_the_second_picture(controls):
    session = session_of(controls)
    prototypes.choose_example(session, click(0, "a-zebra"))
    path = session.get(ID, "second_picture")
    assert camviz.open_picture(path) == example("a-zebra").open()
    parts = parts_of(session)
    assert parts["second_picture"] == path and parts["there"]["rows"][0]["panels"]
    with pytest.raises(CamvizError, match="no example is called"):
        prototypes.choose_example(session, click(0, "nothing"))
