"""The view Teach it without a browser: kinds that come and go, what is taught, and the lesson."""

import base64
import gc
import re
import weakref
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camviz.errors import PrototypeError, TeachingError
from camviz.examples import example
from camviz.scenes import draw_scene
from camviz.teaching.head import TaughtHead
from camviz.ui import service
from camviz.ui.compute import engine
from camviz.ui.learn import bias_lesson, teaching
from camviz.ui.learn.taught_prototypes import prototype_row
from camviz.ui.learn.teaching import Kind
from camviz.ui.state import BackboneChoice, Controls, Selection, Session, Stopped, Task
from camviz.ui.tabs import teach, teach_actions

RAM = str(example("a-ram").path)
NETWORK = BackboneChoice("scenes-resnet")


@pytest.fixture
def scene(fresh):
    return Controls(picture=RAM, backbone=NETWORK)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three drawn scenes of three kinds, by kind."""
    place, found = tmp_path_factory.mktemp("scenes"), {}
    for label, backdrop in (("sheep", "meadow"), ("zebra", "desert"), ("lorry", "street")):
        found[label] = []
        for index in range(3):
            scene = draw_scene(3, index, label=label, backgrounds=(backdrop,), two_objects=0)
            path = place / f"{label}-{index}.png"
            Image.fromarray(scene.image).save(path)
            found[label].append(str(path))
    return found


@pytest.fixture
def visitor(visit, scene):
    """A visitor who has the view open."""
    visit.tabs = (teach,)
    visit.open(scene)
    visit.session.open_tab(teach.ID)
    return visit.answer()


def give(visit, number, paths):
    """Give pictures of a kind."""
    key = teach_actions.kinds_of(visit.session)[number].key
    list(teach_actions.add_pictures(visit.session, [paths, str(key)], Task()))
    return visit.answer()


def text_of(markup):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", str(markup))).split())


def test_nothing_is_taught_before_two_kinds_have_a_picture(visitor, files):
    assert "the classifier is ready" in text_of(visitor.tab["kinds"])
    give(visitor, 0, files["sheep"])
    assert not visitor.tab["answer"] and "cv-teach-good" not in visitor.tab["kinds"]
    with pytest.raises(TeachingError, match="nothing to save yet"):
        list(teach_actions.save(visitor.session, None, Task()))


def test_a_classifier_stands_and_explains_the_open_picture(visitor, files):
    visitor.do(teach_actions.edit, Selection("name:sheep", 0))
    give(visitor, 0, files["sheep"])
    give(visitor, 1, files["zebra"])
    said = text_of(visitor.tab["kinds"])
    assert "6 of 6 right: each photograph was left out once" in said and "1 in 2 would" in said
    assert re.search(
        r"(sheep|kind 2) \d+\.\d% (sheep|kind 2) \d+\.\d%", text_of(visitor.tab["answer"])
    )
    rows = visitor.tab["maps"].to_json()["rows"]
    assert [row["key"] for row in rows] == ["fused", "cam"]
    for row in rows:
        assert [panel["key"] for panel in row["panels"]] == ["kind0", "kind1"]
    assert rows[1]["title"] == "CAM, the last map"


@pytest.mark.long
def test_prototypes_of_the_photographs_on_request(visitor, files, monkeypatch):
    """They are those that the engine learns from the same pictures, and are learned once."""
    give(visitor, 0, files["sheep"])
    give(visitor, 1, files["zebra"])
    assert "Look for prototypes" in visitor.tab["prototypes"]
    visitor.do(teach_actions.ask_for_prototypes, Selection("prototypes"))
    assert visitor.tab["prototypes"] == ""
    (row,) = visitor.tab["maps"].to_json()["rows"][2:]
    assert row["key"] == "prototypes" and len(row["panels"]) == 2
    kinds = teach_actions.kinds_of(visitor.session)
    taught = teaching.taught_by(visitor.session, visitor.controls, kinds, Task())
    shown = prototype_row(taught, visitor.controls, kinds, Task())
    for number, kind in enumerate(kinds):
        bank = engine().build_prototypes(list(kind.pictures), taught.backbone, number)
        x = engine().explain(
            RAM, taught.backbone, target=number, method="lpcam", prototypes=bank,
            refine="none", placement="plain",
        )  # fmt: skip
        assert np.array_equal(shown.panels[f"kind{number}"].x.heat(), x.heat())
    with monkeypatch.context() as patched:
        patched.setattr(type(engine()), "build_prototypes", lambda *_, **__: pytest.fail("again"))
        visitor.change(picture=str(example("two-boats").path))
    assert len(visitor.tab["maps"].rows) == 3, "another picture, the same prototypes"
    give(visitor, 1, files["lorry"][:1])
    assert len(visitor.tab["maps"].rows) == 2 and "Look for" in visitor.tab["prototypes"]


def test_a_kind_without_prototypes_says_why(visitor, files, monkeypatch):
    build = type(engine()).build_prototypes

    def refuse(self, images, backbone, target, **options):
        if target == 0:
            raise PrototypeError("these pictures show nothing of the class")
        return build(self, images, backbone, target, **options)

    monkeypatch.setattr(type(engine()), "build_prototypes", refuse)
    give(visitor, 0, files["sheep"])
    give(visitor, 1, files["zebra"])
    visitor.do(teach_actions.ask_for_prototypes)
    row = visitor.row("prototypes")
    assert len(row["panels"]) == 1 and "show nothing of the class" in str(row["absent"])
    monkeypatch.setattr(
        type(engine()), "build_prototypes", lambda *_, **__: refuse(None, None, None, 0)
    )
    teach_actions.edit(visitor.session, Selection("name:wool", 0))
    visitor.do(teach_actions.ask_for_prototypes)
    row = visitor.row("prototypes")
    assert not row["panels"] and "show nothing of the class" in str(row)


def test_mistaken_pictures_are_marked(visitor, files):
    give(visitor, 0, [*files["sheep"], files["zebra"][0]])
    give(visitor, 1, files["zebra"][1:])
    taught = teaching.taught_by(
        visitor.session, visitor.controls, teach_actions.kinds_of(visitor.session), Task()
    )
    assert taught.mistaken and visitor.tab["kinds"].count("cv-mistaken") == len(taught.mistaken)
    assert "taken for kind 2" in text_of(visitor.tab["kinds"])


def test_one_picture_a_kind_cannot_be_judged(visitor, files):
    give(visitor, 0, files["sheep"][:1])
    give(visitor, 1, files["zebra"][:1])
    assert "How good it is cannot be told yet" in text_of(visitor.tab["kinds"])
    give(visitor, 1, files["zebra"][1:2])
    assert "1 photograph could not be tried" in text_of(visitor.tab["kinds"])


def test_kinds_come_and_go(visitor, files):
    give(visitor, 0, files["sheep"])
    visitor.do(teach_actions.edit, Selection("add"))
    give(visitor, 2, files["lorry"][:2])
    kinds = teach_actions.kinds_of(visitor.session)
    assert [len(kind.pictures) for kind in kinds] == [3, 0, 2]
    digest = re.search(r"remove:(\w+)", str(visitor.tab["kinds"])).group(1)
    visitor.do(teach_actions.edit, Selection(f"remove:{digest}", 0))
    visitor.do(teach_actions.edit, Selection("drop", 1))
    kinds = teach_actions.kinds_of(visitor.session)
    assert [len(kind.pictures) for kind in kinds] == [2, 2]
    visitor.do(teach_actions.edit, Selection("drop", 0))  # two stay
    assert len(teach_actions.kinds_of(visitor.session)) == 2
    visitor.do(teach_actions.edit, Selection("clear"))
    assert teach_actions.kinds_of(visitor.session) == teaching.START


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection("name:x", 7), "not there any more"),
        (Selection("remove:abc", 9), "not there any more"),
        (Selection("name:kind 2", 0), "another kind is called 'kind 2' already"),
    ],
)
def test_what_cannot_be_changed(visitor, selection, words):
    with pytest.raises(TeachingError, match=words):
        teach_actions.edit(visitor.session, selection)


def test_names_are_one_line_and_not_too_long(visitor):
    teach_actions.edit(visitor.session, Selection("name: a\u202e\n b " + "x" * 200, 0))
    name = teach_actions.kinds_of(visitor.session)[0].name
    assert name.startswith("a\ufffd") and len(name) == 60
    teach_actions.edit(visitor.session, Selection("name:  ", 0))
    assert teach_actions.kinds_of(visitor.session)[0].name == ""


def test_no_two_kinds_have_one_name(visitor, files):
    """A kind that is called as the next one would be called."""
    visitor.do(teach_actions.edit, Selection("name:kind 3", 0))
    visitor.do(teach_actions.edit, Selection("add"))
    kinds = teach_actions.kinds_of(visitor.session)
    assert teaching.names_of(kinds) == ["kind 3", "kind 2", "kind 4"]
    for number, label in enumerate(files):
        give(visitor, number, files[label][:2])
    assert "6 of 6 right" in text_of(visitor.tab["kinds"])
    assert teaching.names_of([Kind("kind 1"), Kind(), Kind("kind 2")]) == ["kind 1", "kind 3",
                                                                          "kind 2"]  # fmt: skip


def test_photographs_come_to_the_kind_that_they_were_chosen_for(visitor, files):
    """Whatever becomes of the other kinds before they are on the server."""
    visitor.do(teach_actions.edit, Selection("add"))
    *_, last = teach_actions.kinds_of(visitor.session)
    visitor.do(teach_actions.edit, Selection("drop", 0))
    visitor.do(teach_actions.edit, Selection("add"))
    list(teach_actions.add_pictures(visitor.session, [files["sheep"], str(last.key)], Task()))
    kinds = teach_actions.kinds_of(visitor.session)
    assert [len(kind.pictures) for kind in kinds] == [0, 3, 0] and kinds[1].key == last.key
    assert len({kind.key for kind in kinds}) == 3
    for key in ("1", "", None, "x"):
        with pytest.raises(TeachingError, match="not there any more"):
            list(teach_actions.add_pictures(visitor.session, [files["zebra"], key], Task()))


def test_bounds_of_kinds_and_pictures(visitor, files, monkeypatch):
    monkeypatch.setattr(teach_actions, "MOST_A_KIND", 2)
    give(visitor, 0, files["sheep"])
    assert len(teach_actions.kinds_of(visitor.session)[0].pictures) == 2
    assert "2 pictures of a kind are the most here" in visitor.frame["notice"]
    give(visitor, 1, files["sheep"][:1])
    assert teach_actions.kinds_of(visitor.session)[1].pictures == ()
    assert "is a picture of another kind already" in visitor.frame["notice"]
    while len(teach_actions.kinds_of(visitor.session)) < teaching.MOST_KINDS:
        teach_actions.edit(visitor.session, Selection("add"))
    with pytest.raises(TeachingError, match="8 kinds are the most here"):
        teach_actions.edit(visitor.session, Selection("add"))


def test_a_file_that_is_no_picture(visitor, files, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    give(visitor, 0, [str(broken), files["sheep"][0]])
    assert len(teach_actions.kinds_of(visitor.session)[0].pictures) == 1
    assert "Skipped" in visitor.frame["notice"]


def test_a_picture_that_was_deleted_meanwhile(visitor, files, tmp_path):
    gone = tmp_path / "gone.png"
    gone.write_bytes(Path(files["lorry"][2]).read_bytes())
    give(visitor, 0, files["sheep"])
    give(visitor, 1, [str(gone)])
    gone.unlink()
    visitor.options(fit="crop")
    assert "1 photograph is not on this server any more" in visitor.tab["answer"]
    visitor.do(teach_actions.edit, Selection("name:wool", 0))
    assert "1 photograph is not on this server any more" in visitor.frame["notice"]
    assert visitor.tab["kinds"].count("<img") == 3 and not visitor.tab["maps"].rows
    give(visitor, 1, files["lorry"][:2])
    assert "any more" not in visitor.tab["answer"] and "5 of 5" in visitor.tab["kinds"]


@pytest.mark.long
def test_prototypes_although_a_photograph_was_deleted(visitor, files, tmp_path):
    gone = tmp_path / "gone.png"
    gone.write_bytes(Path(files["lorry"][2]).read_bytes())
    give(visitor, 0, files["sheep"])
    give(visitor, 1, [*files["lorry"][:2], str(gone)])
    gone.unlink()
    visitor.do(teach_actions.ask_for_prototypes)
    assert [row["key"] for row in visitor.tab["maps"].to_json()["rows"]][-1] == "prototypes"


def saved(visit):
    """The head that is saved, as the bytes of its file."""
    (update,) = teach_actions.save(visit.session, None, Task())
    return base64.b64decode(re.search(r"base64,([^\"]+)", str(update.tab["file"])).group(1))


def test_a_head_is_saved_and_loaded(visitor, files, tmp_path):
    visitor.do(teach_actions.edit, Selection("name:wool", 0))
    give(visitor, 0, files["sheep"])
    give(visitor, 1, files["zebra"])
    file = tmp_path / "head.safetensors"
    file.write_bytes(saved(visitor))
    assert TaughtHead.load(file).kinds == ("wool", "kind 2")
    before = text_of(visitor.tab["answer"])
    visitor.do(teach_actions.edit, Selection("clear"))
    list(teach_actions.load(visitor.session, str(file), Task()))
    visitor.answer()
    assert text_of(visitor.tab["answer"]) == before
    assert "This classifier came from a file. It tells wool, kind 2 apart" in text_of(
        visitor.tab["kinds"]
    )
    assert saved(visitor) == file.read_bytes()
    visitor.change(backbone=BackboneChoice("scenes-convnext"))
    assert "does not fit this network" in text_of(visitor.tab["kinds"])
    assert "not of scenes-convnext" in visitor.tab["answer"]
    visitor.do(teach_actions.edit, Selection("own"))
    assert "cv-teach-kind" in visitor.tab["kinds"]


def test_files_that_are_refused(visitor, files, tmp_path):
    with pytest.raises(TeachingError, match="no file was given"):
        list(teach_actions.load(visitor.session, None, Task()))
    file = tmp_path / "head.safetensors"
    file.write_bytes(b"nothing")
    with pytest.raises(TeachingError, match="damaged"):
        list(teach_actions.load(visitor.session, str(file), Task()))
    assert teach_actions.head_of(visitor.session) is None


@pytest.mark.long
def test_another_network_is_taught_the_same(visitor, files):
    give(visitor, 0, files["sheep"])
    give(visitor, 1, files["zebra"])
    visitor.change(backbone=BackboneChoice("scenes-vit"))
    assert "scenes-vit looks at each" in text_of(visitor.tab["heading"])
    rows = visitor.tab["maps"].to_json()["rows"]
    assert [row["key"] for row in rows] == ["fused", "cam"] and "not defined" in str(rows[1])
    visitor.change(backbone=BackboneChoice("scenes-resnet", untrained=True))
    assert "This network is untrained" in text_of(visitor.tab["heading"])


def test_without_a_picture_or_a_network(visitor, files, fresh):
    give(visitor, 0, files["sheep"])
    give(visitor, 1, files["zebra"])
    visitor.change(picture=None)
    assert "Give a picture on the left" in visitor.tab["answer"] and not visitor.tab["maps"].rows
    (update, *_) = teach.show(visitor.session, Controls(picture=RAM), Task())
    assert "Choose a network" in text_of(update.tab["heading"])


def test_work_ends_when_nobody_waits(session, scene, files):
    task = Task()
    task.cancel()
    kinds = (Kind("a", tuple(files["lorry"])), Kind("b", tuple(files["sheep"])))
    scene = scene.with_options(fit="crop")  # nothing of it is known yet
    with pytest.raises(Stopped):
        teaching.taught_by(session, scene, kinds, task)


def test_another_name_takes_no_pass(session, scene, files, monkeypatch):
    kinds = (Kind("a", tuple(files["zebra"])), Kind("b", tuple(files["sheep"])))
    teaching.taught_by(session, scene, kinds, Task())
    monkeypatch.setattr("camviz.engine.teaching.ReadPooled", lambda *_: pytest.fail("a pass"))
    renamed = (Kind("c", kinds[0].pictures), kinds[1])
    assert teaching.taught_by(session, scene, renamed, Task()).head.kinds == ("c", "b")


def test_what_was_taught_goes_with_the_session(scene, files):
    session = Session()
    kinds = (Kind("a", tuple(files["zebra"])), Kind("b", tuple(files["sheep"])))
    taught = teaching.taught_by(session, scene, kinds, Task())
    assert teaching.taught_by(session, scene, kinds, Task()) is taught
    key, network = session.key, weakref.ref(taught.backbone.model)
    assert teaching._taught.get(key)[1] is taught
    paths = {path for kind in kinds for path in kind.pictures}
    digests = {service.picture_at(path).digest for path in paths}

    def kept():
        keys = engine().features._held.keys()
        of_features = {digest for digest, *_ in keys}
        return paths & set(service._pictures.keys()), digests & of_features

    assert kept() == (paths, digests)
    del session, taught
    gc.collect()
    assert teaching._taught.get(key) is None
    assert service._pictures.get("") is None and engine().features._held.get("") is None
    assert kept() == (set(), set())
    gc.collect()
    assert network() is None


# -- The lesson ----------------------------------------------------------------------------------


def test_the_bias_is_made_caught_and_mended():
    """With the bundled network and the fixed scenes, as the page says it."""
    first, second, third = (bias_lesson.take_step(n, Task()) for n in bias_lesson.STEPS)
    assert first.is_right and first.share > 0.95
    assert 1 - first.on_thing > 0.6, "most of the heat is on the snow"
    assert not second.is_right and second.share < 0.3
    assert second.on_thing < second.area / 2, "less than a map without meaning would have"
    assert third.is_right and third.share > 0.9
    assert third.on_thing > 0.35 > 2 * third.area
    assert second.right <= second.tried // 4 and third.right >= 0.75 * third.tried
    assert second.right == first.right and len(third.taught_from) == 8


def test_only_the_backdrop_is_swapped():
    label, index = bias_lesson.SHOWN
    usual = bias_lesson.Example(label, bias_lesson.BACKDROPS[label], index).scene
    other = bias_lesson.Example(label, bias_lesson.swapped(label), index).scene
    assert usual.background == "snow" and other.background == "meadow"
    assert usual.labels == other.labels == ("house",)
    one, two = usual.mask(label), other.mask(label)
    assert (one & two).sum() / (one | two).sum() > 0.95


def test_scenes_that_it_is_tried_on_were_not_taught():
    taught = {(each.label, each.index) for each in bias_lesson.examples_of(3)}
    tried = {(label, i) for label in bias_lesson.BACKDROPS for i in bias_lesson.TRIED}
    assert not taught & tried


def test_the_lesson_goes_step_by_step(visitor):
    assert visitor.tab["lesson"].count("data-step") == 1
    for number in bias_lesson.STEPS:
        visitor.do(teach_actions.take_lesson, Selection(f"step:{number}"))
        assert visitor.tab["lesson"].count("cv-lesson-found") == number
    found = bias_lesson.take_step(3, Task())
    said = text_of(visitor.tab["lesson"])
    assert f"{found.right} of {found.tried}" in said and f"{found.on_thing:.1%}" in said
    visitor.do(teach_actions.take_lesson, Selection("again"))
    assert "cv-lesson-found" not in visitor.tab["lesson"]


def test_a_lesson_whose_network_is_not_here(visitor, monkeypatch):
    monkeypatch.setattr(bias_lesson, "BACKBONE", "nowhere")
    visitor.do(teach_actions.take_lesson, Selection("step:1"))
    assert "Unknown backbone 'nowhere'" in text_of(visitor.tab["lesson"])


@pytest.mark.parametrize("value", ["step:9", "step:x", "else", ""])
def test_buttons_that_no_browser_has(visitor, value):
    teach_actions.take_lesson(visitor.session, Selection("step:1"))
    teach_actions.take_lesson(visitor.session, Selection(value))
    assert teach_actions.step_of(visitor.session) in (0, 1)
