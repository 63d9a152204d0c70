"""Pictures at a network's size and as its input: timm's own transforms to the bit."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform  # after vision_ops, which lets torchvision be imported

import camviz.network.torchvision_ops  # noqa: F401
from camviz.errors import ImageError
from camviz.fit import CROP_MODES, Fit, fit_picture, to_pixels, to_tensor
from camviz.images import open_picture
from tests.support.pixels import random_pixels

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TestFit:
    @pytest.mark.parametrize("crop_mode", CROP_MODES)
    @pytest.mark.parametrize("size", [(97, 64), (64, 97), (50, 50), (31, 200), (20, 17)])
    @pytest.mark.parametrize(
        ("input_size", "crop_pct"),
        [((48, 48), 0.875), ((33, 33), 0.9), ((32, 56), 0.95), ((57, 40), 1.0), ((40, 40), 1.2)],
    )
    def test_crop_is_timm_to_the_bit(self, size, input_size, crop_pct, crop_mode):
        picture = open_picture(random_pixels(*size))
        for interpolation in ("bicubic", "bilinear"):
            options = {"interpolation": interpolation, "crop_pct": crop_pct, "crop_mode": crop_mode}
            theirs = create_transform((3, *input_size), normalize=False, mean=MEAN, **options)
            expected = theirs(Image.fromarray(picture.pixels)).permute(1, 2, 0).numpy()
            pixels, fit = fit_picture(picture, input_size, mode="crop", mean=MEAN, **options)
            assert np.array_equal(pixels, expected)
            assert (fit.mode, fit.picture_size, fit.input_size) == ("crop", size, input_size)

    def test_network_input_is_timm_to_the_bit(self):
        picture = open_picture(random_pixels(61, 83))
        theirs = create_transform((3, 40, 40), interpolation="bicubic", mean=MEAN, std=STD)
        pixels, _ = fit_picture(picture, (40, 40), mode="crop")
        ours = to_tensor(pixels, MEAN, STD)
        assert ours.shape == (1, 3, 40, 40) and ours.dtype == torch.float32
        assert torch.equal(ours[0], theirs(Image.fromarray(picture.pixels)))

    def test_stretch_shows_everything(self):
        picture = open_picture(random_pixels(61, 83))
        pixels, fit = fit_picture(picture, (32, 40))
        assert fit == Fit("stretch", (61, 83), (32, 40), (0.0, 0.0, 83.0, 61.0))
        assert fit.shows_all and fit.visible_mask().all() and fit.visible_mask().shape == (61, 83)
        squashed, _ = fit_picture(picture, (32, 40), mode="crop", crop_mode="squash", crop_pct=1.0)
        assert np.array_equal(pixels, squashed)

    @pytest.mark.parametrize("size", [(61, 83), (83, 61), (60, 60), (9, 400), (400, 9)])
    def test_pad_shows_everything_in_its_own_shape(self, size):
        height, width = size
        picture = open_picture(np.full((*size, 3), 255, np.uint8))
        pixels, fit = fit_picture(picture, (32, 48), mode="pad", mean=(0.0, 0.2, 0.4))
        shown = (pixels == 255).all(axis=2)
        rows, columns = shown.any(axis=1).sum(), shown.any(axis=0).sum()
        assert shown.sum() == rows * columns, "a rectangle"
        assert rows == 32 or columns == 48
        assert rows / columns == pytest.approx(height / width, rel=0.51 / min(rows, columns))
        assert (pixels[~shown] == (0, 51, 102)).all()
        first = np.argwhere(shown)[0]
        assert abs(2 * first[0] + rows - 32) <= 1 and abs(2 * first[1] + columns - 48) <= 1
        x0, y0, x1, y1 = fit.rect
        assert fit.shows_all and fit.visible_mask().all()
        assert -x0 * columns / width == pytest.approx(first[1])
        assert -y0 * rows / height == pytest.approx(first[0])
        assert (x1 - x0) * columns / width == pytest.approx(48)
        assert (y1 - y0) * rows / height == pytest.approx(32)

    def test_the_border_of_a_grey_network_is_grey(self):
        picture = open_picture(np.full((10, 40, 3), 255, np.uint8))
        pixels, _ = fit_picture(picture, (32, 32), mode="pad", mean=(0.5,))
        assert (pixels[0, 0] == 128).all()

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
            open_picture(random_pixels(100, 200)),
            (32, 32),
            mode="crop",
            crop_pct=0.8,
            crop_mode="center",
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
            ({"mode": "letterbox"}, "stretch, pad, crop"),
            ({"mode": "crop", "crop_mode": "top"}, "center, squash, border"),
            ({"interpolation": "cubic"}, "nearest, bilinear, bicubic"),
        ],
    )
    def test_unknown_choices_are_named(self, option, choices):
        with pytest.raises(ImageError, match=choices):
            fit_picture(open_picture(random_pixels(9, 9)), (8, 8), **option)

    def test_too_narrow_to_crop(self):
        ribbon = open_picture(np.zeros((8, 9000, 3), np.uint8), name="ribbon")
        with pytest.raises(ImageError, match=r"'ribbon' is 9000 x 8.*use fit 'stretch'"):
            fit_picture(ribbon, (224, 224), mode="crop")
        assert fit_picture(ribbon, (224, 224))[0].shape == (224, 224, 3)
        for width, grows_too_large in ((1900, False), (2000, True)):  # at 16 million pixels
            strip = open_picture(np.zeros((8, width, 3), np.uint8), name="strip")
            with pytest.raises(ImageError) if grows_too_large else nullcontext():
                fit_picture(strip, (224, 224), mode="crop")
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
