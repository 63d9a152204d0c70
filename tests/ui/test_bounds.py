"""What one request may cost: refused in a sentence before any work is done."""

import asyncio

import numpy as np
import pytest
from gradio.exceptions import Error
from gradio.utils import get_upload_folder
from PIL import Image

from camviz.errors import ImageError, MethodError, StageError
from camviz.images import open_picture
from camviz.ui import api, costs, service
from camviz.ui.downloads import bundle
from tests.support.pixels import random_pixels

LAYERS = ("layer1", "layer2", "layer3", "layer4")


@pytest.fixture
def most(monkeypatch):
    """most(layers=3): that is the most from now on."""

    def set_most(**costs):
        for name, value in costs.items():
            monkeypatch.setenv(f"CAMVIZ_{name.upper()}", str(value))

    return set_most


@pytest.fixture
def no_work(monkeypatch):
    """Whatever is explained fails the test."""

    def explain(*_, **__):
        pytest.fail("work was begun")

    monkeypatch.setattr(type(service.engine()), "explain", explain)


def test_layers_are_counted(most):
    most(layers=3)
    costs.check_layers(LAYERS[:3])
    costs.check_layers(None)
    with pytest.raises(StageError, match="4 layers were chosen, and 3 at once are the most here"):
        costs.check_layers(LAYERS)


def test_pixels_are_counted_at_the_size_at_which_maps_are_drawn(most):
    most(drawn_megapixels=20)
    picture = open_picture(np.zeros((2000, 3200, 3), np.uint8))
    costs.check_drawing(picture, 3, "original")
    costs.check_drawing(picture, 12, "screen")  # 1600 x 1000 each
    with pytest.raises(ImageError, match="4 maps of 3200 x 2000 pixels are 26 million") as caught:
        costs.check_drawing(picture, 4, "original")
    assert "20 million at once are the most here; choose size 'screen', or" in str(caught.value)
    with pytest.raises(ImageError, match="13 maps of 1600 x 1000 pixels are 21") as caught:
        costs.check_drawing(picture, 13, "screen")
    assert "size 'screen'" not in str(caught.value), "it is that already"
    with pytest.raises(MethodError, match="unknown size"):
        costs.check_drawing(picture, 1, "huge")


def test_what_is_usual_is_allowed_on_a_public_server(most):
    most(public=1)
    photograph = open_picture(np.zeros((3000, 4000, 3), np.uint8))
    three_rows = 1 + 3 * (4 + 2)
    for size in ("screen", "original"):
        costs.check_drawing(photograph, three_rows, size)
    costs.check_layers(LAYERS * 10)


def call(folder, **given):
    """/explain, as a program calls it, for a picture among the uploads."""
    file = folder / "upload.png"
    Image.fromarray(random_pixels(40, 60)).save(file)
    given = {"backbone": "test_resnet.r160_in1k", "untrained": True, **given}
    return asyncio.run(api.explain(image={"path": str(file)}, **given))


@pytest.fixture
def uploads(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    assert get_upload_folder() == str(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("limit", "given", "sentence"),
    [
        ({"layers": 2}, {"stages": list(LAYERS)}, "4 layers were chosen, and 2 at once"),
        ({"layers": 2}, {}, "layers were chosen, and 2 at once"),
        ({"drawn_megapixels": 1}, {"stages": list(LAYERS) * 120}, "layers were chosen"),
    ],
)
def test_the_endpoint_refuses_before_any_work(
    uploads, most, no_work, fresh, limit, given, sentence
):
    most(**limit)
    with pytest.raises(Error, match=sentence):
        call(uploads, **given)


def test_the_endpoint_refuses_too_many_pixels(uploads, most, no_work, fresh):
    most(drawn_megapixels=1, layers=10_000)
    with pytest.raises(Error, match=r"maps of 60 x 40 pixels are 2 million pixels, and 1"):
        call(uploads, stages=[f"layer{i}" for i in range(1000)])


def test_the_page_says_it(visit, controls, most):
    visit.open(controls)
    most(layers=3)
    visit.options(stages=(*LAYERS[:3], "layer3.0"))
    assert "4 layers were chosen, and 3 at once are the most here" in visit.frame["notice"]
    visit.options(stages=LAYERS[:3])
    assert not visit.frame["notice"] and set(LAYERS[:3]) < set(visit.panels())


def test_a_zip_says_it(controls, three, most, monkeypatch):
    most(drawn_megapixels=1)
    large = open_picture(np.zeros((1000, 1000, 3), np.uint8), name="large.png")
    monkeypatch.setattr(service, "picture_at", lambda path: large)
    monkeypatch.setattr(bundle.covering, "covered", None)
    with pytest.raises(ImageError, match="maps of 1000 x 1000 pixels are"):
        bundle.make_zip(controls)


def test_the_brightest_pixel_is_that_of_the_whole_map(engine_of_uploads, uploads, fresh):
    found, _ = call(uploads, fit="crop", stages=["layer2", "layer3"])
    x = engine_of_uploads(uploads / "upload.png", fit="crop", stages=("layer2", "layer3"))
    for name in x.stages:
        column, row = found["stages"][name]["brightest"]
        assert x.maps[name][row, column] == x.maps[name].max() > 0
        assert (column, row) == tuple(np.argwhere(x.maps[name] == x.maps[name].max())[0][::-1])


@pytest.fixture
def engine_of_uploads(controls_of):
    """engine_of_uploads(path, **options): what the endpoint explains."""

    def explain(path, **options):
        return service.explain(controls_of(str(path)), **options)

    return explain
