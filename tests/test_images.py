"""camviz.images: what opens, what is refused and how, the way to the network's input and back."""

import io
import os
import random
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

import camviz.network.torchvision_ops  # noqa: F401
from camviz import images
from camviz.errors import ImageError
from camviz.images import CROP_MODES, Fit, fit_picture, open_picture, to_pixels, to_tensor

# isort: split
from timm.data import create_transform  # after vision_ops, which lets torchvision be imported

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def oriented(value):
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
        pixels = noise(20, 30)
        options = {"lossless": True} if kind == "WEBP" else {}
        picture = open_picture(encoded(Image.fromarray(pixels), kind, **options))
        assert np.array_equal(picture.pixels, pixels)
        assert (picture.height, picture.width) == (20, 30)
        assert picture.pixels.dtype == np.uint8

    def test_jpeg_is_near(self):
        pixels = np.full((24, 24, 3), (200, 100, 50), np.uint8)
        picture = open_picture(encoded(Image.fromarray(pixels), "JPEG", quality=95))
        assert np.abs(picture.pixels.astype(int) - pixels).max() <= 2

    def test_multi_picture_jpeg_gives_its_first(self):
        first, second = (Image.new("RGB", (16, 16), c) for c in ("red", "blue"))
        data = encoded(first, "MPO", save_all=True, append_images=[second])
        assert open_picture(data).pixels[8, 8, 0] > 200
        assert open_picture(Image.open(io.BytesIO(data))).pixels[8, 8, 0] > 200

    def test_animation_gives_its_first_frame(self):
        frames = [Image.new("RGB", (16, 16), c).quantize(4) for c in ("red", "blue")]
        data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert (open_picture(data).pixels == (255, 0, 0)).all()

    def test_every_kind_of_source_gives_the_same_picture(self, tmp_path):
        pixels = noise(12, 10)
        path = tmp_path / "cat.png"
        path.write_bytes(encoded(Image.fromarray(pixels), "PNG"))
        sources = [path, str(path), path.read_bytes(), Image.open(path), pixels]
        pictures = [open_picture(source) for source in sources]
        pictures.append(open_picture(pictures[0]))
        assert all(np.array_equal(p.pixels, pixels) for p in pictures)
        assert all(p == pictures[0] and hash(p) == hash(pictures[0]) for p in pictures)

    def test_names(self, tmp_path):
        path = tmp_path / "cat.png"
        path.write_bytes(encoded(Image.fromarray(noise(9, 9)), "PNG"))
        assert open_picture(path).name == "cat.png"
        assert open_picture(path, name="Tom").name == "Tom"
        assert open_picture(path.read_bytes()).name == ""
        renamed = open_picture(open_picture(path), name="Tom")
        assert renamed.name == "Tom" and renamed == open_picture(path)

    def test_content_counts_not_the_name(self, tmp_path):
        path = tmp_path / "really_a_png.jpg"
        path.write_bytes(encoded(Image.fromarray(noise(9, 9)), "PNG"))
        assert np.array_equal(open_picture(path).pixels, noise(9, 9))

    def test_arrays(self):
        grey = noise(8, 9, 1)[..., 0]
        assert np.array_equal(open_picture(grey).pixels, np.stack([grey] * 3, axis=-1))
        rgba = noise(8, 9, 4)
        rgba[..., 3] = 255
        assert np.array_equal(open_picture(rgba).pixels, rgba[..., :3])
        flipped = noise(8, 9)[::-1, ::-1]  # not contiguous
        assert np.array_equal(open_picture(flipped).pixels, flipped)

    def test_pixels_are_frozen_and_our_own(self):
        source = noise(8, 8)
        picture = open_picture(source)
        source[:] = 0
        assert np.array_equal(picture.pixels, noise(8, 8))
        with pytest.raises(ValueError, match="read-only"):
            picture.pixels[0, 0, 0] = 1

    def test_digest_tells_pixels_and_shape_apart(self):
        assert open_picture(noise(8, 9)).digest == open_picture(noise(8, 9), name="b").digest
        changed = noise(8, 9)
        changed[7, 8, 2] ^= 1
        flat, tall = np.zeros((8, 16, 3), np.uint8), np.zeros((16, 8, 3), np.uint8)
        digests = {open_picture(p).digest for p in (noise(8, 9), changed, flat, tall)}
        assert len(digests) == 4 and all(len(d) == 64 for d in digests)

    def test_caller_image_is_left_alone(self):
        image = Image.fromarray(noise(8, 12, 4))
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
        stored = noise(10, 14)
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encoded(Image.fromarray(stored), kind, exif=oriented(value), **options)
        assert np.array_equal(open_picture(data).pixels, UPRIGHT[value](stored))

    def test_jpeg(self):
        stored = np.zeros((16, 32, 3), np.uint8)
        stored[:, 16:] = 255  # white on the right: turned clockwise, white is below
        data = encoded(Image.fromarray(stored), "JPEG", exif=oriented(6))
        pixels = open_picture(data).pixels
        assert pixels.shape == (32, 16, 3) and pixels[:12].max() < 30 and pixels[20:].min() > 225

    @pytest.mark.parametrize("exif", [oriented(9).tobytes(), b"Exif\0\0MM\0*\0\0", b"Exif\0\0junk"])
    def test_nonsense_is_ignored(self, exif):
        data = encoded(Image.fromarray(noise(10, 14)), "PNG", exif=exif)
        assert np.array_equal(open_picture(data).pixels, noise(10, 14))


class TestModes:
    def test_transparency_is_laid_on_white(self):
        rgba = np.zeros((8, 8, 4), np.uint8)
        rgba[:, :4] = (255, 0, 0, 128)  # half red: 255 and 255 * 127 / 255
        rgba[:, 4:] = (9, 9, 9, 0)
        for source in (rgba, Image.fromarray(rgba), encoded(Image.fromarray(rgba), "PNG")):
            pixels = open_picture(source).pixels
            assert (pixels[:, :4] == (255, 127, 127)).all() and (pixels[:, 4:] == 255).all()

    def test_grey_with_alpha(self):
        image = Image.merge("LA", [Image.new("L", (8, 8), 0), Image.new("L", (8, 8), 255 - 51)])
        assert (open_picture(encoded(image, "PNG")).pixels == 51).all()

    @pytest.mark.parametrize("kind", ["PNG", "GIF"])
    def test_palette(self, kind):
        image = Image.new("P", (8, 8), 0)
        image.putpalette([255, 0, 0, 0, 0, 255])
        image.paste(1, (4, 0, 8, 8))
        opaque = open_picture(encoded(image, kind)).pixels
        assert (opaque[:, :4] == (255, 0, 0)).all() and (opaque[:, 4:] == (0, 0, 255)).all()
        pierced = open_picture(encoded(image, kind, transparency=1)).pixels
        assert (pierced[:, :4] == (255, 0, 0)).all() and (pierced[:, 4:] == 255).all()

    def test_palette_with_graded_transparency(self):
        image = Image.new("P", (8, 8), 1)
        image.putpalette([255, 0, 0, 0, 0, 255])
        pixels = open_picture(encoded(image, "PNG", transparency=bytes([255, 128]))).pixels
        assert (pixels == (127, 127, 255)).all()

    def test_one_colour_declared_transparent(self):
        image = Image.new("RGB", (8, 8), (1, 2, 3))
        image.paste((7, 7, 7), (4, 0, 8, 8))
        pixels = open_picture(encoded(image, "PNG", transparency=(1, 2, 3))).pixels
        assert (pixels[:, :4] == 255).all() and (pixels[:, 4:] == 7).all()

    @pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
    def test_cmyk(self, kind):
        data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), kind)
        if kind == "JPEG":  # Adobe's convention: stored inverted, and marked so
            assert b"Adobe" in data
        pixels = open_picture(data).pixels.astype(int)
        assert np.abs(pixels - (255, 0, 0)).max() <= 3

    def test_one_bit(self):
        image = Image.new("1", (8, 8), 0)
        image.paste(1, (4, 0, 8, 8))
        pixels = open_picture(encoded(image, "PNG")).pixels
        assert (pixels[:, :4] == 0).all() and (pixels[:, 4:] == 255).all()

    @pytest.mark.parametrize(("kind", "order"), [("PNG", "<"), ("TIFF", "<"), ("TIFF", ">")])
    def test_sixteen_bit_grey_is_scaled(self, kind, order):
        values = np.zeros((8, 8), f"{order}u2")
        values[0, :5] = 65535, 257, 128, 129, 256 * 128
        pixels = open_picture(encoded(Image.fromarray(values), kind)).pixels
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
        for source in (encoded(Image.fromarray(array), "TIFF"), Image.fromarray(array)):
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
        ("data", "said"),
        [
            (b"", "empty"),
            (b"hello, this is no picture", "begins with the bytes 68 65 6c 6c 6f 2c 20 74"),
            (b"<!DOCTYPE html><html>404 not found</html>", "a web page"),
            (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG"),
            (b"%PDF-1.7\n", "a PDF"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        ],
    )
    def test_what_is_no_picture(self, data, said, tmp_path):
        path = tmp_path / "photo.jpg"
        path.write_bytes(data)
        with pytest.raises(ImageError, match=r"'photo.jpg'") as caught:
            open_picture(path)
        assert said in str(caught.value)
        assert "give a JPEG, PNG" in str(caught.value)  # what would do

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
    @pytest.mark.parametrize("part", [0.01, 0.3, 0.7])
    def test_cut_short(self, kind, part):
        image = Image.fromarray(noise(40, 40)).quantize(64) if kind == "GIF" else None
        data = encoded(image or Image.fromarray(noise(40, 40)), kind)
        with pytest.raises(ImageError, match=r"cut short|damaged"):
            open_picture(data[: int(len(data) * part)])

    @pytest.mark.parametrize("side", [7000, 10_000, 20_000, 60_000])
    def test_a_bomb_is_refused_by_its_header(self, side, monkeypatch):
        # PIL alone is silent at the first size, warns at the second and raises beyond.
        monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
        with pytest.raises(ImageError, match=r"too large.*40 million"):
            open_picture(png_of_size(side, side), name="bomb.png")

    def test_a_frame_larger_than_its_screen_is_refused_too(self):
        data = bytearray(encoded(Image.new("P", (16, 16)), "GIF"))
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
        for source in (noise(10, 10), Image.new("RGB", (10, 10))):
            with pytest.raises(ImageError, match=r"too large \(10 x 10 pixels\)"):
                open_picture(source)
        assert open_picture(noise(9, 11)).width == 11

    def test_too_many_bytes(self, monkeypatch, tmp_path):
        data = encoded(Image.fromarray(noise(9, 9)), "PNG")
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
        for source in (image, np.asarray(image), encoded(image, "PNG")):
            with pytest.raises(ImageError, match=f"{size[0]} x {size[1]} pixels, too small"):
                open_picture(source)

    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((8, 8, 3), np.float32),
            np.zeros((8, 8), bool),
            np.zeros((8, 8, 2), np.uint8),
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
        data = encoded(Image.new("RGB", (8, 8)), "PPM")
        with pytest.raises(ImageError, match="not a picture"):
            open_picture(data)
        with pytest.raises(ImageError, match="PPM format"):
            open_picture(Image.open(io.BytesIO(data)))

    def test_a_lazy_image_that_turns_out_damaged(self):
        data = encoded(Image.fromarray(noise(40, 40)), "PNG")
        with pytest.raises(ImageError, match="cut short"):
            open_picture(Image.open(io.BytesIO(data[:-500])))

    def test_nothing_but_our_own_error_ever_escapes(self):
        chance = random.Random(0)
        image = Image.fromarray(noise(20, 20, 4))
        files = [
            encoded(image.convert("RGB"), "JPEG", exif=oriented(6)),
            encoded(image, "PNG"),
            encoded(image, "WEBP"),
            encoded(image.convert("RGB").quantize(9), "GIF", transparency=2),
            encoded(image.convert("RGB"), "BMP"),
            encoded(image, "TIFF"),
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
        with pytest.warns(UserWarning) as seen:
            open_picture(Image.new("RGB", (8, 8)))
        assert {str(warning.message) for warning in seen} == {"mine"}


class TestFit:
    @pytest.mark.parametrize("crop_mode", CROP_MODES)
    @pytest.mark.parametrize("size", [(97, 64), (64, 97), (50, 50), (31, 200), (20, 17)])
    @pytest.mark.parametrize(
        ("input_size", "crop_pct"),
        [((48, 48), 0.875), ((33, 33), 0.9), ((32, 56), 0.95), ((57, 40), 1.0), ((40, 40), 1.2)],
    )
    def test_crop_is_timm_to_the_bit(self, size, input_size, crop_pct, crop_mode):
        picture = open_picture(noise(*size))
        for interpolation in ("bicubic", "bilinear"):
            options = {"interpolation": interpolation, "crop_pct": crop_pct, "crop_mode": crop_mode}
            theirs = create_transform((3, *input_size), normalize=False, mean=MEAN, **options)
            expected = theirs(Image.fromarray(picture.pixels)).permute(1, 2, 0).numpy()
            pixels, fit = fit_picture(picture, input_size, mode="crop", mean=MEAN, **options)
            assert np.array_equal(pixels, expected)
            assert (fit.mode, fit.picture_size, fit.input_size) == ("crop", size, input_size)

    def test_network_input_is_timm_to_the_bit(self):
        picture = open_picture(noise(61, 83))
        theirs = create_transform((3, 40, 40), interpolation="bicubic", mean=MEAN, std=STD)
        pixels, _ = fit_picture(picture, (40, 40), mode="crop")
        ours = to_tensor(pixels, MEAN, STD)
        assert ours.shape == (1, 3, 40, 40) and ours.dtype == torch.float32
        assert torch.equal(ours[0], theirs(Image.fromarray(picture.pixels)))

    def test_stretch_shows_everything(self):
        picture = open_picture(noise(61, 83))
        pixels, fit = fit_picture(picture, (32, 40))
        assert fit == Fit("stretch", (61, 83), (32, 40), (0.0, 0.0, 83.0, 61.0))
        assert fit.shows_all and fit.visible_mask().all() and fit.visible_mask().shape == (61, 83)
        squashed, _ = fit_picture(picture, (32, 40), mode="crop", crop_mode="squash", crop_pct=1.0)
        assert np.array_equal(pixels, squashed)

    @pytest.mark.parametrize("crop_mode", CROP_MODES)
    @pytest.mark.parametrize("crop_pct", [0.6, 1.0, 1.3])
    @pytest.mark.parametrize("size", [(100, 240), (240, 101), (120, 120)])
    def test_rect_is_where_the_pixels_come_from(self, size, crop_pct, crop_mode):
        # Every pixel of this picture says where it lies: x in red, y in green.
        height, width = size
        y, x = np.mgrid[:height, :width]
        picture = open_picture(np.stack([x, y, np.full_like(x, 255)], axis=-1).astype(np.uint8))
        options = {"crop_mode": crop_mode, "crop_pct": crop_pct, "interpolation": "bilinear"}
        pixels, fit = fit_picture(picture, (60, 72), mode="crop", mean=(0, 0, 0), **options)
        x0, y0, x1, y1 = fit.rect
        rows, columns = np.nonzero(pixels[..., 2] == 255)  # not padding
        assert len(rows) > 500
        meant_x = x0 + (columns + 0.5) * (x1 - x0) / 72 - 0.5  # the centre of pixel 0 is at 0.5
        meant_y = y0 + (rows + 0.5) * (y1 - y0) / 60 - 0.5
        inner = (meant_x > 4) & (meant_x < width - 5) & (meant_y > 4) & (meant_y < height - 5)
        assert np.abs(pixels[rows, columns, 0] - meant_x)[inner].max() < 1
        assert np.abs(pixels[rows, columns, 1] - meant_y)[inner].max() < 1

    def test_rect_by_hand(self):
        # 100 x 200 is scaled by 0.4 to 40 x 80; the middle 32 x 32 begins at (24, 4).
        fit = fit_picture(
            open_picture(noise(100, 200)), (32, 32), mode="crop", crop_pct=0.8, crop_mode="center"
        )[1]
        assert fit.rect == pytest.approx((60, 10, 140, 90))
        assert not fit.shows_all and fit.visible_mask().sum() == 80 * 80
        assert fit.visible_mask()[10:90, 60:140].all()

    def test_border_sees_everything_and_reaches_beyond(self):
        picture = open_picture(np.full((50, 100, 3), 255, np.uint8))
        pixels, fit = fit_picture(
            picture, (20, 20), mode="crop", crop_pct=1.0, crop_mode="border", mean=(0.2, 0.4, 0.6)
        )
        assert fit.rect == pytest.approx((0, -25, 100, 75))
        assert fit.shows_all and fit.visible_mask().all()
        assert (pixels[:5] == (51, 102, 153)).all() and (pixels[5:15] == 255).all()

    @pytest.mark.parametrize("rect", [(1.5, 0.4, 6.5, 4.5), (-3, 2.6, 4, 99), (2, 2, 2, 2)])
    def test_seen_mask_against_a_loop(self, rect):
        x0, y0, x1, y1 = rect
        mask = Fit("crop", (7, 9), (4, 4), rect).visible_mask()
        for y in range(7):
            for x in range(9):
                assert mask[y, x] == (x0 <= x + 0.5 < x1 and y0 <= y + 0.5 < y1)

    @pytest.mark.parametrize("rect", [(0, 0, 9, 6), (0, 0, 8, 7), (0.5, 0, 9, 7), (0, 0.5, 9, 7)])
    def test_not_quite_seen(self, rect):
        assert Fit("crop", (7, 9), (4, 4), (0, 0, 9, 7)).shows_all
        assert not Fit("crop", (7, 9), (4, 4), rect).shows_all

    @pytest.mark.parametrize(
        ("option", "choices"),
        [
            ({"mode": "letterbox"}, "stretch, crop"),
            ({"mode": "crop", "crop_mode": "top"}, "center, squash, border"),
            ({"interpolation": "cubic"}, "nearest, bilinear, bicubic"),
        ],
    )
    def test_unknown_choices_are_named(self, option, choices):
        with pytest.raises(ImageError, match=choices):
            fit_picture(open_picture(noise(9, 9)), (8, 8), **option)

    def test_too_narrow_to_crop(self):
        ribbon = open_picture(np.zeros((8, 9000, 3), np.uint8), name="ribbon")
        with pytest.raises(ImageError, match=r"'ribbon' is 9000 x 8.*use fit 'stretch'"):
            fit_picture(ribbon, (224, 224), mode="crop")
        assert fit_picture(ribbon, (224, 224))[0].shape == (224, 224, 3)
        padded, _ = fit_picture(ribbon, (32, 32), mode="crop", crop_mode="border")
        assert padded.shape == (32, 32, 3)  # its height rounds to no pixel, and gets one


class TestTensors:
    def test_by_hand(self):
        pixels = np.array([[[255, 0, 51]]], np.uint8)
        tensor = to_tensor(pixels, (0.5, 0.5, 0.0), (0.5, 0.25, 0.1))
        assert tensor.shape == (1, 3, 1, 1)
        assert tensor.flatten().tolist() == pytest.approx([1.0, -2.0, 2.0])

    def test_round_trip_is_exact(self):
        pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
        back = to_pixels(to_tensor(pixels, MEAN, STD), MEAN, STD)
        assert back.dtype == np.uint8 and np.array_equal(back, pixels)

    def test_values_beyond_the_range_are_clipped(self):
        wild = torch.tensor([9.0, -9.0, 0.0]).view(1, 3, 1, 1).requires_grad_()
        assert to_pixels(wild, (0.5,) * 3, (0.5,) * 3).tolist() == [[[255, 0, 128]]]
