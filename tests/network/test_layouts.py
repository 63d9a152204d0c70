"""Layouts: every way of keeping a map is read back as (N, C, H, W)."""

from collections import namedtuple

import pytest
import torch

from camviz.network.layouts import Layout, layout_by_shape
from camviz.network.taps import tensors_in
from tests.support.outputs import map_at
from tests.support.tensors import noise


def test_every_layout_brings_the_same_map_back():
    image = noise((2, 5, 3, 4))
    tokens = image.flatten(2).transpose(1, 2)  # (N, H*W, C)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    shuffled = torch.empty_like(tokens)
    shuffled[:, order] = tokens  # cell i is found at order[i]
    raw = {
        Layout("NCHW", (3, 4)): image,
        Layout("NHWC", (3, 4)): image.permute(0, 2, 3, 1),
        Layout("NCL", (3, 4)): image.flatten(2),
        Layout("NLC", (3, 4)): tokens,
        Layout("NLC", (3, 4), 2): torch.cat([noise((2, 2, 5), 1), tokens], dim=1),
        Layout("NLC", (3, 4), 1): torch.cat([noise((2, 1, 5)), tokens, noise((2, 3, 5))], dim=1),
        Layout("permuted", (3, 4), order=tuple(order.tolist())): shuffled,
        # mask units of four tokens each, as Hiera keeps them
        Layout("permuted", (3, 4), order=tuple(range(12))): tokens.reshape(2, 3, 4, 5),
    }
    for layout, tensor in raw.items():
        assert torch.equal(layout.to_nchw(tensor), image), layout
        assert torch.equal(layout.to_nchw(2 * tensor), 2 * image), layout


def test_what_is_not_on_the_grid_stays_when_a_map_is_put_back():
    """Written cell by cell into a copy of the tensor, and read back as the maps that were given."""
    tokens = noise((1, 2 + 12 + 3, 5))
    maps = noise((4, 5, 3, 4), 1)
    order = tuple(torch.randperm(12, generator=torch.Generator().manual_seed(0)).tolist())
    for layout, like, start in (
        (Layout("NLC", (3, 4), 2), tokens, 2),
        (Layout("NLC", (3, 4)), tokens[:, :12], 0),
        (Layout("permuted", (3, 4), order=order), tokens[:, :12].reshape(1, 3, 4, 5), None),
        (Layout("NHWC", (3, 4)), noise((1, 3, 4, 5)), None),
        (Layout("NCL", (3, 4)), noise((1, 5, 12)), None),
        (Layout("NCHW", (3, 4)), noise((1, 5, 3, 4)), None),
    ):
        before = like.clone()
        back = layout.from_nchw(maps, like)
        assert back.shape == (4, *like.shape[1:]) and torch.equal(like, before)
        assert torch.equal(layout.to_nchw(back), maps), layout
        if start is not None:
            expected = like.repeat(4, 1, 1)
            for sample in range(4):
                for cell in range(12):
                    expected[sample, start + cell] = maps[sample, :, cell // 4, cell % 4]
            assert torch.equal(back, expected), layout
        assert torch.equal(layout.from_nchw(layout.to_nchw(like), like), like)


def test_layouts_carry_gradients_back_to_their_cells():
    tokens = noise((1, 13, 5)).requires_grad_(True)
    Layout("NLC", (3, 4), 1).to_nchw(tokens)[0, 2, 1, 3].backward()
    expected = torch.zeros(1, 13, 5)
    expected[0, 1 + 1 * 4 + 3, 2] = 1
    assert torch.equal(tokens.grad, expected)


def test_a_layout_is_named_after_its_kind_and_prefix():
    assert str(Layout("NCHW", (2, 2))) == "NCHW"
    assert str(Layout("NLC", (2, 2), 5)) == "NLC+5"
    assert str(Layout("NLC", (2, 2))) == "NLC"


@pytest.mark.parametrize(
    ("shape", "prefer", "expected"),
    [
        ((1, 9, 4, 6), "NCHW", ("NCHW", (4, 6), 0)),
        ((1, 4, 6, 9), "NCHW", ("NHWC", (4, 6), 0)),
        ((1, 6, 4, 6), "NCHW", ("NCHW", (4, 6), 0)),
        ((1, 4, 6, 4), "NHWC", ("NHWC", (4, 6), 0)),
        ((1, 24, 9), "NLC", ("NLC", (4, 6), 0)),
        ((1, 25, 9), "NLC", ("NLC", (4, 6), 1)),
        ((1, 9, 24), "NCL", ("NCL", (4, 6), 0)),
        ((1, 24, 24), "NCL", ("NCL", (4, 6), 0)),
        ((1, 24, 24), "NLC", ("NLC", (4, 6), 0)),
        ((1, 26, 9), "NLC", None),
        ((1, 9, 5, 6), "NCHW", None),
        ((1, 9), "NCHW", None),
        ((1, 2, 9, 4, 6), "NCHW", None),
    ],
)
def test_layouts_are_told_by_shape_from_those_that_are_known(shape, prefer, expected):
    known = [Layout("NLC", (4, 6), 1), Layout("NCHW", (4, 6))]
    found = layout_by_shape(shape, known, Layout(prefer, (4, 6)))
    assert (found and (found.kind, found.grid, found.prefix)) == expected


def test_tensors_are_found_in_nested_outputs():
    pair = namedtuple("pair", "map aux")
    a, b, c = noise((1,)), noise((2,)), noise((3,))
    output = {"x": [a, (b, None, 3)], "y": pair(c, torch.arange(3)), 7: "text"}
    found = dict(tensors_in(output))
    assert list(found) == [("x", 0), ("x", 1, 0), ("y", 0)]  # integers are no map
    assert all(map_at(output, path) is tensor for path, tensor in found.items())
