"""The first minute with the ImageNet network that comes in a package."""

import pytest

from camviz.examples import example
from camviz.network.packaged import DEFAULT_PACKAGED, packaged_file
from camviz.ui import actions, choices
from camviz.ui.state import Selection

pytestmark = pytest.mark.skipif(
    packaged_file(DEFAULT_PACKAGED) is None, reason="the package of weights is not installed"
)


def test_the_page_opens_on_a_photograph_that_is_explained(visit):
    first = choices.examples_first_known()[0]
    assert first.backbones != choices.DRAWN and first.name == "lion"
    actions.open_link(visit.session, {}, str(first.path))
    view = visit.answer()
    assert view.controls.backbone.name == DEFAULT_PACKAGED
    assert "It says <em>lion</em>" in view.tab["verdict"]
    assert "the second is easily missed" in view.tab["verdict"], "its story stands on the page"
    assert "installed" in view.frame["network"]


def test_where_the_middle_of_a_picture_says_something_else_the_page_says_so(visit, controls_of):
    view = visit.open(controls_of(str(example("tower").path), DEFAULT_PACKAGED, untrained=False))
    assert "It says <em>bell cote</em>" in view.tab["verdict"]
    assert "of the middle of the picture alone" in view.tab["verdict"]
    assert "it says obelisk first" in view.tab["verdict"]
    view = visit.options(fit="crop")
    assert "It says <em>obelisk</em>" in view.tab["verdict"]
    assert "of the whole picture it says bell cote first" in view.tab["verdict"]
    view = visit.do(actions.choose_example, Selection("lion"))
    assert "it says" not in view.tab["verdict"].partition("</h2>")[2]


def test_a_drawn_example_is_asked_of_a_network_that_knows_drawings(visit, controls_of):
    view = visit.open(controls_of(str(example("lion").path), DEFAULT_PACKAGED, untrained=False))
    view = visit.do(actions.choose_example, Selection("a-ram"))
    assert view.controls.backbone.name == "scenes-resnet"
    assert f'data-label="backbone:{DEFAULT_PACKAGED}"' in view.frame["notice"], "the way back"
    view = visit.do(actions.choose_example, Selection("lion"))
    assert view.controls.backbone.name == DEFAULT_PACKAGED


def test_without_the_package_the_page_says_how_to_get_it(visit, no_packages, monkeypatch):
    choices.available.cache_clear()
    monkeypatch.setattr("camviz.ui.frame.missing_sentence", lambda: "It is not installed.")
    first = choices.examples_first_known()[0]
    actions.open_link(visit.session, {}, str(first.path))
    view = visit.answer()
    assert view.controls.backbone.name == "scenes-resnet"
    assert "It is not installed." in view.frame["network"]
