"""Answers without a browser: what is set becomes what the page shows."""

import re
import shutil
import threading
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from PIL import Image

import camviz
from camviz.defaults import NEAREST
from camviz.engine.notes import Denoising
from camviz.engine.option import option_table
from camviz.engine.options import Options
from camviz.engine.truncation import Reason, TruncationChoice
from camviz.errors import BackboneError, MethodError, PrototypeError
from camviz.examples import example
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS
from camviz.ui import actions, choices, html, links, service
from camviz.ui.events import take
from camviz.ui.layers import layer_in_words
from camviz.ui.notices import with_notices
from camviz.ui.state import (
    DEFAULT,
    NOBODY,
    TOP,
    BackboneChoice,
    Selection,
    Session,
    Task,
    Unavailable,
    Update,
)
from camviz.ui.tabs import compare, prototype_actions
from camviz.ui.values import component_value

RESNET = "test_resnet.r160_in1k"
VIT = "test_vit.r160_in1k"
STAGES = ("layer1", "layer2", "layer3", "layer4")


@pytest.fixture
def opened(visit, controls):
    """The page as it opens on a photograph."""
    return visit.open(controls)


# -- The three rows ------------------------------------------------------------------------------


def test_first_result_has_three_rows(opened):
    assert opened.session.loaded == BackboneChoice(RESNET, True)
    for key in ("layercam", "denoised"):
        assert opened.panels(key) == [*reversed(STAGES), "fused", "refined"]
    alike = opened.panels("prototypes")
    assert alike == ["layer4", "layer3", "fused", "refined"]  # 5 x 5 and 10 x 10 cells
    assert "None are of stage 1 of 4, 40\u00a0×\u00a040 (layer1)" in opened.tab["learned"]
    assert opened.frame["bars"].count('class="cv-bar"') == 5
    assert opened.frame["bars"].count('aria-pressed="true"') == 1
    assert opened.link == {"backbone": RESNET, "example": "upload", "weights": "untrained"}
    chosen = opened.do(actions.choose_stages, ["layer1", "layer4"])
    assert chosen.panels("prototypes") == ["layer4", "layer1", "fused", "refined"]
    assert "None are of" not in chosen.tab["learned"]


def test_rows_are_the_engines_own(controls):
    rows = service.rows(replace(controls, truncation=0.5))
    engine, network = service.engine(), service.load(controls.backbone)
    pixels = camviz.open_picture(controls.picture)
    plain = engine.explain(pixels, network)
    cleaned = engine.explain(pixels, network, truncation=0.5)
    alike = engine.explain(pixels, network, method="lpcam")
    for key, x in (("layercam", plain), ("denoised", cleaned), ("prototypes", alike)):
        assert rows[key].stages == x.stages
        for name in x.stages:
            assert np.array_equal(rows[key].raw[name], x.raw[name]), (key, name)
    assert not np.array_equal(plain.raw["layer1"], cleaned.raw["layer1"])


def test_gradient_rows_do_not_wait_for_slow_prototypes(opened, monkeypatch):
    given = threading.Event()
    monkeypatch.setattr(compare, "PATIENCE", 0.01)

    def slow(controls, target):
        assert given.wait(20)
        return Unavailable("here they are")

    monkeypatch.setattr(compare, "prototype_row", slow)
    steps = compare.show(opened.session, opened.controls, Task())
    first = next(steps)
    opened.tab = dict(first.tab)
    assert opened.row("prototypes")["reason"] == compare.COMING
    assert opened.panels("denoised") and first.tab["verdict"]
    given.set()
    (second,) = steps
    opened.tab = dict(second.tab)
    assert opened.row("prototypes")["reason"] == "here they are"
    assert "verdict" not in second.tab


def test_what_is_quick_comes_all_at_once(opened):
    opened.options(method="grad_cam")
    opened.options(method="layer_cam")
    assert len(opened.updates) == 1


def test_prototypes_say_what_they_were_learned_from(opened):
    assert "this picture alone" in opened.tab["learned"]


def test_a_method_without_gradients_has_nothing_to_denoise(opened):
    view = opened.options(method="eigen_cam")
    assert "no gradient" in view.row("denoised")["reason"]
    assert view.tab["denoising"] == "" and view.row("denoised")["holds"] is None
    assert view.panels() == [*reversed(STAGES), "fused", "refined"]


@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    ("method", "fuse"),
    [
        *((m, "mean") for m in choices.stage_methods() if not METHODS[m].uses_attention),
        *(("layer_cam", f) for f in FUSIONS),
    ],
)
def test_every_method_and_fusion(visit, controls, method, fuse):
    view = visit.open(controls.with_options(method=method, fuse=fuse))
    one = METHODS[method].uses_head or METHODS[method].scoring is not None
    maps = STAGES[-1:] if one else (*reversed(STAGES), "fused")
    assert view.panels() == [*maps, "refined"]
    verdict = view.tab["verdict"]
    assert METHODS[method].label in verdict and METHODS[method].paper in verdict
    alone = fuse in ("deepest", "shallowest")
    said = f"that of the {fuse} layer alone" if alone else FUSIONS[fuse].paper
    assert (said in unescape(verdict)) is not one


def test_a_papers_own_setting_is_named(opened):
    assert "setting of the" not in opened.tab["verdict"]
    assert "setting of the LayerCAM paper" in opened.options(fuse="max_tanh").tab["verdict"]


def test_the_slider_stands_in_the_row_that_it_changes(opened):
    held = {row["key"]: row["holds"] for row in opened.tab["maps"].to_json()["rows"]}
    assert held == {"layercam": None, "denoised": "ask-truncation", "prototypes": None}


def sentence_of(view):
    """What is said in the denoised row, as it is read."""
    return re.sub(r"<.*?>", "", view.tab["denoising"]).strip()


def test_truncation_in_figures(opened):
    name, (before, after) = service.row(opened.controls, "denoised").truncation_choice.worst
    layer = layer_in_words(service.load(opened.controls.backbone), name)
    assert sentence_of(opened) == (
        f"Chosen: none. Without its weak gradient, {layer} would agree less with the deepest one "
        f"(correlation {before:.2f} → {after:.2f}), so it is evidence here, and these are the "
        "plain maps."
    )
    view = opened.do(actions.set_truncation, 0.9)
    notes = service.row(view.controls, "denoised").notes.values()
    shares = [1 - note.denoising.removed for note in notes if note.denoising]
    assert len(shares) == 3 and max(shares) < 1
    kept = f"{min(shares):.0%} to {max(shares):.0%}".replace("% to", " to")
    assert view.tab["denoising"] == (
        f'<p class="cv-fine">These maps hold <strong>{kept}</strong> of the plain maps’ '
        "evidence.</p>"
    )
    none = opened.do(actions.set_truncation, 0.0)
    assert sentence_of(none) == "These are the plain maps: nothing is taken out."


def test_a_map_that_truncation_made_larger_is_not_said_to_have_lost(visit, controls_of, photo_file):
    controls = controls_of(photo_file, VIT).with_options(method="hires_cam")
    x = service.row(controls, "denoised")
    assert x.truncation_choice.reason == "agrees"
    shares = [note.denoising.removed for note in x.notes.values() if note.denoising]
    assert max(shares) < 0  # or this would be no test
    view = visit.open(controls)
    figures = ", ".join(f"{a:.2f} → {b:.2f}" for a, b in x.truncation_choice.agreement.values())
    least, most = (f"{1 - share:.2g}" for share in (max(shares), min(shares)))
    assert sentence_of(view) == (
        "Chosen: level 0.9. Without their weak gradient, the finer layers agree with the deepest "
        f"one as well as before (correlation {figures}), so what goes is held to be noise. These "
        f"maps hold {least} to {most} times the plain maps’ evidence."
    )
    for panel in view.row("denoised")["panels"]:
        note = x.notes.get(panel["key"])
        if note is not None and note.denoising is not None:
            kept = Denoising(0.0, note.denoising.removed, None).kept
            assert panel["facts"] == (kept,) and kept.endswith("times the plain map")
            assert kept.startswith(f"{1 - note.denoising.removed:.2g} ")


def denoising(maps=(), choice=None, level=0.9, stages=(), mode="threshold", views="one"):
    """What is said of a row of maps that lost these shares of their evidence, None: empty ones."""
    notes = [SimpleNamespace(denoising=SimpleNamespace(removed=share)) for share in maps]
    row = SimpleNamespace(
        notes=dict(enumerate([*notes, SimpleNamespace(denoising=None)])),
        truncation_choice=choice,
        request=SimpleNamespace(truncation=level, truncation_mode=mode, views=views),
        label="<ram>",
        backbone=SimpleNamespace(
            stage=lambda name: SimpleNamespace(grid=(8, 6)),
            default_stages=["a", "b"],
            output="softmax",
        ),
        stages=stages,
    )
    return re.sub(r"<(/?strong)>", "*", compare._denoising(row))


@pytest.mark.parametrize(
    ("maps", "kept"),
    [
        ([0.53, 0.61], "*39 to 47%* of"),
        ([0.612, 0.608], "*39%* of"),
        ([0.0], "*100%* of"),
        ([-0.2], "*120%* of"),
        ([0.1, 0.3, -0.2], "*70 to 120%* of"),
        ([0.1, None, -0.2, -0.2], "*90 to 120%* of"),
        ([-1.51, -1.57], "*2.5 to 2.6* times"),
        ([0.2, -2], "*0.8 to 3* times"),
        ([-0.44, -14682.62], "*1.4 to more than 100* times"),
        ([-150, -1637249.87], "*more than 100* times"),
    ],
)
def test_what_denoising_did_is_a_plain_sentence(maps, kept):
    assert denoising(maps) == (
        f'<p class="cv-fine">These maps hold {kept} the plain maps’ evidence.</p>'
    )


@pytest.mark.parametrize("maps", [(), (None,)])
def test_where_denoising_did_nothing_that_is_said(maps):
    assert denoising(maps) == (
        '<p class="cv-fine">These are the plain maps: nothing is taken out.</p>'
    )


def test_of_the_mean_of_several_views_no_share_is_said():
    assert denoising((), views="flip") == '<p class="cv-fine"></p>'
    assert "nothing is taken out" in denoising((), level=0.0, views="flip")


AGREEMENT = {"a": (0.8, 0.8123), "b": (0.704, 0.64)}
KEPT = "These maps hold *40%* of the plain maps’ evidence."


@pytest.mark.parametrize(
    ("choice", "maps", "words"),
    [
        (TruncationChoice(0.9, "agrees", AGREEMENT), [0.6],
         "Chosen: level 0.9. Without their weak gradient, the finer layers agree with the deepest "
         "one as well as before (correlation 0.80 → 0.81, 0.70 → 0.64), so what goes is held to be "
         "noise. " + KEPT),
        (TruncationChoice(0.0, "disagrees", AGREEMENT), [],
         "Chosen: none. Without its weak gradient, stage 2 of 2, 8\u00a0×\u00a06 (b) would agree "
         "less with the deepest one (correlation 0.70 → 0.64), so it is evidence here, and these "
         "are the plain maps."),
        (TruncationChoice(0.0, "cancels", {}), [],
         "Chosen: none. In this network, for and against cancel at every place, which leaves "
         "nothing to tell noise by."),
        (TruncationChoice(0.0, "nothing", {}), [],
         "Chosen: none. There is no finer layer, or nothing to compare one with."),
    ],
    ids=lambda each: getattr(each, "reason", None),
)  # fmt: skip
def test_why_the_level_was_chosen_is_said(choice, maps, words):
    said = denoising(maps, choice, choice.level, ("a", "b"))
    assert said == f'<p class="cv-fine">{words}</p>'


@pytest.mark.parametrize(
    ("mode", "words", "why"),
    [
        ("threshold", KEPT, ""),
        ("cap", KEPT, "Level 0.9, as usual: only where weak values become 0 is the level chosen "
         "for the picture. "),
        ("rectify", KEPT, ""),
        ("remove", "These maps show what speaks *against* &lt;ram&gt;.", ""),
    ],
)  # fmt: skip
def test_what_other_modes_do_is_said(mode, words, why):
    """Whether the level was set or not; a level means something to one of them only."""
    assert denoising([0.6], mode=mode) == f'<p class="cv-fine">{words}</p>'
    if mode != "threshold":
        said = denoising([0.6], TruncationChoice(0.9, "mode", {}), mode=mode)
        assert said == f'<p class="cv-fine">{why}{words}</p>'


def test_every_reason_has_its_sentence():
    reasons = get_args(Reason)
    agreement = dict.fromkeys(("agrees", "disagrees"), AGREEMENT)
    said = {
        denoising(
            [],
            TruncationChoice(0.0, reason, agreement.get(reason, {})),
            0.0,
            ("a", "b"),
            "cap" if reason == "mode" else "threshold",
        )
        for reason in reasons
    }
    assert len(said) == len(reasons) == 5


def test_what_the_page_answers_already_is_not_answered_again(opened):
    assert opened.answer().updates[0].tab == {}
    opened.session.notify("")
    assert all(not update.tab for update in opened.answer().updates)  # but a notice goes
    assert opened.frame["notice"] == ""
    for other in ({"method": "grad_cam"}, {"stages": ("layer4",)}, {"fuse": "mean"}):
        assert opened.options(**other).updates[0].tab["maps"]
    assert opened.do(actions.set_truncation, 0.5).updates[0].tab["maps"]


def test_an_answer_that_was_given_up_is_given_anew(opened, monkeypatch):
    monkeypatch.setattr(compare, "PATIENCE", 0)
    opened.session.change(replace(opened.controls, target="tennis ball"))
    steps = camviz_answer(opened)
    next(steps)
    steps.close()  # whoever stops now has not seen everything
    assert opened.answer().updates[0].tab["maps"]


def camviz_answer(view):
    from camviz.ui.answer import answer

    return answer(view.session, Task(), view.tabs)


def test_everything_but_the_picture_answers_from_the_trace(opened):
    network = service.load(opened.controls.backbone)
    calls = []
    handle = network.model.register_forward_hook(lambda *_: calls.append(1))
    try:
        for change in (
            lambda: opened.options(method="grad_cam"),
            lambda: opened.do(actions.set_truncation, 0.4),
            lambda: opened.options(fuse="mean"),
            lambda: opened.options(stages=STAGES[:2]),
            lambda: opened.change(target=network.labels[7]),
        ):
            assert change().panels()
    finally:
        handle.remove()
    # another class has other prototypes of the picture, which are made of views of it
    assert len(calls) <= 8


# -- Classes -------------------------------------------------------------------------------------


def test_chosen_class_is_explained_and_among_the_bars(opened):
    view = opened.do(actions.click_bar, Selection("tennis ball"))
    assert "<em>tennis ball</em>" in view.tab["verdict"]
    (explained,) = re.findall(r'data-label="([^"]+)" aria-pressed="true"', view.frame["bars"])
    assert explained == "tennis ball"
    assert view.controls.target == view.frame["target"].value == "tennis ball"
    assert view.link["class"] == "tennis ball"


def test_a_rival(opened):
    before = opened.row("layercam")["panels"][0]["data"]
    view = opened.do(actions.click_bar, Selection("tennis ball", selected=True))
    assert "rather than <em>tennis ball</em>" in view.tab["verdict"]
    assert view.controls.versus == view.frame["versus"].value == "tennis ball"
    assert view.link["versus"] == "tennis ball"
    assert view.frame["bars"].count('aria-pressed="true"') == 2
    assert view.row("layercam")["panels"][0]["data"] != before
    again = view.do(actions.click_bar, Selection("tennis ball", selected=True))
    assert again.controls.versus == NOBODY and again.row("layercam")["panels"][0]["data"] == before


def test_nothing_is_compared_with_itself(opened):
    top = service.explain(opened.controls).label
    assert opened.do(actions.choose_rival, top).controls.versus == NOBODY
    opened.change(target="tennis ball", versus="plow")
    assert opened.controls.versus == "plow"
    assert opened.do(actions.choose_class, "plow").controls.versus == NOBODY


def test_several_rivals_are_one_entry_of_the_menu(opened):
    labels = service.load(opened.controls.backbone).labels
    top = service.explain(opened.controls).target
    first, second = [index for index in range(5) if index != top][:2]
    opened.change(versus=f"{labels[first]} , {second}")
    view = opened.do(actions.set_gamma, 0.6)
    named = f"{labels[first]},{labels[second]}"
    assert view.controls.versus == view.frame["versus"].value == named
    assert (f"{labels[first]}, {labels[second]}", named) in view.frame["versus"].choices
    assert view.frame["gamma"] == 0.6
    words = f"rather than <em>{labels[first]} or {labels[second]}</em>"
    assert words in view.tab["verdict"]
    assert view.frame["bars"].count('aria-pressed="true"') == 3
    assert (view.link["versus"], view.link["gamma"]) == (named, "0.6")
    alone = view.do(actions.choose_class, labels[first])
    assert alone.controls.versus == labels[second], "nothing is compared with itself"
    assert all(value != named for _, value in alone.frame["versus"].choices)


def test_the_nearest_classes_as_rivals(opened):
    view = opened.do(actions.choose_rival, NEAREST)
    x = service.explain(view.controls)
    assert len(x.request.references) == 3 and view.link["versus"] == "nearest"
    assert view.frame["bars"].count('aria-pressed="true"') == 4
    assert html.either(x.reference_labels) in unescape(view.tab["verdict"])
    with pytest.raises(MethodError, match="gamma is a number above 0, at most 4, not 5"):
        actions.set_gamma(opened.session, 5)
    with pytest.raises(MethodError, match="gamma is a number, not 'much'"):
        actions.set_gamma(opened.session, "much")


def test_another_picture_is_asked_for_its_own_best_class(opened, write):
    opened.change(target="tennis ball", versus="plow")
    view = opened.do(actions.choose_picture, write("other.png", 5))
    assert view.controls.target == TOP and view.frame["versus"].value == NOBODY


def test_the_picture_that_is_shown_is_no_other(opened, tmp_path):
    opened.change(target="tennis ball")
    copy = tmp_path / "copy.png"
    shutil.copy(opened.controls.picture, copy)
    version = opened.session.version
    opened.do(actions.choose_picture, str(copy))
    assert opened.session.version == version and opened.controls.target == "tennis ball"


def test_another_backbone_keeps_a_class_that_it_knows(opened):
    opened.change(target="tennis ball")
    opened.session.controls = replace(opened.controls, versus="no such thing")
    view = opened.do(actions.follow_notice, Selection(f"raw:{VIT}"))
    assert view.controls.target == view.frame["target"].value == "tennis ball"
    assert view.controls.versus == NOBODY
    assert view.frame["target"].choices[0][1] == TOP
    assert len(view.frame["target"].choices) == 1001


# -- Layers --------------------------------------------------------------------------------------


def test_layers_in_the_menu_are_the_stages_and_every_other_module(opened):
    frame = opened.frame
    assert frame["stages"].choices[-1] == ("Layer, 80\u00a0×\u00a080\nact1", "act1")
    assert frame["stages"].value == list(STAGES)
    names = {value for _, value in frame["modules"].choices}
    assert "layer2.0.conv1" in names and not names & {v for _, v in frame["stages"].choices}


def test_modules_by_name(opened):
    opened.do(actions.choose_modules, ["layer2.0.conv1"])
    view = opened.do(actions.choose_stages, ["layer4"])
    assert view.panels() == ["layer4", "layer2.0.conv1", "fused", "refined"]
    assert view.controls.options.stages == ("layer4", "layer2.0.conv1")
    assert view.link["stages"] == "layer4,layer2.0.conv1"
    view.do(actions.choose_modules, [])
    back = view.do(actions.choose_stages, list(STAGES))
    assert back.controls.options.stages is None and "stages" not in back.link


def test_no_layer_ticked(opened):
    view = opened.do(actions.choose_stages, [])
    assert "tick at least one" in view.frame["notice"]
    assert all("maps" not in update.tab for update in view.updates)
    assert view.updates[0].frame["stages"].value == list(STAGES)  # as what is shown


def test_zero_gradient_in_words(visit, controls_of, photo_file):
    options = {"stages": ("blocks.5",), "method": "layer_cam"}
    view = visit.open(controls_of(photo_file, VIT).with_options(**options))
    panel, refined = view.row("layercam")["panels"]
    assert refined["key"] == "refined" and "Empty: every stage is." in refined["warnings"]
    assert any("does not depend on this map" in text for text in panel["warnings"])


# -- Pictures ------------------------------------------------------------------------------------


def test_no_picture(opened):
    view = opened.do(actions.choose_picture, None)
    assert view.tab["maps"] is not None and view.row("layercam")["reason"] == compare.NO_PICTURE
    assert view.link["example"] == "none" and "No picture yet" in view.tab["verdict"]
    assert view.session.picture is None
    assert "stands here" in view.frame["bars"]


def test_a_picture_that_was_taken_away_is_not_taken_away_again(opened):
    """The answer may come behind the next upload."""
    opened.session.mirror.pop("picture", None)
    view = opened.do(actions.remove_picture)
    assert "No picture yet" in view.tab["verdict"]
    assert all("picture" not in update.frame for update in view.updates)


def test_a_page_without_a_picture_has_its_menus(visit, controls):
    view = visit.open(replace(controls, picture=None))
    assert view.frame["stages"].value == list(STAGES)


def test_bad_picture_empties_the_page(opened, tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("no picture at all")
    view = opened.do(actions.choose_picture, str(path))
    assert "not a picture" in view.frame["notice"]
    assert view.row("layercam")["reason"] == compare.NO_PICTURE and view.session.picture is None


def test_an_example_brings_a_backbone_that_knows_it_and_its_truth(opened):
    view = opened.do(actions.choose_example, Selection("two-boats"))
    assert view.frame["picture"] == str(example("two-boats").path)
    assert view.controls.backbone.name.startswith(choices.DRAWN)
    assert view.frame["backbone"].value == view.controls.backbone.name
    truth = {thing["label"] for thing in as_json(view.tab["maps"])["truth"]}
    assert truth == {"sailing boat", "rowing boat"}
    assert view.link["example"] == "two-boats"


def as_json(payload):
    return payload.to_json() if hasattr(payload, "to_json") else payload


def test_an_example_for_the_backbone_in_use_leaves_it(visit, controls_of, photo_file):
    visit.open(controls_of(photo_file, "scenes-resnet", untrained=False))
    view = visit.do(actions.choose_example, Selection("a-zebra"))
    assert view.controls.backbone == BackboneChoice("scenes-resnet")
    assert all("backbone" not in update.frame for update in view.updates)


def test_the_page_says_when_it_asks_another_backbone_and_offers_the_way_back(
    visit, controls_of, photo_file, no_packages
):
    choices.available.cache_clear()
    assert choices.default_choice() == "scenes-resnet"
    ram = str(example("a-ram").path)
    visit.open(controls_of(ram, "scenes-resnet", untrained=False))
    view = visit.do(actions.choose_picture, photo_file)
    assert view.controls.backbone == BackboneChoice("photos-resnet")
    assert view.frame["backbone"].value == "photos-resnet"
    notice = view.frame["notice"]
    assert "photos-resnet is used: scenes-resnet was made for drawn scenes" in notice
    assert 'data-label="backbone:scenes-resnet">Back to scenes-resnet' in notice
    view = visit.do(actions.follow_notice, Selection("backbone:scenes-resnet"))
    assert view.controls.backbone == BackboneChoice("scenes-resnet")
    view = visit.do(actions.choose_example, Selection("two-boats"))
    view = visit.do(actions.choose_picture, photo_file)  # that one was chosen now
    assert view.controls.backbone == BackboneChoice("scenes-resnet")


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["photos-resnet", "scenes-vit", RESNET])
def test_a_backbone_that_was_chosen_stays_whatever_the_picture(
    visit, controls_of, photo_file, name, write
):
    visit.open(controls_of(str(example("a-ram").path), "scenes-resnet", untrained=False))
    untrained = name == RESNET
    if untrained:
        visit.do(actions.follow_notice, Selection(f"raw:{name}"))
    else:
        visit.do(actions.choose_backbone, name)
    for action, value in (
        (actions.choose_example, Selection("two-boats")),
        (actions.choose_picture, photo_file),
        (actions.choose_picture, write("other.png", 5)),
        (actions.choose_example, Selection("a-zebra")),
    ):
        view = visit.do(action, value)
        assert view.controls.backbone == BackboneChoice(name, untrained)
        assert view.frame["notice"] == ""


def test_a_badge_says_what_a_network_does_not_know(visit, controls_of):
    path = str(example("two-boats").path)
    view = visit.open(controls_of(path, RESNET))
    assert "untrained" in view.tab["verdict"]
    view = visit.open(controls_of(path, "photos-resnet", untrained=False))
    assert "no class for what is drawn here: rowing boat, sailing boat" in view.tab["verdict"]
    view = visit.open(controls_of(path, "scenes-vit", untrained=False))
    assert "no class" not in view.tab["verdict"]


@pytest.mark.long
def test_the_backbone_of_a_link_stays(visit, photo_file):
    query = {"backbone": "resnet18", "weights": "untrained", "example": "two-boats"}
    actions.open_link(visit.session, query, None)
    wanted = BackboneChoice("resnet18.a1_in1k", untrained=True)
    assert visit.answer().controls.backbone == wanted
    for value in ("a-zebra", "a-ram"):
        view = visit.do(actions.choose_example, Selection(value))
        assert view.controls.backbone == wanted
    assert visit.do(actions.choose_picture, photo_file).controls.backbone == wanted


# -- Backbones -----------------------------------------------------------------------------------


def test_another_backbone_leaves_out_what_it_cannot_do(opened):
    opened.options(method="cam")
    view = opened.do(actions.follow_notice, Selection(f"raw:{VIT}"))
    assert view.controls.backbone.name == VIT
    assert view.controls.options.method == view.frame["method"].value == DEFAULT.options.method
    assert "CAM is not defined" in view.frame["notice"] and "left out" in view.frame["notice"]


def test_untrained_belongs_to_one_choice(opened):
    assert opened.controls.backbone.untrained
    view = opened.do(actions.choose_backbone, opened.controls.backbone.name)  # the menu was left
    assert view.controls.backbone == BackboneChoice(RESNET, True)
    view = opened.do(actions.choose_backbone, "scenes-resnet")
    assert view.controls.backbone == BackboneChoice("scenes-resnet")
    assert view.frame["untrained"] is False
    view = view.do(actions.choose_untrained, True)
    assert view.controls.backbone == BackboneChoice("scenes-resnet", True)
    view = view.do(actions.follow_notice, Selection("backbone:scenes-vit"))
    assert view.controls.backbone == BackboneChoice("scenes-vit")


def test_a_link_to_an_unknown_backbone_does_not_untrain_another(visit, photo_file):
    query = {"backbone": "no_such_net", "weights": "untrained"}
    actions.open_link(visit.session, query, photo_file)
    view = visit.answer()
    assert view.controls.backbone == BackboneChoice(choices.default_choice())
    assert "no such backbone" in view.frame["notice"]


def test_a_backbone_that_cannot_be_had_leaves_the_one_in_use(opened, monkeypatch):
    monkeypatch.setattr("camviz.network.hub.hub_reachable", lambda *_: False)
    opened.session.change(replace(opened.controls, backbone=BackboneChoice("resnet50.a1_in1k")))
    view = opened.answer()
    notice = view.frame["notice"]
    assert "hub cannot be reached. Ready here without a download: " in notice
    assert "local-dir" not in notice  # what to do in Python is of no use here
    assert view.frame["backbone"].value == RESNET and view.frame["untrained"] is True
    assert view.controls.backbone == BackboneChoice(RESNET, True)
    assert 'data-label="raw:resnet50.a1_in1k"' in notice
    assert all("maps" not in update.tab for update in view.updates)


def test_a_notice_offers_a_way_out(opened, monkeypatch):
    view = opened.do(actions.follow_notice, Selection("backbone:scenes-resnet"))
    assert view.controls.backbone == BackboneChoice("scenes-resnet")
    view = view.do(actions.follow_notice, Selection(f"raw:{VIT}"))
    assert view.controls.backbone == BackboneChoice(VIT, True)


def test_what_cannot_be_chosen_is_refused(opened):
    view = opened.do(actions.choose_backbone, "local-dir:/etc")
    assert "choose one from the list" in view.frame["notice"]
    assert view.frame["backbone"].value == RESNET


def test_own_backbone_that_is_not_there_is_missed_by_its_name_alone(monkeypatch):
    monkeypatch.setenv("CAMVIZ_BACKBONE", "local-dir:/secret/place/garden")
    choices.available.cache_clear()
    with pytest.raises(BackboneError, match="garden") as caught:
        service.load(BackboneChoice("garden"))
    assert "secret" not in str(caught.value)


# -- Links ---------------------------------------------------------------------------------------


def test_a_view_is_reopened_from_its_link(visit, controls_of):
    path = str(example("a-ram").path)
    before = replace(
        controls_of(path, "scenes-resnet", untrained=False),
        target="sheep",
        versus="ram",
        truncation=0.5,
    ).with_options(stages=("layer3", "layer2.0.conv1"), method="hires_cam", fuse="mean", fit="crop")
    shown = visit.open(before)
    link, maps, bars = shown.link, as_json(shown.tab["maps"]), shown.frame["bars"]
    shown.session.__init__()
    actions.open_link(shown.session, link, None)
    view = shown.answer()
    assert as_json(view.tab["maps"]) == maps and view.frame["bars"] == bars
    assert view.controls == before
    assert view.frame["modules"].value == ["layer2.0.conv1"]


@pytest.fixture
def followed(visit):
    """followed(query, picture): the page as a link opens it."""

    def get(picture, **query):
        visit.session.__init__()
        visit.frame, visit.tab = {}, {}
        actions.open_link(
            visit.session, {"backbone": RESNET, "weights": "untrained", **query}, picture
        )
        return visit.answer()

    return get


def test_what_the_backbone_of_a_link_does_not_know_is_named(followed, photo_file):
    view = followed(photo_file, **{"class": "unicorn"}, versus="griffin", stages="layer4,layer99",
                    method="x")  # fmt: skip
    for word in ("method=x", "unicorn", "griffin", "stages=layer99"):
        assert word in view.frame["notice"]
    assert view.panels() == ["layer4", "refined"]
    assert view.controls.target == TOP and view.controls.versus == NOBODY


def test_a_link_that_cannot_be_answered_is_answered_as_far_as_it_goes(followed, photo_file):
    view = followed(photo_file, backbone=VIT, method="cam")
    assert "CAM is not defined" in view.frame["notice"] and view.panels()
    assert view.controls.options.method == DEFAULT.options.method
    view = followed(photo_file, **{"class": "tennis ball"}, versus="tennis ball")
    assert view.panels() and view.controls.versus == NOBODY
    view.session.__init__()
    actions.open_link(view.session, {"backbone": "resnet50.a1_in1k"}, photo_file)
    view = view.answer()
    notice = view.frame["notice"]
    assert "resnet50.a1_in1k is not on this machine" in notice and view.panels()
    assert 'data-label="backbone:resnet50.a1_in1k">Download resnet50.a1_in1k, 1' in notice
    assert view.controls.backbone.name == choices.default_choice()


def test_what_goes_to_the_browser_waits_for_no_action():
    """The event loop sends it; while it waits, nobody is answered."""
    session, held, done = Session(), threading.Event(), threading.Event()

    def act(session, _):
        held.set()
        assert done.wait(30)

    thread = threading.Thread(target=take, args=(session, act, Selection(None)))
    thread.start()
    assert held.wait(30)

    def use():
        session.note_sent({"a": 1})
        return session.is_answering, session.differs("a", 1), session.version_id

    sent = threading.Thread(target=use)
    sent.start()
    sent.join(10)
    waits = sent.is_alive()
    done.set()
    thread.join(30)
    assert not waits and session.updates == 1


def test_what_a_link_to_an_absent_network_names_is_kept(session, photo_file):
    """As far as another network can have it at once, and all of it when the network is chosen."""
    query = {
        "backbone": "resnet50.a1_in1k", "class": "zebra", "versus": "horse", "gamma": "0.5",
        "stages": "layer3,layer4", "method": "grad_cam", "fit": "crop", "cover": "blur",
        "hottest": "20",
    }  # fmt: skip
    actions.open_link(session, query, photo_file)
    controls = session.controls
    assert controls.backbone.name == choices.default_choice()
    assert controls.target == "zebra" and controls.versus == "horse" and controls.gamma == 0.5
    assert controls.options.method == "grad_cam" and controls.options.fit == "crop"
    assert controls.cover.hottest == 20 and controls.options.stages is None
    session.change(replace(controls, target=TOP, versus=NOBODY))  # the other one has no zebra, say
    actions.follow_notice(session, Selection("backbone:resnet50.a1_in1k"))
    controls = session.controls
    assert controls.backbone == BackboneChoice("resnet50.a1_in1k")
    assert controls.target == "zebra" and controls.versus == "horse"
    assert controls.options.stages == ("layer3", "layer4")


def test_a_link_without_layers_has_the_usual_ones(followed, photo_file):
    assert followed(photo_file).controls.options.stages is None
    assert followed(photo_file, stages="nope").controls.options.stages is None


def test_a_link_to_an_upload(followed, photo_file):
    view = followed(photo_file, example=links.UPLOAD, stages="layer4")
    assert "uploads never go into a link" in view.frame["notice"]
    assert view.frame["picture"] is None and view.controls.options.stages == ("layer4",)


# -- Prototypes of one's own ---------------------------------------------------------------------


def test_prototypes_from_a_gallery(opened, tmp_path, photo):
    files = []
    for index in range(3):
        path = tmp_path / f"{index}.png"
        Image.fromarray(np.roll(photo, 11 * index, axis=1)).save(path)
        files.append(str(path))
    (tmp_path / "broken.png").write_text("nothing")
    task = Task()
    given = [[*files, str(tmp_path / "broken.png")], 12]
    assert list(prototype_actions.learn(opened.session, given, task)) == []
    text, bank = opened.session.notice, opened.controls.bank
    assert bank.source == "gallery" and len(bank.pictures) == 3
    assert "from 3 pictures" in text and "broken.png" in text
    assert (task.done, task.total) == (4, 4)
    assert "what you gave</strong> (3 of" in opened.answer().tab["learned"]
    other = opened.do(actions.choose_class, "tennis ball")
    assert "what you gave</strong> (3 of" not in other.tab["learned"]  # they are of another class
    assert opened.do(prototype_actions.forget).controls.bank is None


def test_a_gallery_needs_pictures_and_a_class(opened):
    with pytest.raises(PrototypeError, match="no pictures"):
        list(prototype_actions.learn(opened.session, [[], 12], Task()))
    opened.session.controls = replace(opened.controls, picture=None)
    with pytest.raises(PrototypeError, match="no class"):
        list(prototype_actions.learn(opened.session, [["x.png"], 12], Task()))


# -- Words ---------------------------------------------------------------------------------------


def test_untrained_and_hidden_parts_are_named(opened):
    assert "untrained: maps mean nothing" in opened.tab["verdict"]
    assert "hatched" not in opened.tab["verdict"]
    assert "hatched" in opened.options(fit="crop").tab["verdict"]


def test_what_a_backbone_for_drawings_says_of_a_photograph_is_marked(
    visit, controls_of, photo_file
):
    def verdict(path, backbone):
        return visit.open(controls_of(path, backbone, untrained=False)).tab["verdict"]

    drawing = str(example("a-ram").path)
    assert "made for drawn scenes" in verdict(photo_file, "scenes-resnet")
    assert "made for drawn scenes" not in verdict(drawing, "scenes-resnet")
    assert "made for drawn scenes" not in verdict(photo_file, "photos-resnet")


def test_names_from_outside_are_escaped(visit, controls, tiny, monkeypatch):
    evil = "<script>alert('x')</script>"
    network = tiny("test_resnet")
    labels = tuple(f"{evil} {index}" for index in range(len(network.labels)))
    backbone = replace(network, labels=labels)
    for module in ("service", "answer", "frame"):
        monkeypatch.setattr(f"camviz.ui.{module}.load", lambda choice: backbone)
    view = visit.open(controls)
    text = "".join(str(view.tab[name]) for name in ("verdict", "denoising", "learned"))
    text += view.frame["bars"]
    assert "<script" not in text
    quoted = escape(evil).replace("&#x27;", "&#39;")
    assert quoted in view.tab["verdict"] and quoted in view.frame["bars"]
    assert "<script" not in html.notice(evil, {evil: evil})


def test_defaults_are_the_engines_own():
    table = option_table(Options)
    for name in links.page_options():
        assert getattr(DEFAULT.options, name) == table[name].default


def test_a_picture_that_was_deleted_meanwhile_is_asked_for_again(visit, controls_of, write):
    path = write("deleted.png", 77)
    Path(path).unlink()
    view = visit.open(controls_of(path))
    assert "kept here for 120 minutes at most; please give it again" in view.frame["notice"]
    assert path not in view.frame["notice"]


def test_new_entries_overwrite_no_method_that_is_chosen_meanwhile(opened):
    """A value that the browser shows is not sent with them: it would come behind a click."""
    opened.change(backbone=BackboneChoice("scenes-vit"))
    menu = opened.frame["method"]
    assert "daam" in dict(map(reversed, menu.choices)) and menu.keeps
    assert "value" not in component_value("method", menu)


def test_an_answer_that_fails_answers_no_later_change(session, controls):
    def fail():
        yield Update()
        session.touch()
        raise MethodError("there is no such map")

    session.change(controls)
    *_, last = with_notices(session, fail(), ())
    assert "no such map" in last.frame["notice"] and session.answered < session.version
