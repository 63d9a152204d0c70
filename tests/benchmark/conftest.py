"""One engine, and one network that knows scenes, for each file of these tests."""

import pytest

from camviz import Engine


@pytest.fixture(scope="module")
def engine():
    return Engine()


@pytest.fixture(scope="module")
def network(engine):
    return engine.backbone("scenes-resnet")
