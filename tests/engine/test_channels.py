"""Networks of other than three channels, and pictures that have so many."""

import numpy as np
import pytest
import torch
from PIL import Image
from timm.models import save_for_hf

from camviz import load_backbone, open_picture, wrap_backbone
from camviz.cli import main
from camviz.errors import BackboneError, ImageError, PrototypeError
from tests.support.networks import untrained

NAMED = {"mean": 0.4, "std": 0.2, "input_size": 64}


@pytest.fixture
def seen():
    """uint8 (60, 90, 5): no two channels alike."""
    return np.random.default_rng(1).integers(0, 256, (60, 90, 5), dtype=np.uint8)


@pytest.fixture(scope="module")
def five():
    model = untrained(in_chans=5, num_classes=4, zero_init_last=False)
    return wrap_backbone(model, device="cpu", **NAMED)


def test_an_array_of_channels_is_shown_by_its_first_three(seen):
    picture = open_picture(seen, name="sea")
    assert np.array_equal(picture.pixels, seen[..., :3])
    assert np.array_equal(picture.channels, seen) and not picture.channels.flags.writeable
    other = seen.copy()
    other[0, 0, 4] ^= 1
    assert open_picture(other).digest != picture.digest and open_picture(seen) == picture
    two = open_picture(seen[..., :2])
    assert np.array_equal(two.pixels[..., :2], seen[..., :2]) and not two.pixels[..., 2].any()
    assert open_picture(seen[..., :3]).channels is None


def test_four_channels_are_colours_and_a_fourth(seen):
    picture = open_picture(seen[..., :4])
    expected = open_picture(Image.fromarray(seen[..., :4]))
    assert np.array_equal(picture.pixels, expected.pixels), "on white"
    assert np.array_equal(picture.channels, seen[..., :4])


@pytest.mark.parametrize("channels", [3, 4, 5])
def test_a_file_of_an_array_is_that_array(seen, tmp_path, channels):
    path = tmp_path / "sea.npy"
    np.save(path, seen[..., :channels])
    picture = open_picture(path)
    assert picture.name == "sea.npy" and picture == open_picture(seen[..., :channels])
    assert open_picture(path.read_bytes()) == picture


def test_a_file_that_holds_no_such_array_is_refused(tmp_path, seen):
    path = tmp_path / "bad.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ImageError, match=r"'bad.npy' is an array of object of shape"):
        open_picture(path)
    np.save(path, seen.astype(np.float32))
    with pytest.raises(ImageError, match=r"'bad.npy' is an array of float32 of shape .*give uint8"):
        open_picture(path)
    np.save(path, seen)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ImageError, match=r"'bad.npy' is cut short: 4% of the array is missing"):
        open_picture(path)


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_each_channel_is_brought_to_the_size_like_a_colour(five, seen, fit):
    image, placed = five.prepare(open_picture(seen), fit)
    assert image.shape == (1, 5, 64, 64)
    three = load_backbone("test_resnet", "random", "cpu", **NAMED)
    for first in (0, 2):
        colours, same = three.prepare(open_picture(seen[..., first : first + 3]), fit)
        assert torch.equal(image[:, first : first + 3], colours) and placed == same


def test_what_is_padded_has_the_mean_of_each_channel(seen):
    means = (0.1, 0.2, 0.4, 0.6, 0.8)
    model = untrained(in_chans=5, num_classes=4)
    backbone = wrap_backbone(model, device="cpu", **{**NAMED, "mean": means, "std": 1.0})
    image, _ = backbone.prepare(open_picture(seen), "pad")
    assert image[0, :, 0].abs().max() <= 0.5 / 255 + 1e-6, "rounded to a whole grey"
    assert image[0, :, 32].abs().max() > 0.1


def test_it_is_explained(engine, five, seen, passes):
    x = engine.explain(seen, five)
    image, _ = five.prepare(x.picture)
    with torch.no_grad():
        assert np.allclose(x.logits, five.model(image)[0], atol=1e-5)
    assert x.fused.shape == (60, 90) and x.fused.any() and len(engine.predict(seen, five)) == 4
    assert engine.similarity(x, "layer3", (40, 30)).map.shape == (60, 90)
    assert engine.components(x, "layer3").colors.shape == (60, 90, 3)
    flipped = engine.explain(seen, five, views="flip")
    other = engine.explain(np.ascontiguousarray(seen[:, ::-1]), five, target=x.target)
    mean = (x.normalized["layer4"] + other.normalized["layer4"][:, ::-1]) / 2
    assert np.allclose(flipped.raw["layer4"], mean, atol=1e-5)
    assert engine.explain(seen, five, placement="true").fused.any()
    bank = engine.build_prototypes([seen, seen[::-1].copy()], five, x.target, 2)
    assert engine.explain(seen, five, prototypes=bank, method="lpcam").bank is bank


def test_it_is_saved_and_repeated_from_a_shell(engine, five, seen, tmp_path, capsys):
    x = engine.explain(seen, five)
    folder = x.save(tmp_path / "out")
    with Image.open(folder / "picture.png") as image:
        assert np.array_equal(image, seen[..., :3])
    save_for_hf(five.model, str(tmp_path / "five"), model_config={"num_classes": 4})
    np.save(tmp_path / "sea.npy", seen)
    words = ["explain", str(tmp_path / "sea.npy"), "--backbone", f"local-dir:{tmp_path / 'five'}"]
    words += ["--mean", "0.4", "--std", "0.2", "--input-size", "64"]
    status = main([*words, "--out", str(tmp_path / "again")])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    assert np.allclose(np.load(tmp_path / "again" / "maps.npz")["fused"], x.fused, atol=1e-5)


def test_a_picture_of_other_channels_is_refused_at_every_door(engine, five, seen, photo):
    sentence = r"^test_resnet takes pictures of 5 channels, and the picture has 3; give a uint8"
    five_x = engine.explain(seen, five)
    doors = [
        lambda: engine.explain(photo, five),
        lambda: engine.explain(photo, five, views="flip"),
        lambda: engine.predict(photo, five),
        lambda: engine.build_prototypes([photo], five, 0),
        lambda: engine.similarity(five_x, "layer3", (40, 30), photo),
    ]
    for door in doors:
        with pytest.raises((BackboneError, PrototypeError), match=sentence):
            door()
    three = load_backbone("test_resnet", "random", "cpu")
    with pytest.raises(BackboneError, match=r"of 3 channels, and 'sea' has 5; give a picture of"):
        engine.explain(open_picture(seen, name="sea"), three)
    assert engine.explain(seen[..., :4], three).fused.shape == (60, 90)
