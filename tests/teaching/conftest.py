import pytest

from camviz import Engine
from camviz.scenes import draw_scene

LESSON = (("church", "meadow"), ("house", "snow"))


@pytest.fixture(scope="session")
def engine():
    return Engine("cpu")


@pytest.fixture(scope="session")
def pictures():
    """Three drawn scenes of two kinds, by kind."""
    return {
        label: [
            draw_scene(1, i, size=96, label=label, backgrounds=(backdrop,), two_objects=0).image
            for i in range(3)
        ]
        for label, backdrop in LESSON
    }
