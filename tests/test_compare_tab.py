"""Compare without a browser and without gradio: work takes an `Ask` and yields `View`s."""

import inspect
import re
from dataclasses import fields, replace
from html import escape

import numpy as np
import pytest
from PIL import Image

import camviz
from camviz.errors import BackboneError, ImageError, PrototypeError
from camviz.examples import example
from camviz.maps.fusion import FUSIONS
from camviz.methods import METHODS
from camviz.ui import choices, compare_tab, links
from camviz.ui.compare_tab import (
    DEFAULT,
    NOBODY,
    TOP,
    chosen_class,
    chosen_stages,
    new_backbone,
    new_bank,
    new_example,
    new_picture,
    nothing,
    own_bank,
    reopened,
    same_picture,
)

pytestmark = pytest.mark.usefixtures("fresh")

RESNET = "test_resnet.r160_in1k"
VIT = "test_vit.r160_in1k"


@pytest.fixture
def ask(asking, photo_file):
    return asking(photo_file)


def last(steps):
    """What is seen when all steps are through: every view lies over the one before."""
    seen = {}
    for view in steps:
        said = {f.name: getattr(view, f.name) for f in fields(view)}
        held = {**seen.get("held", {}), **(view.held or {})}
        seen |= {name: value for name, value in said.items() if value is not None}
        seen["held"] = held
    return seen


def row(view, key):
    (found,) = [row for row in view["maps"]["rows"] if row["key"] == key]
    return found


def panels(view, key="layercam"):
    return [panel["key"] for panel in row(view, key)["panels"]]


# -- The three rows ------------------------------------------------------------------------------


def test_first_result_has_three_rows(ask):
    view = last(new_backbone(replace(ask, stages=())))
    assert view["held"]["stages"] == ask.stages
    assert view["held"]["backbone"] == RESNET and view["held"]["untrained"] is True
    for key in ("layercam", "denoised"):
        assert panels(view, key) == [*reversed(ask.stages), "fused"]
    assert panels(view, "prototypes") == ["layer4", "layer3", "fused"]  # 5 x 5 and 10 x 10 cells
    assert "None are of layer1, layer2" in view["learned"]
    chosen = last(same_picture(replace(ask, stages=("layer1", "layer4"))))
    assert panels(chosen, "prototypes") == ["layer4", "layer1", "fused"]
    assert "None are of" not in chosen["learned"]
    assert view["bars"].count('class="cv-bar"') == 5
    assert view["bars"].count('aria-pressed="true"') == 1
    assert view["maps"]["link"] == {
        "backbone": RESNET, "example": "upload", "weights": "untrained"
    }  # fmt: skip


def test_rows_are_the_engines_own(ask):
    rows = compare_tab.rows_of(replace(ask, truncation=0.5))
    engine, network = compare_tab.engine(), compare_tab.network(ask)
    pixels = camviz.open_picture(ask.picture)
    plain = engine.explain(pixels, network)
    cleaned = engine.explain(pixels, network, truncation=0.5)
    alike = engine.explain(pixels, network, method="lpcam")
    for key, x in (("layercam", plain), ("denoised", cleaned), ("prototypes", alike)):
        assert rows[key].stages == x.stages
        for name in x.stages:
            assert np.array_equal(rows[key].raw[name], x.raw[name]), (key, name)
    assert not np.array_equal(plain.raw["layer1"], cleaned.raw["layer1"])


def test_gradient_rows_do_not_wait_for_slow_prototypes(ask, monkeypatch):
    import threading

    given = threading.Event()
    monkeypatch.setattr(compare_tab, "PATIENCE", 0.01)

    def slow(asked, target):
        assert given.wait(20)
        return "here they are"

    monkeypatch.setattr(compare_tab, "_prototypes", slow)
    steps = same_picture(ask)
    first = last([next(steps)])
    assert row(first, "prototypes")["said"] == compare_tab.COMING
    assert panels(first, "denoised") and first["verdict"] and first["bars"]
    given.set()
    (second,) = list(steps)
    assert row(last([second]), "prototypes")["said"] == "here they are"
    assert (second.verdict, second.bars, second.notice) == (None, None, None)


def test_what_is_quick_comes_all_at_once(ask):
    list(same_picture(ask))
    assert len(list(same_picture(ask))) == 1


def test_prototypes_say_what_they_were_learned_from(ask):
    assert "this picture alone" in last(same_picture(ask))["learned"]


def test_a_method_without_gradients_has_nothing_to_denoise(ask):
    view = last(same_picture(replace(ask, method="eigen_cam")))
    assert "no gradient" in row(view, "denoised")["said"]
    assert "no gradient" in view["denoising"]
    assert panels(view) == [*reversed(ask.stages), "fused"]


@pytest.mark.parametrize(
    ("method", "fuse"),
    [*((m, "mean") for m in choices.stage_methods()), *(("layer_cam", f) for f in FUSIONS)],
)
def test_every_method_and_fusion(ask, method, fuse):
    view = last(same_picture(replace(ask, method=method, fuse=fuse)))
    one = "features" in METHODS[method].needs
    assert len(panels(view)) == (1 if one else len(ask.stages) + 1)
    assert METHODS[method].label in view["verdict"] and METHODS[method].paper in view["verdict"]
    assert (FUSIONS[fuse].paper in view["verdict"]) is not one


def test_a_papers_own_setting_is_named(ask):
    assert (
        "setting of the LayerCAM paper"
        in last(same_picture(replace(ask, fuse="max_tanh")))["verdict"]
    )
    assert "setting of the" not in last(same_picture(ask))["verdict"]


def test_truncation_in_figures(ask):
    some = last(same_picture(replace(ask, truncation=0.9)))["denoising"]
    assert re.search(r"Taken away: <strong>[\d–]+%</strong> of the maps", some)
    assert re.search(r"<strong>[\d–]+%</strong> of noise", some)
    none = last(same_picture(replace(ask, truncation=0.0)))["denoising"]
    assert "Nothing is taken away" in none


def test_a_map_that_truncation_made_larger_is_not_said_to_have_lost(asking, photo_file):
    ask = replace(asking(photo_file, VIT), method="hires_cam", truncation=0.9)
    shares = [
        n.denoising.removed
        for n in compare_tab.row_of(ask, "denoised").notes.values()
        if n.denoising
    ]
    assert min(shares) < 0  # or this would be no test
    view = last(same_picture(ask))
    assert "-" not in re.sub(r"<.*?>", "", view["denoising"])
    assert f"{-min(shares):.0%}" in view["denoising"]
    facts = str([row for row in view["maps"]["rows"] if row["key"] == "denoised"])
    assert f"{-min(shares):.0%} added" in facts and "-" + f"{-min(shares):.0%}" not in facts


def test_what_the_page_answers_already_is_not_answered_again(ask):
    answered = last(same_picture(ask))["held"]["answered"]
    again = replace(ask, answered=answered)
    (view,) = same_picture(replace(again, wanted="resnet50.a1_in1k"))
    assert (view.maps, view.verdict, view.notice) == (None, None, "")  # but a notice goes
    for other in ({"method": "grad_cam"}, {"stages": ("layer4",)}, {"truncation": 0.5}):
        assert last(same_picture(replace(again, **other)))["maps"]
    assert nothing(ask).held["answered"] is None
    first, *_ = show_in_two_steps(ask)
    assert first.held["answered"] is None  # whoever stops now has not seen everything


def show_in_two_steps(ask):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare_tab, "PATIENCE", 0)
        return list(compare_tab.show(replace(ask, target="tennis ball")))


def test_everything_but_the_picture_answers_from_the_trace(ask, monkeypatch):
    list(same_picture(ask))
    network = compare_tab.network(ask)
    calls = []
    handle = network.model.register_forward_hook(lambda *_: calls.append(1))
    try:
        for change in (
            {"method": "grad_cam"},
            {"truncation": 0.4},
            {"fuse": "mean"},
            {"stages": ask.stages[:2]},
            {"target": network.labels[7]},
        ):
            view = last(same_picture(replace(ask, **change, bank=None)))
            assert view["maps"]["rows"]
            assert panels(view)
    finally:
        handle.remove()
    # another class has other prototypes of the picture, which are made of views of it
    assert len(calls) <= 8


# -- Classes -------------------------------------------------------------------------------------


def test_chosen_class_is_explained_and_among_the_bars(ask):
    view = last(chosen_class(ask, target="tennis ball"))
    assert "<em>tennis ball</em>" in view["verdict"]
    (explained,) = re.findall(r'data-label="([^"]+)" aria-pressed="true"', view["bars"])
    assert explained == "tennis ball"
    assert view["held"]["target"] == view["menus"]["target"].value == "tennis ball"
    assert view["maps"]["link"]["class"] == "tennis ball"


def test_a_rival(ask):
    view = last(chosen_class(ask, versus="tennis ball"))
    assert "rather than <em>tennis ball</em>" in view["verdict"]
    assert view["held"]["versus"] == "tennis ball"
    assert view["maps"]["link"]["versus"] == "tennis ball"
    assert view["bars"].count('aria-pressed="true"') == 2
    alone = last(same_picture(ask))
    assert row(view, "layercam")["panels"][0]["data"] != row(alone, "layercam")["panels"][0]["data"]


def test_nothing_is_compared_with_itself(ask):
    top = compare_tab.explain(ask).label
    assert last(chosen_class(ask, versus=top))["held"]["versus"] == NOBODY
    both = replace(ask, target="tennis ball", versus="plow")
    assert last(chosen_class(both, target="plow"))["held"]["versus"] == NOBODY


def test_another_picture_is_asked_for_its_own_best_class(ask):
    view = last(new_picture(replace(ask, target="tennis ball", versus="plow")))
    assert view["held"]["target"] == TOP and view["menus"]["versus"].value == NOBODY


def test_the_picture_that_is_shown_is_no_other(ask):
    digest = camviz.open_picture(ask.picture).digest
    assert list(new_picture(replace(ask, target="tennis ball", shown=digest))) == []


def test_another_backbone_keeps_a_class_that_it_knows(ask):
    asked = replace(ask, wanted=VIT, target="tennis ball", versus="no such thing")
    view = last(new_backbone(asked))
    assert view["held"]["target"] == view["menus"]["target"].value == "tennis ball"
    assert view["held"]["versus"] == NOBODY
    assert view["menus"]["target"].choices[0][1] == TOP
    assert len(view["menus"]["target"].choices) == 1001


# -- Layers --------------------------------------------------------------------------------------


def test_layers_in_the_menu_are_the_stages_and_every_other_module(ask):
    menus = last(new_backbone(ask))["menus"]
    assert menus["stages"].choices[-1] == ("act1 · 80×80", "act1")
    assert menus["stages"].value == list(ask.stages)
    names = {value for _, value in menus["modules"].choices}
    assert "layer2.0.conv1" in names and not names & {v for _, v in menus["stages"].choices}


def test_modules_by_name(ask):
    view = last(chosen_stages(ask, ["layer4"], ["layer2.0.conv1"]))
    assert panels(view) == ["layer4", "layer2.0.conv1", "fused"]
    assert view["held"]["stages"] == ("layer4", "layer2.0.conv1")
    assert view["maps"]["link"]["stages"] == "layer4,layer2.0.conv1"


def test_no_layer_ticked(ask):
    (view,) = chosen_stages(ask, [], [])
    assert "tick at least one" in view.notice and view.maps is None
    assert view.menus["stages"].value == list(ask.stages)  # as what is shown


def test_zero_gradient_in_words(ask):
    view = last(same_picture(replace(ask, backbone=VIT, stages=("blocks.5",))))
    (panel,) = row(view, "layercam")["panels"]
    assert any("does not depend on this map" in said for said in panel["warnings"])


# -- Pictures ------------------------------------------------------------------------------------


def test_no_picture(ask):
    empty = nothing(ask)
    assert empty.maps["picture"] is None and empty.maps["link"]["example"] == "none"
    (taken_away,) = new_picture(replace(ask, picture=None, shown="x"))
    assert taken_away.verdict == empty.verdict
    assert list(new_picture(replace(ask, picture=None))) == []
    assert list(same_picture(replace(ask, picture=None))) == []
    view = last(new_backbone(replace(ask, picture=None)))
    assert view["menus"]["stages"].value == list(ask.stages)


def test_bad_picture(ask, tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("no picture at all")
    with pytest.raises(ImageError, match="not a picture"):
        list(new_picture(replace(ask, picture=str(path))))


def test_an_example_brings_a_backbone_that_knows_it_and_its_truth(ask):
    view = last(new_example(ask, "two-boats"))
    assert view["picture"] == str(example("two-boats").path)
    assert view["held"]["backbone"].startswith(choices.DRAWN)
    assert view["held"]["wanted"] == view["held"]["backbone"]
    assert {thing["label"] for thing in view["maps"]["truth"]} == {"sailing boat", "rowing boat"}
    assert view["maps"]["link"]["example"] == "two-boats"


def test_an_example_for_the_backbone_in_use_leaves_it(ask):
    asked = replace(ask, backbone="scenes-resnet", untrained=False, stages=())
    view = last(new_example(asked, "a-zebra"))
    assert "backbone" not in view["held"] and "wanted" not in view["held"]


# -- Links ---------------------------------------------------------------------------------------


def test_a_view_is_reopened_from_its_link(ask):
    path = str(example("a-ram").path)
    before = replace(
        ask, picture=path, wanted="scenes-resnet", raw=False, backbone="scenes-resnet",
        untrained=False, target="sheep", versus="ram", stages=("layer3", "layer2.0.conv1"),
        method="hires_cam", truncation=0.5, fuse="mean", fit="crop",
    )  # fmt: skip
    shown = last(same_picture(before))
    named, wrong = links.read(shown["maps"]["link"])
    assert wrong == () and named.example == "a-ram"
    settings = named.settings()
    again = replace(
        DEFAULT, picture=path, wanted=settings.pop("backbone"),
        raw=settings.pop("untrained", False), **settings,
    )  # fmt: skip
    view = last(reopened(again))
    assert view["maps"] == shown["maps"] and view["bars"] == shown["bars"]
    assert view["menus"]["modules"].value == ["layer2.0.conv1"]


def test_what_the_backbone_of_a_link_does_not_know_is_named(ask):
    asked = replace(ask, target="unicorn", versus="griffin", stages=("layer4", "layer99"))
    view = last(reopened(asked, ("method=x (...)",)))
    for word in ("method=x", "unicorn", "griffin", "stages=layer99"):
        assert word in view["notice"]
    assert panels(view) == ["layer4"]
    assert view["held"]["target"] == TOP and view["held"]["versus"] == NOBODY


def test_a_link_that_cannot_be_answered_is_answered_as_far_as_it_goes(ask):
    other = last(same_picture(replace(ask, target="tennis ball")))
    for wrong, words in (
        ({"target": "tennis ball", "versus": "tennis ball"}, "cannot be compared with itself"),
        ({"wanted": VIT, "method": "cam"}, "CAM is not defined"),
        ({"wanted": "resnet50.a1_in1k", "raw": False}, "resnet50.a1_in1k is not on this machine"),
    ):
        view = last(reopened(replace(ask, **wrong)))
        assert words in view["notice"] and view["maps"]["rows"]
        assert view["held"]["versus"] == NOBODY and view["held"]["method"] == DEFAULT.method
    assert other["verdict"] == last(reopened(replace(ask, target="tennis ball")))["verdict"]
    assert view["held"]["wanted"] == view["held"]["backbone"] == choices.default_choice()
    assert 'data-label="backbone:resnet50.a1_in1k">Download resnet50.a1_in1k, 1' in view["notice"]


def test_another_backbone_leaves_out_what_it_cannot_bear(ask):
    view = last(new_backbone(replace(ask, wanted=VIT, method="cam")))
    assert view["held"]["backbone"] == VIT and view["held"]["method"] == DEFAULT.method
    assert "CAM is not defined" in view["notice"] and "was left out" in view["notice"]
    top = compare_tab.explain(replace(ask, backbone=VIT, stages=())).label
    view = last(new_backbone(replace(ask, wanted=VIT, versus=top)))
    assert view["held"]["versus"] == NOBODY and "with itself" in view["notice"]


def test_a_photograph_leaves_the_default_for_drawings(ask):
    drawing = replace(ask, picture=str(example("a-ram").path), backbone="scenes-resnet", raw=False)
    drawing = replace(drawing, wanted="scenes-resnet", untrained=False, stages=())
    assert choices.default_choice() == "scenes-resnet"
    photograph = replace(drawing, picture=ask.picture)
    view = last(new_picture(photograph))
    assert view["held"]["backbone"] == view["held"]["wanted"] == "photos-resnet"
    chosen = last(new_picture(replace(photograph, backbone="scenes-vit", wanted="scenes-vit")))
    assert "backbone" not in chosen["held"]  # that one was chosen
    assert "backbone" not in last(new_picture(drawing))["held"]


def test_a_link_without_layers_has_the_usual_ones(ask):
    assert last(reopened(replace(ask, stages=())))["held"]["stages"] == ask.stages
    assert last(reopened(replace(ask, stages=("nope",))))["held"]["stages"] == ask.stages


# -- Prototypes of one's own ---------------------------------------------------------------------


def test_prototypes_from_a_gallery(ask, tmp_path, photo):
    files = []
    for index in range(3):
        path = tmp_path / f"{index}.png"
        Image.fromarray(np.roll(photo, 11 * index, axis=1)).save(path)
        files.append(str(path))
    (tmp_path / "broken.png").write_text("nothing")
    told = []
    steps = new_bank(ask, [*files, str(tmp_path / "broken.png")], lambda *said: told.append(said))
    view = last(steps)
    bank = view["held"]["bank"]
    assert bank.source == "gallery" and len(bank.pictures) == 3
    assert "from 3 pictures" in view["notice"] and "broken.png" in view["notice"]
    assert "what you gave</strong> (3 of" in view["learned"]
    assert told[0][:2] == (0, 4) and told[-1][:2] == (4, 4)
    other = last(chosen_class(replace(ask, bank=bank), target="tennis ball"))
    assert "what you gave</strong> (3 of" not in other["learned"]  # they are of another class
    assert last(own_bank(replace(ask, bank=bank)))["held"]["bank"] is None


def test_a_gallery_needs_pictures_and_a_class(ask):
    with pytest.raises(PrototypeError, match="no pictures"):
        list(new_bank(ask, [], lambda *_: None))
    with pytest.raises(PrototypeError, match="no class"):
        list(new_bank(replace(ask, picture=None), ["x.png"], lambda *_: None))


# -- Manners -------------------------------------------------------------------------------------


def test_untrained_and_unseen_are_said(ask):
    assert "untrained: maps mean nothing" in last(same_picture(ask))["verdict"]
    assert "hatched" in last(same_picture(replace(ask, fit="crop")))["verdict"]
    assert "hatched" not in last(same_picture(ask))["verdict"]


def test_what_a_backbone_for_drawings_says_of_a_photograph_is_marked(ask):
    def said(path, backbone):
        asked = replace(ask, picture=path, backbone=backbone, untrained=False, stages=())
        return last(same_picture(asked))["verdict"]

    photograph, drawing = ask.picture, str(example("a-ram").path)
    assert "made for drawn scenes" in said(photograph, "scenes-resnet")
    assert "made for drawn scenes" not in said(drawing, "scenes-resnet")
    assert "made for drawn scenes" not in said(photograph, "photos-resnet")


def test_own_backbone_that_is_not_there_is_missed_by_its_name_alone(monkeypatch):
    monkeypatch.setenv("CAMVIZ_BACKBONE", "local-dir:/secret/place/garden")
    choices.available.cache_clear()
    with pytest.raises(BackboneError, match="garden") as caught:
        compare_tab.network(replace(DEFAULT, backbone="garden"))
    assert "secret" not in str(caught.value)


def test_names_from_outside_are_escaped(ask, tiny, monkeypatch):
    evil = "<script>alert('x')</script>"
    network = tiny("test_resnet")
    labels = tuple(f"{evil} {index}" for index in range(len(network.labels)))
    backbone = replace(network, labels=labels)
    monkeypatch.setattr(compare_tab, "network", lambda ask: backbone)
    view = last(same_picture(ask))
    text = view["verdict"] + view["bars"] + view["denoising"] + view["learned"]
    assert "<script" not in text
    assert escape(evil) in view["verdict"] and escape(evil) in view["bars"]
    assert "<script" not in compare_tab.notice_html(evil, {evil: evil})


def test_defaults_are_the_engines_own():
    engine = inspect.signature(camviz.Engine.explain).parameters
    for name in ("method", "fuse", "tap", "fit", "placement"):
        assert getattr(DEFAULT, name) == engine[name].default
