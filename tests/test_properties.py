"""What holds of pure functions whatever they are given: hypothesis looks for a counterexample."""

import io
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from camviz.completeness import missing_share
from camviz.engine.drawing import brightest, draw
from camviz.engine.export import SCREEN, drawn_size
from camviz.errors import ImageError
from camviz.files import file_name, shown_name
from camviz.fit import CROP_MODES, FIT_MODES, fit_picture
from camviz.images import MAX_PIXELS, MAX_SIDE, MIN_SIDE, open_picture
from camviz.maps import render
from camviz.maps.boxes import boxes_at, boxes_of, mask_at
from camviz.maps.fusion import FUSIONS, Placement, fuse, normalize, resample
from camviz.maps.ranks import rank_correlation, ranks
from camviz.maps.runs import read_mask, resize_mask, write_mask

# The same examples every time, in a bounded number, and nothing kept on disk.
settings.register_profile("camviz", derandomize=True, max_examples=60, deadline=None, database=None)
settings.load_profile("camviz")

SIDES = st.integers(1, 24)
SHARES = st.floats(0, 1, width=32)
# Multiples of 1/64, so that sums of a few are exact and many values are equal.
VALUES = st.integers(-64, 64).map(lambda n: n / 64)
HEAT = st.integers(0, 64).map(lambda n: np.float32(n / 64))


def maps(elements=HEAT, dtype=np.float32, most=24):
    return arrays(dtype, array_shapes(min_dims=2, max_dims=2, max_side=most), elements=elements)


def masks(most=40):
    return arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=most))


# -- Geometry ------------------------------------------------------------------------------------


@st.composite
def fits(draw_from):
    """A picture brought to a network's size, in every way that there is."""
    height, width = draw_from(st.integers(8, 120)), draw_from(st.integers(8, 120))
    picture = open_picture(np.zeros((height, width, 3), np.uint8))
    size = (draw_from(st.integers(8, 64)), draw_from(st.integers(8, 64)))
    _, fit = fit_picture(
        picture,
        size,
        mode=draw_from(st.sampled_from(FIT_MODES)),
        crop_mode=draw_from(st.sampled_from(CROP_MODES)),
        crop_pct=draw_from(st.sampled_from([0.5, 0.875, 1.0])),
    )
    return fit


@given(fits())
def test_a_place_of_the_picture_comes_back_from_the_input(fit):
    for axis, side in enumerate(fit.picture_size):
        first, last = fit.extent(axis)
        place = np.arange(side) + 0.5
        on_input = (place - first) / (last - first) * fit.input_size[axis]
        back = first + on_input / fit.input_size[axis] * (last - first)
        np.testing.assert_allclose(back, place, rtol=1e-9, atol=1e-9)
        inside = fit.visible_axes[axis]
        strictly = (on_input > 1e-6) & (on_input < fit.input_size[axis] - 1e-6)
        assert (inside[strictly]).all()
        assert not inside[(on_input < -1e-6) | (on_input > fit.input_size[axis] + 1e-6)].any()


@given(fits(), st.integers(0, 60), st.integers(0, 60))
def test_what_is_visible_is_the_same_as_a_mask_in_parts_and_as_a_share(fit, start, count):
    mask = fit.visible_mask()
    assert mask.shape == fit.picture_size and mask.any()
    assert fit.visible_share == pytest.approx(mask.mean())
    part = slice(start, start + count)
    assert np.array_equal(fit.visible_mask(part), mask[part])
    assert mask.all() or not fit.shows_all


@given(fits(), st.integers(1, 300), st.integers(1, 300))
def test_a_geometry_scaled_and_scaled_back_is_the_same(fit, height, width):
    back = fit.scaled_to(height, width).scaled_to(*fit.picture_size)
    assert back.picture_size == fit.picture_size and back.input_size == fit.input_size
    np.testing.assert_allclose(back.rect, fit.rect, atol=1e-6)


@given(fits(), maps(most=12), st.floats(-8, 8))
def test_the_brightest_pixel_is_that_of_the_drawn_map(fit, heat, offset):
    stride = tuple(side / cells for side, cells in zip(fit.input_size, heat.shape, strict=True))
    placement = Placement(stride, (offset, -offset))
    drawn = draw(heat, placement, fit)
    found = brightest(heat, placement, fit)
    assert drawn.shape == fit.picture_size and drawn.min() >= 0
    assert drawn.max() <= heat.max() * (1 + 1e-6)
    if found is None:
        assert not drawn.any()
    else:
        assert drawn[found[1], found[0]] == pytest.approx(drawn.max(), rel=1e-6)


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_a_drawn_picture_fits_the_screen_and_keeps_its_shape(height, width):
    picture = SimpleNamespace(height=height, width=width)
    assert drawn_size(picture, "original") == (height, width)
    small = drawn_size(picture, "screen")
    assert min(small) >= 1 and max(small) <= min(SCREEN, max(height, width))
    scale = min(1, SCREEN / max(height, width))
    for side, whole in zip(small, (height, width), strict=True):
        assert abs(side - whole * scale) <= 0.5 or side == 1


@given(st.integers(0, 2**31), st.integers(0, 2**31))
def test_a_size_is_refused_exactly_where_it_is_out_of_bounds(height, width):
    # An array whose shape is claimed: nothing of it is in memory.
    claimed = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (height, width), (0, 0))
    too_large = height * width > MAX_PIXELS or max(height, width) > MAX_SIDE
    assume(too_large or height * width < 10_000 or min(height, width) < MIN_SIDE)
    if too_large or min(height, width) < MIN_SIDE:
        with pytest.raises(ImageError, match=r"too (large|long|small)"):
            open_picture(claimed)
    else:
        assert open_picture(claimed).pixels.shape == (height, width, 3)


@given(
    st.integers(16, 90), st.integers(16, 90), st.sampled_from([5, 60, 95]), st.booleans(),
    st.sampled_from(["L", "RGB", "CMYK"]),
)  # fmt: skip
def test_nothing_is_missing_from_what_was_saved_whole(height, width, quality, progressive, mode):
    rng = np.random.default_rng(height * width)
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)
    for kind, options in (("JPEG", {"quality": quality, "progressive": progressive}), ("PNG", {})):
        if kind == "PNG" and mode == "CMYK":
            continue
        file = io.BytesIO()
        image.save(file, kind, **options)
        assert missing_share(file.getvalue(), kind) == 0


# -- Masks and boxes -----------------------------------------------------------------------------


@given(masks())
def test_a_mask_comes_back_from_its_text(mask):
    assert np.array_equal(read_mask(write_mask(mask)), mask)


@given(st.one_of(st.text(max_size=40), st.from_regex(r"\d{1,3}x\d{1,3}\.[A-Za-z0-9_-]{0,40}")))
def test_a_text_is_a_mask_or_an_error(text):
    try:
        mask = read_mask(text)
    except ValueError:
        return
    assert np.array_equal(read_mask(write_mask(mask)), mask)


@given(masks(), SIDES, SIDES)
def test_a_resized_mask_has_what_the_mask_has(mask, height, width):
    found = resize_mask(mask, height, width)
    assert found.shape == (height, width)
    assert np.array_equal(resize_mask(mask, *mask.shape), mask)
    if mask.all() or not mask.any():
        assert (found == mask.any()).all()


@given(maps(), SHARES, st.booleans())
def test_boxes_hold_the_whole_mask_and_nothing_beyond_the_picture(heat, threshold, multi):
    height, width = heat.shape
    boxes = boxes_at(heat, threshold, multi=multi)
    mask = mask_at(heat, threshold)
    covered = np.zeros(heat.shape, bool)
    for box in boxes:
        assert 0 <= box.x0 < box.x1 <= width and 0 <= box.y0 < box.y1 <= height
        inside = mask[box.y0 : box.y1, box.x0 : box.x1]
        assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()
        covered[box.y0 : box.y1, box.x0 : box.x1] = True
    areas = [box.area_fraction for box in boxes]
    assert areas == sorted(areas, reverse=True)
    if not multi:
        assert not (mask & ~covered).any()
        assert sum(areas) == pytest.approx(mask.mean())
        assert len(boxes) == 0 or sum(box.heat_fraction for box in boxes) <= 1 + 1e-9
    assert boxes == boxes_of(lambda rows: heat[rows], heat.shape, threshold, multi=multi)


@given(maps(), SHARES, SHARES, st.sampled_from([0.25, 2.0, 1024.0]))
def test_a_mask_shrinks_with_its_threshold_and_knows_no_scale(heat, one, other, scale):
    low, high = sorted((one, other))
    assert not (mask_at(heat, high) & ~mask_at(heat, low)).any()
    assert np.array_equal(mask_at(heat * np.float32(scale), low), mask_at(heat, low))


# -- Fusion --------------------------------------------------------------------------------------


@st.composite
def stages(draw_from):
    """Normalised maps of several stages of a network of 64 x 64 pixels, and where they look."""
    grids = draw_from(st.lists(st.sampled_from([2, 4, 8, 16]), min_size=1, max_size=5))
    heats = [draw_from(arrays(np.float32, (n, n), elements=HEAT)) for n in grids]
    normal = [normalize(torch.from_numpy(heat)) for heat in heats]
    return normal, [Placement((64 / n, 64 / n)) for n in grids]


@given(stages(), st.sampled_from(sorted(FUSIONS)))
def test_a_fused_map_is_normalised_on_the_finest_grid(given_stages, mode):
    heats, placements = given_stages
    fused, placement = fuse(heats, placements, mode)
    assert fused.numel() == max(heat.numel() for heat in heats) and placement in placements
    assert torch.isfinite(fused).all() and fused.min() >= 0
    assert fused.max() in (0, 1)
    if not any(heat.any() for heat in heats):
        assert not fused.any()


@given(maps(VALUES, np.float64), st.sampled_from([0.5, 4.0, 2.0**-40, 2.0**60]))
def test_a_normalised_map_knows_no_scale(raw, scale):
    one, other = (normalize(torch.from_numpy(values)) for values in (raw, raw * scale))
    assert torch.equal(one, other) and float(one.max()) in (0.0, 1.0)
    assert not one[torch.from_numpy(raw) <= 0].any()


@given(maps(), st.lists(st.floats(-200, 200), min_size=1, max_size=9), st.floats(-9, 9))
def test_what_is_read_between_cells_lies_between_their_values(heat, places, offset):
    positions = torch.tensor(places, dtype=torch.float64)
    placement = Placement((4.0, 4.0), (offset, offset))
    read = resample(torch.from_numpy(heat), placement, positions, positions)
    assert read.shape == (len(places), len(places))
    assert read.min() >= heat.min() - 1e-6 and read.max() <= heat.max() + 1e-6


# -- Pictures of maps ----------------------------------------------------------------------------


@st.composite
def pictures_with_heat(draw_from):
    heat = draw_from(maps(elements=st.floats(-1, 2, width=32)))
    pixels = draw_from(arrays(np.uint8, (*heat.shape, 3)))
    return pixels, heat


@given(pictures_with_heat(), SHARES, st.sampled_from(render.COLOR_MAPS))
def test_an_overlay_lies_between_picture_and_colours(pair, opacity, name):
    pixels, heat = pair
    colors = render.colorize(heat, name)
    drawn = render.overlay(pixels, heat, name=name, opacity=opacity)
    assert drawn.shape == pixels.shape and drawn.dtype == np.uint8
    assert (drawn >= np.minimum(pixels, colors)).all()
    assert (drawn <= np.maximum(pixels, colors)).all()
    assert np.array_equal(render.overlay(pixels, heat, opacity=0), pixels)
    assert np.array_equal(render.overlay(pixels, heat, name=name, opacity=1), colors)


@given(pictures_with_heat(), st.data())
def test_lines_keep_the_size_of_a_picture_and_the_picture_itself(pair, data):
    pixels, heat = pair
    before = pixels.copy()
    mask = data.draw(arrays(bool, heat.shape))
    assert render.draw_contour(pixels, mask).shape == pixels.shape
    box = (0, 0, heat.shape[1], heat.shape[0])
    assert render.draw_boxes(pixels, [box]).shape == pixels.shape
    assert np.array_equal(pixels, before)
    assert np.array_equal(render.draw_boxes(pixels, []), pixels)


@given(maps(VALUES))
def test_a_signed_map_and_its_opposite_have_opposite_colours(values):
    colors = render.colorize_signed(values)
    assert colors.shape == (*values.shape, 3)
    assert np.array_equal(render.colorize_signed(values * 2), colors)


@given(st.booleans(), SHARES)
def test_opacity_grows_with_the_heat(signed, most):
    found = render.heat_opacity(most, signed)
    assert found.shape == (256,) and found.min() >= 0 and found.max() <= most
    half = found[128:] if signed else found
    assert (np.diff(half) >= 0).all()


# -- Ranks ---------------------------------------------------------------------------------------


@given(st.lists(VALUES, min_size=1, max_size=60))
def test_ranks_are_shared_out(values):
    found = ranks(values)
    assert found.sum() == pytest.approx(len(values) * (len(values) + 1) / 2)
    order = np.argsort(values, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert np.array_equal(ranks([math.exp(v) for v in values]), found), "only the order counts"


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=60))
def test_a_rank_correlation_is_symmetric_and_at_most_one(pairs):
    one, other = map(list, zip(*pairs, strict=True))
    found = rank_correlation(one, other)
    if len(set(one)) < 2 or len(set(other)) < 2:
        assert found is None
        return
    assert -1 - 1e-9 <= found <= 1 + 1e-9
    assert rank_correlation(other, one) == pytest.approx(found)
    assert rank_correlation(one, [-v for v in other]) == pytest.approx(-found)
    assert rank_correlation(one, one) == pytest.approx(1)


# -- Names ---------------------------------------------------------------------------------------


@given(st.text(max_size=300))
def test_a_name_that_was_made_fit_is_fit(text):
    made = file_name(text)
    assert file_name(made) == made and made.isprintable()
    shown = shown_name(text)
    assert shown_name(shown) == shown and "\n" not in shown
