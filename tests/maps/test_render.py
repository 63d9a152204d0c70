"""camviz.render: maps as pictures, by arithmetic that can be done by hand."""

import ast
from pathlib import Path

import cv2
import numpy as np
import pytest

from camviz.maps import render
from camviz.maps.render import (
    COLOR_MAPS,
    DIVERGING,
    color_table,
    colorize,
    colorize_signed,
    contact_sheet,
    draw_boxes,
    draw_contour,
    heat_opacity,
    overlay,
    overlay_strips,
)


def picture(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def ramp(height=40, width=60):
    return np.linspace(0, 1, height * width, dtype=np.float32).reshape(height, width)


@pytest.mark.parametrize("name", [*COLOR_MAPS, DIVERGING])
def test_color_tables_have_256_colours(name):
    table = color_table(name)
    assert table.shape == (256, 3) and table.dtype == np.uint8
    assert len(np.unique(table, axis=0)) > 100


def test_known_colours():
    assert np.array_equal(color_table("gray"), np.arange(256)[:, None].repeat(3, 1))
    assert color_table("viridis")[0].tolist() == [68, 1, 84]
    assert color_table("viridis")[255].tolist() == [253, 231, 37]
    assert COLOR_MAPS[0] == "viridis", "readable for colour-blind people first"
    middle = color_table(DIVERGING)[127:129].astype(int)
    assert (middle > 230).all(), "zero is pale"


def test_unknown_colour_maps_are_refused_with_the_choice():
    for name in ("rainbow", "viridis_r", ""):
        with pytest.raises(ValueError, match=r"unknown colour map .*viridis, inferno"):
            color_table(name)


def test_heat_is_clipped_and_rounded():
    heat = np.array([[-1, 0, 0.5, 1, 7]], np.float32)
    assert colorize(heat, "gray")[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert colorize(heat).shape == (1, 5, 3) and colorize(heat).dtype == np.uint8
    assert np.array_equal(colorize(ramp()), color_table()[(ramp() * 255).round().astype(int)])


def test_signed_maps_have_zero_in_the_middle():
    values = np.array([[-2.0, -1, 0, 1, 2]])
    table = color_table(DIVERGING)
    drawn = colorize_signed(values)
    assert np.array_equal(drawn[0, 0], table[0]) and np.array_equal(drawn[0, -1], table[255])
    assert np.array_equal(drawn[0, 2], table[128])
    assert np.array_equal(colorize_signed(values), colorize_signed(values * 1e-9))
    nothing = colorize_signed(np.zeros((2, 2)))
    assert (nothing == table[128]).all()


def test_an_overlay_is_a_mixture():
    pixels, heat = picture(), ramp()
    colours = colorize(heat)
    for opacity in (0.0, 0.3, 1.0):
        expected = (1 - opacity) * pixels.astype(float) + opacity * colours
        drawn = overlay(pixels, heat, opacity=opacity)
        assert drawn.dtype == np.uint8 and np.abs(drawn - expected).max() <= 0.5 + 1e-6
    assert np.array_equal(overlay(pixels, heat, opacity=0), pixels)
    assert np.array_equal(overlay(pixels, heat, opacity=1), colours)


def test_opacity_follows_the_heat():
    one, two = heat_opacity(0.7, signed=False), heat_opacity(0.7, signed=True)
    assert one[0] == 0 and np.allclose(one[64], 0.7 * 2 * 64 / 255) and (one[128:] == 0.7).all()
    assert two[128] == 0 and two[0] == two[255] == 0.7 and np.allclose(two[127], two[129])
    pixels, heat = picture(), ramp()
    drawn = overlay_strips(pixels, lambda rows: heat[rows], opacity=one)
    assert np.array_equal(drawn[heat == 0], pixels[heat == 0])
    full = overlay(pixels, heat, opacity=0.7)
    assert np.array_equal(drawn[heat > 0.51], full[heat > 0.51])


def test_what_was_not_seen_is_grey_and_hatched():
    pixels, heat = picture(), ramp()
    visible = np.zeros(heat.shape, bool)
    visible[10:30, 20:40] = True
    drawn = overlay(pixels, heat, visible=visible)
    assert np.array_equal(drawn[visible], overlay(pixels, heat)[visible])
    outside = drawn[~visible].astype(int)
    assert (outside == outside[:, :1]).all(), "no colour"
    grey = pixels.mean(axis=2)[~visible]
    shares = (outside[:, 0] / np.maximum(grey, 1))[grey > 100]
    assert (np.minimum(abs(shares - 0.45), abs(shares - 0.75)) < 0.01).all()
    assert 0.3 < (shares > 0.6).mean() < 0.7, "stripes of both"
    assert np.array_equal(overlay(pixels, heat, visible=visible | True), overlay(pixels, heat))


def test_boxes_are_half_open():
    pixels = np.full((40, 60, 3), 100, np.uint8)
    drawn = draw_boxes(pixels, [(10, 5, 30, 25)])
    assert drawn.shape == pixels.shape and (pixels == 100).all(), "the input stays as it is"
    white = np.argwhere((drawn > 200).all(axis=2))
    assert white.min(axis=0).tolist() == [5, 10] and white.max(axis=0).tolist() == [24, 29]
    assert (drawn[10:20, 15:25] == 100).all(), "a frame, not a block"
    assert (drawn < 60).any(), "with a dark edge"
    assert np.array_equal(draw_boxes(pixels, []), pixels)


def test_frames_can_be_drawn_on_pictures_that_are_read_only_and_at_their_edge():
    pixels = picture()[:, ::-1]
    pixels.flags.writeable = False
    for box in ((0, 0, 60, 40), (59, 39, 60, 40), (0, 0, 1, 1)):
        assert draw_boxes(pixels, [box]).shape == (40, 60, 3)
    assert draw_contour(pixels, np.ones((40, 60), bool)).shape == (40, 60, 3)


def test_a_contour_follows_the_mask_inside_and_out():
    pixels = np.full((60, 80, 3), 100, np.uint8)
    mask = np.zeros((60, 80), bool)
    mask[10:50, 10:70] = True
    mask[25:35, 30:50] = False  # a hole
    drawn = draw_contour(pixels, mask)
    changed = np.argwhere((drawn != 100).any(axis=2))
    assert len(changed) and (pixels == 100).all()
    border = mask & ~cv2.erode(mask.astype(np.uint8), np.ones((3, 3))).astype(bool)
    near = cv2.dilate(border.astype(np.uint8), np.ones((7, 7))).astype(bool)
    assert all(near[y, x] for y, x in changed)
    # cv2 draws an inner contour on the pixels around the hole, an outer one on the mask's own
    assert (drawn[30, 10] != 100).any() and (drawn[24, 40] != 100).any()
    assert np.array_equal(draw_contour(pixels, np.zeros_like(mask)), pixels)


def test_a_contact_sheet_is_white_where_nothing_is():
    a, b, c = (np.full((4, 5, 3), v, np.uint8) for v in (10, 20, 30))
    sheet = contact_sheet([[a, b], [c]], gap=2)
    assert sheet.shape == (10, 12, 3) and sheet.dtype == np.uint8
    assert (sheet[:4, :5] == 10).all() and (sheet[:4, 7:] == 20).all()
    assert (sheet[6:, :5] == 30).all()
    assert (sheet[6:, 5:] == 255).all() and (sheet[4:6] == 255).all()
    assert np.array_equal(contact_sheet([[a]]), a)


def test_nothing_is_plotted():
    tree = ast.parse(Path(render.__file__).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
             for alias in node.names}  # fmt: skip
    assert "colormaps" in names and not names & {"pyplot", "Figure"}
