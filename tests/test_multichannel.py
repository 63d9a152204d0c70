"""TIFF files of more channels than colours have."""

import io

import numpy as np
import pytest
import tifffile

import camviz
from camviz.errors import BackboneError, ImageError
from camviz.images import open_picture
from tests.support.networks import untrained

ROOM = np.random.default_rng(0).integers(0, 256, (24, 32, 6), np.uint8)


def tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, photometric="minisblack", **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "channels"),
    [
        (tiff(ROOM, planarconfig="contig"), ROOM),
        (tiff(ROOM.transpose(2, 0, 1), planarconfig="separate"), ROOM),
        (tiff(ROOM, planarconfig="contig", byteorder=">"), ROOM),
        (tiff(ROOM, planarconfig="contig", bigtiff=True), ROOM),
        (tiff(ROOM, planarconfig="contig", tile=(16, 16)), ROOM),
        (tiff(ROOM[..., :2], planarconfig="contig"), ROOM[..., :2]),
        (tiff(ROOM.astype(np.uint16) * 257, planarconfig="contig", byteorder=">"), ROOM),
        (tiff(ROOM.astype(np.float32) / 255, planarconfig="contig"), ROOM),
        (tiff(ROOM.astype(np.int32), planarconfig="contig"), ROOM),
    ],
    ids=[
        "pixels",
        "planes",
        "big end first",
        "BigTIFF",
        "tiles",
        "two",
        "16 bits",
        "floats",
        "int",
    ],
)
def test_channels_are_those_of_the_file(data, channels):
    picture = open_picture(data)
    np.testing.assert_array_equal(picture.channels, channels)
    np.testing.assert_array_equal(picture.pixels[..., :2], channels[..., :2])


def test_numbers_beyond_every_scale_are_stretched():
    picture = open_picture(tiff(ROOM.astype(np.float32) - 300, planarconfig="contig"))
    low, high = int(ROOM.min()), int(ROOM.max())
    expected = np.rint((ROOM.astype(float) - low) * 255 / (high - low))
    np.testing.assert_array_equal(picture.channels, expected)


def test_it_is_explained_as_the_same_array_is():
    model = untrained("test_resnet", in_chans=6)
    backbone = camviz.wrap_backbone(model, mean=0.4, std=0.2)
    engine = camviz.Engine("cpu")
    maps = [engine.explain(p, backbone).fused for p in (ROOM, tiff(ROOM, planarconfig="contig"))]
    np.testing.assert_array_equal(*maps)


def test_a_network_of_colours_refuses_it_with_the_number_of_channels():
    backbone = camviz.wrap_backbone(untrained("test_resnet"))
    with pytest.raises(BackboneError, match="3 channels, and the picture has 6"):
        camviz.Engine("cpu").explain(tiff(ROOM, planarconfig="contig"), backbone)


def test_three_channels_are_colours():
    file = io.BytesIO()
    tifffile.imwrite(file, ROOM[..., :3], photometric="rgb")
    picture = open_picture(file.getvalue())
    assert picture.channels is None
    np.testing.assert_array_equal(picture.pixels, ROOM[..., :3])


def wide(count):
    return tiff(np.zeros((16, 16, count), np.uint8), planarconfig="contig")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff(ROOM, planarconfig="contig", compression="zlib"), "6 channels, compressed"),
        (tiff(ROOM, planarconfig="contig")[:2000], "cut short|damaged"),
        (tiff(ROOM[:4, :4], planarconfig="contig"), "too small"),
        (tiff(ROOM.astype(np.complex64), planarconfig="contig"), "pixels of type complex64"),
        (tiff(np.full((16, 16, 6), np.nan, np.float32), planarconfig="contig"), "not numbers"),
        (wide(65), "array of uint8 of shape"),
    ],
    ids=["compressed", "cut", "small", "complex", "NaN", "65 channels"],
)
def test_what_cannot_be_read_is_named(data, words):
    with pytest.raises(ImageError, match=words):
        open_picture(data, name="field.tif")


def test_damage_at_any_place_is_a_picture_or_a_sentence():
    whole = tiff(ROOM, planarconfig="contig")
    rng = np.random.default_rng(1)
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(0, 400, 3):
            data[place] = rng.integers(0, 256)
        try:
            open_picture(bytes(data))
        except ImageError as error:
            assert len(str(error)) > 20
