"""Methods that take many passes, on the page: their price, their progress, and that they are run
where their maps are shown and nowhere else.
"""

from dataclasses import replace

import pytest

from camviz.engine.cache import LRUCache
from camviz.engine.options import AUTO
from camviz.turns import Stopped
from camviz.ui import answer as answering
from camviz.ui import choices, service, strip
from camviz.ui.answer import answer
from camviz.ui.service import duration, explain
from camviz.ui.state import DEFAULT, Menu, Task, Update
from camviz.ui.tabs import compare, models, pictures

SECONDS = {"recipro_cam": 0.2, "ablation_cam": None, "score_cam": 18.2, "group_cam": 9.4}


@pytest.fixture
def controls(controls_of, write, request):
    """A picture of which the page's engine has no map yet: it is one for all tests."""
    return controls_of(write("new.png", sum(map(ord, request.node.name))))


@pytest.fixture
def priced(monkeypatch):
    """The seconds of each method, which a test may change."""
    seconds = dict(SECONDS)
    monkeypatch.setattr(service, "price", lambda controls, method: seconds[method])
    return seconds


@pytest.fixture
def scored(monkeypatch):
    """How many pictures each scoring of changes was of, by the digest of the picture."""
    from camviz.engine.scoring import ScoreChanges

    done, plain = [], ScoreChanges.do
    monkeypatch.setattr(
        ScoreChanges, "do",
        lambda work, *rest: done.append(work.picture.digest) or plain(work, *rest),
    )  # fmt: skip
    return done


def test_durations_in_words():
    assert [duration(s) for s in (None, 0.0, 0.49)] == ["", "", ""]
    assert [duration(s) for s in (0.5, 1.4, 18.2, 89.4)] == [
        f"about {n} s" for n in (1, 1, 18, 89)
    ]  # fmt: skip
    assert [duration(s) for s in (90.0, 200.0)] == ["about 2 min", "about 3 min"]


def test_a_price_is_of_what_is_set(controls):
    backbone = explain(controls).backbone
    last, before = (backbone.stage(name) for name in service.stages_of(controls)[:-3:-1])
    passes = [min(64, stage.channels) for stage in (last, before)]
    one = service.price(controls, "score_cam")
    assert 0 < one < 60
    two = service.price(controls.with_options(stages=(before.name, last.name)), "score_cam")
    assert two == pytest.approx(one * sum(passes) / passes[0])
    assert service.price(controls.with_options(views="flip"), "score_cam") > 2 * one
    assert service.price(controls, "grad_cam") == 0
    assert service.price(controls.with_options(stages=("nonsense",)), "score_cam") is None


def test_the_views_name_what_they_take_for_this_network(visit, controls, monkeypatch):
    seconds = {"one": 1.0, "flip": 3.0, "paper": None}
    monkeypatch.setattr(service, "_price", lambda controls, method, views: seconds[views])
    view = visit.open(replace(controls, picture=None))
    assert view.frame["views"].choices == choices.views_entries() == [
        ("as it is", "one"),
        ("and mirrored · 2 times as long", "flip"),
        ("at four sizes, each mirrored (paper: LPCAM) · 15 times as long", "paper"),
    ]  # fmt: skip
    view.change(picture=controls.picture)
    menu = view.frame["views"]
    assert isinstance(menu, Menu) and menu.value == "one" and menu.keeps
    assert [text for text, _ in menu.choices] == [
        "as it is",
        "and mirrored · about 2 s more",
        "at four sizes, each mirrored (paper: LPCAM) · 15 times as long",
    ]
    seconds |= {"flip": 1.2, "paper": 200.0}
    view.change(picture=controls.picture, options=replace(controls.options, fuse="mean"))
    assert [text.rpartition(" · ")[2] for text, _ in view.frame["views"].choices[1:]] == [
        "under a second more", "about 3 min more",
    ]  # fmt: skip


def test_the_menu_names_prices_once_they_are_known(visit, controls, priced):
    view = visit.open(replace(controls, picture=None))
    assert view.frame["method"].choices == choices.method_entries(), "nothing was measured yet"
    view.change(picture=controls.picture)
    menu = view.frame["method"]
    assert isinstance(menu, Menu) and menu.value == DEFAULT.options.method
    texts = {name: text for text, name in menu.choices}
    assert texts["score_cam"] == "Score-CAM · Wang et al., CVPRW 2020 · about 18 s"
    assert texts["recipro_cam"] == "Recipro-CAM · Byun and Lee, 2022"
    assert texts["layer_cam"] == "LayerCAM · Jiang et al., TIP 2021"
    backbone = service.load(controls.backbone)
    assert [name for _, name in menu.choices] == [AUTO, *choices.stage_methods(backbone)]
    del view.frame["method"]
    view.options(fit="pad")
    assert "method" not in view.frame, "what is there already is not sent again"
    priced["score_cam"] = 3.0
    view.options(fit="crop")
    assert "Score-CAM · Wang et al., CVPRW 2020 · about 3 s" in dict(view.frame["method"].choices)


def test_the_chosen_one_is_computed_once(visit, controls, scored):
    view = visit.open(controls.with_options(method="score_cam"))
    assert view.row("layercam")["title"] and len(scored) == 1
    view.change(target=service.load(controls.backbone).labels[7])
    assert len(scored) == 1, "another class costs nothing"


def test_its_passes_are_reported_and_it_is_given_up_when_stopped(session, controls):
    session.opened = True
    session.change(controls.with_options(method="score_cam"))
    seen = []

    class Watched(Task):
        def report(self, done, total, *rest):
            seen.append((done, total))
            if done:
                self.cancel()
            super().report(done, total, *rest)

    with pytest.raises(Stopped):
        list(answer(session, Watched(), (compare,)))
    assert len(seen) == 2 and seen[0][0] == 0 and 0 < seen[1][0] < seen[1][1]


def test_stopped_the_page_goes_back_to_the_method_whose_maps_it_shows(visit, controls):
    """Or the next click would begin it anew."""
    view = visit.open(controls.with_options(method="grad_cam"))
    session = view.session
    session.change(view.controls.with_options(method="score_cam"))
    task = session.begin_answer()
    session.stop()
    assert task.cancelled and session.controls.options.method == "grad_cam"
    assert "method" not in session.mirror, "what the menu shows is not known"


def test_what_is_awaited_has_a_name_and_a_price(session, controls, monkeypatch):
    seconds = {"score_cam": 18.2, "recipro_cam": 0.2}
    monkeypatch.setattr(answering, "price", lambda controls, name: seconds[name])

    def label_with(method):
        task = Task("before")
        list(
            answering._around_and_tabs(
                session, controls.with_options(method=method), task, (), Update()
            )
        )
        return task.label

    assert label_with("score_cam") == "Score-CAM takes about 18 s"
    assert [label_with(name) for name in ("recipro_cam", "layer_cam", AUTO)] == 3 * ["before"]


def test_a_link_to_one_may_be_stopped_too(session, controls):
    """Where it is tried whether the network can do what the link asks for."""
    session.opened = True
    session.change(controls.with_options(method="score_cam", views="flip"))
    task = Task()
    task.cancel()
    with pytest.raises(Stopped):
        list(answer(session, task, (compare,)))


def test_what_asks_for_classes_alone_does_not_run_it(three, scored, monkeypatch):
    monkeypatch.setattr(strip, "_answers", LRUCache(100))
    slow = three.with_options(method="score_cam")
    list(strip.show_strip(slow, Task()))
    assert pictures._common_class(slow, slow.pictures) == explain(three).label
    assert not scored
    label = explain(three).label
    assert service.row(slow, service.PROTOTYPES).label == label and not scored


def test_a_sheet_of_pictures_may_be_stopped_within_one(session, three, scored, monkeypatch):
    monkeypatch.setattr(pictures, "_tiles", LRUCache(100))
    slow, shares = three.with_options(method="score_cam"), []

    class Watched(Task):
        def report(self, done, total, *rest):
            super().report(done, total, *rest)
            shares.append(self.share)
            if len(shares) > 12:
                self.cancel()

    with pytest.raises(Stopped):
        list(pictures.show(session, slow, Watched()))
    assert shares == sorted(shares) and len(scored) == 2


def test_other_backbones_report_their_passes(session, controls, scored):
    task, seen = Task(), []
    report = task.report
    task.report = lambda *given: seen.append(given) or report(*given)
    slow = controls.with_options(method="score_cam")
    found = models.explain_with(slow, "scenes-convnext", None, task)
    assert found.request.method == "score_cam" and len(scored) == 1
    assert len(seen) > 2 and all(len(given) == 3 for given in seen)
