"""camviz.images: what opens, what is refused and how, the way to the network's input and back."""

import io
import os
import random
import struct
import sys
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, features

import camviz.network.torchvision_ops  # noqa: F401
from camviz import images
from camviz.errors import ImageError
from camviz.images import open_picture
from tests.support.pixels import random_pixels


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif_orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def png_of_size(width, height, *more):
    """A well-formed PNG whose header claims any size; its pixels are missing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in chunks:
        check = struct.pack(">I", zlib.crc32(name + content))
        data += struct.pack(">I", len(content)) + name + content + check
    return data


class TestWhatOpens:
    @pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
    def test_lossless_files_keep_every_pixel(self, kind):
        pixels = random_pixels(20, 30)
        options = {"lossless": True} if kind == "WEBP" else {}
        picture = open_picture(encode(Image.fromarray(pixels), kind, **options))
        assert np.array_equal(picture.pixels, pixels)
        assert (picture.height, picture.width) == (20, 30)
        assert picture.pixels.dtype == np.uint8

    def test_jpeg_is_near(self):
        pixels = np.full((24, 24, 3), (200, 100, 50), np.uint8)
        picture = open_picture(encode(Image.fromarray(pixels), "JPEG", quality=95))
        assert np.abs(picture.pixels.astype(int) - pixels).max() <= 2

    def test_multi_picture_jpeg_gives_its_first(self):
        first, second = (Image.new("RGB", (16, 16), c) for c in ("red", "blue"))
        data = encode(first, "MPO", save_all=True, append_images=[second])
        assert open_picture(data).pixels[8, 8, 0] > 200
        assert open_picture(Image.open(io.BytesIO(data))).pixels[8, 8, 0] > 200

    def test_animation_gives_its_first_frame(self):
        frames = [Image.new("RGB", (16, 16), c).quantize(4) for c in ("red", "blue")]
        data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert (open_picture(data).pixels == (255, 0, 0)).all()

    def test_every_kind_of_source_gives_the_same_picture(self, tmp_path):
        pixels = random_pixels(12, 10)
        path = tmp_path / "cat.png"
        path.write_bytes(encode(Image.fromarray(pixels), "PNG"))
        sources = [path, str(path), path.read_bytes(), Image.open(path), pixels]
        pictures = [open_picture(source) for source in sources]
        pictures.append(open_picture(pictures[0]))
        assert all(np.array_equal(p.pixels, pixels) for p in pictures)
        assert all(p == pictures[0] and hash(p) == hash(pictures[0]) for p in pictures)

    def test_names(self, tmp_path):
        path = tmp_path / "cat.png"
        path.write_bytes(encode(Image.fromarray(random_pixels(9, 9)), "PNG"))
        assert open_picture(path).name == "cat.png"
        assert open_picture(path, name="Tom").name == "Tom"
        assert open_picture(path.read_bytes()).name == ""
        renamed = open_picture(open_picture(path), name="Tom")
        assert renamed.name == "Tom" and renamed == open_picture(path)

    def test_content_counts_not_the_name(self, tmp_path):
        path = tmp_path / "really_a_png.jpg"
        path.write_bytes(encode(Image.fromarray(random_pixels(9, 9)), "PNG"))
        assert np.array_equal(open_picture(path).pixels, random_pixels(9, 9))

    def test_arrays(self):
        grey = random_pixels(8, 9, 1)[..., 0]
        assert np.array_equal(open_picture(grey).pixels, np.stack([grey] * 3, axis=-1))
        rgba = random_pixels(8, 9, 4)
        rgba[..., 3] = 255
        assert np.array_equal(open_picture(rgba).pixels, rgba[..., :3])
        flipped = random_pixels(8, 9)[::-1, ::-1]  # not contiguous
        assert np.array_equal(open_picture(flipped).pixels, flipped)

    def test_pixels_are_frozen_and_our_own(self):
        source = random_pixels(8, 8)
        picture = open_picture(source)
        source[:] = 0
        assert np.array_equal(picture.pixels, random_pixels(8, 8))
        with pytest.raises(ValueError, match="read-only"):
            picture.pixels[0, 0, 0] = 1

    def test_digest_tells_pixels_and_shape_apart(self):
        assert (
            open_picture(random_pixels(8, 9)).digest
            == open_picture(random_pixels(8, 9), name="b").digest
        )
        changed = random_pixels(8, 9)
        changed[7, 8, 2] ^= 1
        flat, tall = np.zeros((8, 16, 3), np.uint8), np.zeros((16, 8, 3), np.uint8)
        digests = {open_picture(p).digest for p in (random_pixels(8, 9), changed, flat, tall)}
        assert len(digests) == 4 and all(len(d) == 64 for d in digests)

    def test_caller_image_is_left_alone(self):
        image = Image.fromarray(random_pixels(8, 12, 4))
        image.getexif()[0x0112] = 6
        picture = open_picture(image)
        assert (picture.height, picture.width) == (12, 8)
        assert image.size == (12, 8) and image.mode == "RGBA" and image.getexif()[0x0112] == 6


# By the definition of the EXIF tag: what must be done to the stored rows and columns.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


class TestOrientation:
    @pytest.mark.parametrize("value", UPRIGHT)
    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
    def test_applied(self, kind, value):
        stored = random_pixels(10, 14)
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encode(Image.fromarray(stored), kind, exif=exif_orientation(value), **options)
        assert np.array_equal(open_picture(data).pixels, UPRIGHT[value](stored))

    def test_jpeg(self):
        stored = np.zeros((16, 32, 3), np.uint8)
        stored[:, 16:] = 255  # white on the right: turned clockwise, white is below
        data = encode(Image.fromarray(stored), "JPEG", exif=exif_orientation(6))
        pixels = open_picture(data).pixels
        assert pixels.shape == (32, 16, 3) and pixels[:12].max() < 30 and pixels[20:].min() > 225

    @pytest.mark.parametrize(
        "exif", [exif_orientation(9).tobytes(), b"Exif\0\0MM\0*\0\0", b"Exif\0\0junk"]
    )
    def test_nonsense_is_ignored(self, exif):
        data = encode(Image.fromarray(random_pixels(10, 14)), "PNG", exif=exif)
        assert np.array_equal(open_picture(data).pixels, random_pixels(10, 14))


class TestModes:
    def test_transparency_is_laid_on_white(self):
        rgba = np.zeros((8, 8, 4), np.uint8)
        rgba[:, :4] = (255, 0, 0, 128)  # half red: 255 and 255 * 127 / 255
        rgba[:, 4:] = (9, 9, 9, 0)
        for source in (rgba, Image.fromarray(rgba), encode(Image.fromarray(rgba), "PNG")):
            pixels = open_picture(source).pixels
            assert (pixels[:, :4] == (255, 127, 127)).all() and (pixels[:, 4:] == 255).all()

    def test_grey_with_alpha(self):
        image = Image.merge("LA", [Image.new("L", (8, 8), 0), Image.new("L", (8, 8), 255 - 51)])
        assert (open_picture(encode(image, "PNG")).pixels == 51).all()

    @pytest.mark.parametrize("kind", ["PNG", "GIF"])
    def test_palette(self, kind):
        image = Image.new("P", (8, 8), 0)
        image.putpalette([255, 0, 0, 0, 0, 255])
        image.paste(1, (4, 0, 8, 8))
        opaque = open_picture(encode(image, kind)).pixels
        assert (opaque[:, :4] == (255, 0, 0)).all() and (opaque[:, 4:] == (0, 0, 255)).all()
        pierced = open_picture(encode(image, kind, transparency=1)).pixels
        assert (pierced[:, :4] == (255, 0, 0)).all() and (pierced[:, 4:] == 255).all()

    def test_palette_with_graded_transparency(self):
        image = Image.new("P", (8, 8), 1)
        image.putpalette([255, 0, 0, 0, 0, 255])
        pixels = open_picture(encode(image, "PNG", transparency=bytes([255, 128]))).pixels
        assert (pixels == (127, 127, 255)).all()

    def test_one_colour_declared_transparent(self):
        image = Image.new("RGB", (8, 8), (1, 2, 3))
        image.paste((7, 7, 7), (4, 0, 8, 8))
        pixels = open_picture(encode(image, "PNG", transparency=(1, 2, 3))).pixels
        assert (pixels[:, :4] == 255).all() and (pixels[:, 4:] == 7).all()

    @pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
    def test_cmyk(self, kind):
        data = encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), kind)
        if kind == "JPEG":  # Adobe's convention: stored inverted, and marked so
            assert b"Adobe" in data
        pixels = open_picture(data).pixels.astype(int)
        assert np.abs(pixels - (255, 0, 0)).max() <= 3

    def test_one_bit(self):
        image = Image.new("1", (8, 8), 0)
        image.paste(1, (4, 0, 8, 8))
        pixels = open_picture(encode(image, "PNG")).pixels
        assert (pixels[:, :4] == 0).all() and (pixels[:, 4:] == 255).all()

    @pytest.mark.parametrize(("kind", "order"), [("PNG", "<"), ("TIFF", "<"), ("TIFF", ">")])
    def test_sixteen_bit_grey_is_scaled(self, kind, order):
        values = np.zeros((8, 8), f"{order}u2")
        values[0, :5] = 65535, 257, 128, 129, 256 * 128
        pixels = open_picture(encode(Image.fromarray(values), kind)).pixels
        assert pixels[0, :5, 0].tolist() == [255, 1, 0, 1, 128]
        assert (pixels[..., 0] == pixels[..., 2]).all()

    @pytest.mark.parametrize(
        ("values", "shown"),
        [
            ([0.0, 0.5, 1.0], [0, 128, 255]),  # fractions
            ([0.0, 100.4, 200.0], [0, 100, 200]),  # 8-bit numbers in floats
            ([0.0, 25700.0, 65535.0], [0, 100, 255]),  # 16-bit numbers
            ([-1.0, 0.0, 1.0], [0, 128, 255]),  # none of these: stretched
            ([0.0, 1e6, 2e6], [0, 128, 255]),
            ([-7.0, -7.0, -7.0], [0, 0, 0]),  # constant and on no scale: black
        ],
    )
    def test_floats_take_the_smallest_usual_scale(self, values, shown):
        array = np.resize(np.array(values, np.float32), (9, 9))
        for source in (encode(Image.fromarray(array), "TIFF"), Image.fromarray(array)):
            assert open_picture(source).pixels[0, :3, 0].tolist() == shown

    @pytest.mark.parametrize(
        ("values", "shown"),
        [([0, 1, 1], [0, 1, 1]), ([0, 1, 255], [0, 1, 255]), ([0, 257, 65535], [0, 1, 255])],
    )
    def test_wide_integers(self, values, shown):
        array = np.resize(np.array(values, np.int32), (9, 9))
        assert open_picture(Image.fromarray(array)).pixels[0, :3, 0].tolist() == shown

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_floats_that_are_no_numbers(self, bad):
        array = np.zeros((8, 8), np.float32)
        array[3, 3] = bad
        with pytest.raises(ImageError, match="NaN"):
            open_picture(Image.fromarray(array))

    @pytest.mark.parametrize("mode", ["L", "PA", "RGBa", "RGBX", "YCbCr", "HSV", "I;16B", "I;16L"])
    def test_rarer_modes_of_pil(self, mode):
        pixels = open_picture(Image.new(mode, (8, 9))).pixels
        assert pixels.shape == (9, 8, 3)


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "empty"),
            (b"hello, this is no picture", "begins with the bytes 68 65 6c 6c 6f 2c 20 74"),
            (b"<!DOCTYPE html><html>404 not found</html>", "a web page"),
            (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG"),
            (b"%PDF-1.7\n", "a PDF"),
            (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2avc1mp41", "a video"),
            (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ", "a JPEG 2000 picture"),
            (b"\xff\x4f\xff\x51\0\x29", "a JPEG 2000 picture"),
        ],
    )
    def test_what_is_no_picture(self, data, words, tmp_path):
        path = tmp_path / "photo.jpg"
        path.write_bytes(data)
        with pytest.raises(ImageError, match=r"'photo.jpg'") as caught:
            open_picture(path)
        assert words in str(caught.value)
        assert "give a JPEG, PNG" in str(caught.value)  # what would do

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
    @pytest.mark.parametrize("part", [0.01, 0.3, 0.7])
    def test_cut_short(self, kind, part):
        image = Image.fromarray(random_pixels(40, 40)).quantize(64) if kind == "GIF" else None
        data = encode(image or Image.fromarray(random_pixels(40, 40)), kind)
        with pytest.raises(ImageError, match=r"cut short|damaged"):
            open_picture(data[: int(len(data) * part)])

    @pytest.mark.parametrize("side", [7100, 10_000, 20_000, 60_000])
    def test_a_bomb_is_refused_by_its_header(self, side, monkeypatch):
        # PIL alone is silent at the first size, warns at the second and raises beyond.
        monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
        with pytest.raises(ImageError, match=r"too large.*50 million"):
            open_picture(png_of_size(side, side), name="bomb.png")

    def test_a_frame_larger_than_its_screen_is_refused_too(self):
        data = bytearray(encode(Image.new("P", (16, 16)), "GIF"))
        frame = data.index(b",\0\0\0\0\x10\0\x10\0")
        data[frame + 5 : frame + 9] = struct.pack("<HH", 12_000, 12_000)
        with pytest.raises(ImageError, match="too large"):
            open_picture(bytes(data))

    def test_a_bomb_in_the_metadata(self):
        text = b"note\0\0" + zlib.compress(bytes(5_000_000))
        with pytest.raises(ImageError, match="cannot be decoded"):
            open_picture(png_of_size(64, 64, (b"zTXt", text)))

    def test_a_large_picture_from_memory(self, monkeypatch):
        monkeypatch.setattr(images, "MAX_PIXELS", 99)
        for source in (random_pixels(10, 10), Image.new("RGB", (10, 10))):
            with pytest.raises(ImageError, match=r"too large \(10 x 10 pixels\)"):
                open_picture(source)
        assert open_picture(random_pixels(9, 11)).width == 11

    def test_too_many_bytes(self, monkeypatch, tmp_path):
        data = encode(Image.fromarray(random_pixels(9, 9)), "PNG")
        path = tmp_path / "long.png"
        path.write_bytes(data)
        monkeypatch.setattr(images, "MAX_BYTES", len(data) - 1)
        for source in (data, path):
            with pytest.raises(ImageError, match="MB"):
                open_picture(source)
        monkeypatch.setattr(images, "MAX_BYTES", len(data))
        assert open_picture(path).name == "long.png"

    @pytest.mark.parametrize("size", [(1, 1), (7, 100), (100, 7)])
    def test_too_small(self, size):
        image = Image.new("RGB", size)
        for source in (image, np.asarray(image), encode(image, "PNG")):
            with pytest.raises(ImageError, match=f"{size[0]} x {size[1]} pixels, too small"):
                open_picture(source)

    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((8, 8, 3), np.float32),
            np.zeros((8, 8), bool),
            np.zeros((8, 8, 1), np.uint8),
            np.zeros((8, 8, 65), np.uint8),
            np.zeros((1, 8, 8, 3), np.uint8),
            np.zeros(8, np.uint8),
        ],
    )
    def test_arrays_of_another_kind(self, array):
        with pytest.raises(ImageError, match="give uint8 of shape"):
            open_picture(array)

    @pytest.mark.parametrize("source", [None, 3, [[0]], torch.zeros(3, 8, 8)])
    def test_other_things(self, source):
        with pytest.raises(ImageError, match=type(source).__name__):
            open_picture(source)

    def test_paths(self, tmp_path):
        with pytest.raises(ImageError, match="there is no file"):
            open_picture(tmp_path / "gone.png")
        with pytest.raises(ImageError, match="is a folder"):
            open_picture(tmp_path)
        with pytest.raises(ImageError, match="cannot read"):
            open_picture("nul\0byte.png")
        os.mkfifo(tmp_path / "pipe")  # to open it would wait for ever
        with pytest.raises(ImageError, match="not an ordinary file"):
            open_picture(tmp_path / "pipe")

    def test_formats_outside_the_list(self, tmp_path):
        data = encode(Image.new("RGB", (8, 8)), "PPM")
        with pytest.raises(ImageError, match="not a picture"):
            open_picture(data)
        with pytest.raises(ImageError, match="PPM format"):
            open_picture(Image.open(io.BytesIO(data)))

    def test_a_lazy_image_that_turns_out_damaged(self):
        data = encode(Image.fromarray(random_pixels(40, 40)), "PNG")
        with pytest.raises(ImageError, match="cut short"):
            open_picture(Image.open(io.BytesIO(data[:-500])))

    def test_nothing_but_our_own_error_ever_escapes(self):
        chance = random.Random(0)
        image = Image.fromarray(random_pixels(20, 20, 4))
        files = [
            encode(image.convert("RGB"), "JPEG", exif=exif_orientation(6)),
            encode(image, "PNG"),
            encode(image, "WEBP"),
            encode(image.convert("RGB").quantize(9), "GIF", transparency=2),
            encode(image.convert("RGB"), "BMP"),
            encode(image, "TIFF"),
        ]
        outcomes = {"opened": 0, "refused": 0}
        for _ in range(50):
            for data in map(bytearray, files):
                for _ in range(chance.choice([1, 3, 20])):
                    data[chance.randrange(min(len(data), 200))] = chance.randrange(256)
                try:
                    open_picture(bytes(data))
                    outcomes["opened"] += 1
                except ImageError:
                    outcomes["refused"] += 1
        assert min(outcomes.values()) > 50

    def test_only_the_warnings_of_pil_are_silenced(self, monkeypatch):
        def load(image):
            warnings.warn("mine", stacklevel=1)
            warnings.warn_explicit("about metadata", UserWarning, "x.py", 1, module="PIL.x")

        monkeypatch.setattr(Image.Image, "load", load)
        with pytest.warns(UserWarning) as caught:
            open_picture(Image.new("RGB", (8, 8)))
        assert {str(warning.message) for warning in caught} == {"mine"}


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
AVIF = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf"


class TestPhotographsOfTelephones:
    @pytest.mark.parametrize("kind", ["JPEG", "MPO"])
    @pytest.mark.parametrize("progressive", [False, True])
    def test_the_largest_jpeg_files_are_decoded_at_half_their_size(
        self, kind, progressive, monkeypatch
    ):
        monkeypatch.setattr(images, "EXACT_JPEG_PIXELS", 99 * 160)
        monkeypatch.setattr(images, "MAX_PIXELS", 100 * 160)
        monkeypatch.setattr(images, "MAX_JPEG_PIXELS", 180 * 240)
        colours = np.asarray(Image.fromarray(random_pixels(6, 8)).resize((240, 180)))
        options = {"quality": 95, "progressive": progressive}
        if kind == "MPO":
            options |= {"save_all": True, "append_images": [Image.new("RGB", (8, 8))]}
        image = Image.fromarray(colours)
        found = open_picture(encode(image, kind, **options))
        assert (found.width, found.height, found.reduction) == (120, 90, 2)
        assert found.own_size == (180, 240)
        expected = np.asarray(image.resize((120, 90), Image.Resampling.BOX)).astype(int)
        assert np.abs(found.pixels - expected).mean() < 4
        again = open_picture(found.pixels.copy())
        assert again.digest == found.digest, "the digest is of the decoded pixels"
        assert again.reduction == 1 and again.own_size is None
        exact = open_picture(encode(image.crop((0, 0, 160, 99)), kind))
        assert (exact.width, exact.height, exact.reduction) == (160, 99, 1)
        with pytest.raises(ImageError, match="too large"):
            open_picture(encode(image.resize((241, 180)), kind))
        with pytest.raises(ImageError, match="too large"):
            open_picture(encode(image, "PNG"))

    def test_orientation_is_applied_to_what_was_decoded_small(self, monkeypatch):
        monkeypatch.setattr(images, "EXACT_JPEG_PIXELS", 99)
        exif = Image.Exif()
        exif[0x0112] = 6
        data = encode(Image.fromarray(random_pixels(180, 240)), "JPEG", exif=exif)
        found = open_picture(data)
        assert found.pixels.shape == (120, 90, 3) and found.own_size == (240, 180)

    def test_usual_photographs_are_within_the_limits(self):
        assert images.MAX_PIXELS >= 8064 * 6048  # of any format
        assert images.MAX_JPEG_PIXELS >= 12_000 * 9000
        assert images.EXACT_JPEG_PIXELS >= 39_000_000

    @pytest.mark.skipif(not features.check("avif"), reason="this pillow reads no AVIF")
    def test_avif_opens(self):
        pixels = np.asarray(Image.fromarray(random_pixels(6, 8)).resize((80, 60)))
        found = open_picture(encode(Image.fromarray(pixels), "AVIF", quality=95))
        assert np.abs(found.pixels.astype(int) - pixels).mean() < 4

    def test_avif_that_pillow_cannot_read_is_named(self, monkeypatch):
        monkeypatch.setattr(images.features, "check", lambda name: False)
        with pytest.raises(ImageError, match=r"an AVIF picture, .* \(11\.3 and newer do\)"):
            open_picture(AVIF)

    def test_heic_is_named_where_its_reader_is_not_installed(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        for data in (HEIC, HEIC.replace(b"ftypheic", b"ftypmif1")):
            with pytest.raises(ImageError, match=r"an HEIC picture, .*pip install pillow-heif"):
                open_picture(data, name="IMG_1.HEIC")

    def test_heic_opens_where_its_reader_is_installed(self):
        pillow_heif = pytest.importorskip("pillow_heif")
        pixels = np.asarray(Image.fromarray(random_pixels(6, 8)).resize((80, 60)))
        pillow_heif.register_heif_opener()
        found = open_picture(encode(Image.fromarray(pixels), "HEIF", quality=95))
        assert np.abs(found.pixels.astype(int) - pixels).mean() < 12  # half the colour
