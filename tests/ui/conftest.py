"""A visitor's page without a browser: sessions, controls, and what an answer leaves on the page."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from camviz.ui.answer import answer
from camviz.ui.events import take
from camviz.ui.notices import with_notices
from camviz.ui.state import BackboneChoice, Controls, Selection, Session, Task
from camviz.ui.tabs import compare
from tests.support.server import served

RESNET = "test_resnet.r160_in1k"


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """The address of the page itself, served by a process of its own; it logs no traceback."""
    with served(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture(scope="session")
def noisy(tmp_path_factory):
    """The same, of which gradio itself may write tracebacks into the log."""
    with served(tmp_path_factory.mktemp("noisy"), quiet=False) as url:
        yield url


@pytest.fixture
def session():
    """A visitor who has touched nothing yet."""
    return Session()


@pytest.fixture
def controls_of(fresh):
    """controls_of(path, backbone): as the page opens, by default on a network without weights."""

    def get(path, backbone=RESNET, untrained=True):
        return Controls(picture=path, backbone=BackboneChoice(backbone, untrained))

    return get


@pytest.fixture
def controls(controls_of, photo_file):
    """As the page opens on `photo`."""
    return controls_of(photo_file)


@pytest.fixture
def merged():
    """merged(updates): the page when all updates are through; every one lies over those before."""

    def merge(updates):
        page = SimpleNamespace(frame={}, tab={})
        for update in updates:
            page.frame |= update.frame
            page.tab |= update.tab
        return page

    return merge


@pytest.fixture
def shown(session, merged):
    """shown(tab, controls, **settings): the parts of a tab, with these settings of its own."""

    def get(tab, controls, **settings):
        session.settings[tab.ID] = settings
        return merged(tab.show(session, controls, Task())).tab

    return get


@pytest.fixture
def on_backbone():
    """on_backbone(controls, name): the same on another backbone, with its weights."""

    def get(controls, name, untrained=False):
        return replace(controls, backbone=BackboneChoice(name, untrained))

    return get


@pytest.fixture
def write(tmp_path, photo):
    """write(name, seed): the path of a picture unlike any other seed's."""

    def get(name, seed=0):
        noise = np.random.default_rng(seed).integers(0, 200, photo.shape, np.uint8)
        Image.fromarray(photo // 2 + noise // 2).save(tmp_path / name)
        return str(tmp_path / name)

    return get


@pytest.fixture
def three(controls_of, write):
    """Three pictures are held, the first of them is shown."""
    paths = (write("b.png", 1), write("C.png", 2), write("a.png", 3))
    return replace(controls_of(paths[0]), pictures=paths)


class Visit:
    """A visitor of the page: what is done to it, and what it shows after each answer."""

    def __init__(self, session, tabs):
        self.session, self.tabs = session, tabs
        self.frame, self.tab, self.updates = {}, {}, []

    def open(self, controls, opened=True):
        """The page as these controls have it, from nothing."""
        session = self.session
        session.__init__()
        session.opened = opened
        self.frame, self.tab = {}, {}
        session.change(controls)
        session.touch()
        return self.answer()

    def do(self, action, *value):
        """Do what a click does, and answer."""
        take(self.session, action, value[0] if value and isinstance(value[0], Selection) else value)
        return self.answer()

    def change(self, **changes):
        """Set other controls, and answer."""
        self.session.change(replace(self.session.controls, **changes))
        return self.answer()

    def options(self, **changes):
        self.session.change(self.session.controls.with_options(**changes))
        return self.answer()

    def answer(self):
        steps = answer(self.session, Task(), self.tabs)
        self.updates = list(with_notices(self.session, steps, self.tabs))
        for update in self.updates:
            self.session.mirror |= update.mirror
            self.frame |= update.frame
            self.tab |= update.tab
        return self

    @property
    def controls(self):
        return self.session.controls

    def row(self, key):
        (found,) = [row for row in as_json(self.tab["maps"])["rows"] if row["key"] == key]
        return found

    def panels(self, key="layercam"):
        return [panel["key"] for panel in self.row(key)["panels"]]

    @property
    def link(self):
        return self.frame["link"]


def as_json(payload):
    """A payload of the viewer as the browser gets it."""
    return payload.to_json() if hasattr(payload, "to_json") else payload


@pytest.fixture
def visit(session, fresh):
    """A visitor of a page with the maps of Look alone."""
    return Visit(session, (compare,))
